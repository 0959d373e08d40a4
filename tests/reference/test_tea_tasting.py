"""Every comparison against tea-tasting 1.14 (github.com/e10v/tea-tasting), an independent implementation, on random data
sets: one by one, and all at once. What tea-tasting does otherwise, on purpose, is said at each test.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
import tea_tasting
from scipy import stats

from analysis.stats import comparisons
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import absolute, difference, p_value
from benchmarks.certify_agreement import aggregate_of

DATA_SETS = 200
CLOSE = 1e-9
Arm = dict[str, np.ndarray]


def data_sets(seed: int) -> Iterator[list[Arm]]:
    """Two arms of different size, scale and shape with outcome y, denominator d, a covariate x and a proportion p."""
    rng = np.random.default_rng(seed)
    for _ in range(DATA_SETS):
        scale, shape, rate = 10 ** rng.uniform(-3, 4), rng.uniform(0.5, 3), rng.uniform(0.1, 0.9)
        arms = []
        for n in rng.integers(20, 400, 2).tolist():
            y = scale * rng.uniform(0.7, 1.4) * rng.gamma(shape, size=n)
            arms.append(
                {
                    "y": y,
                    "d": 1 + rng.poisson(2, n) + 0.1 * y / y.mean(),
                    "x": 0.5 * y + rng.normal(y.mean(), y.std(), n),
                    "p": (rng.random(n) < rate).astype(float),
                }
            )
        yield arms


def theirs(arms: list[Arm], metric: Any) -> Any:
    columns = {name: np.concatenate([arm[name] for arm in arms]) for name in arms[0]}
    which = np.repeat([0, 1], [len(arm["y"]) for arm in arms])
    table = pa.table({"variant": which, **columns})
    return tea_tasting.Experiment({"m": metric}).analyze(table)["m"]


def agree(pairs: list[tuple[Aggregate, Aggregate]], expected: list[Any]) -> None:
    """Effect, p-value and interval, of each comparison alone and of all of them at once."""
    found = comparisons.differences(*(comparisons.arms_of(arm) for arm in zip(*pairs, strict=True)))
    p, interval = comparisons.p_values(found), comparisons.absolute(found, 0.05)
    for i, (pair, reference) in enumerate(zip(pairs, expected, strict=True)):
        alone = difference(*pair)
        limits = absolute(alone, 0.05)
        width = reference.effect_size_ci_upper - reference.effect_size_ci_lower
        for estimate, lower, upper, value in (
            (alone.estimate, limits.lower, limits.upper, p_value(alone)),
            (interval.estimate[i], interval.lower[i], interval.upper[i], p[i]),
        ):
            # A limit near 0 is a difference of large numbers, so it is compared on the scale of the interval.
            assert estimate == pytest.approx(reference.effect_size, rel=CLOSE, abs=CLOSE * width)
            assert lower == pytest.approx(reference.effect_size_ci_lower, rel=CLOSE, abs=CLOSE * width)
            assert upper == pytest.approx(reference.effect_size_ci_upper, rel=CLOSE, abs=CLOSE * width)
            assert value == pytest.approx(reference.pvalue, rel=CLOSE)


def test_means_and_proportions() -> None:
    for column in ("y", "p"):
        pairs, expected = [], []
        for arms in data_sets(1):
            pairs.append((aggregate_of(arms[0][column]), aggregate_of(arms[1][column])))
            expected.append(theirs(arms, tea_tasting.Mean(column)))
        agree(pairs, expected)


def test_ratios_of_means() -> None:
    pairs, expected = [], []
    for arms in data_sets(2):
        pairs.append((aggregate_of(arms[0]["y"], d=arms[0]["d"]), aggregate_of(arms[1]["y"], d=arms[1]["d"])))
        expected.append(theirs(arms, tea_tasting.RatioOfMeans("y", "d")))
    agree(pairs, expected)


def test_cuped() -> None:
    """tea-tasting takes theta from all rows as one group, we within the arms; where both arms have the same mean of the
    covariate the two are one number, so the covariate is moved there."""
    pairs, expected = [], []
    for arms in data_sets(3):
        for arm in arms:
            arm["x"] = arm["x"] - arm["x"].mean()
        pairs.append((aggregate_of(arms[0]["y"], x=arms[0]["x"]), aggregate_of(arms[1]["y"], x=arms[1]["x"])))
        expected.append(theirs(arms, tea_tasting.Mean("y", "x")))
    agree(pairs, expected)


def test_cuped_where_the_covariate_differs_between_the_arms() -> None:
    """statsmodels: theta is the slope of OLS on arm and covariate, and the estimate its coefficient; scipy: Welch's test of
    the outcomes less theta x."""
    for arms in data_sets(4):
        control, treatment = (aggregate_of(arm["y"], x=arm["x"]) for arm in arms)
        y, x = (np.concatenate([arm[name] for arm in arms]) for name in ("y", "x"))
        treated = np.repeat([0.0, 1.0], [len(arm["y"]) for arm in arms])
        scale = x.std()
        fit = sm.OLS(y, np.column_stack([np.ones(len(y)), treated, (x - x.mean()) / scale])).fit()
        corrected = [arm["y"] - fit.params[2] / scale * arm["x"] for arm in arms]
        reference = stats.ttest_ind(corrected[1], corrected[0], equal_var=False)
        found = difference(control, treatment)
        assert found.estimate == pytest.approx(fit.params[1], rel=CLOSE, abs=CLOSE * found.standard_error)
        assert p_value(found) == pytest.approx(reference.pvalue, rel=CLOSE)
        assert found.degrees_of_freedom == pytest.approx(reference.df, rel=CLOSE)
