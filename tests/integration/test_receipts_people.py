"""What people say to us, on both databases: a stop is believed at once, and nothing older undoes it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from delivery.receipts.inbox import Projected
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict
from targeting import consent, event_repository, users
from targeting.consent import ConsentChange
from targeting.models import User, UserAlias
from tests.integration import outbox
from tests.integration.outbox import later
from tests.integration.webhooks import come, is_granted, preference, project, text_from


def test_an_inbound_message_dates_the_person_and_never_backwards(
    database: Database, clock: SteppedClock
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    come(database, clock, text_from(phone, "hello", later(clock, seconds=5)))
    come(database, clock, text_from(phone, "earlier", later(clock, seconds=-60)))
    assert project(database, clock, batch=1).inbound == 2
    with database.snapshot() as session:
        user = session.get(User, user_pk)
    assert user is not None
    assert user.last_inbound_at == user.last_seen_at == later(clock, seconds=5)
    assert is_granted(database, user_pk)


@pytest.mark.parametrize("word", ["STOP", " baja ", "Afmelden.", "退订"])
def test_a_stop_word_withdraws_at_once(database: Database, clock: SteppedClock, word: str) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    come(database, clock, text_from(outbox.phone_of(0), word, clock.now()))
    assert project(database, clock).withdrawn == 1
    assert not is_granted(database, user_pk)


@pytest.mark.parametrize("kind", ["wa_id", "business_scoped_id"])
def test_a_stop_under_another_name_is_the_same_persons(
    database: Database, clock: SteppedClock, kind: str
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    outbox.change(database, lambda s: s.add(UserAlias(kind=kind, value="5511987654321", user_pk=user_pk)))
    body = text_from("5511987654321", "stop", clock.now())
    if kind == "business_scoped_id":
        (inbound,) = body["entry"][0]["changes"][0]["value"]["messages"]
        inbound["from_user_id"] = inbound.pop("from")
    come(database, clock, body)
    assert project(database, clock).withdrawn == 1
    assert not is_granted(database, user_pk)


def _stranger(database: Database) -> User:
    """The only user of whom nobody told us; their id does not tell their number."""
    with database.snapshot() as session:
        (user,) = session.exec(select(User).where(User.phone == "+12025550123")).all()
    assert re.fullmatch("whatsapp:[0-9a-f]{24}", user.user_id)
    return user


def _named(database: Database, user_id: str) -> User:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id)


def test_a_stranger_who_writes_becomes_a_user_without_consent(
    database: Database, clock: SteppedClock
) -> None:
    come(database, clock, text_from("+12025550123", "hello", clock.now()))
    come(database, clock, text_from("+12025550123", "hello again", later(clock, seconds=5)))
    assert project(database, clock) == Projected(bodies=2, inbound=2, strangers=1)
    stranger = _stranger(database)
    assert (stranger.phone, stranger.last_inbound_at) == ("+12025550123", later(clock, seconds=5))
    with database.snapshot() as session:
        assert consent.consents_of(session, user_pk=stranger.id or 0) == []
        happened = event_repository.list_events(session, user_pk=stranger.id or 0)
    assert [(event.name, event.properties) for event in happened] == [
        ("Message Received", {"kind": "text"})
    ] * 2


def test_the_stop_of_a_stranger_outweighs_the_list_that_is_imported_later(
    database: Database, clock: SteppedClock
) -> None:
    come(database, clock, text_from("+12025550123", "stop", clock.now()))
    assert project(database, clock).withdrawn == 1
    stranger = _stranger(database).id
    with database.transaction() as session:
        users.upsert(session, clock, actor="t", user_id="ann", phone="+12025550123", attributes={"a": 1})
    ann = _named(database, "ann")
    assert (ann.id, ann.attributes) == (stranger, {"a": 1})
    with database.transaction() as session:
        yes = ConsentChange(ann.id or 0, "marketing", granted=True, source="crm")
        assert consent.apply_changes(session, clock, changes=[yes], from_file=True).kept_withdrawn == 1


def test_somebody_else_s_phone_is_not_claimed(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        users.upsert(session, clock, actor="t", user_id="bob", phone="+12025550123")
    with pytest.raises(Conflict, match="bob"), database.transaction() as session:
        users.upsert(session, clock, actor="t", user_id="ann", phone="+12025550123")


def _scoped(body: dict[str, Any], scoped_id: str, *, without_phone: bool) -> dict[str, Any]:
    (inbound,) = body["entry"][0]["changes"][0]["value"]["messages"]
    inbound["from_user_id"] = scoped_id
    if without_phone:
        del inbound["from"]
    return body


def test_a_business_scoped_id_that_came_with_a_phone_names_the_user_without_it(
    database: Database, clock: SteppedClock
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    come(database, clock, _scoped(text_from(phone, "hello", clock.now()), "NL.77", without_phone=False))
    assert project(database, clock) == Projected(bodies=1, inbound=1)
    come(
        database,
        clock,
        _scoped(text_from(phone, "stop", later(clock, seconds=9)), "NL.77", without_phone=True),
    )
    assert project(database, clock) == Projected(bodies=1, inbound=1, withdrawn=1)
    assert not is_granted(database, user_pk)


def test_a_stranger_without_a_phone_is_known_by_the_scoped_id(
    database: Database, clock: SteppedClock
) -> None:
    for seconds in (0, 5):
        body = text_from("", "hello", later(clock, seconds=seconds))
        come(database, clock, _scoped(body, "NL.78", without_phone=True))
        assert project(database, clock).strangers == (seconds == 0)
    stranger = _named(database, "whatsapp:NL.78")
    assert (stranger.phone, stranger.last_seen_at) == (None, later(clock, seconds=5))


def test_an_ambiguous_word_is_a_stop_only_in_its_language(database: Database, clock: SteppedClock) -> None:
    italian, spanish = outbox.add_users(database, clock, 2)
    for pk, locale in ((italian, "it_IT"), (spanish, "es_MX")):
        outbox.change(database, lambda s, pk=pk, locale=locale: setattr(s.get(User, pk), "locale", locale))
    for number in (0, 1):
        come(database, clock, text_from(outbox.phone_of(number), "Alto", clock.now()))
    assert project(database, clock).withdrawn == 1
    assert is_granted(database, italian)
    assert not is_granted(database, spanish)


def test_an_old_resume_never_undoes_a_newer_stop(database: Database, clock: SteppedClock) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    resume = preference(phone, "resume", later(clock, seconds=1))
    stop = preference(phone, "stop", later(clock, seconds=2))
    clock.advance(timedelta(seconds=3))
    for body in (stop, resume):
        come(database, clock, body)
    project(database, clock)
    assert not is_granted(database, user_pk)
    come(database, clock, resume)
    project(database, clock)
    assert not is_granted(database, user_pk)
    come(database, clock, preference(phone, "resume", later(clock, seconds=10)))
    assert project(database, clock).granted == 1
    assert is_granted(database, user_pk)
