"""Power, sample size and inflation against statsmodels, published tables and an independent integration."""

import math

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.power import (
    NormalIndPower,
    TTestIndPower,
    normal_power_het,
    normal_sample_size_one_tail,
)
from statsmodels.stats.proportion import power_proportions_2indep

from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import (
    Outcome,
    Shares,
    minimum_detectable_effect,
    non_inferiority_power,
    non_inferiority_size,
    power,
    sample_size,
)
from analysis.stats.spending import exit_probabilities

FIXED = Monitoring(method="fixed")


def inflation(bounds: list[float], looks: int, wanted: float) -> float:
    times = tuple(k / looks for k in range(1, looks + 1))

    def missing(drift: float) -> float:
        return sum(down + up for down, up in exit_probabilities(times, bounds, drift)) - wanted

    drift = optimize.brentq(missing, 0.0, 8.0)
    return float((drift / (stats.norm.isf(0.025) + stats.norm.isf(1 - wanted))) ** 2)


@pytest.mark.parametrize(
    ("looks", "constant", "at_80", "at_90"),
    [
        (2, 1.977, 1.008, 1.007),
        (3, 2.004, 1.017, 1.016),
        (4, 2.024, 1.024, 1.022),
        (5, 2.040, 1.028, 1.026),
        (10, 2.087, 1.040, 1.037),
    ],
)
def test_inflation_of_obrien_and_fleming(looks, constant, at_80, at_90):
    """Jennison and Turnbull 2000, tables 2.3 (C_B) and 2.4 (R_B), alpha 0.05; both are printed to three digits."""
    bounds = [constant * math.sqrt(looks / k) for k in range(1, looks + 1)]
    assert inflation(bounds, looks, 0.8) == pytest.approx(at_80, abs=1.1e-3)
    assert inflation(bounds, looks, 0.9) == pytest.approx(at_90, abs=1.1e-3)


@pytest.mark.parametrize(
    ("looks", "constant", "at_80", "at_90"),
    [
        (2, 2.178, 1.110, 1.100),
        (3, 2.289, 1.166, 1.151),
        (4, 2.361, 1.202, 1.183),
        (5, 2.413, 1.229, 1.207),
        (10, 2.555, 1.301, 1.271),
    ],
)
def test_inflation_of_pocock(looks, constant, at_80, at_90):
    """Jennison and Turnbull 2000, tables 2.1 (C_P) and 2.2 (R_P), alpha 0.05."""
    assert inflation([constant] * looks, looks, 0.8) == pytest.approx(at_80, abs=1.1e-3)
    assert inflation([constant] * looks, looks, 0.9) == pytest.approx(at_90, abs=1.1e-3)


def test_power_at_uneven_looks():
    """The tests of the R package rpact (Wassmer, Pahlke), getDesignCharacteristics: alpha 0.03 spent as 0.006, 0.012, 0.03 one-sided at
    information 0.2, 0.4, 1; shift 9.4594102. One-sided there: the lower bound here costs less than 1e-5.
    """
    exits = exit_probabilities([0.2, 0.4, 1.0], [2.5121443, 2.4228747, 2.0280392], math.sqrt(9.4594102))
    assert np.cumsum([up for _, up in exits]) == pytest.approx([0.12783451, 0.34055165, 0.86], abs=1.5e-5)


@pytest.mark.parametrize("method", ["spending", "always_valid"])
@pytest.mark.parametrize("drift", [0.0, 3.0, 9.0])
def test_detection_against_the_multivariate_normal(method, drift):
    """P(all four |Z_k| below their bounds) by Genz's integration (scipy), which knows nothing of recursion."""
    watched = Monitoring(method=method, fractions=evenly(4))
    times, bounds = np.array(evenly(4)), np.array(watched.bounds())
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    law = stats.multivariate_normal(drift * np.sqrt(times), correlation, seed=1, abseps=1e-7, maxpts=100_000)
    inside = float(law.cdf(bounds, lower_limit=-bounds))
    assert watched.detection(drift) == pytest.approx(1 - inside, abs=1e-5)


