"""Simulated worlds: what is drawn is what was asked for, policies are told no more than they could know."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_bandit import World, simulate_bandit

EVEN = np.full(2, 0.5)
THOMPSON = AllocationPolicy(policy="thompson")
WORLD = World(
    rates=np.array([0.05, 0.08]),
    delays=np.array([[1.0, 0, 0], [0, 0, 1.0]]),
    arrivals=np.full(12, 1000),
    drift=np.ones(12),
)


def test_fixed_shares_stay_and_cost_what_they_must() -> None:
    runs = simulate_bandit(
        WORLD,
        AllocationPolicy(policy="fixed"),
        shares=np.array([0.25, 0.75]),
        runs=300,
        rng=np.random.default_rng(1),
    )
    assert runs.shares == pytest.approx(np.tile([0.25, 0.75], (12, 1)))
    assert runs.sends.sum(axis=1).tolist() == [12_000] * 300
    assert runs.regret.mean() == pytest.approx(0.25 * 12_000 * 0.03, rel=0.02)
    assert (runs.moved == 0).all()
    assert (runs.favourite == 1).mean() > 0.99


def test_a_bandit_waits_for_the_window_and_then_moves_to_the_slow_winner() -> None:
    runs = simulate_bandit(WORLD, THOMPSON, shares=EVEN, runs=300, rng=np.random.default_rng(1))
    # Three intervals make the window; users of the first have been watched for them at the end of the fourth.
    assert runs.moved.min() == 5
    assert runs.shares[:4] == pytest.approx(0.5)
    assert runs.shares[-1, 1] > 0.9
    hasty = simulate_bandit(
        WORLD, THOMPSON, shares=EVEN, runs=300, rng=np.random.default_rng(1), delays_known=False
    )
    assert hasty.shares[4, 1] < 0.5 < runs.shares[5, 1]
    assert hasty.regret.mean() > runs.regret.mean()


def test_what_happens_at_once_is_known_at_the_end_of_the_interval() -> None:
    world = replace(WORLD, delays=np.zeros((2, 0)))
    runs = simulate_bandit(world, THOMPSON, shares=EVEN, runs=100, rng=np.random.default_rng(1))
    assert runs.moved.min() == 2
    assert runs.regret.mean() < 0.5 * 0.03 * 12_000


def test_epochs_added_up_save_what_the_comparison_within_epochs_costs_where_nothing_drifts() -> None:
    world = replace(WORLD, rates=np.array([0.05, 0.10]), delays=np.zeros((2, 0)), arrivals=np.full(12, 200))
    bare = replace(THOMPSON, floor=0.0, burn_in_users=0, burn_in_conversions=0)
    apart, added = (
        simulate_bandit(
            world, bare, shares=EVEN, runs=300, rng=np.random.default_rng(1), epochs_apart=each
        ).regret.mean()
        for each in (True, False)
    )
    assert added < apart - 0.5


def test_the_smallest_rate_is_best_when_less_is_better() -> None:
    world = replace(WORLD, maximise=False)
    runs = simulate_bandit(
        world, replace(THOMPSON, maximise=False), shares=EVEN, runs=100, rng=np.random.default_rng(1)
    )
    assert world.best.tolist() == [True, False]
    assert runs.shares[-1, 0] > 0.9
    assert set(runs.winner.tolist()) <= {0, -1}


def test_the_same_seed_gives_the_same_runs() -> None:
    one, two = (
        simulate_bandit(WORLD, THOMPSON, shares=EVEN, runs=20, rng=np.random.default_rng(7)) for _ in range(2)
    )
    assert one.sends.tolist() == two.sends.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": np.array([0.5, 1.2])},
        {"drift": np.ones(3)},
        {"delays": np.ones((2, 3))},
        {"rates": np.array([0.1])},
    ],
)
def test_impossible_worlds_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"world|delays|rates"):
        replace(WORLD, **wrong)
