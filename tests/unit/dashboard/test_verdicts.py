from typing import Any

import pytest

from dashboard import formats, verdicts
from dashboard.documents import Report
from dashboard.reading import read_report
from dashboard.verdicts import Light, Verdict
from tests.unit.dashboard import samples

DESIGN = samples.experiment()["design"]


def report_with(**changes: Any) -> Report:
    return read_report({**samples.winning_report(), **changes}, design=DESIGN)


def words_of(report: Report, metric: int) -> list[str]:
    chosen = report.metrics[metric]
    return [verdicts.sentence(effect, chosen, report).replace(formats.NBSP, " ") for effect in chosen.effects]


def test_effects_are_told_by_direction_and_significance() -> None:
    report = report_with()
    assert (
        words_of(report, 0)[1]
        == "coupon against silence: does better: +7.66 points (95% interval +7.00 to +8.32)."
    )
    assert words_of(report, 1)[1] == (
        "coupon against silence: no clear difference yet: −0.10 (95% interval −0.39 to +0.18)."
    )


def test_a_metric_that_should_fall_is_better_when_it_falls() -> None:
    design = {"metrics": [{"key": "visited", "direction": "decrease"}]}
    report = read_report(samples.winning_report(), design=design)
    metric = report.metrics[0]
    assert verdicts.verdict(metric.effects[0], metric) is Verdict.WORSE


def test_without_a_direction_an_effect_is_only_different() -> None:
    report = read_report(samples.winning_report(), design={})
    assert verdicts.verdict(report.metrics[0].effects[0], report.metrics[0]) is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("non_inferior", "breached", "verdict"),
    [(True, False, Verdict.SAFE), (False, False, Verdict.UNCLEAR), (False, True, Verdict.WORSE)],
)
def test_a_guardrail_is_judged_by_the_reports_own_verdict(
    non_inferior: bool, breached: bool, verdict: Verdict
) -> None:
    document = samples.winning_report()
    document["metrics"][2]["effects"][0]["guardrail"] = {
        "margin": 0.002,
        "non_inferior": non_inferior,
        "breached": breached,
    }
    report = read_report(document, design=DESIGN)
    assert verdicts.verdict(report.metrics[2].effects[0], report.metrics[2]) is verdict


def test_a_guardrail_without_a_margin_is_told_like_any_effect() -> None:
    document = samples.winning_report()
    document["metrics"][2]["effects"][0]["guardrail"] = {
        "margin": None,
        "non_inferior": None,
        "breached": True,
    }
    report = read_report(document, design=DESIGN)
    assert verdicts.verdict(report.metrics[2].effects[0], report.metrics[2]) is Verdict.WORSE


def test_an_interval_without_zero_that_many_comparisons_make_uncertain_says_so() -> None:
    document = samples.winning_report()
    document["metrics"][0]["effects"][0] |= {
        "significant": False,
        "interval_adjusted": samples.interval(0.04523, -0.001, 0.0914),
    }
    report = read_report(document, design=DESIGN)
    assert words_of(report, 0)[0].endswith("but −0.1 to +9.1 when all comparisons are allowed for.")


def test_a_guardrail_is_told_with_the_harm_that_was_tolerated() -> None:
    assert words_of(report_with(), 2)[1].startswith(
        "coupon against silence: harm of more than 0.2 points is ruled out: +0.090 points"
    )


def test_the_reason_is_the_warning_that_speaks_of_the_effect() -> None:
    document = samples.early_report() | {
        "warnings": ["spend: skewed", "visited: coupon has no users", "visited: all windows are open"]
    }
    report = read_report(document, design=DESIGN)
    metric = report.metrics[0]
    assert verdicts.reason(report, metric, metric.effects[1]) == "coupon has no users"
    assert verdicts.reason(report, metric, metric.effects[0]) == "coupon has no users all windows are open"


def test_a_null_without_any_warning_still_says_so() -> None:
    report = read_report(samples.early_report() | {"warnings": []}, design=DESIGN)
    assert verdicts.reason(report, report.metrics[0]) == "the report gives no reason."


def test_nobody_assigned_is_a_reason_of_its_own() -> None:
    document = samples.early_report() | {"warnings": [], "arms": [samples.arm("silence", 0)]}
    report = read_report(document, design=DESIGN)
    assert verdicts.reason(report, report.metrics[0]) == "no user has been assigned yet."


@pytest.mark.parametrize(
    ("checks", "light"),
    [
        ([samples.srm("assigned"), samples.srm("read")], Light.GREEN),
        ([samples.srm("assigned"), samples.srm("read", ok=False)], Light.AMBER),
        ([samples.srm("assigned", ok=False), samples.srm("read", ok=False)], Light.RED),
        ([{"check": "zero_weight", "ok": False, "detail": "3 users"}], Light.RED),
        ([samples.srm("assigned"), {"check": "late_events", "ok": False, "blocking": False}], Light.AMBER),
        ([samples.srm("assigned", ok=None, p_value=None)], Light.GREY),
        ([], Light.GREY),
    ],
)
def test_the_light_is_the_worst_of_the_checks(checks: list[dict[str, Any]], light: Light) -> None:
    assert verdicts.light(report_with(health=checks)) is light


def test_only_a_skew_at_assignment_is_an_alarm() -> None:
    assert verdicts.alarm(report_with(health=[samples.srm("read", ok=False)])) is None
    alarm = verdicts.alarm(report_with(health=[samples.srm("assigned", ok=False, p_value=1e-9)]))
    assert alarm is not None
    assert "do not trust the effects" in alarm


@pytest.mark.parametrize(("metric", "chance", "doubted"), [(1, 0.7, True), (1, 0.99, False), (0, 0.7, False)])
def test_a_clear_effect_of_an_amount_may_be_hardly_believed_yet(
    metric: int, chance: float, doubted: bool
) -> None:
    document = samples.winning_report()
    document["metrics"][metric]["effects"][0] |= {
        "absolute": samples.interval(0.8, 0.3, 1.3),
        "significant": True,
        "bayes": {"probability_better": chance, "expected_loss": 0.01, "lower": -0.2, "upper": 0.5},
    }
    report = read_report(document, design=DESIGN)
    chosen = report.metrics[metric]
    assert verdicts.doubted(chosen.effects[0], chosen) is doubted


@pytest.mark.parametrize(
    ("stage", "ok", "words"),
    [
        ("assigned", True, "the arms are as large as planned"),
        ("delivered", True, "as many users of each arm got this far as its size lets expect"),
        ("delivered", False, "news about delivery"),
        ("clicked", True, "would be an effect of the messages, not a fault of the split"),
        ("read", False, "an effect of the messages, not a fault of the split"),
    ],
)
def test_what_the_check_of_a_stage_compares_is_said(stage: str, ok: bool, words: str) -> None:
    (check,) = report_with(health=[samples.srm(stage, ok=ok)]).health
    assert words in verdicts.health_words(check)


def test_a_reason_is_that_of_the_very_metric_and_not_of_one_whose_key_holds_it() -> None:
    of = {"metric": "visit", "kind": "proportion", "role": "primary", "arms": [], "effects": []}
    report = report_with(
        metrics=[of], warnings=["revisit: no event of it has come yet", "visit: its window has not closed"]
    )
    assert verdicts.reason(report, report.metrics[0]) == "its window has not closed"
