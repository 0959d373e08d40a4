"""Comparisons against independent implementations: scipy and statsmodels, on random data sets."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import absolute, cuped_theta, difference, p_value, relative
from analysis.stats.multiplicity import benjamini_hochberg, holm
from analysis.stats.proportions import exact_p_value, newcombe_interval

DATA_SETS = 250
CLOSE = 1e-9


def sums_of(y: np.ndarray, x: np.ndarray | None = None) -> Aggregate:
    shift = float(y[0])
    z = y - shift
    more = {} if x is None else {"x": x.sum(), "xx": x @ x, "xy": x @ z}
    return Aggregate.from_sums(y.size, z.sum(), z @ z, shift_y=shift, **more)


def pairs():
    rng = np.random.default_rng(20261201)
    for i in range(DATA_SETS):
        sizes = rng.integers(2, 400, 2)
        draw = (
            lambda n: rng.normal(10 ** rng.uniform(-3, 6), 10 ** rng.uniform(-2, 2), n),
            lambda n: rng.exponential(10 ** rng.uniform(-3, 3), n),
            lambda n: rng.lognormal(0, 2, n),
            lambda n: (rng.random(n) < 0.4).astype(float),
        )[i % 4]
        a, b = draw(sizes[0]), draw(sizes[1])
        if np.ptp(a) + np.ptp(b) > 0:
            yield a, b


def test_welch_is_scipys_and_statsmodels():
    checked = 0
    for a, b in pairs():
        found = difference(sums_of(a), sums_of(b))
        reference = stats.ttest_ind(b, a, equal_var=False)
        limits = reference.confidence_interval(0.95)
        interval = absolute(found, 0.05)
        scale = abs(interval.upper - interval.lower)
        assert found.degrees_of_freedom == pytest.approx(reference.df, rel=CLOSE)
        assert abs(interval.lower - limits.low) <= CLOSE * max(scale, abs(limits.low))
        assert abs(interval.upper - limits.high) <= CLOSE * max(scale, abs(limits.high))
        if reference.pvalue > 1e-290:
            # A p-value of size e^-k magnifies the rounding of t by about k.
            assert p_value(found) == pytest.approx(
                reference.pvalue, rel=CLOSE * max(1.0, -np.log(reference.pvalue))
            )
        low, high = CompareMeans.from_data(b, a).tconfint_diff(usevar="unequal")
        assert abs(interval.lower - low) <= CLOSE * max(scale, abs(low))
        assert abs(interval.upper - high) <= CLOSE * max(scale, abs(high))
        checked += 1
    assert checked >= 200


def test_cuped_is_the_regression_with_a_common_slope():
    """Theta pooled within arms is the slope of OLS on arm and covariate (analysis of covariance); statsmodels."""
    rng = np.random.default_rng(31)
    for _ in range(50):
        n = rng.integers(20, 200, 2)
        x = rng.normal(5, 2, n.sum())
        t = np.repeat([0.0, 1.0], n)
        y = 1 + 0.3 * t + rng.normal(0.7) * x + rng.normal(0, 1, n.sum())
        fit = sm.OLS(y, np.column_stack([np.ones_like(t), t, x])).fit()
        arms = [sums_of(y[t == k], x[t == k]) for k in (0, 1)]
        assert difference(*arms).estimate == pytest.approx(fit.params[1], rel=1e-8, abs=1e-10)
        assert cuped_theta(*arms) == pytest.approx(fit.params[2], rel=1e-8)


def test_newcombe_is_statsmodels():
    rng = np.random.default_rng(32)
    for _ in range(200):
        n = rng.integers(2, 500, 2)
        x = [int(rng.integers(0, k + 1)) for k in n]
        low, high = confint_proportions_2indep(x[1], n[1], x[0], n[0], method="newcomb", compare="diff")
        found = newcombe_interval(
            Aggregate.from_counts(int(n[0]), x[0]), Aggregate.from_counts(int(n[1]), x[1]), 0.05
        )
        assert found.lower == pytest.approx(low, rel=CLOSE, abs=1e-12)
        assert found.upper == pytest.approx(high, rel=CLOSE, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10, rows a, b, c, e
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ],
)
def test_newcombe_is_his_own_table(table, interval):
    x_t, n_t, x_c, n_c = table
    found = newcombe_interval(Aggregate.from_counts(n_c, x_c), Aggregate.from_counts(n_t, x_t), 0.05)
    assert (found.lower, found.upper) == pytest.approx(interval, abs=5e-5)


def test_exact_p_values_are_scipys():
    """scipy.stats.boschloo_exact where the table is small, scipy.stats.fisher_exact where it is large."""
    found = exact_p_value(Aggregate.from_counts(12, 7), Aggregate.from_counts(15, 14))
    assert found == pytest.approx(stats.boschloo_exact([[14, 7], [1, 5]]).pvalue, rel=1e-12)
    large = exact_p_value(Aggregate.from_counts(900, 1), Aggregate.from_counts(900, 8))
    assert large == pytest.approx(stats.fisher_exact([[8, 1], [892, 899]]).pvalue, rel=1e-12)


def test_adjusted_p_values_are_statsmodels():
    rng = np.random.default_rng(33)
    for _ in range(20):
        p = rng.random(rng.integers(1, 12)) ** 3
        assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
        assert benjamini_hochberg(list(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)


def test_the_lift_interval_covers():
    """Simulated: the delta-method lift of a skewed outcome covers the truth in 94-96 % of 4000 experiments."""
    rng = np.random.default_rng(34)
    hits, runs = 0, 4000
    for _ in range(runs):
        a, b = rng.exponential(1.0, 500), rng.exponential(1.2, 500)
        found = relative(difference(sums_of(a), sums_of(b)), 0.05)
        hits += found.lower <= 0.2 <= found.upper
    assert 0.94 <= hits / runs <= 0.96
