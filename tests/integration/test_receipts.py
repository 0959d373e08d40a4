"""From a stored webhook to states, consent and fuses, on both databases."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import select

from delivery import breakers
from delivery.models import Message, WebhookBody
from delivery.receipts import UNMATCHED_FOR, Projected, project_tick, store
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from targeting import consent
from targeting.models import User, UserAlias
from tests.integration import outbox
from tests.integration.outbox import NUMBER, later

WAMID = "wamid.1"


def _project(database: Database, clock: SteppedClock, **options: Any) -> Projected:
    return project_tick(database, clock, settings=outbox.settings(), **options)


def _come(database: Database, clock: SteppedClock, body: bytes | dict[str, Any]) -> int:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with database.transaction() as session:
        return store(session, clock, body=raw)


def _change(field: str, value: dict[str, Any], *, at: datetime | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": "1", "changes": [{"field": field, "value": value}]}
    if at is not None:
        entry["time"] = to_micros(at) // 1_000_000
    return {"object": "whatsapp_business_account", "entry": [entry]}


def _status(
    kind: str, at: datetime, callback: str | None = None, *, wamid: str = WAMID, code: int | None = None
):
    status: dict[str, Any] = {"id": wamid, "status": kind, "timestamp": str(to_micros(at) // 1_000_000)}
    if callback is not None:
        status["biz_opaque_callback_data"] = callback
    if code is not None:
        status["errors"] = [{"code": code, "title": "title"}]
    return status


def _statuses(*statuses: dict[str, Any]) -> dict[str, Any]:
    return _change("messages", {"messaging_product": "whatsapp", "statuses": list(statuses)})


def _text(phone: str, text: str, at: datetime) -> dict[str, Any]:
    inbound = {
        "from": phone.removeprefix("+"),
        "id": f"wamid.in.{to_micros(at)}",
        "timestamp": str(to_micros(at) // 1_000_000),
        "type": "text",
        "text": {"body": text},
    }
    return _change("messages", {"messages": [inbound]})


def _preference(phone: str, value: str, at: datetime) -> dict[str, Any]:
    item = {
        "wa_id": phone.removeprefix("+"),
        "value": value,
        "category": "marketing_messages",
        "timestamp": to_micros(at) // 1_000_000,
    }
    return _change("user_preferences", {"user_preferences": [item]})


def _template(event: str, at: datetime, language: str | None = "en_US") -> dict[str, Any]:
    value = {"event": event, "message_template_name": "promo_a", "message_template_language": language}
    return _change("message_template_status_update", {k: v for k, v in value.items() if v}, at=at)


def _out(database: Database, clock: SteppedClock, number: int = 1, **changes: Any) -> list[int]:
    """Messages that went out just now."""
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, number)
    defaults = {
        "state": "inflight",
        "tries": 1,
        "slot_at": clock.now(),
        "claimed_by": "w",
        "lease_until": later(clock, hours=24),
    }
    return outbox.add_messages(database, clock, experiment_id, users, **defaults | changes)


def _granted(database: Database, user_pk: int) -> bool:
    with database.snapshot() as session:
        return consent.consents_of(session, user_pk=user_pk)[0].granted


def _body(database: Database, body_id: int) -> WebhookBody:
    with database.snapshot() as session:
        found = session.get(WebhookBody, body_id)
    assert found is not None
    return found


def test_statuses_move_a_message_that_is_found_by_our_id(database: Database, clock: SteppedClock) -> None:
    (pk,) = _out(database, clock)
    body_id = _come(
        database,
        clock,
        _statuses(
            _status("delivered", later(clock, seconds=3), str(pk)),
            _status("sent", later(clock, seconds=1), str(pk)),
        ),
    )
    assert _project(database, clock) == Projected(bodies=1, statuses=2, changed=1)
    message = outbox.message(database, pk)
    assert (message.state, message.wamid, message.lease_until) == ("delivered", WAMID, None)
    assert (message.sent_at, message.delivered_at) == (later(clock, seconds=1), later(clock, seconds=3))
    assert (_body(database, body_id).projected_at, _body(database, body_id).error) == (clock.now(), None)
    assert _project(database, clock) == Projected()


def test_a_status_without_our_id_is_found_by_whatsapps(database: Database, clock: SteppedClock) -> None:
    (pk,) = _out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    _come(database, clock, _statuses(_status("read", clock.now())))
    _project(database, clock)
    assert outbox.message(database, pk).state == "read"


def test_a_message_that_was_given_up_is_resolved(database: Database, clock: SteppedClock) -> None:
    (pk,) = _out(database, clock, state="unknown", reason="no_answer", lease_until=None)
    _come(database, clock, _statuses(_status("sent", clock.now(), str(pk))))
    _project(database, clock)
    message = outbox.message(database, pk)
    assert (message.state, message.reason) == ("sent", None)


def test_a_failed_status_frees_the_slot_and_plans_the_next_try(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    failed = _statuses(_status("failed", later(clock, minutes=1), str(pk), code=131049))
    _come(database, clock, failed)
    _project(database, clock)
    message = outbox.message(database, pk)
    assert (message.state, message.reason, message.error_code) == ("planned", "meta_cap", 131049)
    assert (message.due_at, message.slot_at) == (later(clock, hours=24, minutes=1), None)
    _come(database, clock, failed)
    clock.advance(timedelta(hours=3))
    _project(database, clock)
    assert outbox.message(database, pk).due_at == message.due_at


def test_an_opt_out_that_comes_as_a_failure_withdraws_consent(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock)
    _come(database, clock, _statuses(_status("failed", clock.now(), str(pk), code=131050)))
    assert _project(database, clock).withdrawn == 1
    message = outbox.message(database, pk)
    assert (message.state, message.reason) == ("suppressed", "opted_out")
    assert not _granted(database, message.user_pk)


def test_a_body_that_cannot_be_read_keeps_its_error_and_holds_nobody_up(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock)
    broken = _come(database, clock, b"{not json")
    _come(database, clock, _statuses(_status("sent", clock.now(), str(pk))))
    assert _project(database, clock).errors == 1
    body = _body(database, broken)
    assert (body.error, body.projected_at, body.body) == (
        "the webhook body is not JSON",
        clock.now(),
        b"{not json",
    )
    assert outbox.message(database, pk).state == "sent"


def test_unknown_kinds_are_kept_and_done(database: Database, clock: SteppedClock) -> None:
    body_id = _come(database, clock, _change("account_update", {"event": "VERIFIED_ACCOUNT"}))
    assert _project(database, clock) == Projected(bodies=1, other=1)
    assert _body(database, body_id).projected_at == clock.now()
    assert _body(database, body_id).error is None


def test_a_status_that_was_faster_than_our_commit_waits_for_its_message(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock)
    body_id = _come(database, clock, _statuses(_status("delivered", clock.now())))
    assert _project(database, clock).unmatched == 1
    left = _body(database, body_id)
    assert left.projected_at is None
    assert left.unmatched is not None
    outbox.change(database, lambda s: s.exec(update(Message).values(wamid=WAMID, state="accepted")))
    clock.advance(timedelta(seconds=5))
    assert _project(database, clock).changed == 1
    assert outbox.message(database, pk).state == "delivered"
    assert (_body(database, body_id).projected_at, _body(database, body_id).unmatched) == (clock.now(), None)


def test_a_status_of_nobodys_message_stays_visible_with_an_error(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock)
    known = _status("sent", clock.now(), str(pk))
    foreign = _status("sent", clock.now(), "somebody else's", wamid="wamid.foreign")
    body_id = _come(database, clock, _statuses(foreign, known))
    _project(database, clock)
    assert outbox.message(database, pk).state == "sent"
    clock.advance(UNMATCHED_FOR)
    _project(database, clock)
    body = _body(database, body_id)
    assert (body.error, body.projected_at) == ("1 statuses of messages that we do not know", clock.now())
    assert body.unmatched is not None
    assert [left["wamid"] for left in body.unmatched] == ["wamid.foreign"]
    assert _project(database, clock) == Projected()


def test_callback_data_of_another_program_does_not_touch_our_message(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _out(database, clock, state="accepted", wamid=WAMID, lease_until=None)
    _come(
        database,
        clock,
        _statuses(_status("failed", clock.now(), str(pk), wamid="wamid.foreign", code=132000)),
    )
    assert _project(database, clock).unmatched == 1
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
    one, two = _out(database, clock, 2)
    status = _status(
        odd.get("kind", "sent"),
        clock.now(),
        odd.get("callback", str(one)),
        wamid=odd.get("wamid", "wamid.7"),
        code=odd.get("code"),
    )
    _come(database, clock, _statuses(status))
    _come(database, clock, _statuses(_status("sent", clock.now(), str(two))))
    _project(database, clock)
    assert outbox.message(database, two).state == "sent"


def test_an_id_of_whatsapps_that_two_messages_claim_stays_with_the_first(
    database: Database, clock: SteppedClock
) -> None:
    one, two = _out(database, clock, 2)
    _come(
        database,
        clock,
        _statuses(_status("sent", clock.now(), str(one)), _status("sent", clock.now(), str(two))),
    )
    _project(database, clock)
    assert [outbox.message(database, pk).wamid for pk in (one, two)] == [WAMID, None]
    assert {outbox.message(database, pk).state for pk in (one, two)} == {"sent"}


def test_a_body_that_the_database_refuses_is_put_aside_alone(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import DataError

    from delivery import inbound

    (pk,) = _out(database, clock)
    really = inbound.hear

    def hear(session, clock, *, said, opted_out=()):
        if any(item.wa_id == "12025550123" for item in said):
            raise DataError("insert", {}, ValueError("too long"))
        return really(session, clock, said=said, opted_out=opted_out)

    poison = _come(database, clock, _text("+12025550123", "hello", clock.now()))
    _come(database, clock, _statuses(_status("sent", clock.now(), str(pk))))
    monkeypatch.setattr(inbound, "hear", hear)
    assert _project(database, clock).errors == 1
    assert _body(database, poison).error == "cannot be stored: DataError"
    assert outbox.message(database, pk).state == "sent"


def test_an_inbound_message_dates_the_person_and_never_backwards(
    database: Database, clock: SteppedClock
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    _come(database, clock, _text(phone, "hello", later(clock, seconds=5)))
    _come(database, clock, _text(phone, "earlier", later(clock, seconds=-60)))
    assert _project(database, clock, batch=1).inbound == 2
    with database.snapshot() as session:
        user = session.get(User, user_pk)
    assert user is not None
    assert user.last_inbound_at == user.last_seen_at == later(clock, seconds=5)
    assert _granted(database, user_pk)


@pytest.mark.parametrize("word", ["STOP", " baja ", "Afmelden.", "退订"])
def test_a_stop_word_withdraws_at_once(database: Database, clock: SteppedClock, word: str) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    _come(database, clock, _text(outbox.phone_of(0), word, clock.now()))
    assert _project(database, clock).withdrawn == 1
    assert not _granted(database, user_pk)


@pytest.mark.parametrize("kind", ["wa_id", "business_scoped_id"])
def test_a_stop_under_another_name_is_the_same_persons(
    database: Database, clock: SteppedClock, kind: str
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    outbox.change(database, lambda s: s.add(UserAlias(kind=kind, value="5511987654321", user_pk=user_pk)))
    body = _text("5511987654321", "stop", clock.now())
    if kind == "business_scoped_id":
        (inbound,) = body["entry"][0]["changes"][0]["value"]["messages"]
        inbound["from_user_id"] = inbound.pop("from")
    _come(database, clock, body)
    assert _project(database, clock).withdrawn == 1
    assert not _granted(database, user_pk)


def test_a_stranger_is_counted_and_changes_nothing(database: Database, clock: SteppedClock) -> None:
    _come(database, clock, _text("+12025550123", "stop", clock.now()))
    assert _project(database, clock) == Projected(bodies=1, inbound=1, strangers=1)


def test_an_old_resume_never_undoes_a_newer_stop(database: Database, clock: SteppedClock) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    resume = _preference(phone, "resume", later(clock, seconds=1))
    stop = _preference(phone, "stop", later(clock, seconds=2))
    clock.advance(timedelta(seconds=3))
    for body in (stop, resume):
        _come(database, clock, body)
    _project(database, clock)
    assert not _granted(database, user_pk)
    _come(database, clock, resume)
    _project(database, clock)
    assert not _granted(database, user_pk)
    _come(database, clock, _preference(phone, "resume", later(clock, seconds=10)))
    assert _project(database, clock).granted == 1
    assert _granted(database, user_pk)


def test_templates_pause_and_return_in_any_order(database: Database, clock: SteppedClock) -> None:
    paused, back = _template("PAUSED", clock.now()), _template("REINSTATED", later(clock, minutes=5))
    clock.advance(timedelta(minutes=10))

    def is_open() -> bool:
        with database.snapshot() as session:
            return bool(breakers.open_breakers(session, clock))

    _come(database, clock, paused)
    _project(database, clock)
    assert is_open()
    for body in (back, paused):
        _come(database, clock, body)
        _project(database, clock)
        assert not is_open()


def test_a_return_that_comes_before_its_pause_wins_all_the_same(
    database: Database, clock: SteppedClock
) -> None:
    _come(database, clock, _template("REINSTATED", later(clock, minutes=5), language=None))
    _project(database, clock)
    _come(database, clock, _template("PAUSED", clock.now(), language=None))
    _project(database, clock)
    clock.advance(timedelta(minutes=10))
    with database.snapshot() as session:
        assert breakers.open_breakers(session, clock) == []


def test_failures_open_the_fuses_of_number_and_variant(database: Database, clock: SteppedClock) -> None:
    ids = _out(database, clock, 6)
    failures = [
        _status("failed", clock.now(), str(pk), wamid=f"wamid.{pk}", code=code)
        for pk, code in zip(ids, [131042, *[132012] * 5], strict=True)
    ]
    _come(database, clock, _statuses(*failures))
    _project(database, clock)
    assert set(outbox.breakers(database)) == {("number", NUMBER), ("variant", "spring/a")}
    assert outbox.message(database, ids[0]).state == "planned"


def test_failures_between_successes_do_not_stop_the_variant(database: Database, clock: SteppedClock) -> None:
    ids = _out(database, clock, 6)
    statuses = [_status("failed", clock.now(), str(pk), wamid=f"wamid.{pk}", code=132012) for pk in ids[:5]]
    _come(database, clock, _statuses(*statuses, _status("sent", clock.now(), str(ids[5]), wamid="wamid.x")))
    _project(database, clock)
    assert outbox.breakers(database) == {}


def test_a_scoped_id_in_a_status_becomes_an_alias(database: Database, clock: SteppedClock) -> None:
    (pk,) = _out(database, clock)
    _come(database, clock, _statuses(_status("sent", clock.now(), str(pk)) | {"recipient_user_id": "US.42"}))
    _project(database, clock)
    with database.snapshot() as session:
        (alias,) = session.exec(select(UserAlias)).all()
    assert (alias.kind, alias.value) == ("business_scoped_id", "US.42")
    assert alias.user_pk == outbox.message(database, pk).user_pk


def test_a_limit_bounds_a_tick_and_the_next_goes_on(database: Database, clock: SteppedClock) -> None:
    ids = _out(database, clock, 5)
    for pk in ids:
        _come(database, clock, _statuses(_status("sent", clock.now(), str(pk), wamid=f"wamid.{pk}")))
    assert _project(database, clock, limit=3, batch=2).bodies == 3
    assert _project(database, clock).bodies == 2
    assert {message.state for message in outbox.messages(database).values()} == {"sent"}
