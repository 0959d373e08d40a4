import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analysis.verdicts import decision
from dashboard import formats, headline
from dashboard.documents import Decision, Report
from dashboard.reading import read_report
from dashboard.texts import catalogue, spoken
from tests.unit.dashboard import samples

DESIGN = samples.experiment()["design"]


def report_with(**changes: Any) -> Report:
    return read_report({**samples.winning_report(), **changes}, design=DESIGN)


def decided(action: str, variant: str | None = None) -> Report:
    return report_with(decision={"action": action, "variant": variant, "because": "so"})


def told(report: Report, **given: Any) -> tuple[str, str]:
    found = headline.headline(report, **given)
    return found.title.replace(formats.NBSP, " "), found.sentence.replace(formats.NBSP, " ")


def phrase(kind: str, lower: float | None, estimate: float, upper: float | None) -> str:
    """Of the coupon on a metric of this kind."""
    document = samples.winning_report()
    document["metrics"][0]["kind"] = kind
    document["metrics"][0]["effects"][1]["absolute"] = {"estimate": estimate, "lower": lower, "upper": upper}
    metric = read_report(document, design=DESIGN).metrics[0]
    return headline.phrase(metric.effects[1], metric)


def test_a_winner_is_told_per_hundred_users_and_is_safe_to_ship() -> None:
    assert told(report_with()) == (
        "coupon brings 7.00 to 8.32 more “visited” per 100 users than silence; safe to ship",
        "visited is 18.28% with coupon and 10.62% with silence: +7.66 points (95% interval +7.00 to +8.32).",
    )
    assert told(report_with(), shipped="coupon")[0].endswith("than silence; shipped")
    assert told(report_with(), shipped="reminder")[0].endswith("than silence; safe to ship")


def test_nobody_is_told_to_let_run_what_was_stopped() -> None:
    until = datetime(2026, 12, 29, 10, tzinfo=UTC)
    going_on = decided("continue")
    open_, over = headline.Ended(until), headline.Ended(None)
    assert told(going_on, ended=open_)[0].startswith(
        "Stopped, and not decided yet: the last users are measured 29 Dec 2026, 10:00"
    )
    assert told(going_on, ended=over)[0] == "It was stopped before anything was decided"
    # What was decided stays decided.
    assert told(report_with(), ended=over)[0] == told(report_with())[0]
    assert told(decided("keep_control"), ended=open_)[0] == told(decided("keep_control"))[0]


@pytest.mark.parametrize(
    ("action", "variant", "title", "tone"),
    [
        ("keep_control", None, "Keep silence: no variant is shown to do better", "open"),
        ("stop_harm", "coupon", "Stop coupon: it does harm", "bad"),
        ("stop_harm", None, "Stop: a variant does harm", "bad"),
        ("continue", None, "Too early to call: let it run", "open"),
        ("inconclusive", None, "It ends without a winner", "open"),
        ("ship", None, "There is a winner", "good"),
        ("", None, "No decision yet", "open"),
    ],
)
def test_each_decision_has_its_headline(action: str, variant: str | None, title: str, tone: str) -> None:
    found = headline.headline(decided(action, variant))
    assert (found.title, found.tone) == (title, tone)


@pytest.mark.parametrize(
    ("action", "rule", "title", "tone"),
    [
        ("continue", "health", "Do not act on this: the experiment is not sound", "bad"),
        ("inconclusive", "health", "Do not act on this: the experiment is not sound", "bad"),
        ("continue", "guardrail_open", "A variant does better, but it is not sure that it does no harm", "open"),
        ("inconclusive", "guardrail_open", "A variant does better, but it is not sure that it does no harm", "open"),
        ("inconclusive", "undecided", "No winner: the arms cannot be told apart", "open"),
        ("inconclusive", "minimum_weeks", "It ends without a winner", "open"),
        ("continue", "minimum_weeks", "Too early to call: let it run", "open"),
    ],
)  # fmt: skip
def test_a_headline_says_no_more_than_its_rule(action: str, rule: str, title: str, tone: str) -> None:
    found = headline.headline(
        report_with(decision={"action": action, "variant": None, "because": "so", "rule": rule})
    )
    assert (found.title, found.tone) == (title, tone)


