"""What the formulas are asked beside their references: reach, covariates, margins, what cannot be."""

import math

import numpy as np
import pytest

from analysis.stats.errors import InsufficientData
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

FIXED = Monitoring(method="fixed")
DAILY = Monitoring(method="spending", fractions=evenly(14))


def test_whoever_is_not_reached_dilutes_the_effect_and_adds_spread():
    outcome = Outcome(mean=10.0, sd=6.0, reach=0.8)
    assert outcome.effect_of(0.5) == pytest.approx(4.0)
    rng = np.random.default_rng(3)
    reached = rng.random(400_000) < 0.8
    treated = rng.normal(10.0, 6.0, reached.size) + 5.0 * reached
    control, treatment = outcome.variances(4.0)
    assert control == 36.0
    assert treatment == pytest.approx(treated.var(), rel=0.01)
    assert treated.mean() - 10.0 == pytest.approx(4.0, abs=0.05)


def test_a_rate_of_those_who_are_reached_or_not():
    outcome = Outcome.rate(0.1, reach=0.5)
    _, treatment = outcome.variances(outcome.effect_of(1.0))
    assert treatment == pytest.approx(0.15 * 0.85)


def test_less_reach_needs_about_its_inverse_square_of_users():
    full = sample_size(Outcome(mean=1.0, sd=1.0), DAILY, effect=0.05, power=0.8)
    half = sample_size(Outcome(mean=1.0, sd=1.0, reach=0.5), DAILY, effect=0.05, power=0.8)
    assert half / full == pytest.approx(4.0, rel=2e-3)


@pytest.mark.parametrize("rho", [-0.6, 0.6])
def test_a_covariate_leaves_what_it_does_not_explain(rho):
    plain = sample_size(Outcome(mean=1.0, sd=1.0), FIXED, effect=0.05, power=0.8)
    adjusted = sample_size(Outcome(mean=1.0, sd=1.0, rho=rho), FIXED, effect=0.05, power=0.8)
    assert adjusted / plain == pytest.approx(0.64, rel=1e-3)
    rates = [sample_size(Outcome.rate(0.2, rho=r), FIXED, effect=0.05, power=0.8) for r in (0.0, rho)]
    assert rates[1] / rates[0] == pytest.approx(0.64, rel=1e-3)


def test_an_arm_of_its_own_share():
    even = sample_size(Outcome.rate(0.1), FIXED, effect=0.1, power=0.8)
    lopsided = sample_size(
        Outcome.rate(0.1), FIXED, effect=0.1, power=0.8, shares=Shares(control=0.9, treatment=0.1)
    )
    third = sample_size(
        Outcome.rate(0.1), FIXED, effect=0.1, power=0.8, shares=Shares(control=1 / 3, treatment=1 / 3)
    )
    assert lopsided / even == pytest.approx((1 / 0.9 + 1 / 0.1) / 4, rel=0.05)
    assert third / even == pytest.approx(1.5, rel=1e-3)


def test_a_fall_is_found_as_well_as_a_rise():
    outcome = Outcome(mean=3.0, sd=4.0)
    assert power(outcome, DAILY, effect=-0.1, n=5000) == pytest.approx(
        power(outcome, DAILY, effect=0.1, n=5000)
    )
    smallest = minimum_detectable_effect(outcome, DAILY, n=5000, power=0.8, falls=True)
    assert power(outcome, DAILY, effect=smallest, n=5000) == pytest.approx(0.8)
    assert smallest < 0


def test_a_sequence_that_is_tuned_to_another_number_of_users():
    tuned = Monitoring(method="always_valid", fractions=evenly(10), tuned_to=5000)
    needed = sample_size(Outcome.rate(0.1), tuned, effect=0.1, power=0.8)
    assert power(Outcome.rate(0.1), tuned, effect=0.1, n=needed) >= 0.8
    assert power(Outcome.rate(0.1), tuned, effect=0.1, n=needed - 1) < 0.8
    own = Monitoring(method="always_valid", fractions=evenly(10))
    assert needed > sample_size(Outcome.rate(0.1), own, effect=0.1, power=0.8)


