"""Variants added and retired while a campaign sends: who gets them, what becomes of messages, and that the books stay right."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import Session, select

from delivery.models import Message
from delivery.planning import planner
from delivery.sending.dispatch import Dispatcher
from delivery.watch.books import Books
from experiments import service
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.models import Experiment
from targeting import campaigns
from targeting.models import Assignment
from tests.integration.outbox import FakeSender, settings
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign

LATE = {"key": "late", "message": {"template": "late", "language": "en_US"}}
KEY = "spring"


@pytest.fixture
def half(database: Database, clock: SteppedClock) -> int:
    """A campaign that runs with half of 400 people, planned."""
    with database.transaction() as session:
        add_people(session, clock, range(1, 401))
        document = campaign(variants=[SILENCE, REMINDER], audience={"coverage": 0.5})
        experiment_id = start_campaign(session, clock, document).id
    planner.plan_tick(database, clock, settings=settings())
    assert experiment_id is not None
    return experiment_id


def everybody(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=1.0)


def retire(database: Database, clock: SteppedClock, *, cancel: bool) -> int:
    with database.transaction() as session:
        _, cancelled = planner.retire(
            session, clock, actor="ann", key=KEY, variant="reminder", reason="sold out", cancel=cancel
        )
    return cancelled


def assigned(database: Database) -> Counter[str]:
    with database.snapshot() as session:
        return Counter(session.exec(select(Assignment.variant)).all())


def told(database: Database) -> Counter[tuple[str, str, str | None]]:
    with database.snapshot() as session:
        return Counter((m.variant, str(m.state), m.reason) for m in session.exec(select(Message)))


def books_are_right(database: Database, clock: SteppedClock) -> None:
    balanced = Books(database, clock).tick()
    assert not balanced.broken


def test_a_variant_that_is_added_is_drawn_planned_and_sent_by_those_who_send_already(
    database: Database, clock: SteppedClock, half: int
) -> None:
    sender = FakeSender()
    dispatcher = Dispatcher(database, clock, settings(), sender, "w")
    asyncio.run(dispatcher.run(1000))
    before = assigned(database)
    clock.advance(timedelta(minutes=1))
    with database.transaction() as session:
        campaigns.add_variant(
            session, clock, actor="ann", key=KEY, variant=LATE, share=0.6, reason="a new idea"
        )
    everybody(database, clock)
    planner.plan_tick(database, clock, settings=settings())
    after = assigned(database)
    assert after.total() == 400
    assert before["late"] == 0
    # About 120 of the 200 who came later; 60 % is also what their rows say.
    assert 90 <= after["late"] <= 150
    with database.snapshot() as session:
        rows = session.exec(select(Assignment).where(Assignment.variant == "late")).all()
    assert {(row.epoch, round(row.propensity, 12)) for row in rows} == {(2, 0.6)}
    asyncio.run(dispatcher.run(1000))
    assert Counter(message.template for message in sender.sent) == {
        "reminder": after["reminder"],
        "late": after["late"],
    }
    books_are_right(database, clock)


def test_its_message_is_checked_against_the_audience(
    database: Database, clock: SteppedClock, half: int
) -> None:
    needs = {"template": "late", "language": "en_US", "parameters": ["{{ user.citi }}"]}
    with database.transaction() as session, pytest.raises(Invalid) as caught:
        campaigns.add_variant(
            session,
            clock,
            actor="ann",
            key=KEY,
            variant={"key": "late", "message": needs},
            share=None,
            reason="x",
        )
    (problem,) = caught.value.problems
    assert problem.field == "variant.message.parameters[0]"
    assert "nobody in the audience has the attribute 'citi'" in problem.message


def test_what_is_planned_for_a_retired_variant_is_kept(
    database: Database, clock: SteppedClock, half: int
) -> None:
    planned = assigned(database)["reminder"]
    assert retire(database, clock, cancel=False) == 0
    everybody(database, clock)
    planner.plan_tick(database, clock, settings=settings())
    assert assigned(database)["reminder"] == planned
    sender = FakeSender()
    asyncio.run(Dispatcher(database, clock, settings(), sender, "w").run(1000))
    assert len(sender.sent) == planned
    books_are_right(database, clock)


def test_or_it_is_cancelled_for_good(database: Database, clock: SteppedClock, half: int) -> None:
    sender = FakeSender()
    dispatcher = Dispatcher(database, clock, settings(), sender, "w")
    asyncio.run(dispatcher.run(20))
    planned = assigned(database)["reminder"]
    # Enrolled, and not planned yet.
    with database.transaction() as session:
        session.add(
            Assignment(
                experiment_id=half,
                user_pk=max(pk for pk in range(1, 401) if not _is_in(session, pk)),
                variant="reminder",
                epoch=1,
                propensity=0.5,
                assigned_at=clock.now(),
            )
        )
    assert retire(database, clock, cancel=True) == planned - 20
    assert told(database)["reminder", "cancelled", "retired"] == planned - 20
    planner.plan_tick(database, clock, settings=settings())
    assert told(database)["reminder", "cancelled", "retired"] == planned - 19
    # One that was in flight comes back to be tried again: nobody claims it, and the next tick cancels it.
    with database.transaction() as session:
        row = session.exec(select(Message).where(Message.state == "cancelled")).first()
        assert row is not None
        row.state, row.reason = "planned", "retry"
    asyncio.run(dispatcher.run(1000))
    assert len(sender.sent) == 20
    planner.plan_tick(database, clock, settings=settings())
    assert told(database)["reminder", "cancelled", "retired"] == planned - 19
    books_are_right(database, clock)


def test_a_variant_that_gets_weight_again_is_sent_again(
    database: Database, clock: SteppedClock, half: int
) -> None:
    retire(database, clock, cancel=True)
    back_in_stock(database, clock)
    with database.snapshot() as session:
        assert session.get_one(Experiment, half).silenced is None
    before = assigned(database)["reminder"]
    everybody(database, clock)
    planner.plan_tick(database, clock, settings=settings())
    sender = FakeSender()
    asyncio.run(Dispatcher(database, clock, settings(), sender, "w").run(1000))
    assert len(sender.sent) == assigned(database)["reminder"] - before > 50


def test_that_a_variant_is_no_longer_silent_is_in_the_audit_log(
    database: Database, clock: SteppedClock, half: int
) -> None:
    retire(database, clock, cancel=True)
    back_in_stock(database, clock)
    with database.snapshot() as session:
        entry = session.exec(select(AuditEntry).order_by(AuditEntry.id.desc())).first()  # type: ignore[union-attr]
    assert entry is not None
    assert entry.action == "experiment.weights"
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["silenced"], entry.after["silenced"]) == (["reminder"], [])


def test_a_tick_that_began_before_a_variant_came_back_cancels_nothing_of_it(
    database: Database, clock: SteppedClock, half: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    retire(database, clock, cancel=True)
    with database.transaction() as session:
        session.execute(update(Message).values(state="planned", reason="retry"))
    begun = database.snapshot
    left = []

    @contextmanager
    def and_then_it_comes_back() -> Iterator[Session]:
        with begun() as session:
            yield session
        if not left:
            left.append(True)
            back_in_stock(database, clock)

    monkeypatch.setattr(database, "snapshot", and_then_it_comes_back)
    planner.plan_tick(database, clock, settings=settings())
    assert left
    assert told(database)["reminder", "cancelled", "retired"] == 0


def test_a_tick_that_finds_nothing_to_cancel_writes_nothing(
    database: Database, clock: SteppedClock, half: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    retire(database, clock, cancel=True)
    everybody(database, clock)
    planner.plan_tick(database, clock, settings=settings())

    def refuse() -> None:
        raise AssertionError("a transaction was opened")

    monkeypatch.setattr(database, "transaction", refuse)
    planner.plan_tick(database, clock, settings=settings())


def back_in_stock(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        service.set_weights(
            session,
            clock,
            actor="ann",
            key=KEY,
            weights={"silence": 1, "reminder": 1},
            reason="back in stock",
        )


def _is_in(session: object, pk: int) -> bool:
    return session.exec(select(Assignment.id).where(Assignment.user_pk == pk)).first() is not None  # type: ignore[attr-defined]
