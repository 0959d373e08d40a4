"""Conservation is checked by itself, within its share of the time, and says so when it does not hold."""

import logging
from datetime import timedelta

import pytest
from sqlmodel import Session, col, select, update

from delivery.models import Balance, Message
from delivery.planning import planner
from delivery.watch import book_repository, books
from delivery.watch.books import SAVED, SHARE, Books, Checked
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Assignment
from tests.integration.people import add_people, campaign, start_campaign


class Machine:
    """The machine's time in seconds: each look at it costs as much as a check is said to take."""

    def __init__(self, cost: float) -> None:
        self.seconds, self.cost = 1000.0, cost

    def __call__(self) -> float:
        self.seconds += self.cost
        return self.seconds


def planned(database: Database, clock: SteppedClock, *keys: str) -> dict[str, int]:
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        ids = {key: start_campaign(session, clock, campaign(key)).id or 0 for key in keys}
    planner.plan_tick(database, clock, settings=Settings())
    return ids


def kept(session: Session) -> dict[str, tuple[int, int, bool]]:
    return {
        row.experiment: (row.slots, row.messages, row.broken_at is None)
        for row in book_repository.kept(session)
    }


def test_the_first_tick_checks_everything(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring", "autumn")
    done = Books(database, clock).tick()
    assert (done.experiments, done.broken) == (2, ())
    with database.snapshot() as session:
        found = kept(session)
        messages = len(session.exec(select(Message.id)).all())
    assert found.keys() == {"spring", "autumn"}
    assert all(slots == there and holds for slots, there, holds in found.values())
    assert sum(there for _, there, _ in found.values()) == messages > 60


def test_a_lost_message_is_an_error_once_and_is_over_when_it_is_back(
    database: Database, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    ids = planned(database, clock, "spring", "autumn")
    watch = Books(database, clock)
    watch.tick()
    with database.transaction() as session:
        gone = session.exec(select(Message).where(Message.experiment_id == ids["spring"])).first()
        assert gone is not None
        copy = gone.model_dump()
        session.delete(gone)
    caplog.set_level(logging.WARNING)
    broke = clock.advance(timedelta(minutes=1))
    assert Books(database, clock).tick().broken == ("spring",)
    clock.advance(timedelta(minutes=1))
    assert Books(database, clock).tick().broken == ("spring",)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "spring" in caplog.text
    assert "+1" not in caplog.text
    with database.snapshot() as session:
        row = session.get(Balance, ids["spring"])
        assert row is not None
        assert (row.broken_at, row.checked_at) == (broke, clock.now())
        assert row.slots == row.messages + 1
        assert row.detail is not None
        assert list(row.detail) == [copy["variant"]]
    with database.transaction() as session:
        session.add(Message(**copy))
    assert Books(database, clock).tick() == Checked(2, (), pytest.approx(0, abs=60))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_occasions_of_a_recurring_campaign_are_owed_each(database: Database, clock: SteppedClock) -> None:
    ids = planned(database, clock, "spring")
    with database.transaction() as session:
        session.execute(
            update(Assignment).where(col(Assignment.experiment_id) == ids["spring"]).values(occasions=2)
        )
    assert Books(database, clock).tick().broken == ("spring",)
    with database.transaction() as session:
        for message in session.exec(select(Message)).all():
            steps = {"reminder": 1, "coupon": 2}[message.variant]
            session.add(Message(**message.model_dump(exclude={"id", "step"}), step=message.step + steps))
    assert Books(database, clock).tick().broken == ()


def test_checking_takes_its_share_of_the_time_and_those_that_waited_longest_come_first(
    database: Database, clock: SteppedClock
) -> None:
    planned(database, clock, "one", "two", "three")
    machine = Machine(cost=0.0)
    watch = Books(database, clock, monotonic=machine)
    assert watch.tick().experiments == 3
    # A check now takes 4 looks at the time: more than can be saved up for one tick.
    machine.cost = SAVED / 2
    seen: list[int] = []
    looked_at: list[str] = []
    before = _times(database)
    for _ in range(400):
        machine.seconds += 5.0
        clock.advance(timedelta(seconds=5))
        seen.append(watch.tick().experiments)
        if seen[-1]:
            now = _times(database)
            looked_at += [key for key, at in now.items() if at != before[key]]
            before = now
    spent = sum(seen) * 3 * machine.cost
    assert 0.5 * SHARE < spent / (400 * 5) < 2 * SHARE
    assert max(seen) == 1
    assert looked_at[:6] == ["one", "two", "three"] * 2


def _times(database: Database) -> dict[str, object]:
    with database.snapshot() as session:
        return {row.experiment: row.checked_at for row in book_repository.kept(session)}


def test_a_stopped_experiment_is_looked_at_once_a_day(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring", "autumn")
    watch = Books(database, clock)
    watch.tick()
    clock.advance(timedelta(minutes=1))
    with database.transaction() as session:
        planner.stop(session, clock, actor="test", key="spring")
    clock.advance(timedelta(minutes=1))
    assert Books(database, clock).tick().experiments == 2
    assert Books(database, clock).tick().experiments == 1
    clock.advance(books.REST + timedelta(minutes=1))
    assert Books(database, clock).tick().experiments == 2
