from dataclasses import replace

import pytest

from analysis.inputs import AnalysisPlan, MetricSpec
from analysis.stats.aggregates import Aggregate
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole
from tests.unit.analysis.facts_of import FINAL, OPTED_OUT, VISIT, arm, report, two, visits

RUNNING = AnalysisPlan(method=Method.SPENDING, planned_n=20_000)


def decide(arms, plan=FINAL, metrics=(VISIT,)):
    return report(arms, plan=plan, metrics=metrics).decision


def opted_out(n, x_c, x_t):
    return {
        "extra_c": {"opted_out": Aggregate.from_counts(n, x_c)},
        "extra_t": {"opted_out": Aggregate.from_counts(n, x_t)},
    }


def test_a_winner_is_shipped_with_its_numbers():
    made = decide(two(100, 150))
    assert (made.action, made.variant, made.rule) == ("ship", "b", "winner")
    assert "visit, b against a: +0.05 [" in made.because
    assert "< 0.05" in made.because


def test_the_better_of_two_winners_is_shipped():
    made = decide([*two(100, 150), arm("c", aggregates=visits(1000, 180))])
    assert (made.action, made.variant) == ("ship", "c")
    assert "b also beat the control" in made.because


def test_a_sequential_method_may_ship_early_and_the_fixed_one_may_not():
    assert decide(two(1000, 1600, 5000), RUNNING).action == "ship"
    made = decide(two(1000, 1600, 5000), replace(RUNNING, method=Method.FIXED))
    assert (made.action, made.rule) == ("continue", "not_yet")
    assert (
        decide(two(1000, 1600, 5000), replace(RUNNING, method=Method.FIXED, planned_n=10_000)).action
        == "ship"
    )


@pytest.mark.parametrize(("plan", "action"), [(FINAL, "inconclusive"), (RUNNING, "continue")])
def test_a_broken_split_forbids_shipping(plan, action):
    arms = two(1000, 1600, 5000)
    made = decide([arms[0], replace(arms[1], assigned=6000)], plan)
    assert (made.action, made.rule) == (action, "health")
    assert "6000" in made.because


def test_a_breached_guardrail_stops_harm_first():
    arms = two(100, 150, 5000, **opted_out(5000, 50, 300))
    made = decide(arms, RUNNING, metrics=(VISIT, OPTED_OUT))
    assert (made.action, made.variant, made.rule) == ("stop_harm", "b", "guardrail")
    assert "opted_out" in made.because


@pytest.mark.parametrize(("plan", "action"), [(FINAL, "inconclusive"), (RUNNING, "continue")])
def test_a_guardrail_that_is_not_cleared_holds_the_winner_up(plan, action):
    arms = two(500, 800, 5000, **opted_out(5000, 50, 95))
    made = decide(arms, plan, metrics=(VISIT, OPTED_OUT))
    assert (made.action, made.rule) == (action, "guardrail_open")
    assert "opted_out" in made.because
    cleared = decide(two(500, 800, 5000, **opted_out(5000, 50, 50)), plan, metrics=(VISIT, OPTED_OUT))
    assert cleared.action == "ship"


def test_a_worse_variant_keeps_the_control_or_stops_alone():
    assert decide(two(150, 100)).action == "keep_control"
    arms = [*two(1000, 700, 5000), arm("c", 5000, aggregates=visits(5000, 1010))]
    made = decide(arms, RUNNING)
    assert (made.action, made.variant, made.rule) == ("stop_harm", "b", "worse")
    assert decide(arms).action == "inconclusive"


def test_less_can_be_better():
    falling = replace(VISIT, direction=Direction.DECREASE)
    assert decide(two(150, 100), metrics=(falling,)).action == "ship"
    assert decide(two(100, 150), metrics=(falling,)).action == "keep_control"


def test_too_few_users_decide_nothing():
    made = decide(two(2, 30, 60), RUNNING)
    assert (made.action, made.rule) == ("continue", "minimum_users")
    assert "60" in made.because


def test_at_the_end_without_a_difference():
    assert decide(two(100, 104)).action == "inconclusive"
    assert decide(two(100, 104), RUNNING).action == "continue"


def test_at_the_end_with_every_lift_surely_too_small():
    plan = replace(FINAL, minimum_effect=0.2)
    made = decide(two(10_000, 10_050, 50_000), plan)
    assert (made.action, made.rule) == ("keep_control", "too_small")
    assert decide(two(100, 104), plan).action == "inconclusive"


def test_primaries_that_contradict_decide_nothing():
    other = MetricSpec(key="other", kind=MetricKind.PROPORTION)
    extra = {
        "extra_c": {"other": Aggregate.from_counts(1000, 300)},
        "extra_t": {"other": Aggregate.from_counts(1000, 200)},
    }
    assert decide(two(100, 160, **extra), metrics=(VISIT, other)).action == "inconclusive"


def test_secondary_metrics_never_decide():
    made = decide(two(100, 150), metrics=(replace(VISIT, role=MetricRole.SECONDARY),))
    assert made.action == "inconclusive"
    assert "primary" in made.because


def test_a_control_alone_decides_nothing():
    made = decide([arm("a", control=True, aggregates=visits(1000, 100))])
    assert made.action == "inconclusive"
    assert "besides the control" in made.because


def test_harm_is_stopped_even_where_the_split_is_broken():
    arms = two(100, 150, 5000, **opted_out(5000, 50, 300))
    made = decide([arms[0], replace(arms[1], assigned=6000)], RUNNING, metrics=(VISIT, OPTED_OUT))
    assert (made.action, made.rule) == ("stop_harm", "guardrail")
