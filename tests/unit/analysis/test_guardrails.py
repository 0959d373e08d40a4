"""Guardrails: breached and cleared, by which test, on which side."""

import math
from dataclasses import replace

import pytest

from analysis.inputs import AnalysisPlan, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.eprocess import exact_sequential
from analysis.stats.sequential import AlwaysValid, spending_rule, tightest_at
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole
from tests.unit.analysis.facts_of import OPTED_OUT, SPEND, VISIT, arm, report, two


@pytest.mark.parametrize("method", [Method.SPENDING, Method.ALWAYS_VALID, Method.EXACT])
def test_a_guardrail_that_is_peeked_at_goes_by_the_e_process(method):
    """Under `spending` it is cleared by the boundary, which asks for less (520 opt-outs of 20,000, at half of the plan)."""

    def judged(x_c, x_t):
        arms = two(
            100, 150, 20_000,
            extra_c={"opted_out": Aggregate.from_counts(20_000, x_c)},
            extra_t={"opted_out": Aggregate.from_counts(20_000, x_t)},
        )  # fmt: skip
        plan = AnalysisPlan(method=method, planned_n=80_000, looks=(0.2,))
        return report(arms, metrics=(VISIT, OPTED_OUT), plan=plan).metrics[1].effects[0]

    by_boundary = method == Method.SPENDING
    for x_t, non_inferior, breached in (
        (400, True, False), (520, by_boundary, False), (560, False, False), (800, False, True),
    ):  # fmt: skip
        effect = judged(400, x_t)
        assert effect.test == "exact_sequential"
        assert (effect.guardrail.non_inferior, effect.guardrail.breached) == (non_inferior, breached)
        found = exact_sequential(20_000, 400, 20_000, x_t, share=0.5, planned_n=80_000)
        assert breached == (found.log_e(0.01) > math.log(1 / 0.05))
        if by_boundary:
            # By the formula of a difference of means: (margin - delta) / se against the one-sided bound of this look, at alpha.
            score = (0.01 - (x_t - 400) / 20_000) / math.sqrt(
                sum(x / 20_000 * (1 - x / 20_000) / 20_000 for x in (400, x_t))
            )
            assert non_inferior == (score > spending_rule((0.2,), 0.5, 0.05).bound(0.1))
        else:
            assert non_inferior == (found.swapped().log_e(-0.01) > math.log(1 / 0.05))


def test_a_guardrail_that_is_cleared_beside_a_wide_interval_says_why():
    def notes(x_t):
        arms = two(
            100, 150, 20_000,
            extra_c={"opted_out": Aggregate.from_counts(20_000, 400)}, extra_t={"opted_out": Aggregate.from_counts(20_000, x_t)},
        )  # fmt: skip
        plan = AnalysisPlan(method=Method.SPENDING, planned_n=80_000, looks=(0.2,))
        return report(arms, metrics=(VISIT, OPTED_OUT), plan=plan).notes

    assert [
        note for note in notes(520) if "opted_out, b: harm beyond the margin of 0.01 is ruled out" in note
    ]
    assert not any("margin" in note for note in (*notes(300), *notes(600)))


def test_under_spending_a_fall_is_cleared_the_other_way_round_and_tiny_arms_by_the_e_process():
    def verdict(n, x_c, x_t, direction, margin):
        spec = replace(OPTED_OUT, direction=direction, margin=margin)
        arms = two(
            10, 15, n,
            extra_c={"opted_out": Aggregate.from_counts(n, x_c)}, extra_t={"opted_out": Aggregate.from_counts(n, x_t)},
        )  # fmt: skip
        plan = AnalysisPlan(method=Method.SPENDING, planned_n=2 * n)
        return report(arms, metrics=(VISIT, spec), plan=plan).metrics[1].effects[0].guardrail.non_inferior

    assert verdict(1000, 900, 930, Direction.INCREASE, 0.02)
    assert not verdict(1000, 900, 870, Direction.INCREASE, 0.02)
    assert verdict(1000, 100, 70, Direction.DECREASE, 0.02)
    assert not verdict(1000, 100, 130, Direction.DECREASE, 0.02)
    # 1.9 standard errors below the margin, at the end: enough for the boundary, not for the e-process.
    assert verdict(100, 30, 30, Direction.DECREASE, 0.125)
    assert not verdict(99, 30, 30, Direction.DECREASE, 0.125)


