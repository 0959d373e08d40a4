"""Rules that a plan declares: each fires where it says, with its numbers, and none holds harm up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from analysis.inputs import AnalysisPlan
from analysis.stats.aggregates import Aggregate
from experiments.vocabulary import Direction, Method
from tests.unit.analysis.facts_of import OPTED_OUT, VISIT, arm, report, two, visits
from tests.unit.analysis.test_report_text import shown

DAYS = timedelta(days=1)
RUNNING = AnalysisPlan(method=Method.SPENDING, planned_n=20_000, minimum_effect=0.1)
TWO_WEEKS = replace(RUNNING, minimum_weeks=2, run_time=9 * DAYS)


def decide(arms, plan, metrics=(VISIT,)):
    return report(arms, plan=plan, metrics=metrics).decision


def test_a_winner_waits_for_whole_weeks():
    arms = two(1000, 1600, 5000)
    made = decide(arms, TWO_WEEKS)
    assert (made.action, made.rule) == ("continue", "minimum_weeks")
    assert "9 days" in made.because
    assert "2 whole weeks" in made.because
    assert decide(arms, replace(TWO_WEEKS, run_time=14 * DAYS)).action == "ship"
    assert decide(arms, replace(TWO_WEEKS, run_time=None)).action == "ship"


def test_a_run_that_ends_too_soon_concludes_nothing():
    arms = two(1000, 1600, 5000)
    made = decide(arms, replace(TWO_WEEKS, ended=True, stopped=True))
    assert (made.action, made.rule) == ("inconclusive", "minimum_weeks")
    assert decide(arms, replace(TWO_WEEKS, ended=True)).action == "continue"


def test_harm_does_not_wait_for_weeks():
    made = decide(two(1600, 1000, 5000), TWO_WEEKS)
    assert (made.action, made.variant, made.rule) == ("stop_harm", "b", "worse")
    assert "harm does not wait" in made.because
    hurt = {"extra_c": {"opted_out": Aggregate.from_counts(5000, 50)}}
    hurt["extra_t"] = {"opted_out": Aggregate.from_counts(5000, 300)}
    made = decide(two(1000, 1600, 5000, **hurt), TWO_WEEKS, metrics=(VISIT, OPTED_OUT))
    assert (made.action, made.rule) == ("stop_harm", "guardrail")


def test_a_decision_of_a_few_days_is_marked():
    arms = two(1000, 1600, 5000)
    early = report(arms, plan=replace(RUNNING, run_time=3 * DAYS))
    assert early.decision.action == "ship"
    assert any("after 3 days" in warning for warning in early.warnings)
    late = report(arms, plan=replace(RUNNING, run_time=8 * DAYS))
    assert not any("days of the week" in warning for warning in late.warnings)


def test_a_quiet_guardrail_stops_nothing_but_holds_the_winner_up():
    hurt = {
        "extra_c": {"opted_out": Aggregate.from_counts(5000, 50)},
        "extra_t": {"opted_out": Aggregate.from_counts(5000, 300)},
    }
    plan = replace(RUNNING, quiet_guardrails=("opted_out",))
    made = decide(two(1000, 1600, 5000, **hurt), plan, metrics=(VISIT, OPTED_OUT))
    assert (made.action, made.rule) == ("continue", "guardrail_open")
    assert decide(two(1000, 1000, 5000, **hurt), plan, metrics=(VISIT, OPTED_OUT)).action == "continue"


@pytest.mark.parametrize("method", [Method.SPENDING, Method.ALWAYS_VALID])
def test_the_planned_power_is_an_end(method):
    """30 % against 30.2 %, 40,000 an arm: +10 % would be 9 standard errors."""
    arms = two(12_000, 12_080, 40_000)
    plan = replace(RUNNING, method=method, planned_n=160_000, minimum_effect=0.1)
    assert decide(arms, plan).action == "continue"
    ends = replace(plan, stop_at_power=True, minimum_effect=0.02)
    waiting = replace(ends, power=0.9999)
    assert decide(arms, waiting).action == "continue"
    made = decide(arms, replace(plan, stop_at_power=True))
    assert (made.action, made.rule) == ("keep_control", "too_small")


def test_power_that_is_reached_without_an_answer_is_told():
    arms = two(3000, 3140, 10_000)
    plan = replace(RUNNING, planned_n=25_000, minimum_effect=0.08, power=0.8, stop_at_power=True)
    found = report(arms, plan=plan)
    assert found.progress[0].power == pytest.approx(0.92, abs=0.03)
    assert (found.decision.action, found.decision.rule) == ("inconclusive", "power_reached")
    assert "+8.0%" in found.decision.because
    assert decide(arms, replace(plan, power=0.95)).rule == "undecided"
    falling = (replace(VISIT, direction=Direction.DECREASE),)
    assert "-8.0%" in decide(two(3140, 3000, 10_000), plan, metrics=falling).because


def test_a_winner_at_the_planned_power_is_shipped():
    plan = replace(RUNNING, planned_n=25_000, stop_at_power=True)
    assert decide(two(3000, 3400, 10_000), plan).action == "ship"


def test_futility_gives_up_with_its_numbers():
    plan = replace(RUNNING, futility=0.1)
    made = report(two(600, 560, 6000), plan=plan)
    assert made.progress[0].conditional_power < 0.1
    assert (made.decision.action, made.decision.rule) == ("inconclusive", "futility")
    assert "+10.0%" in made.decision.because
    assert "visit, b" in made.decision.because
    assert "below 0.1" in made.decision.because
    assert "rule: futility" in shown(made)
    assert "chance still left by the planned end" in " ".join(shown(made).split())
    assert decide(two(600, 560, 6000), RUNNING).action == "continue"
    assert decide(two(600, 640, 6000), plan).action == "continue"


def test_futility_needs_every_variant_to_be_hopeless():
    plan = replace(RUNNING, planned_n=30_000, futility=0.1)
    arms = [*two(600, 560, 6000), arm("c", 6000, aggregates=visits(6000, 650))]
    assert decide(arms, plan).action == "continue"
    arms[2] = replace(arms[2], aggregates=visits(6000, 560))
    assert decide(arms, plan).rule == "futility"


def test_where_less_is_better_futility_looks_the_other_way():
    falling = (replace(VISIT, direction=Direction.DECREASE),)
    plan = replace(RUNNING, futility=0.1)
    assert decide(two(560, 600, 6000), plan, metrics=falling).rule == "futility"
    assert decide(two(600, 560, 6000), plan, metrics=falling).action == "continue"


def test_what_cannot_be_told_never_gives_up_and_says_why():
    plan = replace(RUNNING, futility=0.1, stop_at_power=True)
    made = report(two(0, 0, 6000), plan=plan)
    assert made.decision.action == "continue"
    assert made.progress[0].power is None
    assert any("its power cannot be told" in warning for warning in made.warnings)
    assert made.to_json()["progress"] == [
        {"metric": "visit", "variant": "b", "power": None, "conditional_power": None}
    ]


def test_a_handful_of_events_has_no_power_on_a_normal_scale():
    made = report(two(3, 4, 6000), plan=replace(RUNNING, stop_at_power=True))
    assert made.progress[0].power is None
    assert any("compared exactly" in warning for warning in made.warnings)


def test_the_rules_read_nothing_at_the_planned_end():
    plan = replace(RUNNING, planned_n=12_000, futility=0.5, stop_at_power=True)
    made = decide(two(600, 600, 6000), plan)
    assert (made.action, made.rule) == ("inconclusive", "undecided")


def test_an_arm_that_a_guard_stopped_is_told_until_something_else_is_decided():
    stopped = replace(RUNNING, stopped_arms={"b": "guardrail failed: 9 of 10 users"})
    found = report(two(1000, 1600, 5000), plan=stopped)
    made = found.decision
    # It can win no more, whatever its primary metric says.
    assert (made.action, made.variant, made.rule) == ("stop_harm", "b", "guardrail")
    assert "b is stopped: guardrail failed: 9 of 10 users" in made.because
    assert "b is stopped and gets nobody new: guardrail failed: 9 of 10 users" in found.warnings
    arms = [
        arm("a", 5000, control=True, aggregates=visits(5000, 1000)), arm("b", 50, weight=0.01, aggregates=visits(50, 10)),
        arm("c", 5000, aggregates=visits(5000, 1600)),
    ]  # fmt: skip
    # The few users of the stopped one hold nobody up.
    made = report(arms, plan=stopped).decision
    assert (made.action, made.variant, made.rule) == ("ship", "c", "winner")
    assert report(arms, plan=RUNNING).decision.rule == "minimum_users"


def test_a_retired_arm_holds_nobody_up_and_its_users_count():
    retired = replace(RUNNING, retired_arms=("b",))
    few = arm("b", 50, weight=0.01, aggregates=visits(50, 10))
    control = arm("a", 5000, control=True, aggregates=visits(5000, 1000))
    wins, loses = (arm("c", 5000, aggregates=visits(5000, sold)) for sold in (1600, 700))
    made = report([control, few, wins], plan=retired).decision
    assert (made.action, made.variant, made.rule) == ("ship", "c", "winner")
    assert report([control, few, wins], plan=RUNNING).decision.rule == "minimum_users"
    # Everything that goes on is worse, so there is nothing to wait for.
    made = report([control, few, loses], plan=retired).decision
    assert (made.action, made.rule) == ("keep_control", "worse")
    assert "c against a" in made.because
    # Nobody is told to stop what nobody gets any more.
    level = arm("c", 5000, aggregates=visits(5000, 1010))
    hurt = arm("b", 5000, aggregates=visits(5000, 700))
    assert report([control, hurt, level], plan=retired).decision.rule == "undecided"
    assert report([control, hurt, level], plan=RUNNING).decision.action == "stop_harm"
    # What it did while it was given stays true: it may be brought back.
    made = report([control, arm("b", 5000, aggregates=visits(5000, 1600)), level], plan=retired).decision
    assert (made.action, made.variant) == ("ship", "b")
