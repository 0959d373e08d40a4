"""What counting the people of a day reads; that it counts right is tried in `tests/property/test_people_leaving.py`."""

from datetime import timedelta
from typing import Any

from sqlalchemy import event

from delivery.limits.ledger_repository import people_counted
from experiments.clock import SteppedClock
from experiments.database import Database

HOUR = timedelta(hours=1)


def test_counting_them_reads_the_slots_of_the_day_and_not_every_message(
    sqlite_url: str, clock: SteppedClock
) -> None:
    database, asked = Database(sqlite_url), list[tuple[str, Any]]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    with database.snapshot() as session:
        connection = session.connection()
        event.listen(database.engine, "before_cursor_execute", note)
        people_counted(session, now=clock.now())
        event.remove(database.engine, "before_cursor_execute", note)
        (plan,) = [
            " ".join(
                row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            )
            for statement, parameters in asked
        ]
    database.dispose()
    assert ["ix_messages_slot (slot_at>?)" in plan, "ix_users_last_inbound_at" in plan] == [True, True]
    assert not any(whole in plan for whole in ("SCAN messages", "SCAN users"))