@pytest.mark.parametrize("method", [Method.FIXED, Method.SPENDING, Method.ALWAYS_VALID])
def test_a_guardrail_of_a_mean_is_one_sided_at_alpha(method):
    """At the end: harm below the margin by 1.8 standard errors is cleared (1.645 is asked for, not 1.96), above it breached."""
    spec = replace(SPEND, role=MetricRole.GUARDRAIL, direction=Direction.DECREASE, margin=1.0)
    error = math.sqrt(2 / 1000)
    needed = {
        Method.FIXED: 1.645,
        Method.SPENDING: 1.645,
        Method.ALWAYS_VALID: AlwaysValid(n=2000, rho=tightest_at(2000, 0.05)).critical(0.1),
    }

    def verdict(errors):
        means = (
            {"spend": Aggregate(n=1000, mean=5.0, variance=1.0)},
            {"spend": Aggregate(n=1000, mean=6.0 + errors * error, variance=1.0)},
        )
        plan = AnalysisPlan(method=method, planned_n=2000, ended=True)
        made = report(two(100, 150, extra_c=means[0], extra_t=means[1]), metrics=(VISIT, spec), plan=plan)
        return made.metrics[1].effects[0].guardrail

    bar = needed[method]
    assert verdict(-bar - 0.05).non_inferior
    assert not verdict(-bar + 0.05).non_inferior
    assert verdict(bar + 0.05).breached
    assert not verdict(bar - 0.05).breached


def test_a_guardrail_is_judged_against_its_margin():
    def verdict(x_c, x_t, margin):
        spec = replace(OPTED_OUT, margin=margin)
        arms = two(
            100, 150, 10_000,
            extra_c={"opted_out": Aggregate.from_counts(10_000, x_c)},
            extra_t={"opted_out": Aggregate.from_counts(10_000, x_t)},
        )  # fmt: skip
        return report(arms, metrics=(VISIT, spec)).metrics[1].effects[0].guardrail

    good, open_one, bad = verdict(200, 200, 0.01), verdict(200, 280, 0.01), verdict(200, 500, 0.01)
    assert (good.non_inferior, good.breached) == (True, False)
    assert (open_one.non_inferior, open_one.breached) == (False, False)
    assert (bad.non_inferior, bad.breached) == (False, True)
    without = verdict(200, 280, None)
    assert (without.non_inferior, without.breached) == (None, True)


def test_a_guardrail_that_should_rise_is_turned_round():
    spec = MetricSpec(key="visit", kind=MetricKind.PROPORTION, role=MetricRole.GUARDRAIL, margin=0.01)
    up, down = (
        report(two(500, x, 5000), metrics=(spec,)).metrics[0].effects[0].guardrail for x in (700, 300)
    )
    assert (up.non_inferior, up.breached) == (True, False)
    assert (down.non_inferior, down.breached) == (False, True)


def test_alpha_is_split_over_the_guardrails():
    def breached(others):
        harmed = {
            "extra_c": {"opted_out": Aggregate.from_counts(10_000, 200)},
            "extra_t": {"opted_out": Aggregate.from_counts(10_000, 350)},
        }
        more = [
            arm(f"v{i}", 10_000, aggregates={"opted_out": Aggregate.from_counts(10_000, 200)})
            for i in range(others)
        ]
        arms = [*two(100, 150, 10_000, **harmed), *more]
        return report(arms, metrics=(OPTED_OUT,)).metrics[0].effects[0].guardrail.breached

    assert breached(0)
    assert not breached(9)
