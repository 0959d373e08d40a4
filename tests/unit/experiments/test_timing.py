"""Bounds of a series on numbers worked out by hand: each is reached, or missed by what its docstring says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from delivery.planning.schedule import due_times
from experiments.timing import last_send_offset, opens_at
from experiments.treatments import Variant
from experiments.triggers import EventTrigger, OnceTrigger, RecurringTrigger

STARTED = datetime(2026, 12, 1, 10, tzinfo=UTC)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
INSTANT = timedelta(microseconds=1)


def variant(**parts: Any) -> Variant:
    return Variant.model_validate({"key": "v", "message": {"template": "t", "language": "en"}, **parts})


@pytest.mark.parametrize(
    ("parts", "days", "hours"),
    [
        ({}, 0, 0),
        ({"send_time": {"after": "2h"}}, 0, 2),
        ({"frequency": {"steps": 3, "min_interval": "36h"}}, 3, 0),
        ({"send_time": {"after": "2h"}, "frequency": {"steps": 3, "min_interval": "36h"}}, 3, 2),
        ({"frequency": {"steps": 5, "per_day": 2}}, 2, 0),
        ({"frequency": {"steps": 5, "per_day": 2, "min_interval": "1h"}}, 2, 0),
        ({"frequency": {"steps": 7, "per_week": 2}}, 21, 0),
        # A day to the first, and two hours for a clock that is set back.
        ({"send_time": {"local_time": "18:30"}}, 1, 2),
        ({"send_time": {"local_time": "18:30", "after": "1d"}}, 2, 2),
        ({"send_time": {"local_time": "18:30", "days": ["mon"]}}, 7, 2),
        ({"send_time": {"local_time": "18:30", "days": ["mon", "thu"]}}, 4, 2),
        # 36 hours become two days, and a lost hour leaves time enough.
        ({"send_time": {"local_time": "18:30"}, "frequency": {"steps": 3, "min_interval": "36h"}}, 5, 2),
        # 24 hours are a day, and one more where an hour is lost.
        ({"send_time": {"local_time": "18:30"}, "frequency": {"steps": 3}}, 4, 2),
        # Drawn hours may come down by one at each step: 21:30, then 20:30 two days later.
        ({"send_time": {"best_hour": {"fallback": "18:30"}}, "frequency": {"steps": 2}}, 3, 23 + 2),
        ({"send_time": {"best_hour": {"fallback": "18:30", "hours": [18, 18]}}}, 1, 2),
    ],
)
def test_the_last_send_of_a_series(parts: Any, days: int, hours: int) -> None:
    assert last_send_offset(variant(**parts)) == timedelta(days=days, hours=hours)


def test_silence_sends_nothing() -> None:
    assert last_send_offset(Variant(key="silence")) == timedelta(0)


@pytest.mark.parametrize(
    ("trigger", "wait"),
    [
        (OnceTrigger(), timedelta(0)),
        (OnceTrigger(at=STARTED), timedelta(0)),
        (OnceTrigger(local_time="10:00"), timedelta(hours=26)),
        (OnceTrigger(local_time="2026-12-24T18:00"), timedelta(hours=26)),
        (EventTrigger(type="event", event="Signed Up", delay="3d"), timedelta(days=3)),
        (EventTrigger(type="event", event="Signed Up"), timedelta(0)),
        (RecurringTrigger(type="recurring", cron="0 9 * * *"), timedelta(0)),
    ],
)
def test_what_a_trigger_adds(trigger: Any, wait: timedelta) -> None:
    assert last_send_offset(variant(), trigger) == wait


@pytest.mark.parametrize(
    ("parts", "start"),
    [
        # The night of 2026-10-25 has 25 hours, that of 2026-03-29 only 23.
        ({"send_time": {"local_time": "18:30"}}, datetime(2026, 10, 24, 18, 30, tzinfo=AMSTERDAM)),
        (
            {"send_time": {"local_time": "18:30"}, "frequency": {"steps": 3}},
            datetime(2026, 3, 27, 18, 30, tzinfo=AMSTERDAM),
        ),
        (
            {
                "send_time": {"local_time": "18:30", "days": ["sun"]},
                "frequency": {"steps": 2, "min_interval": "7d"},
            },
            datetime(2026, 3, 15, 18, 30, tzinfo=AMSTERDAM),
        ),
    ],
)
def test_it_is_reached_but_for_what_clocks_are_set_less_than_two_hours_back(
    parts: Any, start: datetime
) -> None:
    missed = start.astimezone(UTC) + INSTANT
    took = due_times(variant(**parts), start=missed, zone=AMSTERDAM)[-1] - missed
    bound = last_send_offset(variant(**parts))
    assert bound - timedelta(hours=3) - INSTANT <= took <= bound


def test_enrolment_opens_where_a_named_day_begins_first() -> None:
    named = OnceTrigger(local_time="2026-12-24T18:00")
    assert opens_at(named, STARTED) == datetime(2026, 12, 24, 4, tzinfo=UTC)
    assert opens_at(named, datetime(2026, 12, 25, tzinfo=UTC)) == datetime(2026, 12, 25, tzinfo=UTC)
    assert opens_at(OnceTrigger(local_time="18:00"), STARTED) == STARTED
    late = OnceTrigger(at=datetime.fromisoformat("2026-12-24T18:00:00+05:00"))
    for trigger in (named, late, OnceTrigger(local_time="2100-12-31T23:59:59")):
        opens = opens_at(trigger, STARTED)
        assert opens is not None
        assert opens.tzinfo is UTC
    assert opens_at(OnceTrigger(at=STARTED + timedelta(days=1)), STARTED) == STARTED + timedelta(days=1)