@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_means_of_large_arms_are_statsmodels_normal(effect, ratio):
    """statsmodels NormalIndPower: equal variances, effect in standard deviations."""
    for n_c in (2_000, 20_000):
        n = n_c * (1 + ratio)
        shares = Shares(control=1 / (1 + ratio), treatment=ratio / (1 + ratio))
        expected = NormalIndPower().power(effect, n_c, 0.05, ratio=ratio)
        assert power(Outcome(mean=2.0, sd=2.0), FIXED, effect=effect, n=n, shares=shares) == pytest.approx(
            expected, abs=1e-9
        )


@pytest.mark.parametrize("n", [5, 17, 60, 400])
@pytest.mark.parametrize("effect", [0.1, 0.5, 1.5])
def test_means_of_small_arms_are_statsmodels_t(n, effect):
    """statsmodels TTestIndPower: the noncentral t."""
    found = power(Outcome(mean=1.0, sd=1.0), FIXED, effect=effect, n=2 * n)
    assert found == pytest.approx(TTestIndPower().power(effect, n, 0.05), abs=1e-7)
    if effect >= 0.5:
        needed = sample_size(Outcome(mean=1.0, sd=1.0), FIXED, effect=effect, power=0.9)
        wanted = TTestIndPower().solve_power(effect, None, 0.05, power=0.9)
        assert 2 * wanted <= needed <= 2 * wanted + 1


@pytest.mark.parametrize(("p", "effect"), [(0.005, 0.3), (0.1, 0.1), (0.1, -0.2), (0.5, 0.05)])
def test_proportions_are_statsmodels_with_the_variance_of_each_arm(p, effect):
    """statsmodels normal_power_het and normal_sample_size_one_tail, both with the unpooled standard deviation."""
    delta = p * effect
    spread = math.sqrt(p * (1 - p) + (p + delta) * (1 - p - delta))
    for n in (2_000, 30_000):
        expected = normal_power_het(abs(delta), n, 0.05, std_null=spread, std_alternative=spread)
        assert power(Outcome.rate(p), FIXED, effect=effect, n=2 * n) == pytest.approx(
            float(expected), abs=1e-9
        )
    one_tail = normal_sample_size_one_tail(abs(delta), 0.9, 0.025, std_null=spread, std_alternative=spread)
    needed = sample_size(Outcome.rate(p), FIXED, effect=effect, power=0.9)
    assert needed == pytest.approx(2 * float(one_tail), abs=2)


def test_proportions_are_near_statsmodels_with_the_pooled_variance():
    """power_proportions_2indep pools under the null, our test does not: for equal arms that hardly matters."""
    expected = power_proportions_2indep(0.01, 0.1, 14_750, ratio=1, alpha=0.05).power
    assert power(Outcome.rate(0.1), FIXED, effect=0.1, n=29_500) == pytest.approx(float(expected), abs=1e-4)


def test_the_reference_cell_of_the_statistics_page():
    """10 % base, 500 users an arm and day, 14 days, +10 %: one fixed look has 0.488, and 14 looks must keep 0.45."""
    assert power(Outcome.rate(0.1), FIXED, effect=0.1, n=14_000) == pytest.approx(0.488, abs=5e-4)
    daily = Monitoring(method="spending", fractions=evenly(14))
    assert power(Outcome.rate(0.1), daily, effect=0.1, n=14_000) >= 0.45


def test_non_inferiority_is_the_one_sided_formula():
    """Chow, Shao, Wang, Lokhnygina 2018, section 4.2: n per arm = (z_alpha + z_beta)^2 2 p (1 - p) / margin^2."""
    per_arm = (stats.norm.isf(0.025) + stats.norm.isf(0.2)) ** 2 * 2 * 0.01 * 0.99 / 0.002**2
    assert non_inferiority_size(Outcome.rate(0.01), FIXED, margin=0.002, power=0.8) == math.ceil(2 * per_arm)
    assert non_inferiority_power(Outcome.rate(0.01), FIXED, margin=0.002, n=2 * per_arm) == pytest.approx(0.8)


def test_the_textbook_example_of_the_smallest_effect():
    """Kohavi, Tang, Xu 2020, chapter 17: n = 16 sigma^2 / delta^2 per arm for power 0.8 (16 stands for 15.7)."""
    smallest = minimum_detectable_effect(Outcome(mean=10.0, sd=30.0), FIXED, n=100_000, power=0.8)
    assert (10 * smallest) ** 2 == pytest.approx(15.7 * 30**2 / 50_000, rel=2e-3)
