"""What counting the people of a day reads; that it counts right is tried in `tests/property/test_people_leaving.py`."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlmodel import Session

from delivery.limits.ledger_repository import people_counted, people_written_to
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration import outbox


def plans(session: Session, database: Database, ask: Callable[[Session], object]) -> list[str]:
    """How SQLite answers each statement that `ask` makes."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    connection = session.connection()
    event.listen(database.engine, "before_cursor_execute", note)
    ask(session)
    event.remove(database.engine, "before_cursor_execute", note)
    return [
        " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
        for statement, parameters in asked
    ]


def test_counting_them_reads_the_slots_of_the_day_and_not_every_message(
    sqlite_url: str, clock: SteppedClock
) -> None:
    database, now = Database(sqlite_url), clock.now()
    experiment = outbox.add_experiment(database, clock)
    (user,) = outbox.add_users(database, clock, 1)
    with database.transaction() as session:
        session.add(
            Message(
                experiment_id=experiment, user_pk=user, variant="a", category="marketing",
                state="sent", first_due_at=now, due_at=now, slot_at=now,
            )
        )  # fmt: skip
    with database.snapshot() as session:
        (counting,) = plans(session, database, lambda session: people_counted(session, now=now))
        slots, again, leaving = plans(
            session, database, lambda session: people_written_to(session, limit=1, spare=1, now=now)
        )
    database.dispose()
    assert again == counting
    assert all("ix_messages_slot (slot_at>?)" in plan for plan in (counting, slots, leaving))
    assert "ix_users_last_inbound_at" in counting
    assert not any("SCAN messages" in plan or "SCAN users" in plan for plan in (counting, slots, leaving))
    # Whoever leaves next is found by walking along the slots: nothing is sorted, and what follows is looked up by user.
    assert "TEMP B-TREE" not in leaving
    assert "ix_messages_ledger (user_pk=? AND slot_at>?)" in leaving
