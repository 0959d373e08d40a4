"""From a stored webhook to the states of messages, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import select

from delivery.models import Message
from delivery.receipts.inbox import UNMATCHED_FOR, Projected
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import UserAlias
from tests.integration import outbox
from tests.integration.outbox import later
from tests.integration.webhooks import (
    WAMID,
    change_of,
    come,
    is_granted,
    project,
    sent_out,
    status,
    statuses,
    stored,
    text_from,
)


def test_statuses_move_a_message_that_is_found_by_our_id(database: Database, clock: SteppedClock) -> None:
    (pk,) = sent_out(database, clock)
    body_id = come(
        database,
        clock,
        statuses(
            status("delivered", later(clock, seconds=3), str(pk)),
            status("sent", later(clock, seconds=1), str(pk)),
        ),
    )
    assert project(database, clock) == Projected(bodies=1, statuses=2, changed=1)
    message = outbox.message(database, pk)
    assert (message.state, message.wamid, message.lease_until) == ("delivered", WAMID, None)
    assert (message.sent_at, message.delivered_at) == (later(clock, seconds=1), later(clock, seconds=3))
    assert (stored(database, body_id).projected_at, stored(database, body_id).error) == (clock.now(), None)
    assert project(database, clock) == Projected()


@pytest.mark.parametrize("odd", ["-1", "-62135596800", "0", "1230767999", "soon"])
def test_a_status_of_an_impossible_time_is_dated_by_its_receipt(
    database: Database, clock: SteppedClock, odd: str
) -> None:
    (pk,) = sent_out(database, clock)
    come(database, clock, statuses(status("sent", clock.now(), str(pk)) | {"timestamp": odd}))
    project(database, clock)
    assert outbox.message(database, pk).sent_at == clock.now()


def test_a_status_without_our_id_is_found_by_whatsapps(database: Database, clock: SteppedClock) -> None:
    (pk,) = sent_out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    come(database, clock, statuses(status("read", clock.now())))
    project(database, clock)
    assert outbox.message(database, pk).state == "read"


def test_a_message_that_was_given_up_is_resolved(database: Database, clock: SteppedClock) -> None:
    (pk,) = sent_out(database, clock, state="unknown", reason="no_answer", lease_until=None)
    come(database, clock, statuses(status("sent", clock.now(), str(pk))))
    project(database, clock)
    message = outbox.message(database, pk)
    assert (message.state, message.reason) == ("sent", None)


def test_a_failed_status_frees_the_slot_and_plans_the_next_try(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    failed = statuses(status("failed", later(clock, minutes=1), str(pk), code=131049))
    come(database, clock, failed)
    project(database, clock)
    message = outbox.message(database, pk)
    assert (message.state, message.reason, message.error_code) == ("planned", "meta_cap", 131049)
    assert (message.due_at, message.slot_at) == (later(clock, hours=24, minutes=1), None)
    assert message.failed_at == message.first_failed_at == later(clock, minutes=1)
    come(database, clock, failed)
    clock.advance(timedelta(hours=3))
    project(database, clock)
    assert outbox.message(database, pk).due_at == message.due_at


def test_an_opt_out_that_comes_as_a_failure_withdraws_consent(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    come(database, clock, statuses(status("failed", clock.now(), str(pk), code=131050)))
    assert project(database, clock).withdrawn == 1
    message = outbox.message(database, pk)
    assert (message.state, message.reason) == ("suppressed", "opted_out")
    assert not is_granted(database, message.user_pk)


def test_a_body_that_cannot_be_read_keeps_its_error_and_holds_nobody_up(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    broken = come(database, clock, b"{not json")
    come(database, clock, statuses(status("sent", clock.now(), str(pk))))
    assert project(database, clock).errors == 1
    body = stored(database, broken)
    assert (body.error, body.projected_at, body.body) == (
        "the webhook body is not JSON",
        clock.now(),
        b"{not json",
    )
    assert outbox.message(database, pk).state == "sent"


def test_unknown_kinds_are_kept_and_done(database: Database, clock: SteppedClock) -> None:
    body_id = come(database, clock, change_of("account_update", {"event": "VERIFIED_ACCOUNT"}))
    assert project(database, clock) == Projected(bodies=1, other=1)
    assert stored(database, body_id).projected_at == clock.now()
    assert stored(database, body_id).error is None


def test_a_status_that_was_faster_than_our_commit_waits_for_its_message(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    body_id = come(database, clock, statuses(status("delivered", clock.now())))
    assert project(database, clock).unmatched == 1
    left = stored(database, body_id)
    assert left.projected_at is None
    assert left.unmatched is not None
    outbox.change(database, lambda s: s.exec(update(Message).values(wamid=WAMID, state="accepted")))
    clock.advance(timedelta(seconds=5))
    assert project(database, clock).changed == 1
    assert outbox.message(database, pk).state == "delivered"
    assert (stored(database, body_id).projected_at, stored(database, body_id).unmatched) == (
        clock.now(),
        None,
    )


def test_a_status_of_nobodys_message_stays_visible_with_an_error(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    known = status("sent", clock.now(), str(pk))
    foreign = status("sent", clock.now(), "somebody else's", wamid="wamid.foreign")
    body_id = come(database, clock, statuses(foreign, known))
    project(database, clock)
    assert outbox.message(database, pk).state == "sent"
    clock.advance(UNMATCHED_FOR)
    project(database, clock)
    body = stored(database, body_id)
    assert (body.error, body.projected_at) == ("1 statuses of messages that we do not know", clock.now())
    assert body.unmatched is not None
    assert [left["wamid"] for left in body.unmatched] == ["wamid.foreign"]
    assert project(database, clock) == Projected()


def test_callback_data_of_another_program_does_not_touch_our_message(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    come(
        database,
        clock,
        statuses(status("failed", clock.now(), str(pk), wamid="wamid.foreign", code=132000)),
    )
    assert project(database, clock).unmatched == 1
    assert outbox.message(database, pk).state == "accepted"


@pytest.mark.parametrize(
    "odd",
    [
        {"wamid": "w" * 300},
        {"code": 2**70, "kind": "failed"},
        {"callback": "9" * 40},
        {"callback": "9" * 18},
        {"wamid": "wamid.\0x"},
    ],
)
def test_what_does_not_fit_its_column_never_stops_the_others(
    database: Database, clock: SteppedClock, odd: dict[str, Any]
) -> None:
    one, two = sent_out(database, clock, 2)
    one_status = status(
        odd.get("kind", "sent"),
        clock.now(),
        odd.get("callback", str(one)),
        wamid=odd.get("wamid", "wamid.7"),
        code=odd.get("code"),
    )
    come(database, clock, statuses(one_status))
    come(database, clock, statuses(status("sent", clock.now(), str(two))))
    project(database, clock)
    assert outbox.message(database, two).state == "sent"


def test_an_id_of_whatsapps_that_two_messages_claim_stays_with_the_first(
    database: Database, clock: SteppedClock
) -> None:
    one, two = sent_out(database, clock, 2)
    come(
        database,
        clock,
        statuses(status("sent", clock.now(), str(one)), status("sent", clock.now(), str(two))),
    )
    project(database, clock)
    assert [outbox.message(database, pk).wamid for pk in (one, two)] == [WAMID, None]
    assert {outbox.message(database, pk).state for pk in (one, two)} == {"sent"}


def test_a_body_that_the_database_refuses_is_put_aside_alone(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import DataError

    from delivery.receipts import inbound

    (pk,) = sent_out(database, clock)
    really = inbound.hear

    def hear(session, clock, *, said, **also):
        if any(item.wa_id == "12025550123" for item in said):
            raise DataError("insert", {}, ValueError("too long"))
        return really(session, clock, said=said, **also)

    poison = come(database, clock, text_from("+12025550123", "hello", clock.now()))
    come(database, clock, statuses(status("sent", clock.now(), str(pk))))
    monkeypatch.setattr(inbound, "hear", hear)
    assert project(database, clock).errors == 1
    assert stored(database, poison).error == "cannot be stored: DataError"
    assert outbox.message(database, pk).state == "sent"


def test_a_scoped_id_in_a_status_becomes_an_alias(database: Database, clock: SteppedClock) -> None:
    (pk,) = sent_out(database, clock)
    come(database, clock, statuses(status("sent", clock.now(), str(pk)) | {"recipient_user_id": "US.42"}))
    project(database, clock)
    with database.snapshot() as session:
        (alias,) = session.exec(select(UserAlias)).all()
    assert (alias.kind, alias.value) == ("business_scoped_id", "US.42")
    assert alias.user_pk == outbox.message(database, pk).user_pk


def test_a_limit_bounds_a_tick_and_the_next_goes_on(database: Database, clock: SteppedClock) -> None:
    ids = sent_out(database, clock, 5)
    for pk in ids:
        come(database, clock, statuses(status("sent", clock.now(), str(pk), wamid=f"wamid.{pk}")))
    assert project(database, clock, limit=3, batch=2).bodies == 3
    assert project(database, clock).bodies == 2
    assert {message.state for message in outbox.messages(database).values()} == {"sent"}
