"""Messages are held in the order of their ids by all that move several of them, on PostgreSQL: two that meet never deadlock."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from delivery import privacy_repository
from delivery.fuses.outcomes import Answered
from delivery.models import Message
from delivery.outbox import dispatch_repository
from delivery.outbox.retry import Rules
from delivery.planning import planning_repository
from delivery.sending import claim_repository
from delivery.sending.recording import record
from delivery.whatsapp.client import Accepted, Unknown
from experiments.clock import Clock, SteppedClock
from experiments.database import Database
from experiments.service import design_of
from tests.integration.outbox import (
    NUMBER,
    add_experiment,
    add_messages,
    add_users,
    campaign,
    messages,
    phone_of,
    settings,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    found = Database(postgres_url)
    yield found
    found.dispose()


@contextmanager
def held(database: Database, message_id: int) -> Iterator[None]:
    """Somebody else is busy with this message."""
    with database.transaction() as session:
        assert dispatch_repository.stories(session, [message_id])
        yield


def is_free(database: Database, message_id: int) -> bool:
    query = text("SELECT 1 FROM messages WHERE id = :id FOR UPDATE SKIP LOCKED")
    with database.transaction() as session:
        return session.connection().execute(query, {"id": message_id}).first() is not None


def wait_until_blocked(database: Database, work: "Future[object]") -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(20_000):
        with database.snapshot() as session:
            if session.connection().execute(query).scalar():
                return
        assert not work.done(), work.result()
    pytest.fail("it never waited for the message that is held")


def moves_in_order(database: Database, ids: list[int], move: Callable[[Session], object]) -> None:
    """While the first message is held, `move` waits for it, and holds none of the others yet."""
    first, *others = ids
    # From now on its row lies behind those of the others, in the table and in the index by due time, where a walk comes last.
    with database.transaction() as session:
        message = session.exec(select(Message).where(Message.id == first)).one()
        message.due_at += timedelta(minutes=1)

    def moved() -> object:
        with database.transaction() as session:
            return move(session)

    with ThreadPoolExecutor(1) as elsewhere:
        with held(database, first):
            work: Future[object] = elsewhere.submit(moved)
            wait_until_blocked(database, work)
            free = [is_free(database, pk) for pk in others]
        work.result()
    assert all(free), free


@pytest.mark.parametrize(
    ("state", "move"),
    [
        ("claimed", claim_repository.return_expired_claims),
        ("inflight", claim_repository.give_up_waiting),
    ],
)
def test_leases_that_ended_are_not_waited_for(
    database: Database, clock: SteppedClock, state: str, move: Callable[..., int]
) -> None:
    experiment = add_experiment(database, clock)
    lease = {"state": state, "lease_until": clock.now() - HOUR, "claimed_by": "gone"}
    ids = add_messages(database, clock, experiment, add_users(database, clock, 3), **lease)
    with held(database, ids[1]), database.transaction() as session:
        session.connection().execute(text("SET LOCAL lock_timeout = '20s'"))
        assert move(session, now=clock.now()) == 2
    assert [messages(database)[pk].state == state for pk in ids] == [False, True, False]
    with database.transaction() as session:
        assert move(session, now=clock.now()) == 1


def test_answers_of_every_kind_are_held_in_one_order(database: Database, clock: SteppedClock) -> None:
    ids = campaign(database, clock, 3)
    with database.transaction() as session:
        session.connection().execute(text("UPDATE messages SET state = 'inflight', tries = 1"))
    with database.snapshot() as session:
        stories = dispatch_repository.stories(session, ids, hold=False)
        known = dispatch_repository.definitions(session, {stories[ids[0]].experiment_id})
        designs = {pk: design_of(experiment) for pk, experiment in known.items()}
    outcomes = [Unknown("ReadTimeout"), Accepted("wamid.2", None, None), Accepted("wamid.3", None, None)]
    answers = [Answered(stories[pk], phone_of(0), outcome) for pk, outcome in zip(ids, outcomes, strict=True)]

    def recorded(session: Session) -> object:
        return record(
            session,
            clock,
            answers=answers,
            rules=Rules.of(settings()),
            number=NUMBER,
            designs=designs,
            rng=np.random.default_rng(1),
            at=clock.now(),
        )

    moves_in_order(database, ids, recorded)
    assert [messages(database)[pk].state for pk in ids] == ["inflight", "accepted", "accepted"]


def test_cancelling_planning_again_and_forgetting_hold_in_that_order(
    database: Database, clock: SteppedClock
) -> None:
    experiment = add_experiment(database, clock)
    (user,) = add_users(database, clock, 1)
    ids = [
        pk
        for step in range(3)
        for pk in add_messages(database, clock, experiment, [user], step=step, **_to_come(clock))
    ]
    moves_in_order(
        database,
        ids,
        lambda session: planning_repository.cancel_waiting(
            session, experiment_id=experiment, reason="stopped"
        ),
    )
    assert {message.state for message in messages(database).values()} == {"cancelled"}
    moves_in_order(
        database,
        ids,
        lambda session: planning_repository.restore_cancelled(
            session, experiment_id=experiment, variant="a", reason="stopped", now=clock.now()
        ),
    )
    assert {message.state for message in messages(database).values()} == {"planned"}
    moves_in_order(
        database, ids, lambda session: privacy_repository.forget_messages(session, user, reason="erased")
    )
    assert {message.reason for message in messages(database).values()} == {"erased"}


def _to_come(clock: Clock) -> dict[str, Any]:
    return {"expires_at": clock.now() + HOUR}
