import json
import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.findings import HealthCheck
from analysis.inputs import AnalysisPlan, Messages, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.eprocess import exact_sequential
from analysis.stats.quantiles import Quantile
from analysis.stats.sequential import AlwaysValid, spending_rule, tightest_at
from experiments.errors import Invalid
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole
from tests.unit.analysis.facts_of import FINAL, OPTED_OUT, SPEND, VISIT, arm, report, two, visits

CONTRACT = {
    "": {"experiment", "as_of", "method", "alpha", "arms", "health", "metrics", "decision", "warnings"},
    "arms": {"variant", "control", "assigned", "mature", "messages"},
    "health": {"check", "stage", "p_value", "ok", "detail"},
    "metrics": {"metric", "kind", "role", "arms", "effects"},
    "effects": {
        "variant", "control", "absolute", "relative", "p_value", "adjusted_p_value", "significant", "variance_reduction",
        "bayes", "cace",
    },
}  # fmt: skip


def test_the_json_has_the_keys_of_the_contract():
    said = report(two(100, 150)).to_json()
    assert said.keys() >= CONTRACT[""]
    for key in ("arms", "health", "metrics"):
        assert all(each.keys() >= CONTRACT[key] for each in said[key])
    effect = said["metrics"][0]["effects"][0]
    assert effect.keys() >= CONTRACT["effects"]
    assert effect["absolute"].keys() == effect["relative"].keys() == {"estimate", "lower", "upper"}
    assert effect["bayes"].keys() >= {"probability_better", "expected_loss"}
    assert said["metrics"][0]["arms"][0].keys() == {"variant", "n", "mean", "sd"}
    assert said["arms"][0]["messages"].keys() == {"accepted", "delivered", "read", "clicked", "suppressed"}
    assert said["decision"].keys() >= {"action", "variant", "because"}
    assert said["as_of"] == "2026-12-01T10:00:00Z"
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_the_plain_interval_is_not_widened_but_the_adjusted_one_is():
    arms = [*two(100, 150), arm("c", aggregates=visits(1000, 120))]
    alone, family = (report(each).metrics[0].effects[0] for each in (arms[:2], arms))
    assert family.absolute == alone.absolute
    assert alone.interval_adjusted == alone.absolute
    assert family.interval_adjusted.lower < family.absolute.lower
    assert family.adjusted_p_value == pytest.approx(2 * family.p_value)


def test_families_do_not_mix():
    secondary = MetricSpec(key="visit2", kind=MetricKind.PROPORTION, role=MetricRole.SECONDARY)
    guard = replace(OPTED_OUT, key="visit3")
    same = {"visit2": Aggregate.from_counts(1000, 100), "visit3": Aggregate.from_counts(1000, 100)}
    more = {"visit2": Aggregate.from_counts(1000, 150), "visit3": Aggregate.from_counts(1000, 150)}
    made = report(two(100, 150, extra_c=same, extra_t=more), metrics=(VISIT, secondary, guard))
    for finding in made.metrics:
        assert finding.effects[0].adjusted_p_value == finding.effects[0].p_value


@pytest.mark.parametrize("method", list(Method))
def test_interval_p_value_and_decision_agree(method):
    rng = np.random.default_rng(11)
    plan = AnalysisPlan(method=method, planned_n=4000, looks=(0.2, 0.31), ended=False)
    seen = set()
    for _ in range(40):
        y = rng.integers(100, 190, 3)
        arms = [
            arm(v, control=v == "a", aggregates=visits(1000, int(x))) for v, x in zip("abc", y, strict=True)
        ]
        for effect in report(arms, plan=plan).metrics[0].effects:
            outside = effect.interval_adjusted.lower > 0 or effect.interval_adjusted.upper < 0
            plain = effect.absolute.lower > 0 or effect.absolute.upper < 0
            assert outside == effect.significant == (effect.adjusted_p_value < 0.05)
            assert plain == (effect.p_value < 0.05)
            seen.add(effect.significant)
    assert seen == {True, False}


def test_sequential_methods_ask_for_more_than_the_fixed_one():
    widths = {}
    for method in Method:
        plan = AnalysisPlan(method=method, planned_n=8000, looks=(0.1,))
        absolute = report(two(100, 150), plan=plan).metrics[0].effects[0].absolute
        widths[method] = absolute.upper - absolute.lower
    assert widths[Method.FIXED] < min(widths[Method.SPENDING], widths[Method.ALWAYS_VALID])


