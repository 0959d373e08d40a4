"""Ratios and quantiles against implementations of others: statsmodels and scipy, on random data sets."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.sandbox.regression.gmm import IV2SLS

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import absolute, critical_value, difference, linearise_ratio
from analysis.stats.quantiles import Quantile, quantile_difference, ranks_of


def arms(seed: int):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 400))
    d = rng.poisson(3, n).astype(float) + (seed % 2)
    return d * rng.gamma(2, 10 ** rng.uniform(-2, 2), n) + rng.normal(0, 0.1, n), d


def summed(y: np.ndarray, d: np.ndarray) -> Aggregate:
    return Aggregate.from_sums(y.size, y.sum(), y @ y, d=d.sum(), dd=d @ d, yd=y @ d)


@pytest.mark.parametrize("seed", range(40))
def test_a_ratio_is_statsmodels_instrumented_regression(seed: int) -> None:
    # Y on D with the constant as instrument is sum(Y) / sum(D); its HC1 variance, n / (n - 1) sum (Y - R D)^2 / sum(D)^2,
    # is the delta method's (statsmodels, IV2SLS and cov_hc1).
    y, d = arms(seed)
    fitted = IV2SLS(y, d, instrument=np.ones_like(y)).fit()
    residuals = y - fitted.params[0] * d
    hc1 = y.size / (y.size - 1) * (residuals**2).sum() / d.sum() ** 2
    ours = linearise_ratio(summed(y, d))
    assert ours.mean == pytest.approx(fitted.params[0], rel=1e-9)
    assert ours.variance / ours.n == pytest.approx(hc1, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_difference_of_ratios_is_welch_on_the_linearised_outcomes(seed: int) -> None:
    # Deng, Knoblich, Lu 2018: compare (Y - R D) / mean(D) + R as if it were the outcome; statsmodels does the comparing.
    (y, d), (v, w) = arms(seed), arms(seed + 1000)
    linear = [a / b.mean() - a.mean() / b.mean() * (b / b.mean() - 1) for a, b in ((y, d), (v, w))]
    low, high = sm.stats.CompareMeans.from_data(linear[1], linear[0]).tconfint_diff(usevar="unequal")
    ours = absolute(difference(summed(y, d), summed(v, w)), 0.05)
    assert (ours.lower, ours.upper) == (pytest.approx(low, rel=1e-7), pytest.approx(high, rel=1e-7))


@pytest.mark.parametrize(("n", "level"), [(40, 0.5), (101, 0.5), (250, 0.9), (999, 0.25), (5000, 0.99)])
def test_the_bracket_of_a_quantile_covers_what_scipy_says(n: int, level: float) -> None:
    # scipy.stats.quantile_test inverts the binomial test of a quantile (Conover 1999, section 3.2).
    values = np.random.default_rng(n).lognormal(0, 1, n)
    ours = Quantile.from_values(values, level)
    bracket = ranks_of(n, level).bracket
    assert bracket is not None
    assert ours.z is not None
    low, high = bracket
    coverage = stats.binom.cdf(high - 1, n, level) - stats.binom.cdf(low - 1, n, level)
    assert 2 * stats.norm.cdf(ours.z) - 1 == pytest.approx(coverage, rel=1e-9)
    theirs = stats.quantile_test(values, p=level).confidence_interval(0.95)
    ordered = np.sort(values)
    places = np.searchsorted(ordered, [theirs.low, theirs.high]) + 1
    # scipy's interval is at least 95 %, ours the nearest to it: never more than two places apart.
    assert abs(places[0] - low) <= 2
    assert abs(places[1] - high) <= 2
    assert ours.value == pytest.approx(np.quantile(values, level), rel=1e-12)


def test_a_quantile_over_users_of_whom_most_have_nothing_covers() -> None:
    rng = np.random.default_rng(20261129)

    def arm(scale: float) -> np.ndarray:
        return np.where(rng.random(800) < 0.3, rng.exponential(scale, 800), 0.0)

    # The 0.9 quantile of a mixture of 70 % zeros: 1 - 0.3 exp(-q / scale) = 0.9.
    truth = (1.3 - 1.0) * np.log(0.3 / 0.1)
    hits = 0
    for _ in range(600):
        pair = [Quantile.from_values(arm(scale), 0.9) for scale in (1.0, 1.3)]
        found = absolute(quantile_difference(*pair), 0.05)
        hits += found.lower <= truth <= found.upper
    assert 0.93 <= hits / 600 <= 0.98
    assert critical_value(0.05, None) == pytest.approx(1.959964, abs=1e-6)