def test_why_is_in_the_apis_words_and_the_rule_before_them_in_other_languages() -> None:
    rules = set(
        re.findall(r'(?:rule=|wait\(\s*)"(\w+)"', Path(decision.__file__).read_text(encoding="utf-8"))
    ) | {headline.TOO_FEW_USERS}
    assert {f"headline.because.{rule}" for rule in rules} == {
        key for key in catalogue() if key.startswith("headline.because.")
    }
    for rule in rules:
        said = headline.because(Decision("continue", None, "20 of 90 left", rule))
        assert said == "20 of 90 left"
        assert spoken(f"headline.because.{rule}", "zh", {"because": said}).endswith("（20 of 90 left）")
    assert headline.because(Decision("continue", None, "so", "of tomorrow")) == "so"


def test_without_an_effect_nothing_is_called_alike() -> None:
    ends = {
        "action": "inconclusive",
        "variant": None,
        "because": "there is no primary metric",
        "rule": "undecided",
    }
    assert told(report_with(decision=ends, metrics=[]))[0] == "It ends without a winner"


def test_what_will_never_decide_is_not_called_too_early() -> None:
    waits = {"action": "inconclusive", "variant": None, "because": "so", "rule": headline.TOO_FEW_USERS}
    assert told(report_with(decision=waits))[0].startswith("It will not decide: nobody enters any more")


def test_the_evidence_of_what_is_not_decided_is_told_so_far() -> None:
    assert told(decided("continue"))[1] == (
        "So far, coupon brings 7.00 to 8.32 more “visited” per 100 users than silence (95% interval): "
        "18.28% against 10.62%."
    )
    assert told(decided("inconclusive"))[1].startswith("coupon brings")


def test_the_headline_speaks_of_the_variant_that_was_decided_on() -> None:
    assert told(decided("ship", "reminder"))[0].startswith("reminder brings 3.89 to 5.16 more")


def test_the_headline_of_a_null_says_cannot_tell_and_why() -> None:
    report = read_report(samples.early_report(), design=DESIGN)
    assert told(report)[1] == "visited: cannot tell yet: no user of any arm has a closed window of 7 days"
    assert told(report_with(metrics=[]))[1] == "The report has no effect on a primary metric yet."


@pytest.mark.parametrize(
    ("kind", "lower", "estimate", "upper", "words"),
    [
        ("proportion", -0.004, 0.01, 0.024, "coupon brings between 0.4 fewer and 2.4 more “visited” per 100 users than silence"),
        ("proportion", -0.03, -0.02, -0.01, "coupon brings 1.0 to 3.0 fewer “visited” per 100 users than silence"),
        ("mean", 0.17, 0.42, 0.68, "coupon brings 0.17 to 0.68 more “visited” per user than silence"),
        ("mean", -0.68, -0.42, -0.17, "coupon brings 0.17 to 0.68 less “visited” per user than silence"),
        ("ratio", 0.1, 0.2, 0.3, "“visited” is 0.10 to 0.30 higher with coupon than with silence"),
        ("quantile", -0.1, 0.2, 0.5, "“visited” is between 0.10 lower and 0.50 higher with coupon than with silence"),
        ("proportion", 0.01, 0.02, None, "coupon brings at least 1.0 more “visited” per 100 users than silence"),
        ("proportion", None, -0.02, -0.01, "coupon brings at least 1.0 fewer “visited” per 100 users than silence"),
    ],
)  # fmt: skip
def test_an_effect_is_told_in_the_unit_of_its_kind(
    kind: str, lower: float | None, estimate: float, upper: float | None, words: str
) -> None:
    assert phrase(kind, lower, estimate, upper) == words