def test_spending_without_a_maximum_falls_back_and_says_so():
    made = report(two(100, 150), plan=AnalysisPlan(method=Method.SPENDING))
    assert made.method == Method.ALWAYS_VALID
    assert any("planned sample size" in warning for warning in made.warnings)


def test_more_users_than_planned_is_said():
    made = report(two(100, 150), plan=AnalysisPlan(method=Method.SPENDING, planned_n=1000, looks=(1.0,)))
    assert made.information == 2.0
    assert any("as planned" in warning for warning in made.warnings)


def test_immature_users_are_counted():
    arms = [replace(each, assigned=1300) for each in two(100, 150)]
    made = report(arms)
    assert any("600 users are left out" in warning for warning in made.warnings)
    assert made.to_json()["arms"][0] | {"messages": None} == {
        "variant": "a", "control": True, "assigned": 1300, "mature": 1000, "messages": None,
    }  # fmt: skip


CANNOT_TELL = {
    "no users in an arm": (VISIT, Aggregate.from_counts(1000, 50), Aggregate.from_counts(0, 0), "no users"),
    "nobody converted": (VISIT, Aggregate.from_counts(1000, 0), Aggregate.from_counts(1000, 0), "same"),
    "all equal": (SPEND, Aggregate(n=9, mean=3.0, variance=0.0), Aggregate(n=9, mean=3.0, variance=0.0), "varies"),
    "one user": (SPEND, Aggregate(n=1, mean=3.0, variance=0.0), Aggregate(n=9, mean=3.0, variance=1.0), "one user"),
    "NaN": (SPEND, Aggregate(n=9, mean=math.nan, variance=1.0), Aggregate(n=9, mean=3.0, variance=1.0), "finite"),
    "infinity": (SPEND, Aggregate(n=9, mean=1.0, variance=math.inf), Aggregate(n=9, mean=3.0, variance=1.0), "finite"),
    "not a proportion": (VISIT, Aggregate(n=9, mean=7.0, variance=1.0), Aggregate(n=9, mean=0.5, variance=0.2), "between 0 and 1"),
    "mixed": (SPEND, Aggregate(n=9, mean=1.0, variance=1.0), Quantile.from_values(range(50)), "differently"),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "control", "treatment", "reason"), CANNOT_TELL.values(), ids=CANNOT_TELL)
def test_cannot_tell_is_null_with_a_reason(spec, control, treatment, reason):
    arms = [
        arm("a", control.n, control=True, aggregates={spec.key: control}),
        arm("b", treatment.n, aggregates={spec.key: treatment}),
    ]
    made = report(arms, metrics=(spec,))
    effect = made.metrics[0].effects[0]
    assert effect.p_value is effect.adjusted_p_value is effect.significant is None
    assert any(reason in warning for warning in made.warnings), made.warnings
    assert made.decision.action == "inconclusive"
    json.dumps(made.to_json(), allow_nan=False)


def test_nobody_converted_still_has_an_interval_but_never_p_1():
    effect = report(two(0, 0)).metrics[0].effects[0]
    assert effect.absolute.lower < 0 < effect.absolute.upper < 0.01
    assert effect.p_value is None
    assert effect.relative is None


def test_a_missing_metric_is_a_reason():
    made = report(two(100, 150), metrics=(VISIT, SPEND))
    assert made.metrics[1].effects[0].absolute is None
    assert any("could not be computed" in warning for warning in made.warnings)


def test_a_control_mean_of_zero_has_no_lift():
    zero = {"spend": Aggregate(n=1000, mean=0.0, variance=1.0)}
    some = {"spend": Aggregate(n=1000, mean=0.5, variance=1.0)}
    made = report(two(100, 150, extra_c=zero, extra_t=some), metrics=(SPEND,))
    effect = made.metrics[0].effects[0]
    assert effect.significant
    assert effect.relative is None
    assert effect.bayes is None
    assert any("control mean is 0" in warning for warning in made.warnings)


def test_one_user_with_most_of_the_revenue_is_named():
    whale = {"spend": Aggregate(n=1000, mean=2.0, variance=1200.0, maximum=1100.0)}
    even = {"spend": Aggregate(n=1000, mean=2.0, variance=2.0, maximum=9.0)}
    made = report(two(100, 150, extra_c=even, extra_t=whale), metrics=(SPEND,))
    assert [warning for warning in made.warnings if "one user holds 55%" in warning] == [
        "spend, b: one user holds 55% of the total, so the mean says little; consider a cap"
    ]


