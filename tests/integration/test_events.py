"""Tracking calls become events, users and aliases, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlmodel import col, func, select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from targeting import users
from targeting.events import IdentifyCall, Ingested, TrackCall, ingest
from targeting.models import Event, User, UserAlias

Call = TrackCall | IdentifyCall


def send(database: Database, clock: SteppedClock, *calls: Call) -> Ingested:
    with database.transaction() as session:
        return ingest(session, clock, calls=calls, default_region="")


def track(message_id: str, at: datetime, user_id: str | None = None, **changes: Any) -> TrackCall:
    fields = {"anonymous_id": None, "event": "Viewed", "at": at} | changes
    return TrackCall(message_id=message_id, user_id=user_id, **fields)


def identify(message_id: str, at: datetime, user_id: str | None = None, **changes: Any) -> IdentifyCall:
    return IdentifyCall(message_id=message_id, user_id=user_id, at=at, **({"anonymous_id": None} | changes))


def user(database: Database, user_id: str) -> User:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id)


def events_of(database: Database, user_id: str) -> list[str]:
    with database.snapshot() as session:
        query = (
            select(Event.message_id).join(User, col(User.id) == Event.user_pk).where(User.user_id == user_id)
        )
        return sorted(session.exec(query).all())


def count(database: Database, table: type) -> int:
    with database.snapshot() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_an_event_of_an_unknown_user_makes_the_user(database: Database, clock: SteppedClock) -> None:
    at = clock.now() - timedelta(minutes=5)
    result = send(database, clock, track("m1", at, "u1", properties={"revenue": 12.5, "items": [1, "é"]}))
    assert result == Ingested(accepted=1, duplicates=0)
    made = user(database, "u1")
    assert (made.phone, made.attributes, made.last_seen_at, made.created_at) == (None, {}, at, clock.now())
    with database.snapshot() as session:
        [stored] = session.exec(select(Event)).all()
    assert (stored.name, stored.at, stored.received_at) == ("Viewed", at, clock.now())
    assert stored.properties == {"revenue": 12.5, "items": [1, "é"]}


def test_the_same_message_counts_once(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    twice = [track("m1", now, "u1"), track("m2", now, "u1"), track("m1", now, "u1", event="Other")]
    assert send(database, clock, *twice) == Ingested(accepted=2, duplicates=1)
    assert send(database, clock, *twice, track("m3", now, "u1")) == Ingested(accepted=1, duplicates=3)
    assert events_of(database, "u1") == ["m1", "m2", "m3"]
    with database.snapshot() as session:
        assert session.exec(select(Event.name).where(Event.message_id == "m1")).one() == "Viewed"


def test_nothing_of_a_wrong_batch_is_stored(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    late = track("m2", now + timedelta(hours=2), "u2")
    with pytest.raises(Invalid) as error:
        send(database, clock, track("m1", now, "u1"), late)
    assert [problem.field for problem in error.value.problems] == ["batch[1].timestamp"]
    assert count(database, User) == count(database, Event) == 0


def test_last_seen_moves_forward_only_and_never_past_now(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(database, clock, track("m1", now - timedelta(days=1), "u1"))
    send(
        database,
        clock,
        track("m2", now - timedelta(days=2), "u1"),
        track("m3", now - timedelta(days=3), "u1"),
    )
    assert user(database, "u1").last_seen_at == now - timedelta(days=1)
    send(database, clock, track("m4", now + timedelta(minutes=30), "u1"), track("m5", now, "u1"))
    assert user(database, "u1").last_seen_at == now


def test_identify_merges_traits(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(
        database,
        clock,
        identify("m1", now, "u1", traits={"phone": "+1 202 555 0123", "plan": "free", "old": 1}, locale="nl"),
        track("m2", now, "u1"),
        identify(
            "m3", now, "u1", traits={"plan": "paid", "old": None, "timezone": "Asia/Tokyo", "locale": "ja"}
        ),
    )
    found = user(database, "u1")
    assert (found.phone, found.locale, found.time_zone) == ("+12025550123", "ja", "Asia/Tokyo")
    assert found.attributes == {"plan": "paid"}
    clock.advance(timedelta(hours=1))
    send(database, clock, identify("m4", now, "u1", traits={"vip": True}))
    assert user(database, "u1").attributes == {"plan": "paid", "vip": True}
    assert user(database, "u1").updated_at == clock.now()
    assert user(database, "u1").created_at == now
    assert count(database, Event) == 1


def test_a_phone_of_somebody_else_is_refused_by_name(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(database, clock, identify("m1", now, "u1", traits={"phone": "+12025550123"}))
    with pytest.raises(Conflict) as error:
        send(
            database,
            clock,
            track("m2", now, "u3"),
            identify("m3", now, "u2", traits={"phone": "+12025550123"}),
        )
    assert error.value.problems[0].field == "batch[1].traits.phone"
    with pytest.raises(NotFound):
        user(database, "u3")


def test_an_anonymous_user_becomes_known_and_keeps_the_events(
    database: Database, clock: SteppedClock
) -> None:
    now = clock.now()
    send(database, clock, track("m1", now, anonymous_id="a1"), track("m2", now, anonymous_id="a1"))
    guest = user(database, "anonymous:a1")
    send(database, clock, identify("m3", now, "u1", anonymous_id="a1", traits={"plan": "free"}))
    known = user(database, "u1")
    assert (known.id, known.attributes) == (guest.id, {"plan": "free"})
    send(database, clock, track("m4", now, anonymous_id="a1"))
    assert events_of(database, "u1") == ["m1", "m2", "m4"]
    assert count(database, User) == 1


def test_all_of_that_within_one_batch(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(
        database,
        clock,
        track("m1", now, anonymous_id="a1"),
        identify("m2", now, anonymous_id="a1", traits={"phone": "+12025550123"}),
        identify("m3", now, "u1", anonymous_id="a1", traits={"phone": "+12025550123", "x": 1}),
        track("m4", now, anonymous_id="a1"),
        track("m5", now, "u1", anonymous_id="something else"),
    )
    assert events_of(database, "u1") == ["m1", "m4", "m5"]
    assert user(database, "u1").phone == "+12025550123"
    assert count(database, User) == 1
    assert count(database, UserAlias) == 1


def test_a_shared_device_belongs_to_who_signed_in_last(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(database, clock, identify("m1", now, "u1", anonymous_id="a1"), track("m2", now, anonymous_id="a1"))
    send(database, clock, identify("m3", now, "u2", anonymous_id="a1"), track("m4", now, anonymous_id="a1"))
    assert events_of(database, "u1") == ["m2"]
    assert events_of(database, "u2") == ["m4"]


def test_phones_are_handed_on_within_one_batch(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    send(database, clock, identify("m1", now, "u1", traits={"phone": "+12025550101"}))
    send(
        database,
        clock,
        identify("m2", now, "u1", traits={"phone": "+12025550102"}),
        identify("m3", now, "u0", traits={"phone": "+12025550101"}),
    )
    assert user(database, "u0").phone == "+12025550101"
    assert user(database, "u1").phone == "+12025550102"


def test_an_empty_batch_is_nothing(database: Database, clock: SteppedClock) -> None:
    assert send(database, clock) == Ingested(accepted=0, duplicates=0)


def test_a_batch_takes_the_same_number_of_statements_at_any_size(
    database: Database, clock: SteppedClock
) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    sqlalchemy_event.listen(database.engine, "before_cursor_execute", note)
    now = clock.now()
    taken = []
    for size in (5, 200):
        statements.clear()
        calls: list[Call] = [track(f"t{size}-{n}", now, f"u{size}-{n}") for n in range(size)]
        calls += [identify(f"i{size}-{n}", now, f"u{size}-{n}", traits={"n": n}) for n in range(size)]
        send(database, clock, *calls)
        taken.append(len([s for s in statements if not s.startswith("BEGIN")]))
    assert taken[0] == taken[1] <= 8


def test_many_at_once_agree_on_who_is_who(database: Database, clock: SteppedClock) -> None:
    """Threads send the same events of the same new users at the same time: each counts once."""
    now = clock.now()

    def work(shift: int) -> int:
        accepted = 0
        for batch in range(5):
            calls: list[Call] = [track(f"m{batch}-{n}", now, f"u{batch}-{n}") for n in range(20)]
            calls += [track(f"a{batch}-{n}", now, anonymous_id=f"a{batch}-{n}") for n in range(20)]
            accepted += send(database, clock, *calls[shift:], *calls[:shift]).accepted
        return accepted

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, (0, 13, 27))) == 200
    assert count(database, Event) == count(database, User) == 200
