"""What must hold of any plan: more users and larger effects are found more surely, and sizes and powers agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats.monitoring import METHODS, Monitoring, evenly
from analysis.stats.power import Outcome, Shares, minimum_detectable_effect, power, sample_size

TUNED = st.builds(
    Monitoring,
    method=st.sampled_from(METHODS),
    alpha=st.floats(0.001, 0.2),
    comparisons=st.integers(1, 6),
    fractions=st.integers(1, 5).map(evenly),
    tuned_to=st.sampled_from([None, 5000]),
)
# Far beyond what it is tuned to a sequence widens, so that more users need not find more of next to no effect.
WATCHED = TUNED.filter(lambda watched: watched.tuned_to is None)
RATES = st.builds(Outcome.rate, st.floats(0.005, 0.6), rho=st.floats(-0.9, 0.9), reach=st.floats(0.2, 1.0))
MEANS = st.builds(
    Outcome,
    mean=st.floats(1, 100),
    sd=st.floats(0.05, 100),
    rho=st.floats(-0.9, 0.9),
    reach=st.floats(0.2, 1.0),
)
SHARES = st.floats(0.05, 0.5).flatmap(
    lambda control: st.builds(Shares, control=st.just(control), treatment=st.floats(0.05, 1 - control))
)
EFFECTS = st.floats(0.05, 0.6)
ROUNDING = 1e-9


@settings(max_examples=40)
@given(RATES | MEANS, WATCHED, SHARES, EFFECTS, st.integers(10, 10**6), st.floats(1.001, 30))
def test_more_users_and_larger_effects_are_found_more_surely(outcome, watched, shares, effect, n, more):
    found = power(outcome, watched, effect=effect, n=n, shares=shares)
    assert 0 <= found <= 1
    assert power(outcome, watched, effect=effect, n=n * more, shares=shares) >= found - ROUNDING
    if not outcome.is_proportion:
        assert power(outcome, watched, effect=effect * more, n=n, shares=shares) >= found - 1e-6


@settings(max_examples=40)
@given(RATES | MEANS, TUNED, SHARES, EFFECTS, st.floats(0.5, 0.99))
def test_a_size_has_the_power_it_was_asked_for_and_one_user_less_has_not(
    outcome, watched, shares, effect, wanted
):
    needed = sample_size(outcome, watched, effect=effect, power=wanted, shares=shares)
    assert power(outcome, watched, effect=effect, n=needed, shares=shares) >= wanted
    if needed > 2:
        assert power(outcome, watched, effect=effect, n=needed - 1, shares=shares) < wanted


@settings(max_examples=25)
@given(MEANS, TUNED, SHARES, st.integers(2_000, 10**6), st.floats(0.5, 0.99))
def test_the_smallest_effect_is_found_with_the_planned_power(outcome, watched, shares, n, wanted):
    effect = minimum_detectable_effect(outcome, watched, n=n, power=wanted, shares=shares)
    assert effect > 0
    assert power(outcome, watched, effect=effect, n=n, shares=shares) == pytest.approx(wanted, abs=1e-6)
