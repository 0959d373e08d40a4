"""Factor effects against statsmodels: the saturated OLS with effect coding (patsy's Sum) and its HC2 covariance."""

import math

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import difference, lift_variance
from analysis.stats.errors import InsufficientData
from analysis.stats.factorial import cells_of, contrast, interaction, main_effect

CLOSE = 1e-9
CROSSINGS = ([2, 2], [2, 3], [3, 2], [3, 3], [2, 2, 2], [2, 3, 2], [4, 2], [2, 2, 2, 2])
NAMES = "abcd"


def crossing(sizes):
    return [[f"{NAMES[i]}{j}" for j in range(size)] for i, size in enumerate(sizes)]


def frame(levels, seed):
    """Unbalanced cells with their own means and spreads."""
    rng = np.random.default_rng(seed)
    parts = []
    for cell in cells_of(levels):
        n = int(rng.integers(3, 60))
        x = rng.normal(0, 1, n)
        y = rng.normal(rng.normal(5, 1), rng.uniform(0.5, 3), n) + 1.5 * x
        parts.append(pd.DataFrame({**dict(zip(NAMES, cell, strict=False)), "y": y, "x": x}))
    return pd.concat(parts, ignore_index=True)


def aggregates(data, levels, columns=("y",)):
    names = list(NAMES[: len(levels)])
    cells = {}
    for key, part in data.groupby(names):
        more = {}
        if "x" in columns:
            c = np.cov(part.y, part.x)
            more = {"mean_x": part.x.mean(), "variance_x": c[1, 1], "covariance_xy": c[0, 1]}
        cells[tuple(key)] = Aggregate(n=len(part), mean=part.y.mean(), variance=part.y.var(ddof=1), **more)
    return cells


def fitted(data, levels):
    """The effect-coded fit, and the row of its design matrix for each cell."""
    names = NAMES[: len(levels)]
    formula = "y ~ " + " * ".join(f"C({name}, Sum)" for name in names)
    y, design = patsy.dmatrices(formula, data, return_type="dataframe")
    grid = pd.DataFrame(cells_of(levels), columns=list(names))
    (rows,) = patsy.build_design_matrices([design.design_info], grid)
    fit = sm.OLS(y, design).fit(cov_type="HC2", use_t=False)
    return fit, dict(zip(cells_of(levels), np.asarray(rows), strict=True)), list(design.columns)


def terms(levels):
    for i, own in enumerate(levels):
        for level in own[1:]:
            yield main_effect(levels, i, level)
    for i in range(len(levels)):
        for j in range(i + 1, len(levels)):
            for a in levels[i][1:]:
                for b in levels[j][1:]:
                    yield interaction(levels, (i, j), (a, b))


@pytest.mark.parametrize("sizes", CROSSINGS, ids=str)
def test_every_term_is_the_contrast_of_ols_with_hc2(sizes):
    levels = crossing(sizes)
    data = frame(levels, seed=sum(sizes))
    fit, rows, _ = fitted(data, levels)
    cells = aggregates(data, levels)
    for weights in terms(levels):
        found = contrast(cells, weights)
        reference = fit.t_test(sum(weight * rows[cell] for cell, weight in weights.items()))
        assert found.estimate == pytest.approx(reference.effect[0], rel=CLOSE, abs=1e-10)
        assert found.standard_error == pytest.approx(reference.sd[0, 0], rel=CLOSE)


def test_what_the_coefficients_of_effect_coding_are():
    """Two levels: the main effect is twice the coefficient, the interaction four times; three levels: a difference."""
    levels = crossing([2, 3])
    data = frame(levels, seed=9)
    fit, _, names = fitted(data, levels)
    b = dict(zip(names, fit.params, strict=True))
    cells = aggregates(data, levels)
    # patsy's Sum leaves out the last level, whose coefficient is minus the sum of the others.
    assert contrast(cells, main_effect(levels, 0, "a1")).estimate == pytest.approx(-2 * b["C(a, Sum)[S.a0]"])
    assert contrast(cells, main_effect(levels, 1, "b1")).estimate == pytest.approx(
        b["C(b, Sum)[S.b1]"] - b["C(b, Sum)[S.b0]"]
    )
    g = [b[f"C(a, Sum)[S.a0]:C(b, Sum)[S.b{k}]"] for k in (0, 1)]
    assert contrast(cells, interaction(levels, (0, 1), ("a1", "b1"))).estimate == pytest.approx(
        -2 * (g[1] - g[0])
    )


