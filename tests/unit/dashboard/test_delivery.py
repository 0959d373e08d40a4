"""The delivery page's values and chart, from the JSON of the summary."""

from typing import Any

import pytest

from dashboard.calls.delivery import read_delivery
from dashboard.delivery_charts import STATES, by_state, total
from dashboard.views import delivery_tables
from dashboard.views.delivery import per_minute

SUMMARY: dict[str, Any] = {
    "at": "2026-12-01T10:00:00Z",
    "paused": False,
    "holds": False,
    "queue": {
        "due": 7,
        "later": 3,
        "paused": 2,
        "oldest": "2026-12-01T09:00:00Z",
        "oldest_age_seconds": 3600.5,
    },
    "accepted_per_minute": {"1": 80.0, "15": 75.5},
    "reasons": {"planned": {"cap": 4}, "suppressed": {"undeliverable": 22}},
    "failures": [
        {
            "code": 131026,
            "error_class": "never_for_person",
            "meaning": "m",
            "remedy": "r",
            "state": "suppressed",
            "messages": 22,
        }
    ],
    "breakers": [
        {
            "kind": "template",
            "key": "spring/en",
            "opened_at": "2026-12-01T09:00:00Z",
            "until": None,
            "reason": "paused",
        }
    ],
    "workers": [{"name": "vm:1", "seen_at": "2026-12-01T09:59:00Z", "share": 80.0}],
    "experiments": [
        {"experiment": "small", "sent": 1, "holds": True},
        {"experiment": "large", "sent": 70, "waiting": 20, "failed": 10, "holds": False},
    ],
    "webhooks": {"waiting": 1, "errors": 2},
    "tier": {"unique_users": 12, "limit": 250},
}


def test_a_summary_is_read_whole() -> None:
    seen = read_delivery(SUMMARY)
    assert (seen.queue.due, seen.queue.later, seen.queue.paused, seen.queue.oldest_seconds) == (
        7,
        3,
        2,
        3600.5,
    )
    assert seen.per_minute == {"1": 80.0, "15": 75.5}
    assert seen.reasons["suppressed"] == {"undeliverable": 22}
    assert (seen.failures[0].code, seen.failures[0].messages) == (131026, 22)
    assert (seen.fuses[0].key, seen.fuses[0].until) == ("spring/en", None)
    assert [total(each) for each in seen.experiments] == [1, 100]
    assert [each.holds for each in seen.experiments] == [True, False]
    assert (seen.unique_users, seen.unique_users_limit) == (12, 250)
    assert (seen.webhooks_waiting, seen.webhooks_errors) == (1, 2)


@pytest.mark.parametrize("document", [{}, [], None, {"queue": "no", "failures": {}, "experiments": [1]}])
def test_what_is_absent_is_nothing(document: object) -> None:
    seen = read_delivery(document)
    assert seen.queue.due == 0
    assert (seen.failures, seen.fuses, seen.experiments, seen.per_minute) == ((), (), (), {})
    assert seen.unique_users_limit is None
    assert not seen.paused


def test_the_busiest_experiment_comes_first_and_only_states_that_occur_have_a_colour() -> None:
    chart = by_state(
        read_delivery(SUMMARY).experiments, words={state: f"is {state}" for state in STATES}, axis="Messages"
    )
    assert chart is not None
    drawn = chart.to_dict()
    assert drawn["encoding"]["y"]["sort"] == ["large", "small"]
    assert drawn["encoding"]["color"]["scale"]["domain"] == ["is sent", "is waiting", "is failed"]
    assert sum(row["messages"] for row in next(iter(drawn["datasets"].values()))) == 101


def test_without_messages_there_is_no_chart() -> None:
    assert by_state((), words={}, axis="") is None


def test_a_reason_of_several_states_is_counted_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(delivery_tables, "_table", lambda rows, **_: shown.extend(rows))
    reasons = {"planned": {"cap": 4}, "claimed": {"cap": 3}, "failed": {"cap": 1}, "expired": {"cap": 1}}
    delivery_tables.show_held(read_delivery({**SUMMARY, "reasons": reasons}))
    assert [list(row.values())[1:] for row in shown] == [["7", "2"]]


@pytest.mark.parametrize(("rate", "told"), [(0, "0"), (1 / 15, "0.1"), (9.96, "10.0"), (1234.4, "1,234")])
def test_few_messages_a_minute_are_not_none(rate: float, told: str) -> None:
    assert per_minute(rate) == told
