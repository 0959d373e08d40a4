"""The two kinds of transaction and the types behave the same on SQLite and on PostgreSQL."""

import time
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier, Thread

import pytest
from sqlalchemy import BigInteger, text, type_coerce
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select

from experiments import audit
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock, to_micros
from experiments.database import BUSY_TIMEOUT_MS, Database
from targeting.models import Consent, User

MOMENT = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)


def _add_entry(database: Database, clock: SteppedClock, key: str) -> None:
    with database.transaction() as session:
        audit.record(
            session, clock, actor="test", action="x", subject_kind="thing", subject_key=key, after={"é": [1]}
        )


def test_times_keep_their_microseconds_and_their_zone(database: Database) -> None:
    clock = SteppedClock(MOMENT.astimezone(timezone(timedelta(hours=5))))
    _add_entry(database, clock, "a")
    with database.snapshot() as session:
        entry = session.exec(select(AuditEntry)).one()
        stored = session.exec(select(type_coerce(col(AuditEntry.at), BigInteger))).one()
    assert entry.at == MOMENT
    assert entry.at.tzinfo == UTC
    assert stored == to_micros(MOMENT)
    assert entry.after == {"é": [1]}


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without a zone"), database.transaction() as session:
        session.add(User(user_id="a", created_at=datetime(2026, 1, 1), updated_at=MOMENT))  # noqa: DTZ001
        session.flush()


def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.add(Consent(user_pk=12345, category="marketing", granted=True, changed_at=MOMENT))


def test_an_error_rolls_everything_back(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(RuntimeError), database.transaction() as session:
        audit.record(session, clock, actor="test", action="x", subject_kind="thing", subject_key="a")
        session.flush()
        raise RuntimeError
    with database.snapshot() as session:
        assert session.exec(select(AuditEntry)).all() == []


def test_writers_that_read_first_wait_for_each_other(database: Database, clock: SteppedClock) -> None:
    """With deferred transactions one of these would fail with `database is locked`."""
    barrier = Barrier(2)
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            barrier.wait()
            for i in range(20):
                with database.transaction() as session:
                    session.exec(select(AuditEntry)).all()
                    audit.record(
                        session, clock, actor=name, action="x", subject_kind="thing", subject_key=str(i)
                    )
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            errors.append(error)

    threads = [Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.snapshot() as session:
        assert len(session.exec(select(AuditEntry)).all()) == 40


def test_a_connection_that_begins_twice_keeps_its_place_and_gives_it_back(sqlite_url: str) -> None:
    """Were the place in the queue of writers taken twice or lost, this would wait for half a minute, and then for ever."""
    database = Database(sqlite_url)
    started = time.monotonic()
    with database.engine.connect() as connection:
        for _ in range(2):
            connection.execute(text("DELETE FROM events"))
            connection.rollback()
    for _ in range(2):
        with database.transaction() as session:
            session.execute(text("DELETE FROM events"))
    database.dispose()
    assert time.monotonic() - started < BUSY_TIMEOUT_MS / 1000 / 2


def test_a_snapshot_reads_while_a_writer_holds_the_lock(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as writer:
        audit.record(writer, clock, actor="w", action="x", subject_kind="thing", subject_key="a")
        writer.flush()
        with database.snapshot() as reader:
            assert reader.exec(select(AuditEntry)).all() == []


def test_sqlite_runs_in_wal_mode_with_full_durability(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.snapshot() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar_one() == 2
    database.dispose()


def test_an_error_does_not_tell_what_was_written(database: Database) -> None:
    with pytest.raises(DBAPIError) as told, database.transaction() as session:
        session.execute(text("INSERT INTO nowhere (phone) VALUES (:phone)"), {"phone": "+12025550101"})
    assert "INSERT INTO nowhere" in str(told.value)
    assert "12025550101" not in str(told.value)
