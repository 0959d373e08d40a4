"""How many people count towards WhatsApp's bound: counted for those who watch as for those who send, and as one by one in Python."""

from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import event, insert, update
from sqlmodel import col

from delivery.limits.ledger_repository import people_counted, people_written_to
from delivery.limits.tier import counts
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from tests.integration import outbox

HOUR = timedelta(hours=1)


def test_people_are_counted_alike_by_all_who_ask(database: Database, clock: SteppedClock) -> None:
    """On the hour, so that ends of days and of windows meet."""
    now, rng = clock.now(), np.random.default_rng(3)
    experiment = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 80)
    heard = {pk: now - int(rng.integers(0, 60)) * HOUR for pk in users if rng.random() < 0.6}
    slots = {
        pk: [now - int(rng.integers(0, 30)) * HOUR for _ in range(int(rng.integers(0, 4)))] for pk in users
    }
    with database.transaction() as session:
        for pk, at in heard.items():
            session.connection().execute(update(User).where(col(User.id) == pk).values(last_inbound_at=at))
        rows = [
            {
                "experiment_id": experiment, "user_pk": pk, "variant": "a", "step": step, "category": "marketing",
                "state": "sent", "first_due_at": at, "due_at": at, "slot_at": at,
            }
            for pk, own in slots.items()
            for step, at in enumerate(own)
        ]  # fmt: skip
        session.connection().execute(insert(Message), rows)
    today = now - 24 * HOUR
    expected = sum(any(at > today and counts(at, heard.get(pk)) for at in own) for pk, own in slots.items())
    with database.snapshot() as session:
        assert people_counted(session, now=now) == expected
        assert people_written_to(session, limit=0, spare=0, now=now).counted == expected
    spared = sum(
        any(at > today for at in own) and not any(at > today and counts(at, heard.get(pk)) for at in own)
        for pk, own in slots.items()
    )
    assert 0 < spared < expected


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
