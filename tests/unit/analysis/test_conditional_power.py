import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.conditional_power import conditional_power, power_of_look
from analysis.stats.errors import InsufficientData
from analysis.stats.sequential import spending_rule


def test_the_example_of_ncss():
    """PASS (NCSS), "Conditional power for two proportions": 0.6 against 0.7, 114 a group, one-sided 0.025, half-way.

    Their text: at z = 2.5 "the conditional power is just over 0.8".
    """
    drift = 0.1 / math.sqrt((0.6 * 0.4 + 0.7 * 0.3) / 114)
    assert conditional_power(2.5, 0.5, drift, 1.959964) == pytest.approx(0.803, abs=0.002)


def test_before_any_data_it_is_the_power():
    drift = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    assert conditional_power(0.0, 1e-12, drift, stats.norm.isf(0.025)) == pytest.approx(0.8)
    assert power_of_look(drift, 1.0, stats.norm.isf(0.025)) == pytest.approx(0.8)


@pytest.mark.parametrize(("fraction", "drift"), [(0.3, 2.8), (0.6, 1.0), (0.8, 3.2)])
def test_against_data_drawn_user_by_user(fraction, drift):
    """Half-way statistics near a value, continued with fresh data: the share that ends above the bound."""
    rng = np.random.default_rng(5)
    n, runs, bound, z = 200, 200_000, 1.96, 0.7
    first = round(fraction * n)
    # Given the first part's sum, the rest is the sum of n - first draws with mean drift / sqrt(n).
    rest = rng.normal((n - first) * drift / math.sqrt(n), math.sqrt(n - first), runs)
    share = ((z * math.sqrt(first) + rest) / math.sqrt(n) >= bound).mean()
    assert conditional_power(z, fraction, drift, bound) == pytest.approx(
        share, abs=4 * math.sqrt(0.25 / runs)
    )


def test_giving_up_when_it_is_low_costs_little_power_and_adds_no_false_positives():
    """Two looks with spending: futility below 0.1 under the planned effect; simulated Brownian paths."""
    rng = np.random.default_rng(6)
    runs, t, drift = 200_000, 0.5, 2.85
    early, last = spending_rule([], t, 0.05).bound(0.05), spending_rule([t], 1.0, 0.05).bound(0.05)
    steps = rng.normal(size=(runs, 2)) * math.sqrt(t)
    for truth, least, most in ((0.0, 0.0, 0.026), (drift, 0.77, 1.0)):
        b = steps.cumsum(axis=1) + truth * np.array([t, 1.0])
        wins = b[:, 0] / math.sqrt(t) >= early
        chance = stats.norm.sf((last - b[:, 0] - drift * (1 - t)) / math.sqrt(1 - t))
        wins |= (chance >= 0.1) & (b[:, 1] >= last)
        assert least < wins.mean() < most
    at = [conditional_power(z, t, drift, last) for z in (-1.0, 0.0, 1.0)]
    assert at == sorted(at)


def test_what_has_no_answer():
    for fraction in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            conditional_power(1.0, fraction, 2.8, 1.96)
    with pytest.raises(InsufficientData):
        power_of_look(1.0, 0.0, 1.96)
