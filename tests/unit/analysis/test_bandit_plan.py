"""What a simulation makes of a design: windows that are no whole number of intervals, arms that tie, messages that cannot be lost."""

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from analysis.planning.bandit_inputs import Assumed, Written
from analysis.planning.bandit_plan import BanditSimulation, simulate_campaign
from analysis.planning.bandit_world import world_of
from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_bandit import simulate_bandit
from analysis.stats.simulated_world import World
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid


def design(*, arms: int = 2, window: str = "3d", trigger: str = "event", **more: Any) -> ExperimentDesign:
    message = {"template": "spring_coupon", "language": "en_US"}
    return read_design(
        {
            "key": "spring", "name": "Spring",
            "trigger": {"type": trigger} | ({"event": "Signed Up"} if trigger == "event" else {}),
            "variants": [{"key": "silence", "control": True}, *({"key": f"v{k}", "message": message} for k in range(1, arms))],
            "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": window}],
            **more,
        },
        library={},
    )  # fmt: skip


def simulated(of: ExperimentDesign, *, runs: int = 60, **world: Any) -> BanditSimulation:
    return simulate_campaign(of, Assumed.model_validate(world), runs=runs, rng=np.random.default_rng(1))


def test_all_conversions_come_before_the_window_closes_also_within_an_interval() -> None:
    of = design(window="36h")
    [use] = of.metrics
    made = world_of(
        of,
        of.metric_definitions()[use.key],
        Assumed(rates={"silence": 0.05, "v1": 0.06}, delay={"v1": timedelta(days=2)}),
        interval=timedelta(days=1),
        written=Written("--"),
    )
    # Exponential with a mean of two days, given that it is at most a day and a half: nothing of what comes on the second half of the second day.
    first = (1 - math.exp(-0.5)) / (1 - math.exp(-0.75))
    assert made.world.delays == pytest.approx(np.array([[1.0, 0.0], [first, 1 - first]]))


def test_whichever_of_two_best_arms_is_declared_the_winner_is_a_wrong_one() -> None:
    made = simulated(
        design(arms=3, plan={"alpha": 0.4}), rates={"silence": 0.02, "v1": 0.1, "v2": 0.1}, intervals=12
    )
    assert list(made.best) == ["v1", "v2"]
    assert sum(each.decided for each in made.outcomes) > 0
    assert [each.wrong_winner for each in made.outcomes] == [each.decided for each in made.outcomes]


def test_the_first_decision_of_the_reports_is_told_beside_who_is_ahead() -> None:
    sure = simulated(design(), rates={"silence": 0.0, "v1": 0.9}, intervals=6)
    for each in sure.outcomes:
        # Nobody in the control converts, so that nobody is ahead of it with ten conversions each; the report has no such doubt.
        assert (each.decided, each.report_ships, each.report_ships_wrong, each.report_keeps) == (0, 1, 0, 0)
        # At the end of the fourth interval the first window has closed.
        assert each.intervals_to_report == 4
    assert not any("more users" in note for note in sure.notes)
    harm = simulated(design(arms=3), rates={"silence": 0.2, "v1": 0.02, "v2": 0.02}, intervals=6)
    assert [(each.report_ships, each.report_keeps) for each in harm.outcomes] == [(0, 1)] * 3


def test_of_two_that_beat_the_control_a_report_may_ship_the_lesser_one() -> None:
    close = simulated(design(arms=3), rates={"silence": 0.02, "v1": 0.12, "v2": 0.13}, intervals=6)
    fixed = close.outcomes[0]
    assert fixed.report_ships == 1
    assert fixed.decided < 0.5
    assert 0.05 < fixed.report_ships_wrong < 0.6


