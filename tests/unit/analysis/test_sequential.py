import math

import numpy as np
import pytest

from analysis.stats.sequential import AlwaysValid, FixedHorizon, Spending, spending_rule, tightest_at
from analysis.stats.spending import (
    LARGEST_BOUND,
    alpha_spent,
    boundaries_of,
    crossing_probability,
    spending_boundaries,
)

RULES = [
    FixedHorizon(),
    AlwaysValid(n=3000, rho=tightest_at(5000, 0.05)),
    spending_rule([0.1, 0.3], 0.6, 0.05),
    spending_rule([0.1, 0.3], 0.305, 0.05),
    spending_rule([0.5], 1.0, 0.05, kind="pocock"),
    spending_rule([0.2], 0.7, 0.05, final=True),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alpha", [0.001, 0.0125, 0.05, 0.2])
def test_level_and_p_value_are_inverse(rule, alpha):
    level = rule.level(alpha)
    assert rule.overall_p(level * 0.999) < alpha < rule.overall_p(level * 1.001)


@pytest.mark.parametrize("rule", RULES)
def test_p_values_stay_in_order_and_in_range(rule):
    found = [rule.overall_p(p) for p in (0.0, 1e-300, 1e-30, 1e-9, 1e-4, 0.01, 0.04, 0.3, 0.9, 1.0)]
    assert found == sorted(found)
    assert all(0 <= p <= 1 for p in found)


def test_every_spent_alpha_is_crossed_for():
    fractions = [0.07, 0.2, 0.21, 0.5, 0.83, 1.0]
    for kind in ("obrien_fleming", "pocock"):
        bounds = spending_boundaries(fractions, 0.05, kind=kind)
        for k in range(1, len(fractions) + 1):
            spent = alpha_spent(fractions[k - 1], 0.05, kind=kind)
            assert crossing_probability(fractions[:k], bounds[:k]) == pytest.approx(spent, abs=1e-9)


def test_a_final_look_before_its_time_spends_what_is_left():
    bounds = spending_boundaries([0.3, 0.6], 0.05, final=True)
    assert crossing_probability([0.3, 0.6], bounds) == pytest.approx(0.05, abs=1e-9)
    assert bounds[1] < spending_boundaries([0.3, 0.6], 0.05)[1]


def test_a_single_look_at_the_end_is_the_fixed_test():
    rule = spending_rule([], 1.0, 0.05)
    assert rule.bound(0.05) == pytest.approx(1.959964, abs=1e-6)
    assert rule.overall_p(0.03) == pytest.approx(0.03, rel=0.01)


def test_hardly_any_information_gets_the_largest_bound():
    assert spending_boundaries([0.001], 0.05)[0] == LARGEST_BOUND
    assert spending_rule([], 0.001, 0.05).level(0.05) == pytest.approx(1.244e-15, rel=1e-3)


def test_looks_are_counted_once_and_never_after_now():
    assert spending_rule([0.5, 0.5, 0.1, 0.505, 0.9], 0.6, 0.05).fractions == (0.1, 0.5, 0.6)
    assert spending_rule([1.0, 1.3], 1.2, 0.05).fractions == (1.0,)
    between = spending_rule([0.5], 0.506, 0.05)
    assert between.fractions == (0.5,)
    assert between.bound(0.05) > spending_boundaries([0.5], 0.05)[0]


@pytest.mark.slow
def test_a_thousand_looks_cost_no_error():
    """A dashboard refreshed at every 0.1 % of the information: bounds of uncounted looks hold too."""
    times = np.arange(1, 1001) / 1000
    rules = [spending_rule(list(times[:k]), t, 0.05) for k, t in enumerate(times)]
    # Bounds do not depend on later looks, so those of all counted looks can be integrated once.
    counted = spending_boundaries(rules[-1].fractions, 0.05)
    bounds = np.array([counted[len(rule.fractions) - 1] + rule.allowance for rule in rules])
    assert bounds[707] == pytest.approx(rules[707].bound(0.05), abs=1e-9)
    rng = np.random.default_rng(7)
    paths = np.cumsum(rng.normal(0, math.sqrt(1 / 1000), size=(8000, 1000)), axis=1)
    crossed = (np.abs(paths) / np.sqrt(times) >= bounds).any(axis=1).mean()
    assert 0.035 <= crossed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 8000)


def test_a_confidence_sequence_holds_at_every_look():
    rng = np.random.default_rng(8)
    n = np.arange(50, 5001, 50)
    z = np.cumsum(rng.normal(0, math.sqrt(50), size=(4000, n.size)), axis=1) / np.sqrt(n)
    rho = tightest_at(5000, 0.05)
    bounds = np.array([AlwaysValid(n=int(k), rho=rho).critical(0.05) for k in n])
    assert (np.abs(z) >= bounds).any(axis=1).mean() <= 0.05
    assert (np.abs(z) >= 1.96).any(axis=1).mean() > 0.3  # what a fixed test would do


def test_the_sequence_is_tightest_where_it_was_told():
    def width(rho, n):
        return AlwaysValid(n=n, rho=rho).critical(0.05)

    best = tightest_at(8000, 0.05)
    assert width(best, 8000) <= min(width(best * factor, 8000) for factor in (0.7, 0.9, 1.1, 1.4)) + 2e-3
    assert tightest_at(None, 0.05) == tightest_at(5000, 0.05)


@pytest.mark.parametrize("fractions", [[0.5, 0.4], [0.5, 0.5], [0.0, 0.5], [0.5, 1.2]])
def test_disordered_looks_are_refused(fractions):
    with pytest.raises(ValueError, match="information fraction"):
        boundaries_of(fractions, [0.01, 0.05])


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="spending function"):
        alpha_spent(0.5, 0.05, kind="haybittle")
    with pytest.raises(ValueError, match="positive"):
        spending_rule([], 0.0, 0.05)
    with pytest.raises(ValueError, match="positive"):
        AlwaysValid(n=0, rho=0.1)
    assert isinstance(spending_rule([], 0.5, 0.05), Spending)
