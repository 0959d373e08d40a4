"""The latest event of each name that a batch of messages reads, in one query."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import event as sql_event
from sqlalchemy import insert

from delivery.content.content_repository import events_ever, latest_events
from delivery.content.ingredients import LatestEvent
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import Event
from tests.integration.people import add_people


def add(database: Database, clock: SteppedClock, *rows: tuple[int, str, datetime, dict[str, Any]]) -> None:
    with database.transaction() as session:
        session.connection().execute(
            insert(Event),
            [
                {
                    "message_id": f"m{clock.now().isoformat()}{number}",
                    "user_pk": user_pk,
                    "name": name,
                    "at": at,
                    "received_at": clock.now(),
                    "properties": properties,
                }
                for number, (user_pk, name, at, properties) in enumerate(rows)
            ],
        )


def test_the_latest_by_when_it_happened_and_among_equals_the_one_that_came_last(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 4))
    now, before = clock.now(), clock.now() - timedelta(days=1)
    add(
        database,
        clock,
        (1, "Bought", now, {"n": 1}),
        (1, "Bought", before, {"n": 2}),  # came later, happened earlier
        (1, "Seen", now, {"n": 3}),
        (2, "Bought", before, {"n": 4}),
        (2, "Bought", before, {"n": 5}),
        (3, "Left", now, {"n": 6}),
    )
    with database.snapshot() as session:
        found = latest_events(session, [1, 2, 3], ["Bought", "Left"])
        assert latest_events(session, [1], []) == latest_events(session, [], ["Bought"]) == {}
        assert events_ever(session, {"Bought", "bought", "Left"}) == {"Bought", "Left"}
    assert found == {
        1: {"Bought": LatestEvent(now, {"n": 1})},
        2: {"Bought": LatestEvent(before, {"n": 5})},
        3: {"Left": LatestEvent(now, {"n": 6})},
    }


def test_one_query_for_a_batch(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
    add(database, clock, *((pk, "Bought", clock.now(), {}) for pk in range(1, 101)))
    statements: list[str] = []
    with database.snapshot() as session:
        connection = session.connection()
        sql_event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        assert len(latest_events(session, list(range(1, 101)), ["Bought", "Left"])) == 100
    assert len(statements) == 1