def test_reports_want_less_where_less_is_better_and_a_fixed_plan_waits_for_its_end() -> None:
    bought = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "3d", "direction": "decrease"}  # fmt: skip
    of = design(metrics=[bought], plan={"method": "fixed"})
    made = simulated(of, rates={"silence": 0.2, "v1": 0.05}, intervals=6)
    # The users of the sixth interval have been watched for three whole ones by the end of the ninth.
    assert {(each.report_ships, each.report_ships_wrong, each.intervals_to_report) for each in made.outcomes} == {(1, 0, 9)}  # fmt: skip
    worse = simulated(of, rates={"silence": 0.05, "v1": 0.2}, intervals=6)
    assert {(each.report_keeps, each.intervals_to_report) for each in worse.outcomes} == {(1, 9)}


def test_reports_are_seldom_wrong_where_nothing_is_better() -> None:
    made = simulated(design(), rates={"silence": 0.05, "v1": 0.05}, intervals=10, runs=300)
    for each in made.outcomes:
        assert each.report_ships == each.report_ships_wrong <= 0.05
        # The median of those that decide at all, which is after the first window has closed.
        assert each.intervals_to_report is None or each.intervals_to_report >= 4
        assert each.report_ships + each.report_keeps <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_under_fixed_weights_reports_compare_all_users_at_once() -> None:
    # Of three users an interval most have nobody in the other arm to be compared with: interval by interval 43 % are shipped.
    made = simulated(design(), rates={"silence": 0.1, "v1": 0.3}, users_per_interval=3, intervals=80)
    assert made.outcomes[0].policy == "fixed"
    assert made.outcomes[0].report_ships > 0.6


def test_an_arm_without_messages_loses_none() -> None:
    with pytest.raises(Invalid) as refused:
        simulated(design(), rates={"silence": 0.05, "v1": 0.06}, non_delivery={"silence": 0.5})
    [problem] = refused.value.problems
    assert (problem.field, problem.message) == (
        "--non-delivery", "silence: gets no message, so none can fail to arrive",
    )  # fmt: skip
    assert simulated(
        design(), rates={"silence": 0.05, "v1": 0.06}, non_delivery={"silence": 0.0}, intervals=2
    )


def test_the_favourite_is_known_once_all_windows_have_closed_however_few_converted() -> None:
    world = World(
        rates=np.array([0.02, 0.3]), delays=np.full((2, 3), 1 / 3), arrivals=np.array([20]), drift=np.ones(1)
    )
    policy = AllocationPolicy(policy="fixed")
    found = simulate_bandit(
        world, policy, shares=np.array([0.5, 0.5]), runs=200, rng=np.random.default_rng(1)
    )
    assert (found.favourite >= 0).all()
    assert (found.favourite == 1).mean() > 0.9


def test_what_is_lost_is_lost_against_the_best_arm_of_each_moment_however_it_is_played() -> None:
    """A message pays only once rates have risen by two thirds: silence is the best at first, and the message for everybody."""
    of = design(
        window="1d",
        trigger="once",
        allocation={"policy": "thompson", "interval": "1d", "cost": {"message": 0.5, "conversion": 10}},
    )
    made = simulated(
        of, rates={"silence": 0.05, "v1": 0.08}, drift=4.0, intervals=16, users_per_interval=500, runs=100
    )
    drift = np.linspace(1, 4, 16)
    gain = 10 * 0.03 * drift - 0.5
    assert list(made.best) == ["v1"]
    fixed, thompson, _ = made.outcomes
    # Half of the users get the one that is not the best just then, and half the one that is.
    assert fixed.regret == pytest.approx(250 * np.abs(gain).sum(), rel=0.02)
    assert fixed.best_share == pytest.approx(0.5, abs=0.01)
    assert 0 < thompson.regret < fixed.regret
    assert made.waves is not None
    at_once, in_waves, _ = made.waves.outcomes
    # All of them at the first moment, when silence is the best by 0.2.
    assert (at_once.regret, at_once.got_best) == (pytest.approx(8000 * 0.2 / 2), 0.5)
    assert in_waves.regret > 0
    (note,) = (note for note in made.notes if "for a while" in note)
    assert note.startswith("with this drift silence is the best for a while, and v1 for everybody")
    still = simulated(of, rates={"silence": 0.05, "v1": 0.12}, drift=4.0, intervals=16, runs=20)
    assert not any("for a while" in note for note in still.notes)
