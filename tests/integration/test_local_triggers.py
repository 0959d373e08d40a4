"""Campaigns that begin at a time on each user's own clock, on both databases; and how long messages live."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from delivery.models import Message
from delivery.planning import planner
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Assignment
from tests.integration.people import REMINDER, add_people, campaign, start_campaign

BOTH = [REMINDER | {"control": True}, REMINDER | {"key": "other"}]
ZONES = ("Pacific/Kiritimati", "Asia/Tokyo", "Europe/Amsterdam", "America/Sao_Paulo", "Pacific/Midway")
"""From the first place on earth to one of the last: UTC+14, +9, +1 or +2, -3, -11."""


def begin(database: Database, clock: SteppedClock, **changes: Any) -> None:
    with database.transaction() as session:
        for number, zone in enumerate(ZONES, start=1):
            add_people(session, clock, [number], time_zone=zone)
        start_campaign(session, clock, campaign(variants=BOTH) | changes)


def plan(database: Database, clock: SteppedClock, settings: Settings | None = None) -> int:
    return planner.plan_tick(database, clock, settings=settings or Settings()).messages


def due(database: Database) -> list[str]:
    """When each user's message is due, in the order of `ZONES`."""
    with database.snapshot() as session:
        rows = session.exec(select(Message).order_by(Message.user_pk))  # type: ignore[arg-type]
        return [f"{row.due_at:%d %H:%M}" for row in rows]


def test_a_day_and_time_comes_to_each_user_on_their_own_clock(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, trigger={"local_time": "2026-12-24T18:00"})
    # In Kiritimati it is 18:00 when it is 04:00 in UTC.
    clock.current = datetime(2026, 12, 24, 4, tzinfo=UTC) - timedelta(microseconds=1)
    assert plan(database, clock) == 0
    clock.advance(timedelta(seconds=2))
    assert plan(database, clock) == 5
    assert due(database) == ["24 04:00", "24 09:00", "24 17:00", "24 21:00", "25 05:00"]
    with database.snapshot() as session:
        assert {row.assigned_at for row in session.exec(select(Assignment))} == {clock.now()}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # Clocks in Amsterdam go forward on the 28th of March at 02:00 and back on the 31st of October at 03:00.
        ("2027-03-28T02:30", "28 01:00"),
        ("2027-10-31T02:30", "31 00:30"),
    ],
    ids=["gap", "fold"],
)
def test_a_time_that_clocks_skip_or_repeat(
    database: Database, clock: SteppedClock, day: str, expected: str
) -> None:
    begin(database, clock, trigger={"local_time": day})
    clock.current = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=14)
    plan(database, clock)
    assert due(database)[2] == expected


def test_a_time_of_day_is_the_next_one_after_the_start(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, trigger={"local_time": "18:00"})  # it is the 1st, 10:00 UTC
    plan(database, clock)
    assert due(database) == ["02 04:00", "02 09:00", "01 17:00", "01 21:00", "02 05:00"]


def test_a_time_of_day_from_a_moment_on(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, trigger={"local_time": "18:00", "at": "2026-12-05T18:00:00Z"})
    assert plan(database, clock) == 0
    clock.current = datetime(2026, 12, 5, 18, tzinfo=UTC)
    plan(database, clock)
    assert due(database) == ["06 04:00", "06 09:00", "06 17:00", "05 21:00", "06 05:00"]


def test_where_the_time_is_past_at_the_start_the_message_goes_out_at_once(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, trigger={"local_time": "2026-12-01T12:00"})
    plan(database, clock)
    assert due(database) == ["01 10:00", "01 10:00", "01 11:00", "01 15:00", "01 23:00"]


@pytest.mark.parametrize(
    ("expires", "after"),
    [
        ({}, timedelta(days=3)),
        ({"after": "6h"}, timedelta(hours=6)),
        ({"at": "2026-12-02T00:00:00Z"}, timedelta(hours=14)),
        ({"after": "6h", "at": "2026-12-02T00:00:00Z"}, timedelta(hours=6)),
        ({"after": "2d", "at": "2026-12-02T00:00:00Z"}, timedelta(hours=14)),
    ],
    ids=["default", "after", "at", "after-first", "at-first"],
)
def test_a_message_lives_as_long_as_the_design_says(
    database: Database, clock: SteppedClock, expires: dict[str, str], after: timedelta
) -> None:
    begin(database, clock, expires=expires)
    plan(database, clock, Settings(message_ttl=timedelta(days=3)))
    with database.snapshot() as session:
        assert {row.expires_at for row in session.exec(select(Message))} == {clock.now() + after}


def test_the_hour_that_is_drawn_is_kept_with_its_propensity(database: Database, clock: SteppedClock) -> None:
    drawn = {
        **REMINDER,
        "key": "drawn",
        "send_time": {"best_hour": {"fallback": "18:00", "explore": 0.5}},
        "frequency": {"steps": 3, "min_interval": "1d"},
    }
    begin(
        database,
        clock,
        variants=[{**REMINDER, "control": True}, drawn],
        audience={"forced": {"user-3": "drawn"}},
    )
    plan(database, clock)
    with database.snapshot() as session:
        choices = [
            (row.choice, row.due_at) for row in session.exec(select(Message).where(Message.user_pk == 3))
        ]
        assert {row.choice for row in session.exec(select(Message).where(Message.variant == "reminder"))} <= {
            None
        }
    assert len(choices) == 3
    for choice, at in choices:
        assert choice is not None
        # In December, Amsterdam is an hour ahead of UTC.
        assert choice["hour"] == at.hour + 1
        assert choice["propensity"] == pytest.approx(0.5 / 14 + 0.5 * (choice["hour"] == 18))
