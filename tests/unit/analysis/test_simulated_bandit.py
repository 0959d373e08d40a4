"""Simulated worlds: what is drawn is what was asked for, policies are told no more than they could know."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_amounts import Amounts
from analysis.stats.simulated_bandit import simulate_bandit
from analysis.stats.simulated_world import Seen, World

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


MONEY = replace(
    WORLD,
    rates=np.array([0.05, 0.08]),
    amounts=(Amounts(40.0, 40.0), Amounts(30.0, 20.0)),
    arrivals=np.full(12, 2000),
)


def test_money_lost_under_even_shares_is_users_times_gap_over_arms() -> None:
    # 2.0 and 2.4 of revenue a user; less 0.9 times 2 messages at 0.1 in the second arm, 2.22.
    fixed = AllocationPolicy(policy="fixed")
    runs = simulate_bandit(MONEY, fixed, shares=EVEN, runs=200, rng=np.random.default_rng(1))
    assert runs.regret.mean() == pytest.approx(24_000 * 0.4 / 2, rel=0.01)
    paid = replace(MONEY, price=0.1, messages=np.array([0, 2]), arriving=np.array([1.0, 0.9]))
    runs = simulate_bandit(paid, fixed, shares=EVEN, runs=200, rng=np.random.default_rng(1))
    assert runs.regret.mean() == pytest.approx(24_000 * 0.22 / 2, rel=0.01)
    dear = replace(paid, price=0.5)
    assert dear.best.tolist() == [True, False]
    runs = simulate_bandit(dear, fixed, shares=EVEN, runs=200, rng=np.random.default_rng(1))
    assert runs.regret.mean() == pytest.approx(24_000 * 0.5 / 2, rel=0.01)


def test_a_bandit_moves_to_the_arm_that_makes_more_money_not_to_the_one_that_sells_more() -> None:
    world = replace(MONEY, amounts=(Amounts(40.0, 10.0), Amounts(20.0, 10.0)), arrivals=np.full(12, 4000))
    runs = simulate_bandit(world, THOMPSON, shares=EVEN, runs=60, rng=np.random.default_rng(1))
    assert runs.moved.min() == 5
    assert runs.shares[-1, 0] > 0.8
    assert set(runs.winner.tolist()) <= {0, -1}
    dear = replace(MONEY, price=0.5, messages=np.array([0, 2]), arriving=np.array([1.0, 0.9]))
    asked = replace(THOMPSON, message=0.5)
    runs = simulate_bandit(dear, asked, shares=EVEN, runs=60, rng=np.random.default_rng(1))
    assert runs.shares[-1, 0] > 0.9
    assert (runs.winner == 0).mean() > 0.3
    assert set(runs.winner.tolist()) <= {0, -1}


def test_what_a_policy_is_told_of_money_is_what_had_happened() -> None:
    seen = Seen.nobody(MONEY, 3)
    for now in range(4):
        seen.draw(now, np.tile(EVEN, (3, 1)), np.random.default_rng(now))
    told = seen.evidence(3, delays_known=True)
    # Users of the last interval have been watched for nothing, those of the first for all of the window.
    assert told.users[:, 0, :, 3].sum() == told.users[:, 3, :, 0].sum() == 3 * 2000
    assert told.total[:, 3].sum() == 0
    # The second arm's converters come in the third interval: only those of the first have been seen.
    assert told.total[:, 1:, 1].sum() == 0
    assert told.total[:, 0, 1].sum() == pytest.approx(seen.total[:, 0, 1].sum())
    assert told.total_squares[:, 0, 1].sum() == pytest.approx(seen.squares[:, 0, 1].sum())
    assert told.delays is not None
    assert told.delays.sum() == pytest.approx(told.total.sum())
    assert told.conversions is not None
    assert told.conversions[:, 1].tolist() == seen.converted[:, 0, 1].sum(axis=-1).tolist()


def test_a_few_large_amounts_make_no_false_winners() -> None:
    """Thompson sampling leaves one arm 50 users a day: until a large amount comes there, its mean and its variance are both too low."""
    heavy = World(
        rates=np.full(2, 0.05),
        delays=np.zeros((2, 0)),
        arrivals=np.full(30, 1000),
        drift=np.ones(30),
        amounts=(Amounts(40.0, 160.0),) * 2,
    )
    runs = simulate_bandit(
        heavy, THOMPSON, shares=EVEN, runs=500, rng=np.random.default_rng(11), planned_n=30_000
    )
    # 13 % by the arms' own variances.
    assert (runs.winner >= 0).mean() < 0.03


def test_equal_arms_that_spend_unevenly_are_rarely_called_different() -> None:
    alike = replace(MONEY, rates=np.full(2, 0.05), amounts=(Amounts(40.0, 80.0),) * 2)
    runs = simulate_bandit(alike, THOMPSON, shares=EVEN, runs=400, rng=np.random.default_rng(1))
    assert alike.best.all()
    assert runs.regret.max() == 0
    assert (runs.winner >= 0).mean() < 0.08


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
        {"amounts": (Amounts(1.0, 1.0),)},
        {"price": 0.1},
    ],
)
def test_impossible_worlds_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"world|delays|rates"):
        replace(WORLD, **wrong)
