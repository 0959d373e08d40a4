import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.stats.difference import absolute
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, order_statistic_ranks, quantile_difference


def test_ranks_bracket_the_quantile_at_95_percent():
    for n, level in ((100, 0.5), (1000, 0.9), (5000, 0.05)):
        low, high, z = order_statistic_ranks(n, level)
        assert 1 <= low < n * level < high <= n
        coverage = stats.binom.cdf(high - 1, n, level) - stats.binom.cdf(low - 1, n, level)
        assert coverage == pytest.approx(0.95, abs=0.03)
        assert z == pytest.approx(stats.norm.isf((1 - coverage) / 2))


def test_clustered_rows_widen_the_bracket():
    plain, wide = order_statistic_ranks(1000, 0.5), order_statistic_ranks(1000, 0.5, design_effect=4.0)
    assert wide[1] - wide[0] == pytest.approx(2 * (plain[1] - plain[0]), abs=3)
    assert wide[2] == pytest.approx(plain[2], abs=0.06)


def test_too_few_rows_for_the_tail():
    with pytest.raises(InsufficientData, match="too few"):
        order_statistic_ranks(50, 0.99)
    with pytest.raises(ValueError, match="between 0 and 1"):
        order_statistic_ranks(50, 1.0)


def test_standard_error_of_a_median_is_the_asymptotic_one():
    # sqrt(pi/2) sigma / sqrt(n) for a normal (Kendall and Stuart)
    rng = np.random.default_rng(5)
    errors = [Quantile.from_values(rng.normal(size=2000)).standard_error for _ in range(200)]
    assert np.mean(errors) == pytest.approx(math.sqrt(math.pi / 2 / 2000), rel=0.03)


def test_coverage_of_the_difference():
    rng = np.random.default_rng(6)
    truth = 2 * (math.log(2) - math.log(2) / 2)
    hits = 0
    for _ in range(1000):
        control, treatment = rng.exponential(1.0, 400), rng.exponential(2.0, 400)
        found = absolute(
            quantile_difference(Quantile.from_values(control), Quantile.from_values(treatment)), 0.05
        )
        hits += found.lower <= truth <= found.upper
    assert 0.93 <= hits / 1000 <= 0.975


def test_ties_and_infinities_cannot_be_told():
    tied = Quantile.from_values([1.0] * 100)
    with pytest.raises(InsufficientData, match="users are tied"):
        quantile_difference(tied, tied)
    with pytest.raises(InsufficientData, match="finite"):
        quantile_difference(tied, replace(tied, upper=math.inf))
