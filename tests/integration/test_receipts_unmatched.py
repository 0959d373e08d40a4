"""Statuses whose message is not known yet wait for it, however many of another system's wait before them, on both databases."""

import json
from datetime import timedelta

from sqlalchemy import update
from sqlmodel import Session

from delivery.models import Message
from delivery.receipts.inbox import UNMATCHED_FOR, WebhookState, counts, page, store_all
from delivery.receipts.projection import Projected, next_look
from delivery.watch import summary_repository
from delivery.watch.summary_repository import Inbox
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration import outbox
from tests.integration.outbox import later
from tests.integration.webhooks import WAMID, come, project, sent_out, status, statuses, stored, text_from

FOREIGN = 600


def _foreign_come(database: Database, clock: SteppedClock) -> None:
    bodies = [
        statuses(status("sent", clock.now(), wamid=f"wamid.foreign.{number}")) for number in range(FOREIGN)
    ]
    with database.transaction() as session:
        store_all(session, clock, bodies=[_raw(body) for body in bodies])


def _raw(body: dict[str, object]) -> bytes:
    return json.dumps(body).encode()


def test_a_status_finds_its_message_behind_any_number_of_foreign_ones(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    _foreign_come(database, clock)
    ours = come(database, clock, statuses(status("delivered", clock.now())))
    assert project(database, clock).unmatched == FOREIGN + 1
    outbox.change(database, lambda s: s.exec(update(Message).values(wamid=WAMID, state="accepted")))
    clock.advance(timedelta(seconds=1))
    assert project(database, clock).changed == 1
    assert outbox.message(database, pk).state == "delivered"
    assert (stored(database, ours).projected_at, stored(database, ours).unmatched) == (clock.now(), None)


def test_what_has_waited_long_is_looked_at_ever_more_rarely_and_then_given_up(
    database: Database, clock: SteppedClock
) -> None:
    came = clock.now()
    body_id = come(database, clock, statuses(status("sent", came)))
    looks = []
    waits = True
    while waits:
        if project(database, clock).statuses:
            looks.append((clock.now() - came).total_seconds())
            # Only a look can end it; asking after each of 900 seconds would be most of what this test does.
            waits = stored(database, body_id).projected_at is None
        clock.advance(timedelta(seconds=1))
        assert clock.now() - came <= UNMATCHED_FOR + timedelta(seconds=1)
    assert looks[:6] == [0, 1, 2, 3, 5, 8]
    assert looks[-1] == UNMATCHED_FOR.total_seconds()
    assert len(looks) < 22
    assert stored(database, body_id).error == "1 statuses of messages that we do not know"


def test_the_turn_comes_within_half_the_wait_and_never_after_the_end(clock: SteppedClock) -> None:
    came = clock.now()
    assert next_look(came, came) == later(clock, seconds=1)
    assert next_look(later(clock, seconds=30), came) == later(clock, seconds=1)
    assert next_look(came, later(clock, minutes=4)) == later(clock, minutes=6)
    assert next_look(came, later(clock, minutes=14)) == came + UNMATCHED_FOR


def test_waiting_is_what_nobody_looked_at_and_unmatched_stands_apart(
    database: Database, clock: SteppedClock
) -> None:
    left = come(database, clock, statuses(status("sent", clock.now())))
    project(database, clock)
    assert _inbox(database) == Inbox(waiting=0, oldest=None, unmatched=1, errors=0)
    clock.advance(timedelta(milliseconds=500))
    new = come(database, clock, text_from("+12025550123", "hello", clock.now()))
    assert _inbox(database) == Inbox(waiting=1, oldest=clock.now(), unmatched=1, errors=0)
    with database.snapshot() as session:
        assert summary_repository.webhooks_waiting(session) == counts(session).waiting == 1
        assert _ids(session, WebhookState.WAITING) == [new]
        assert _ids(session, WebhookState.UNMATCHED) == [left]
    assert project(database, clock) == Projected(bodies=1, inbound=1, strangers=1)


def _inbox(database: Database) -> Inbox:
    with database.snapshot() as session:
        return summary_repository.inbox(session)


def _ids(session: Session, state: WebhookState) -> list[int | None]:
    return [body.id for body in page(session, state=state, after_id=0, limit=9)]
