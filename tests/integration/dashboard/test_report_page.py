"""The report as the analysis really makes it, read by the dashboard: the two agree on every word they share."""

from datetime import UTC, datetime

from analysis.inputs import AnalysisPlan, ArmFacts, Messages, MetricSpec, Reached
from analysis.stats.aggregates import Aggregate
from analysis.verdicts.report import build_report
from dashboard import charts, headline, verdicts
from dashboard.documents import Report
from dashboard.formats import NBSP
from dashboard.reading import read_report
from dashboard.verdicts import Light, Verdict
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

METRICS = (
    MetricSpec(key="visited", kind=MetricKind.PROPORTION),
    MetricSpec(
        key="opted_out",
        kind=MetricKind.PROPORTION,
        role=MetricRole.GUARDRAIL,
        direction=Direction.DECREASE,
        margin=0.01,
    ),
)


def proportion(n: int, count: int) -> Aggregate:
    return Aggregate.from_sums(n, count, count)


def arm(variant: str, n: int, visited: int, opted_out: int, *, assigned: int | None = None) -> ArmFacts:
    sends = variant != "silence"
    return ArmFacts(
        variant=variant,
        control=not sends,
        weight=1,
        assigned=assigned or n,
        mature=n,
        sends=sends,
        messages=Messages(accepted=n, delivered=n, read=n // 2, clicked=n // 5) if sends else Messages(),
        reached=Reached(accepted=n, delivered=n, read=n // 2, clicked=n // 5) if sends else Reached(),
        aggregates={"visited": proportion(n, visited), "opted_out": proportion(n, opted_out)} if n else {},
    )


def report_of(*arms: ArmFacts) -> Report:
    report = build_report(
        experiment="spring-wakeup",
        as_of=datetime(2026, 12, 15, 10, tzinfo=UTC),
        plan=AnalysisPlan(method=Method.FIXED, ended=True),
        metrics=METRICS,
        arms=arms,
    )
    return read_report(report.to_json(), design={})


def test_a_winner_is_told_as_one() -> None:
    report = report_of(
        arm("silence", 20000, 2000, 10), arm("reminder", 20000, 3000, 12), arm("coupon", 20000, 3600, 11)
    )
    title = headline.headline(report).title
    assert title == "coupon brings 7.32 to 8.68 more “visited” per 100 users than silence; safe to ship"
    primary, guardrail = report.metrics
    assert [verdicts.verdict(effect, primary) for effect in primary.effects] == [
        Verdict.BETTER,
        Verdict.BETTER,
    ]
    assert [verdicts.verdict(effect, guardrail) for effect in guardrail.effects] == [
        Verdict.SAFE,
        Verdict.SAFE,
    ]
    assert verdicts.light(report) is Light.GREEN
    assert report.messages == 40000
    assert charts.effects(guardrail, "absolute", alpha=report.alpha) is not None


def test_the_margin_is_that_of_the_reports_own_guardrail() -> None:
    report = report_of(arm("silence", 20000, 2000, 10), arm("coupon", 20000, 3600, 11))
    words = verdicts.sentence(report.metrics[1].effects[0], report.metrics[1], report)
    assert "harm of more than 1 point is ruled out" in words.replace(NBSP, " ")


def test_a_breached_guardrail_stops() -> None:
    report = report_of(arm("silence", 20000, 2000, 10), arm("coupon", 20000, 3600, 800))
    assert headline.headline(report).title == "Stop coupon: it does harm"
    assert verdicts.verdict(report.metrics[1].effects[0], report.metrics[1]) is Verdict.WORSE


def test_nobody_yet_is_cannot_tell_with_a_reason() -> None:
    report = report_of(arm("silence", 0, 0, 0, assigned=40), arm("coupon", 0, 0, 0, assigned=41))
    effect = report.metrics[0].effects[0]
    assert verdicts.verdict(effect, report.metrics[0]) is Verdict.CANNOT_TELL
    told = verdicts.sentence(effect, report.metrics[0], report)
    assert "cannot tell yet: " in told
    assert "the report gives no reason" not in told


def test_a_broken_split_is_red_and_one_at_a_later_stage_is_amber() -> None:
    broken = report_of(arm("silence", 20000, 2000, 10), arm("coupon", 17000, 3600, 11))
    assert verdicts.light(broken) is Light.RED
    assert verdicts.alarm(broken) is not None
    fewer_read = arm("coupon", 20000, 3600, 11)
    low = Reached(accepted=20000, delivered=20000, read=8000, clicked=4000)
    skewed = ArmFacts(
        variant="coupon",
        control=False,
        weight=1,
        assigned=20000,
        mature=20000,
        messages=fewer_read.messages,
        reached=low,
        aggregates=fewer_read.aggregates,
    )
    assert verdicts.light(
        report_of(arm("silence", 20000, 2000, 10), arm("reminder", 20000, 2000, 10), skewed)
    ) is (Light.AMBER)
