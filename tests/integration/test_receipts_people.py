"""What people say to us, on both databases: a stop is believed at once, and nothing older undoes it."""

from datetime import timedelta

import pytest

from delivery.receipts import Projected
from experiments.clock import SteppedClock
from experiments.database import Database
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


def test_a_stranger_is_counted_and_changes_nothing(database: Database, clock: SteppedClock) -> None:
    come(database, clock, text_from("+12025550123", "stop", clock.now()))
    assert project(database, clock) == Projected(bodies=1, inbound=1, strangers=1)


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
