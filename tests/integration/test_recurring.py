"""Recurring campaigns on both databases: each occasion reaches everybody once, whatever dies, pauses or runs twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from delivery.models import Message
from delivery.planning import planner
from delivery.planning.planner import Planned
from delivery.watch import summary
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import MessageState
from targeting import campaigns
from targeting.models import Assignment, Enrolment
from tests.integration.people import COUPON, REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.test_planner import DyingClock
from tests.integration.threads import together

SETTINGS = Settings(message_ttl=timedelta(days=2))
NOTHING = Planned(experiments=0, assigned=0, messages=0)
DAILY = {"type": "recurring", "cron": "0 12 * * *"}
"""At noon UTC; the clock of the tests stands at 10:00."""
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = [
    REMINDER | {"control": True},
    {**COUPON, "send_time": None, "frequency": {"steps": 2, "min_interval": "6h"}},
]


def tick(database: Database, clock: SteppedClock, *, batch: int = 7) -> Planned:
    return planner.plan_tick(database, clock, settings=SETTINGS, batch=batch)


def begin(
    database: Database, clock: SteppedClock, people: range = range(1, 31), **changes: Any
) -> Experiment:
    with database.transaction() as session:
        add_people(session, clock, people)
        return start_campaign(session, clock, campaign(trigger=DAILY, variants=BOTH) | changes)


def messages(database: Database) -> list[Message]:
    with database.snapshot() as session:
        return list(session.exec(select(Message).order_by(col(Message.id))))


def assignments(database: Database) -> dict[int, Assignment]:
    with database.snapshot() as session:
        return {row.user_pk: row for row in session.exec(select(Assignment))}


def send_all(database: Database, clock: SteppedClock) -> None:
    """As the dispatcher does, as far as planning sees it."""
    with database.transaction() as session:
        due = select(Message).where(Message.state == MessageState.PLANNED, col(Message.due_at) <= clock.now())
        for row in session.exec(due):
            row.state, row.slot_at = MessageState.DELIVERED, clock.now()


def balanced(database: Database) -> int:
    """The slots that are owed, after a look at the books."""
    with database.snapshot() as session:
        books = summary.summary(session, key="spring").experiments[0]
    assert books.holds
    return books.slots


def test_everybody_gets_the_steps_once_more_at_each_occasion(database: Database, clock: SteppedClock) -> None:
    begin(database, clock)
    assert tick(database, clock) == NOTHING
    for occasion in range(3):
        clock.current = NOON + occasion * DAY + timedelta(minutes=1)
        before = len(messages(database))
        planned = tick(database, clock)
        new = messages(database)[before:]
        assert planned == Planned(1, 30 if occasion == 0 else 0, len(new))
        assert {row.user_pk for row in new} == set(range(1, 31))
        assert {row.due_at for row in new if row.variant == "reminder"} == {NOON + occasion * DAY}
        assert {
            (row.variant, row.step - occasion * (2 if row.variant == "coupon" else 1)) for row in new
        } == {
            ("reminder", 0),
            ("coupon", 0),
            ("coupon", 1),
        }
        assert balanced(database) == len(messages(database))
        assert tick(database, clock) == NOTHING
        clock.advance(timedelta(hours=7))
        send_all(database, clock)
    assert {row.occasions for row in assignments(database).values()} == {3}


def test_those_who_come_to_match_join_and_nobody_changes_variant(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, audience={"condition": {"number": {"$lte": 40}}})
    clock.current = NOON
    tick(database, clock)
    drawn = {pk: row.variant for pk, row in assignments(database).items()}
    with database.transaction() as session:
        add_people(session, clock, range(31, 51))
    assert tick(database, clock) == NOTHING
    clock.advance(timedelta(hours=7))
    send_all(database, clock)
    clock.current = NOON + DAY
    assert tick(database, clock).assigned == 10
    after = assignments(database)
    assert {pk: after[pk].variant for pk in drawn} == drawn
    assert {pk: row.occasions for pk, row in after.items()} == {
        pk: 2 if pk <= 30 else 1 for pk in range(1, 41)
    }
    newcomers = [row for row in messages(database) if row.user_pk > 30]
    assert {row.step for row in newcomers} == {0, 1}
    assert {row.due_at for row in newcomers if row.step == 0} == {NOON + DAY}
    with database.snapshot() as session:
        assert session.exec(select(Enrolment)).one().counts["assigned"] == 40
    balanced(database)


def test_occasions_missed_while_nothing_ran_are_one(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, variants=[SILENCE, REMINDER])
    clock.current = NOON + 9 * DAY + timedelta(hours=5)
    assert tick(database, clock).assigned == 30
    assert {row.due_at for row in messages(database)} == {NOON + 9 * DAY}
    assert {row.occasions for row in assignments(database).values()} == {1}
    assert tick(database, clock) == NOTHING


def test_an_occasion_whose_messages_would_have_expired_is_not_planned(
    database: Database, clock: SteppedClock
) -> None:
    weekly = {"type": "recurring", "cron": "0 12 * * 3", "time_zone": "UTC"}
    begin(database, clock, trigger=weekly, variants=[SILENCE, REMINDER])
    clock.current = NOON + DAY + timedelta(days=2)  # Wednesday noon and two days
    assert tick(database, clock) == NOTHING
    clock.current -= timedelta(microseconds=1)
    assert tick(database, clock).assigned == 30
    balanced(database)


def test_an_occasion_that_is_left_half_done_until_it_expires_ends_there(
    database: Database, clock: SteppedClock
) -> None:
    weekly = {"type": "recurring", "cron": "0 12 * * 3"}
    begin(database, clock, trigger=weekly)
    clock.current = NOON + DAY
    tick(database, clock)
    send_all(database, clock)
    clock.advance(timedelta(days=7))
    with pytest.raises(KeyboardInterrupt):
        tick(database, DyingClock(clock.now(), 10))
    done = {row.occasions for row in assignments(database).values()}
    assert done == {1, 2}
    clock.advance(timedelta(days=3))
    assert tick(database, clock) == NOTHING
    assert {row.occasions for row in assignments(database).values()} == done
    balanced(database)
    send_all(database, clock)
    clock.advance(timedelta(days=4))
    tick(database, clock)
    assert {row.occasions for row in assignments(database).values()} == {2, 3}
    balanced(database)


def test_whoever_still_has_a_message_of_the_last_occasion_sits_out(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, variants=[REMINDER | {"control": True}, REMINDER | {"key": "other"}])
    clock.current = NOON
    tick(database, clock)
    with database.transaction() as session:
        for row in session.exec(select(Message)):
            # Some were sent in time, some are still waiting, some went out just now, after a long night.
            kind = row.user_pk % 3
            row.state = MessageState.PLANNED if kind == 0 else MessageState.DELIVERED
            row.slot_at = {0: None, 1: NOON, 2: NOON + DAY + timedelta(seconds=1)}[kind]
    clock.current = NOON + DAY + timedelta(seconds=2)
    assert tick(database, clock).messages == 10
    assert {pk for pk, row in assignments(database).items() if row.occasions == 2} == set(range(1, 31, 3))
    assert balanced(database) == 40
    assert tick(database, clock) == NOTHING
    send_all(database, clock)
    clock.current = NOON + 2 * DAY
    assert tick(database, clock).messages == 30


@pytest.mark.parametrize("until", ["2026-12-02T12:00:00Z", "2026-12-02T12:00:00.000001Z"])
def test_until_ends_it(database: Database, clock: SteppedClock, until: str) -> None:
    begin(database, clock, trigger=DAILY | {"until": until}, variants=[SILENCE, REMINDER])
    clock.current = NOON
    tick(database, clock)
    send_all(database, clock)
    clock.current = NOON + DAY + timedelta(hours=1)
    planned = tick(database, clock)
    assert planned == NOTHING if until == "2026-12-02T12:00:00Z" else planned.messages > 0
    send_all(database, clock)
    clock.advance(DAY)
    assert tick(database, clock) == NOTHING


def test_it_recurs_at_the_same_time_of_day_when_clocks_change(
    database: Database, clock: SteppedClock
) -> None:
    clock.current = datetime(2027, 3, 26, 12, tzinfo=UTC)
    amsterdam = {"type": "recurring", "cron": "30 2 * * *", "time_zone": "Europe/Amsterdam"}
    begin(
        database,
        clock,
        range(1, 3),
        trigger=amsterdam,
        variants=[SILENCE, REMINDER],
        audience={"forced": {"user-1": "reminder"}},
    )
    for _hour in range(5 * 24):
        clock.advance(timedelta(hours=1))
        tick(database, clock)
        send_all(database, clock)
    mine = [row.due_at for row in messages(database) if row.user_pk == 1]
    # On the 28th there is no 02:30; it is an hour later, and no occasion is lost.
    assert mine == [
        datetime(2027, 3, day, hour, 30, tzinfo=UTC)
        for day, hour in ((27, 1), (28, 1), (29, 0), (30, 0), (31, 0))
    ]


def test_it_recurs_at_each_users_own_time(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11), time_zone="America/Sao_Paulo")
    begin(
        database, clock, range(11, 21), variants=[SILENCE, REMINDER | {"send_time": {"local_time": "09:00"}}]
    )
    clock.current = NOON + timedelta(minutes=2)
    tick(database, clock)
    due = {(row.user_pk <= 10, row.due_at) for row in messages(database)}
    # Noon UTC is nine in Sao Paulo: also for those who are found minutes later.
    assert due == {(True, NOON), (False, NOON + timedelta(hours=20))}


def test_a_pause_costs_the_occasions_that_are_over_by_then(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, variants=[SILENCE, REMINDER])
    clock.current = NOON
    tick(database, clock)
    send_all(database, clock)
    with database.transaction() as session:
        campaigns.pause(session, clock, actor="test", key="spring")
    clock.current = NOON + 5 * DAY + timedelta(hours=1)
    assert tick(database, clock) == NOTHING
    with database.transaction() as session:
        campaigns.resume(session, clock, actor="test", key="spring")
    tick(database, clock)
    assert {row.occasions for row in assignments(database).values()} == {2}
    assert {row.due_at for row in messages(database)} == {NOON, NOON + 5 * DAY}
    with database.transaction() as session:
        planner.stop(session, clock, actor="test", key="spring")
    clock.advance(DAY)
    assert tick(database, clock) == NOTHING
    balanced(database)


def test_raised_coverage_counts_from_the_next_occasion(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, range(1, 101), audience={"coverage": 0.3}, variants=[SILENCE, REMINDER])
    clock.current = NOON
    few = tick(database, clock).assigned
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="test", key="spring", coverage=0.9)
    assert tick(database, clock) == NOTHING
    send_all(database, clock)
    clock.current = NOON + DAY
    assert tick(database, clock).assigned > few


def test_a_crash_at_any_point_of_an_occasion_loses_and_doubles_nothing(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    for occasion in range(2):
        clock.current = NOON + occasion * DAY
        crashes = 0
        for looks in range(1, 80):
            try:
                tick(database, DyingClock(clock.now(), looks), batch=4)
            except KeyboardInterrupt:
                crashes += 1
                balanced(database)
                continue
            break
        assert crashes > 6
        rows = assignments(database)
        assert set(rows) == set(range(1, 31))
        assert {row.occasions for row in rows.values()} == {occasion + 1}
        assert balanced(database) == len(messages(database))
        clock.advance(timedelta(hours=7))
        send_all(database, clock)


def test_two_planners_at_once_plan_an_occasion_once(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, range(1, 121))
    for occasion in range(2):
        clock.current = NOON + occasion * DAY
        together(lambda _: tick(database, clock, batch=5))
        assert {row.occasions for row in assignments(database).values()} == {occasion + 1}
        assert balanced(database) == len(messages(database))
        clock.advance(timedelta(hours=7))
        send_all(database, clock)
