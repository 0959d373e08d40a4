from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard import verdicts
from dashboard.overview import PARTS, Alert, read_cards, read_overview
from dashboard.reading import Unreadable
from dashboard.verdicts import Light, Verdict
from dashboard.views.result import SECTIONS
from tests.unit.dashboard import samples


def test_a_card_carries_enough_of_its_report_to_be_judged() -> None:
    (card,) = read_overview(samples.overview()).live
    assert card.report is not None
    leading = verdicts.leading_effect(card.report)
    assert leading is not None
    metric, effect = leading
    assert (effect.variant, verdicts.verdict(effect, metric)) == ("coupon", Verdict.BETTER)
    assert verdicts.light(card.report) is Light.AMBER
    assert (card.report.users, card.report.messages) == (64000, 40119)
    assert card.report.as_of == datetime(2026, 12, 15, 10, tzinfo=UTC)


def test_the_day_is_read_with_its_limit_and_the_caps_that_are_set() -> None:
    today = read_overview(samples.overview()).today
    assert (today.messages, today.people, today.people_limit) == (1234, 1000, 2000)
    assert dict(today.caps) == {"week": 3}


def alert(**changes: Any) -> Alert:
    told = {"kind": "srm", "severity": "red", "experiment": "a", "name": None, "subject": None, "detail": ""}
    return read_overview(samples.overview(alerts=[{**told, **changes}])).alerts[0]


@pytest.mark.parametrize(
    ("changes", "page"),
    [
        ({}, "result"),
        ({"kind": "breaker_open", "experiment": None}, "delivery"),
        ({"kind": "rules_parked", "experiment": None}, "rules"),
        ({"kind": "facts_old", "experiment": None}, None),
        ({"kind": "something_new", "experiment": None}, None),
    ],
)
def test_an_alert_leads_to_where_more_is_said(changes: dict[str, Any], page: str | None) -> None:
    assert alert(**changes).page == page


def test_an_alert_of_an_experiment_leads_to_the_part_that_it_is_about() -> None:
    books = alert(kind="books_broken", experiment="spring")
    assert (books.page, dict(books.address)) == ("result", {"experiment": "spring", "show": "messages"})
    assert dict(alert(kind="srm", experiment="spring").address) == {"experiment": "spring"}
    assert dict(alert(kind="breaker_open", experiment=None).address) == {}


def test_the_parts_are_those_of_the_page() -> None:
    assert set(PARTS.values()) <= set(SECTIONS)


def test_an_alert_is_red_unless_it_says_amber_and_is_called_by_its_key_without_a_name() -> None:
    assert (alert().is_red, alert(severity="amber").is_red, alert().name) == (True, False, "a")


def test_what_is_missing_or_impossible_is_left_out() -> None:
    found = read_overview({"alerts": [], "live": [{"key": "a", "report": {}}, 3], "counts": {"draft": "x"}})
    assert ([card.key for card in found.live], found.live[0].report, found.counts) == (["a"], None, {})
    assert (found.today.people_limit, found.today.workers) == (None, 0)


@pytest.mark.parametrize("document", [None, [], {}, {"alerts": 3}, {"items": {}}])
def test_what_is_no_overview_is_refused(document: Any) -> None:
    for read in (read_overview, read_cards):
        with pytest.raises(Unreadable):
            read(document)
