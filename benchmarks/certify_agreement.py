"""The production functions against independent ones on random data sets: the same numbers to nine digits."""

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from analysis.stats import multiplicity, proportions, srm
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import absolute, cuped_theta, difference, p_value
from benchmarks.claims import ALPHA, Claim, Findings, Size

Floats = NDArray[np.float64]
BAR: Final = 1e-9
Pairs = Iterator[tuple[str, float, float]]
"""What is compared, our number, theirs."""


def agreement(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    worst: dict[str, float] = {}
    for number in range(size.data_sets):
        rng = np.random.default_rng([seed, 40, number])
        for make in (_means, _ratios, _cuped, _proportions, _families, _shares):
            for name, ours, theirs in make(rng):
                worst[name] = max(worst.get(name, 0.0), relative_difference(ours, theirs))
    for name, difference_found in worst.items():
        findings.claims.append(
            Claim(
                topic="agreement",
                claim=name,
                bar="<= 1e-9 relative",
                obtained=f"{difference_found:.1e} at most",
                error="none (no chance in it)",
                runs=f"{size.data_sets} data sets",
                met=difference_found <= BAR,
            )
        )
    advance()


def relative_difference(ours: float, theirs: float) -> float:
    """|ours - theirs| as a share of theirs; infinite when only one of them is a number."""
    if math.isnan(ours) or math.isnan(theirs):
        return math.inf
    return abs(ours - theirs) / max(abs(theirs), 1e-300) if ours != theirs else 0.0


def _draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Outcomes of two arms of different size, scale and shape."""
    n_c, n_t = (int(n) for n in rng.integers(5, 400, 2))
    scale, shape = 10 ** rng.uniform(-3, 4), rng.uniform(0.5, 3)
    return scale * rng.gamma(shape, size=n_c), scale * rng.uniform(0.7, 1.4) * rng.gamma(shape, size=n_t)


def aggregate_of(y: Floats, d: Floats | None = None, x: Floats | None = None) -> Aggregate:
    def sums(a: Floats | None, b: Floats | None) -> float | None:
        return None if a is None or b is None else math.fsum(a * b)

    def centred(a: Floats | None) -> tuple[Floats | None, float]:
        return (None, 0.0) if a is None else (a - a.mean(), float(a.mean()))

    (y0, shift_y), (d0, shift_d), (x0, shift_x) = centred(y), centred(d), centred(x)
    assert y0 is not None
    return Aggregate.from_sums(
        len(y), math.fsum(y0), math.fsum(y0 * y0),
        d=None if d0 is None else math.fsum(d0), dd=sums(d0, d0), yd=sums(y0, d0),
        x=None if x0 is None else math.fsum(x0), xx=sums(x0, x0), xy=sums(y0, x0), dx=sums(d0, x0),
        shift_y=shift_y, shift_d=shift_d, shift_x=shift_x,
    )  # fmt: skip


def _means(rng: np.random.Generator) -> Pairs:
    control, treatment = _draw(rng)
    ours = difference(aggregate_of(control), aggregate_of(treatment))
    yield "Welch p-value, scipy", p_value(ours), stats.ttest_ind(treatment, control, equal_var=False).pvalue
    compared = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    low, high = compared.tconfint_diff(ALPHA, usevar="unequal")
    mine = absolute(ours, ALPHA)
    # Limits near 0 are differences of large numbers, so they are compared on the scale of the interval.
    yield "Welch interval, statsmodels", mine.lower - mine.upper, low - high
    yield "Welch interval, statsmodels", mine.upper + (mine.upper - mine.lower), high + (high - low)


def _ratios(rng: np.random.Generator) -> Pairs:
    arms = [(y, 1 + rng.poisson(2, len(y)) + 0.1 * y / y.mean()) for y in _draw(rng)]
    ours = difference(*(aggregate_of(y, d=d) for y, d in arms))
    # The delta method is Welch's test of the linearised outcome y / mean d, corrected for d.
    by_unit = [y.mean() / d.mean() + (y - y.mean() / d.mean() * d) / d.mean() for y, d in arms]
    theirs = stats.ttest_ind(by_unit[1], by_unit[0], equal_var=False)
    yield "ratio of means (linearised), scipy", p_value(ours), theirs.pvalue


def _cuped(rng: np.random.Generator) -> Pairs:
    arms = [(y, 0.5 * y + rng.normal(y.mean(), y.std(), len(y))) for y in _draw(rng)]
    control, treatment = (aggregate_of(y, x=x) for y, x in arms)
    theta = cuped_theta(control, treatment)
    y, x = (np.concatenate([arms[0][i], arms[1][i]]) for i in (0, 1))
    treated = np.repeat([0.0, 1.0], [len(arms[0][0]), len(arms[1][0])])
    scale = x.std()
    fitted = OLS(y, np.column_stack([np.ones(len(y)), treated, (x - x.mean()) / scale])).fit()
    yield "CUPED coefficient, statsmodels OLS", theta, fitted.params[2] / scale
    ours = difference(control, treatment)
    yield (
        "CUPED estimate, statsmodels OLS",
        ours.estimate / ours.standard_error,
        fitted.params[1] / ours.standard_error,
    )
    corrected = [y - theta * x for y, x in arms]
    theirs = stats.ttest_ind(corrected[1], corrected[0], equal_var=False)
    yield "CUPED p-value, scipy on corrected outcomes", p_value(ours), theirs.pvalue


def _proportions(rng: np.random.Generator) -> Pairs:
    n_c, n_t = (int(n) for n in rng.integers(150, 2000, 2))
    x_c, x_t = int(rng.integers(1, 15)), int(rng.integers(1, 15))
    control, treatment = Aggregate.from_counts(n_c, x_c), Aggregate.from_counts(n_t, x_t)
    # Fisher's test is scipy's own in production, so here it is summed up from the hypergeometric law.
    table = stats.hypergeom.pmf(np.arange(x_c + x_t + 1), n_c + n_t, x_c + x_t, n_t)
    fisher = math.fsum(table[table <= table[x_t] * (1 + 1e-7)])
    yield "exact p-value (Fisher), hypergeometric sum", proportions.exact_p_value(control, treatment), fisher
    mine = proportions.newcombe_interval(control, treatment, ALPHA)
    low, high = confint_proportions_2indep(
        x_t, n_t, x_c, n_c, method="newcomb", compare="diff", alpha=ALPHA, correction=False
    )
    yield "Newcombe interval, statsmodels", mine.lower, low
    yield "Newcombe interval, statsmodels", mine.upper, high


def _families(rng: np.random.Generator) -> Pairs:
    p = (rng.random(int(rng.integers(2, 12))) ** 3).tolist()
    for name, ours, method in (
        ("Holm, statsmodels", multiplicity.holm(p), "holm"),
        ("Benjamini-Hochberg, statsmodels", multiplicity.benjamini_hochberg(p), "fdr_bh"),
    ):
        for mine, theirs in zip(ours, multipletests(p, method=method)[1].tolist(), strict=True):
            yield name, math.nan if mine is None else mine, theirs


def _shares(rng: np.random.Generator) -> Pairs:
    weights = rng.uniform(0.5, 3, int(rng.integers(2, 6)))
    counts = rng.multinomial(int(rng.integers(200, 10_000)), weights / weights.sum())
    theirs = stats.chisquare(counts, counts.sum() * weights / weights.sum()).pvalue
    yield (
        "sample ratio mismatch (chi-square), scipy",
        srm.chi_square(counts.tolist(), weights.tolist()),
        theirs,
    )