def test_with_a_covariate_it_is_ols_on_the_adjusted_outcome():
    levels = crossing([2, 3])
    data = frame(levels, seed=3)
    cells = aggregates(data, levels, columns=("y", "x"))
    within = data - data.groupby(list("ab"))[["y", "x"]].transform("mean")[["y", "x"]].reindex(data.index)
    theta = (within.x * within.y).sum() / (within.x**2).sum()
    fit, rows, _ = fitted(data.assign(y=data.y - theta * data.x), levels)
    for weights in terms(levels):
        found = contrast(cells, weights)
        reference = fit.t_test(sum(weight * rows[cell] for cell, weight in weights.items()))
        assert found.estimate == pytest.approx(reference.effect[0], rel=CLOSE, abs=1e-10)
        assert found.standard_error == pytest.approx(reference.sd[0, 0], rel=CLOSE)
        assert found.variance_reduction > 0


def test_one_factor_of_two_levels_is_the_difference_of_two_means():
    rng = np.random.default_rng(2)
    a, b = (
        Aggregate(
            n=n, mean=m, variance=2.0 + m, mean_x=1.0 + m, variance_x=1.5, covariance_xy=float(rng.normal(0.5, 0.1))
        )
        for n, m in ((40, 2.0), (70, 2.5))
    )  # fmt: skip
    found = contrast({("o",): a, ("n",): b}, main_effect([["o", "n"]], 0, "n"))
    shown = difference(a, b)
    for name in (
        "estimate",
        "standard_error",
        "degrees_of_freedom",
        "control_mean",
        "control_variance",
        "covariance",
    ):
        assert getattr(found, name) == pytest.approx(getattr(shown, name), rel=1e-12), name
    assert (found.n, math.sqrt(lift_variance(found))) == (110, pytest.approx(math.sqrt(lift_variance(shown))))


def test_a_lift_is_against_the_mean_of_the_first_level():
    levels = crossing([2, 2])
    cells = {
        cell: Aggregate(n=50, mean=mean, variance=1.0)
        for cell, mean in zip(cells_of(levels), (1.0, 3.0, 2.0, 5.0), strict=True)
    }
    found = contrast(cells, main_effect(levels, 0, "a1"))
    assert (found.estimate, found.control_mean) == (1.5, 2.0)
    assert found.control_variance == pytest.approx(2 * 0.25 / 50)
    assert found.covariance == pytest.approx(-2 * 0.25 / 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "no variant with a1, b1"),
        (Aggregate(n=0, mean=0.0, variance=0.0), "no users"),
        (Aggregate(n=1, mean=1.0, variance=0.0), "only one user"),
        (Aggregate(n=9, mean=math.nan, variance=1.0), "not a finite number"),
    ],
)
def test_what_cannot_be_told(change, words):
    levels = crossing([2, 2])
    cells = {cell: Aggregate(n=50, mean=1.0, variance=1.0) for cell in cells_of(levels)}
    cells.pop(("a1", "b1"))
    if change is not None:
        cells[("a1", "b1")] = change
    with pytest.raises(InsufficientData, match=words):
        contrast(cells, main_effect(levels, 0, "a1"))


def test_nothing_that_varies_is_no_answer():
    levels = crossing([2, 2])
    cells = {cell: Aggregate(n=50, mean=1.0, variance=0.0) for cell in cells_of(levels)}
    with pytest.raises(InsufficientData, match="spread"):
        contrast(cells, main_effect(levels, 0, "a1"))
