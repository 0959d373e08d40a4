"""Campaigns that move traffic are simulated by who knows the policy, or not at all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from analysis.planning.plan_allocation import cautions, run_trial
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.simulated_power import SimulatedPower, Trial, simulate

TRIAL = Trial(shares=(0.5, 0.5), means=(0.1, 0.12), arrivals=(500.0,) * 4, looks=(4.0,))
WATCHED = Monitoring(method="fixed")


@dataclass(frozen=True)
class Policy:
    policy: str
    floor: float = 0.05


def run(allocation: Policy, **more: Any) -> SimulatedPower:
    return run_trial(
        TRIAL,
        allocation=allocation,
        monitoring=WATCHED,
        runs=50,
        rng=np.random.default_rng(1),
        **more,
    )


def test_fixed_shares_are_simulated_as_ever():
    expected = simulate(TRIAL, monitoring=WATCHED, runs=50, rng=np.random.default_rng(1))
    assert run(Policy("fixed")) == expected
    assert cautions(Policy("fixed"), simulated=False) == ()


def test_a_policy_is_simulated_by_its_own_simulator_which_gets_its_fields():
    asked: list[Any] = []

    def simulator(trial: Trial, *, allocation: Policy, runs: int, **said: Any) -> SimulatedPower:
        asked.append((trial, allocation.floor, runs, said["monitoring"]))
        return SimulatedPower(
            runs=runs,
            each=(0.9,),
            any_found=0.9,
            all_found=0.9,
            by_look=(0.9,),
            look_days=(4.0,),
            mean_days=4.0,
        )

    assert run(Policy("thompson", floor=0.1), simulator=simulator).each == (0.9,)
    assert asked == [(TRIAL, 0.1, 50, WATCHED)]
    assert "thompson moves traffic" in cautions(Policy("thompson"), simulated=False)[0]
    assert "the simulation beside them" in cautions(Policy("thompson"), simulated=True)[0]


def test_without_a_simulator_nothing_is_claimed():
    with pytest.raises(InsufficientData) as cannot:
        run(Policy("top_two"))
    assert "the policy top_two moves traffic" in cannot.value.reason
