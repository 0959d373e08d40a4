import json
import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.findings import HealthCheck
from analysis.inputs import AnalysisPlan, Messages, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.errors import Invalid
from experiments.vocabulary import Method, MetricKind, MetricRole
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


@pytest.mark.parametrize(("users", "of_the_normal"), [(1000, True), (60, True), (40, False)])
def test_the_sequence_without_an_end_is_that_of_the_paper_except_for_a_handful(users, of_the_normal):
    """arXiv 2103.06476, Theorem 2.2, written out: se sqrt(N) is the standard deviation (decision 0069)."""
    control, treatment = (Aggregate(n=users, mean=m, variance=v) for m, v in ((10.0, 4.0), (10.3, 5.0)))
    arms = [
        arm(v, control=v == "a", aggregates={"spend": each}) for v, each in (("a", control), ("b", treatment))
    ]
    plan = AnalysisPlan(method=Method.ALWAYS_VALID, planned_n=2000)
    effect = report(arms, plan=plan, metrics=(SPEND,)).metrics[0].effects[0]
    n, se = 2 * users, math.sqrt(9.0 / users)
    rho2 = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 2000
    half = (
        se
        * math.sqrt(n)
        * math.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / 0.05))
    )
    p = math.sqrt(n * rho2 + 1) * math.exp(-rho2 * (0.3 / se) ** 2 * n / (2 * (n * rho2 + 1)))
    if of_the_normal:
        assert effect.absolute.upper - 0.3 == pytest.approx(half, rel=1e-9)
        assert effect.p_value == pytest.approx(min(1.0, p), rel=1e-9)
    else:
        assert effect.absolute.upper - 0.3 > half * 1.01


def test_spending_without_a_maximum_falls_back_and_says_so():
    made = report(two(100, 150), plan=AnalysisPlan(method=Method.SPENDING))
    assert made.method == Method.ALWAYS_VALID
    assert any("planned sample size" in warning for warning in made.warnings)


def test_more_users_than_planned_is_said():
    made = report(two(100, 150), plan=AnalysisPlan(method=Method.SPENDING, planned_n=1000, looks=(1.0,)))
    assert made.information == 2.0
    assert any("as planned" in warning for warning in made.warnings)


def test_an_arm_whose_windows_are_all_open_is_not_said_to_be_empty():
    arms = [replace(each, assigned=22, mature=0, aggregates=visits(0, 0)) for each in two(100, 150)]
    told = [warning for warning in report(arms).warnings if "b against a" in warning]
    assert told == ["visit, b against a: an arm has no users yet whose window has closed"]
    nobody = [replace(each, assigned=0) for each in arms]
    assert "visit, b against a: an arm has no users" in report(nobody).warnings


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


def test_nothing_that_is_not_finite_is_ever_written():
    broken = HealthCheck(check="other", stage=None, p_value=math.nan, ok=True, detail="", e_value=math.inf)
    said = report(two(100, 150), checks=(broken,)).to_json()
    assert said["health"][-1]["p_value"] is said["health"][-1]["e_value"] is None
