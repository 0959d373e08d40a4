"""Simulated experiments: they agree with the formulas where there are any, and say what has none."""

import numpy as np
import pytest

from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import METHODS, Monitoring, evenly
from analysis.stats.power import Outcome, Shares, power
from analysis.stats.simulated_power import Trial, main_effects, simulate

RUNS = 3000
WITHIN = 3.5
"""Monte-Carlo standard errors; seeds are fixed, so that no run is unlucky."""


def made(trial: Trial, monitoring: Monitoring, runs: int = RUNS, seed: int = 1):
    return simulate(trial, monitoring=monitoring, runs=runs, rng=np.random.default_rng(seed))


def agrees(found, share: float, expected: float) -> bool:
    return abs(share - expected) <= WITHIN * found.standard_error(expected) + 0.002


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shares", "effect"), [((0.5, 0.5), 0.0), ((0.5, 0.5), 0.1), ((0.7, 0.3), 0.15)])
def test_two_arms_of_rates_agree_with_the_formula(method, shares, effect):
    watched = Monitoring(method=method, fractions=evenly(7))
    trial = Trial(
        shares=shares, means=(0.1, 0.1 * (1 + effect)), arrivals=(3000.0,) * 7, looks=tuple(range(1, 8))
    )
    expected = power(
        Outcome.rate(0.1),
        watched,
        effect=effect,
        n=21_000,
        shares=Shares(control=shares[0], treatment=shares[1]),
    )
    found = made(trial, watched)
    assert agrees(found, found.each[0], expected)
    assert found.any_found == found.all_found == found.each[0]


def test_means_that_are_diluted_agree_with_the_formula():
    outcome, watched = (
        Outcome(mean=20.0, sd=50.0, reach=0.7),
        Monitoring(method="spending", fractions=evenly(5)),
    )
    delta = outcome.effect_of(0.1)
    spreads = tuple(variance**0.5 for variance in outcome.variances(delta))
    trial = Trial(
        shares=(0.5, 0.5),
        means=(20.0, 20.0 + delta),
        sds=spreads,
        arrivals=(4000.0,) * 5,
        looks=(1, 2, 3, 4, 5),
    )
    found = made(trial, watched)
    assert agrees(found, found.each[0], power(outcome, watched, effect=0.1, n=20_000))


def test_holm_finds_at_least_what_bonferroni_promises():
    watched = Monitoring(method="spending", comparisons=3, fractions=evenly(5))
    trial = Trial(
        shares=(0.25,) * 4, means=(0.1, 0.11, 0.11, 0.11), arrivals=(12_000.0,) * 5, looks=(1, 2, 3, 4, 5)
    )
    promised = power(
        Outcome.rate(0.1), watched, effect=0.1, n=60_000, shares=Shares(control=0.25, treatment=0.25)
    )
    found = made(trial, watched)
    assert min(found.each) > promised
    assert found.any_found > max(found.each) > found.all_found
    # With a single true effect Holm is Bonferroni, and the others are found no more often than alpha allows.
    lonely = made(
        Trial(
            shares=(0.25,) * 4, means=(0.1, 0.11, 0.1, 0.1), arrivals=(12_000.0,) * 5, looks=(1, 2, 3, 4, 5)
        ),
        watched,
    )
    assert agrees(lonely, lonely.each[0], promised)


def test_nothing_is_found_where_nothing_is_more_often_than_alpha():
    watched = Monitoring(method="spending", fractions=evenly(10))
    trial = Trial(
        shares=(0.4, 0.3, 0.3),
        means=(0.05,) * 3,
        arrivals=(2000.0,) * 14,
        looks=tuple(range(8, 22)),
        window=7,
    )
    found = made(trial, watched, runs=6000)
    assert found.any_found <= 0.05 + 3 * found.standard_error(0.05)


def test_users_count_once_their_window_has_closed():
    trial = Trial(
        shares=(0.5, 0.5), means=(0.1, 0.2), arrivals=(100.0,) * 4, looks=tuple(range(1, 12)), window=7
    )
    days, units = trial.counted()
    assert days.tolist() == [8, 9, 10, 11]
    assert units.tolist() == [100, 200, 300, 400]
    found = made(trial, Monitoring(method="spending"), runs=200)
    assert found.look_days == (8, 9, 10, 11)
    assert list(found.by_look) == sorted(found.by_look)
    assert 8 <= found.mean_days <= 11