def test_a_margin_is_kept_the_surer_the_wider_it_is():
    found = [
        non_inferiority_power(Outcome.rate(0.02), DAILY, margin=m, n=30_000) for m in (1e-9, 0.002, 0.005)
    ]
    # At no margin at all, the chance of a false word: half of alpha.
    assert found[0] == pytest.approx(0.025, abs=1e-5)
    assert found == sorted(found)
    needed = non_inferiority_size(Outcome.rate(0.02), DAILY, margin=0.002, power=0.9)
    assert non_inferiority_power(Outcome.rate(0.02), DAILY, margin=0.002, n=needed) >= 0.9


@pytest.mark.parametrize(
    "ask",
    [
        lambda: power(Outcome.rate(0.6), FIXED, effect=0.7, n=1000),
        lambda: power(Outcome.rate(0.6), FIXED, effect=-1.1, n=1000),
        lambda: sample_size(Outcome.rate(0.1), FIXED, effect=0.0, power=0.8),
        lambda: sample_size(Outcome.rate(0.0), FIXED, effect=0.1, power=0.8),
        lambda: sample_size(Outcome(mean=1.0, sd=1.0), FIXED, effect=1e-7, power=0.8),
        lambda: power(Outcome(mean=1.0, sd=0.0), FIXED, effect=0.1, n=1000),
        lambda: minimum_detectable_effect(Outcome.rate(0.0), FIXED, n=1000, power=0.8),
        lambda: minimum_detectable_effect(Outcome.rate(0.5), FIXED, n=8, power=0.8),
        lambda: non_inferiority_power(Outcome.rate(0.1), FIXED, margin=0.0, n=1000),
        lambda: non_inferiority_size(Outcome.rate(0.1), FIXED, margin=-1.0, power=0.8),
    ],
)
def test_what_no_number_of_users_can_tell_has_a_reason(ask):
    with pytest.raises(InsufficientData) as cannot:
        ask()
    assert len(cannot.value.reason) > 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: Outcome.rate(1.2),
        lambda: Outcome(mean=math.nan, sd=1.0),
        lambda: Outcome(mean=1.0, sd=-1.0),
        lambda: Outcome(mean=1.0, sd=1.0, rho=1.0),
        lambda: Outcome(mean=1.0, sd=1.0, reach=0.0),
        lambda: Outcome(mean=2.0, sd=1.0, is_proportion=True),
        lambda: Shares(control=0.0, treatment=0.5),
        lambda: Shares(control=0.8, treatment=0.5),
        lambda: power(Outcome.rate(0.1), FIXED, effect=math.inf, n=1000),
        lambda: Monitoring(method="sometimes"),
        lambda: Monitoring(alpha=0.7),
        lambda: Monitoring(comparisons=0),
        lambda: Monitoring(fractions=(0.5,)),
        lambda: evenly(0),
        lambda: FIXED.drift_for(0.01),
    ],
)
def test_slips_of_the_caller_are_refused(make):
    with pytest.raises(ValueError, match=r".{10}"):
        make()


def test_more_comparisons_share_alpha():
    assert Monitoring(method="fixed", comparisons=3).level == pytest.approx(0.05 / 3)
    shared = sample_size(Outcome.rate(0.1), Monitoring(method="fixed", comparisons=3), effect=0.1, power=0.8)
    assert shared > sample_size(Outcome.rate(0.1), FIXED, effect=0.1, power=0.8)


def test_looks_cost_little_by_spending_and_much_without_an_end():
    assert 1.05 < DAILY.inflation(0.8) < 1.07
    assert 1.5 < Monitoring(method="always_valid", fractions=evenly(14)).inflation(0.8) < 2.0
    assert Monitoring(method="fixed", fractions=evenly(14)).inflation(0.8) == 1.0


def test_hardly_anybody_finds_hardly_anything_and_everybody_everything():
    assert power(Outcome.rate(0.1), DAILY, effect=0.1, n=0) == 0.0
    assert power(Outcome.rate(0.1), FIXED, effect=0.1, n=3) == 0.0
    assert power(Outcome.rate(0.1), DAILY, effect=0.1, n=10**9) == 1.0
    assert power(Outcome(mean=1.0, sd=0.001), FIXED, effect=9.0, n=20) == 1.0
