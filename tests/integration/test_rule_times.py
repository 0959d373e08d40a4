"""Rules with a beginning and an end: walks keep to them, and a rule that says the same is unchanged."""

from datetime import UTC, datetime, timedelta

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.rules import service as rules
from tests.integration.rule_world import happens, person, put, rule, tick, times_fired

DAILY = {"type": "schedule", "cron": "0 12 * * *"}
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
SINCE, UNTIL = "2026-12-03T12:00:00Z", "2026-12-05T12:00:00Z"


def test_a_schedule_begins_and_ends(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "ann")
    put(database, clock, rule(trigger=DAILY, since=SINCE, until=UNTIL))
    met = []
    for day in range(7):
        clock.current = NOON + timedelta(days=day)
        met.append(tick(database, clock).fired)
    # From the third (included) to the fifth (excluded).
    assert met == [0, 0, 1, 1, 0, 0, 0]
    with database.snapshot() as session:
        assert rules.find(session, key="buyers").next_walk_at is None


def test_silence_is_looked_for_between_the_two(database: Database, clock: SteppedClock) -> None:
    happens(database, clock, "ann")
    clock.advance(timedelta(days=1))
    happens(database, clock, "bob")
    put(database, clock, rule(trigger={"type": "inactivity", "after": "12h"}, since=SINCE, until=UNTIL))
    tick(database, clock)
    assert times_fired(database) == {}
    clock.current = datetime.fromisoformat(SINCE)
    tick(database, clock)
    assert times_fired(database) == {"ann": 1, "bob": 1}
    happens(database, clock, "ann")
    clock.current = datetime.fromisoformat(UNTIL)
    tick(database, clock)
    assert times_fired(database) == {"ann": 1, "bob": 1}


def test_a_walk_that_is_under_way_at_the_end_ends_there(database: Database, clock: SteppedClock) -> None:
    for number in range(10):
        person(database, clock, f"u{number}")
    put(database, clock, rule(trigger=DAILY, until="2026-12-01T12:00:01Z"))

    class PassingClock(SteppedClock):
        """A second passes at the fifth look."""

        looks = 0

        def now(self) -> datetime:
            self.looks += 1
            return self.current + timedelta(seconds=self.looks > 12)

    tick(database, PassingClock(NOON), stretch=2, batch=2)
    assert 0 < len(times_fired(database)) < 10
    clock.current = NOON + timedelta(days=1)
    assert tick(database, clock).fired == 0


def test_a_rule_that_was_stored_before_there_were_ends_is_unchanged(
    database: Database, clock: SteppedClock
) -> None:
    put(database, clock, rule())
    with database.transaction() as session:
        row = rules.find(session, key="buyers")
        row.definition = {
            name: row.definition[name] for name in row.definition if name not in {"since", "until"}
        }
        session.flush()
        assert rules.put(session, clock, actor="test", document=rule()).outcome == "unchanged"
        assert rules.put(session, clock, actor="test", document=rule(until=UNTIL)).outcome == "changed"
