"""Users one at a time, on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from targeting import users


def test_a_user_is_made_then_changed_then_left_alone(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        made = users.upsert(
            session,
            clock,
            actor="ann",
            user_id="u1",
            phone="+12025550123",
            attributes={"plan": "free", "age": 30},
        )
        assert (made.phone, made.attributes) == ("+12025550123", {"plan": "free", "age": 30})
    with database.transaction() as session:
        changed = users.upsert(
            session,
            clock,
            actor="ann",
            user_id="u1",
            time_zone="Europe/Paris",
            attributes={"plan": "paid", "age": None},
        )
        assert (changed.id, changed.phone, changed.time_zone) == (made.id, "+12025550123", "Europe/Paris")
        assert changed.attributes == {"plan": "paid"}
    with database.transaction() as session:
        users.upsert(session, clock, actor="ann", user_id="u1", attributes={"plan": "paid"})
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.before is None for entry in entries] == [True, False]
    assert entries[1].after["attributes"] == {"plan": "paid"}
    assert "2025550123" not in str([entry.model_dump() for entry in entries])


def test_a_change_is_seen_by_who_holds_the_user(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        held = users.upsert(session, clock, actor="ann", user_id="u1", attributes={"a": 1})
        users.upsert(session, clock, actor="ann", user_id="u1", attributes={"a": True})
        assert held.attributes == {"a": True}
        assert isinstance(held.attributes["a"], bool)


def test_a_phone_belongs_to_one_user(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        users.upsert(session, clock, actor="ann", user_id="u1", phone="+12025550123")
    with pytest.raises(Conflict) as error, database.transaction() as session:
        users.upsert(session, clock, actor="ann", user_id="u2", phone="+1 202 555 0123", attributes={"a": 1})
    assert error.value.problems[0].field == "phone"
    with pytest.raises(NotFound), database.snapshot() as session:
        users.find(session, user_id="u2")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"phone": "0612"}, "phone"),
        ({"time_zone": "CEST!"}, "time_zone"),
        ({"locale": "Dutch please"}, "locale"),
        ({"attributes": {"a": float("nan")}}, "attributes.a"),
    ],
)
def test_what_is_wrong_is_named(
    database: Database, clock: SteppedClock, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(Invalid) as error, database.transaction() as session:
        users.upsert(session, clock, actor="ann", **({"user_id": "u1"} | changes))
    assert error.value.problems[0].field == field


def test_users_are_listed_in_pages(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        for number in range(5):
            users.upsert(session, clock, actor="ann", user_id=f"u{number}")
    with database.snapshot() as session:
        first = users.list_users(session, after_id=0, limit=3)
        second = users.list_users(session, after_id=first[-1].id, limit=3)
    assert [user.user_id for user in [*first, *second]] == ["u0", "u1", "u2", "u3", "u4"]


def test_two_at_once_lose_no_attribute(database: Database, clock: SteppedClock) -> None:
    def work(name: str) -> None:
        for number in range(10):
            with database.transaction() as session:
                users.upsert(session, clock, actor=name, user_id=f"u{number}", attributes={name: number})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ("left", "right")))
    with database.snapshot() as session:
        for number in range(10):
            assert users.find(session, user_id=f"u{number}").attributes == {"left": number, "right": number}