def test_small_counts_are_exact():
    effect = report(two(2, 11)).metrics[0].effects[0]
    assert effect.test == "exact"
    assert effect.p_value == pytest.approx(0.0222, abs=2e-3)
    assert effect.absolute.lower > -1e-3


@pytest.mark.parametrize(
    ("method", "x_c", "x_t", "test"),
    [
        (Method.EXACT, 2, 11, "exact_sequential"),
        (Method.EXACT, 400, 500, "exact_sequential"),
        (Method.ALWAYS_VALID, 2, 11, "exact_sequential"),
        (Method.ALWAYS_VALID, 149, 200, "exact_sequential"),
        (Method.ALWAYS_VALID, 900, 800, "exact_sequential"),  # few who did not convert
        (Method.ALWAYS_VALID, 400, 500, "welch"),
        (Method.SPENDING, 2, 11, "exact"),
        (Method.SPENDING, 100, 150, "welch"),
    ],
)
def test_which_test_a_proportion_gets_under_peeking(method, x_c, x_t, test):
    plan = AnalysisPlan(method=method, planned_n=4000, looks=(0.2,))
    made = report(two(x_c, x_t), plan=plan)
    assert made.metrics[0].effects[0].test == test
    assert made.method == method


def test_exact_is_for_proportions_and_says_so():
    more = {"spend": Aggregate(n=1000, mean=2.0, variance=1.0)}
    plan = AnalysisPlan(method=Method.EXACT, planned_n=4000)
    made = report(two(100, 150, extra_c=more, extra_t=more), metrics=(VISIT, SPEND), plan=plan)
    assert made.method == "exact"
    assert made.metrics[1].effects[0].test == "welch"
    assert [warning for warning in made.warnings if "stands in" in warning] == [
        "spend is a mean, and exact is for proportions: the always_valid method stands in for it"
    ]
    stand_in = report(
        two(100, 150, extra_c=more, extra_t=more),
        metrics=(SPEND,),
        plan=replace(plan, method=Method.ALWAYS_VALID),
    )
    assert made.metrics[1].effects[0].absolute == stand_in.metrics[0].effects[0].absolute


def test_an_unplanned_split_of_a_file_is_no_effect():
    arms = [
        arm("a", 9000, control=True, aggregates=visits(9000, 900)),
        arm("b", 1000, aggregates=visits(1000, 100)),
    ]
    effect = report(arms, plan=AnalysisPlan(method=Method.EXACT)).metrics[0].effects[0]
    assert not effect.significant
    unknown = [replace(each, weight=0.0) for each in arms]
    assert report(unknown, plan=AnalysisPlan(method=Method.EXACT)).metrics[0].effects[0].p_value == 1.0


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


def test_a_quantile_is_compared():
    rng = np.random.default_rng(12)
    spec = MetricSpec(key="wait", kind=MetricKind.QUANTILE, quantile=0.9)
    arms = [
        arm(
            name,
            2000,
            control=name == "a",
            aggregates={"wait": Quantile.from_values(rng.exponential(scale, 2000), 0.9)},
        )
        for name, scale in (("a", 1.0), ("b", 1.5))
    ]
    effect = report(arms, metrics=(spec,)).metrics[0].effects[0]
    assert effect.test == "order_statistics"
    assert effect.absolute.lower < 0.5 * math.log(10) < effect.absolute.upper
    assert effect.significant


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


def test_the_source_may_add_checks_and_warnings():
    messages = Messages(accepted=9, suppressed={"cap": 3})
    arms = [replace(each, messages=messages) for each in two(100, 150)]
    made = report(arms, warnings=("seen", "seen"))
    assert made.warnings.count("seen") == 1
    assert made.to_json()["arms"][1]["messages"]["suppressed"] == {"cap": 3}


def test_what_is_not_an_experiment_is_refused():
    one, other = two(1, 1)
    for arms in ([other], [one, replace(one, variant="z")], []):
        with pytest.raises(Invalid, match="exactly one arm"):
            report(arms)
    with pytest.raises(Invalid, match="used twice"):
        report([one, other, other])
    with pytest.raises(Invalid, match="used twice"):
        report([one, other], metrics=(VISIT, VISIT))
    with pytest.raises(Invalid, match="between 0 and 1"):
        report([one, other], plan=replace(FINAL, alpha=0.0))


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


def test_nothing_that_is_not_finite_is_ever_written():
    broken = HealthCheck(check="other", stage=None, p_value=math.nan, ok=True, detail="", e_value=math.inf)
    said = report(two(100, 150), checks=(broken,)).to_json()
    assert said["health"][-1]["p_value"] is said["health"][-1]["e_value"] is None
