"""Rules that nobody's doing sets off: silence, and the clock on the wall."""

from datetime import UTC, datetime, timedelta

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.rules import service as rules
from tests.integration.rule_world import (
    ORDERED,
    TAG,
    causes,
    error_of,
    happens,
    person,
    put,
    rule,
    tick,
    times_fired,
)

QUIET = {"type": "inactivity", "after": "30d"}
MONDAYS = {"type": "schedule", "cron": "0 9 * * 1", "time_zone": "Europe/Amsterdam"}
MONDAY_AT_NINE = datetime(2026, 12, 7, 8, tzinfo=UTC)


def test_silence_fires_once_and_again_after_a_return(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "never-seen")
    happens(database, clock, "ann", "bob")
    put(database, clock, rule(trigger=QUIET))
    clock.advance(timedelta(days=29))
    happens(database, clock, "bob")
    tick(database, clock)
    assert times_fired(database) == {}
    clock.advance(timedelta(days=1))
    for _ in range(3):
        tick(database, clock)
        clock.advance(timedelta(hours=1))
    assert times_fired(database) == {"ann": 1}
    assert causes(database) == ["inactive:2026-12-01T10:00:00Z"]
    happens(database, clock, "ann", "bob")
    clock.advance(timedelta(days=31))
    tick(database, clock)
    assert times_fired(database) == {"ann": 2, "bob": 1}


def test_silence_about_one_event(database: Database, clock: SteppedClock) -> None:
    happens(database, clock, "ann", "bob")
    happens(database, clock, "cyd", name="Looked")
    put(database, clock, rule(trigger={**QUIET, "event": ORDERED}, condition={"country": None}))
    clock.advance(timedelta(days=20))
    happens(database, clock, "bob")
    clock.advance(timedelta(days=15))
    happens(database, clock, "ann", "cyd", name="Looked")
    tick(database, clock)
    assert times_fired(database) == {"ann": 1}


def test_a_condition_in_sql_and_one_that_is_left_to_a_closure(
    database: Database, clock: SteppedClock
) -> None:
    for number in range(30):
        person(database, clock, f"u{number}", number=number, mail=f"{number}@example.com")
        happens(database, clock, f"u{number}")
    left = {"mail": {"$regex": "^[12].@"}, "number": {"$gte": 15}}
    put(database, clock, rule("sql", trigger=QUIET, condition={"number": {"$gte": 25}}))
    put(database, clock, rule("closure", trigger=QUIET, condition=left))
    clock.advance(timedelta(days=30))
    tick(database, clock, stretch=7, batch=2)
    assert set(times_fired(database, "sql")) == {f"u{n}" for n in range(25, 30)}
    assert set(times_fired(database, "closure")) == {f"u{n}" for n in range(15, 30)}


def test_a_schedule_reaches_everybody_once(database: Database, clock: SteppedClock) -> None:
    for number in range(25):
        person(database, clock, f"u{number}", country="NL" if number % 2 else "DE")
    put(database, clock, rule(trigger=MONDAYS, condition={"country": "NL"}))
    clock.current = MONDAY_AT_NINE - timedelta(seconds=1)
    assert tick(database, clock).fired == 0
    clock.current = MONDAY_AT_NINE
    assert tick(database, clock, stretch=6, batch=4).fired == 12
    assert tick(database, clock).fired == 0
    assert set(causes(database)) == {"schedule:2026-12-07T08:00:00Z"}
    # Three Mondays passed while nobody was there to see: they are one occasion.
    clock.advance(timedelta(days=21))
    assert tick(database, clock).fired == 12
    assert set(times_fired(database).values()) == {2}


def test_a_walk_respects_cool_down_and_once(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "ann")
    daily = {"type": "schedule", "cron": "0 0 * * *"}
    put(
        database,
        clock,
        rule("once", trigger=daily, once_per_user=True),
        rule("weekly", trigger=daily, cool_down="7d"),
    )
    for _ in range(15):
        clock.advance(timedelta(days=1))
        tick(database, clock)
    assert times_fired(database, "once") == {"ann": 1}
    assert times_fired(database, "weekly") == {"ann": 3}


def test_a_walk_that_fails_parks_its_rule(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "ann")
    daily = {"type": "schedule", "cron": "0 0 * * *"}
    put(database, clock, rule("fine", trigger=daily), rule("broken", trigger=daily))
    with database.transaction() as session:
        found = rules.find(session, key="broken")
        found.definition = found.definition | {"condition": {"$inSegment": "gone"}}
    clock.advance(timedelta(days=1))
    assert tick(database, clock).parked == 1
    assert "gone" in (error_of(database, "broken") or "")
    assert times_fired(database, "fine") == {"ann": 1}
    clock.advance(timedelta(days=1))
    assert tick(database, clock).parked == 0


def test_a_new_trigger_starts_anew_and_a_new_action_does_not(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "ann")
    put(database, clock, rule(trigger=MONDAYS))
    with database.transaction() as session:
        rules.put(
            session, clock, actor="test", document=rule(trigger=MONDAYS, actions=[{**TAG, "tag": "monday"}])
        )
        row = rules.find(session, key="buyers")
        assert row.next_walk_at == MONDAY_AT_NINE
        rules.put(session, clock, actor="test", document=rule(trigger={**MONDAYS, "cron": "0 9 * * 3"}))
        assert row.next_walk_at == MONDAY_AT_NINE - timedelta(days=5)
        rules.put(session, clock, actor="test", document=rule())
        assert (row.next_walk_at, row.waits_for) == (None, f"event:{ORDERED}")