def test_an_effect_that_takes_its_time_is_partly_lost():
    watched = Monitoring(method="fixed")
    slow = Trial(
        shares=(0.5, 0.5), means=(0.1, 0.112), arrivals=(30_000.0,), looks=(8,), window=7, half_life=7.0
    )
    assert slow.observed_means() == pytest.approx([0.1, 0.106])
    found = made(slow, watched)
    assert agrees(found, found.each[0], power(Outcome.rate(0.1), watched, effect=0.06, n=30_000))


def test_factors_are_compared_over_all_cells():
    cells = [{"text": text, "hour": hour} for text in ("a", "b", "c") for hour in ("early", "late")]
    effects = main_effects([*cells, {}], {"text": ["a", "b", "c"], "hour": ["early", "late"]})
    assert list(effects) == ["text.b", "text.c", "hour.late"]
    assert effects["text.b"] == (-0.5, -0.5, 0.5, 0.5, 0, 0, 0)
    assert effects["hour.late"][:6] == pytest.approx([-1 / 3, 1 / 3] * 3)
    shares = (1 / 7,) * 7
    trial = Trial(
        shares=shares,
        means=(10.0, 10.5, 10.0, 10.5, 10.0, 10.5, 10.0),
        sds=(8.0,) * 7,
        arrivals=(14_000.0,),
        looks=(1,),
        contrasts=tuple(effects.values()),
    )
    found = made(trial, Monitoring(method="fixed"))
    # The hour compares three cells with three: as two arms of 6000 users, at a third of alpha.
    expected = power(
        Outcome(mean=10.0, sd=8.0), Monitoring(method="fixed", comparisons=3), effect=0.05, n=12_000
    )
    assert agrees(found, found.each[2], expected)
    assert max(found.each[:2]) < 0.05


def test_progress_is_told_and_seeds_repeat():
    heard = []
    trial = Trial(shares=(0.5, 0.5), means=(0.1, 0.12), arrivals=(4000.0,), looks=(1,))
    first = simulate(
        trial,
        monitoring=Monitoring(method="fixed"),
        runs=1200,
        rng=np.random.default_rng(5),
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(500, 1200), (1000, 1200), (1200, 1200)]
    assert first == made(trial, Monitoring(method="fixed"), runs=1200, seed=5)


def test_a_share_of_all_or_none_of_the_runs_has_an_error_too():
    trial = Trial(shares=(0.5, 0.5), means=(0.1, 0.9), arrivals=(4000.0,), looks=(1,))
    found = made(trial, Monitoring(method="fixed"), runs=100)
    assert found.each == (1.0,)
    assert 0.005 < found.standard_error(1.0) < 0.02


def test_what_cannot_be_simulated():
    with pytest.raises(InsufficientData, match="nobody counts"):
        Trial(shares=(0.5, 0.5), means=(0.1, 0.2), arrivals=(10.0,), looks=(3,), window=7).counted()
    with pytest.raises(InsufficientData, match="outside of 0 to 1"):
        Trial(shares=(0.5, 0.5), means=(0.1, 1.2), arrivals=(10.0,), looks=(3,))
    for slip in (
        {"shares": (1.0,), "means": (0.1,)},
        {"shares": (0.5, 0.6), "means": (0.1, 0.1)},
        {"shares": (0.5, 0.5), "means": (0.1, 0.1), "looks": (3, 2)},
        {"shares": (0.5, 0.5), "means": (0.1, 0.1), "contrasts": ((1.0,),)},
        {"shares": (0.5, 0.5), "means": (0.1, 0.1), "sds": (1.0,)},
    ):
        with pytest.raises(ValueError, match=r"(are|has) "):
            Trial(**{"arrivals": (10.0,), "looks": (1,), **slip})


def test_arms_without_users_or_spread_find_nothing():
    tiny = Trial(shares=(0.5, 0.5), means=(0.0, 0.0), arrivals=(6.0,), looks=(1,))
    assert made(tiny, Monitoring(method="fixed"), runs=50).each == (0.0,)
