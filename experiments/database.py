"""The database: one engine, two kinds of transaction, and the types that hide what SQLite and PostgreSQL do differently."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, ColumnElement, Dialect, Engine, Integer, create_engine, event, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session, SQLModel

from experiments.clock import from_micros, to_micros

BUSY_TIMEOUT_MS: Final = 30_000
_QUEUED: Final = "touchstone_queued"

# Constraints that have names can be changed by a migration, on SQLite as well.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as an integer of microseconds since 1970.

    SQLite drops time zones and every engine spells interval arithmetic its own way; integers compare, subtract and
    travel to a warehouse the same everywhere. In a query, `type_coerce(column, BigInteger)` gives the integer.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return _moment(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        # An integer needs no work of the driver's, and rows with many times are read in the hottest places: one call less each.
        del dialect, coltype
        return _moment


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


BigKey = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit surrogate key; SQLite only counts up by itself for a column that is exactly INTEGER."""

JsonDocument = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON document; JSONB on PostgreSQL."""


# `json.dumps` with any choice of its own makes a new encoder for each value.
_compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def bytes_hold(session: Session, column: Any, mark: bytes) -> ColumnElement[bool]:
    """Whether a column of bytes holds `mark` anywhere; reads every row."""
    if session.get_bind().dialect.name == "sqlite":
        return func.instr(column, mark) > 0
    # PostgreSQL looks for bytes within bytes by a keyword (POSITION .. IN) only; LIKE is the same.
    escaped = mark.replace(b"\\", b"\\\\").replace(b"%", b"\\%").replace(b"_", b"\\_")
    found: ColumnElement[bool] = column.op("LIKE", is_comparison=True)(b"%" + escaped + b"%")
    return found


class Database:
    """The application database. `transaction()` writes, `snapshot()` only reads.

    On SQLite a write transaction begins IMMEDIATE: a transaction that reads first and writes later would fail
    with "database is locked" whenever another one committed in between.
    """

    def __init__(self, url: str, *, echo: bool = False) -> None:
        self.url: Final = make_url(url)
        self.is_sqlite: Final = self.url.get_backend_name() == "sqlite"
        self.engine: Final = _make_engine(url, echo=echo)
        # PostgreSQL's default would let each statement of a snapshot see another state.
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reading: Final = self.engine.execution_options(touchstone_reading=True, **isolation)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back when the block raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that sees one state of the database and never takes the write lock."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    def truncate_log(self) -> bool:
        """Bring SQLite's write-ahead log into the file and empty it, so that what was deleted is gone from it as well.

        Outside of any transaction. False when somebody kept reading for longer than the busy timeout. PostgreSQL keeps
        no such file beside its data: nothing is done there.
        """
        if not self.is_sqlite:
            return True
        connection = self.engine.raw_connection()
        try:
            busy, _, _ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()
        return not busy

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _make_engine(url: str, *, echo: bool) -> Engine:
    # Errors go into logs, and what was written or looked for are people's numbers and words: parameters are hidden.
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            echo=echo,
            json_serializer=_compact_json,
            hide_parameters=True,
            connect_args={"check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        queue = _WriterQueue()
        event.listen(engine, "begin", queue.begin)
        event.listen(engine, "checkin", queue.leave)
        return engine
    return create_engine(
        url,
        echo=echo,
        json_serializer=_compact_json,
        hide_parameters=True,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
    )


def _prepare_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    # The driver must not open transactions by itself: `_WriterQueue.begin` decides which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        # What is deleted is overwritten; some builds of SQLite do so by themselves, others do not.
        "secure_delete = ON",
        "temp_store = MEMORY",
        "cache_size = -65536",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class _WriterQueue:
    """Lets the writers of this process wait for each other in a queue before they ask SQLite for its one write lock.

    SQLite itself makes a writer that comes second sleep, for longer and longer, and look again: with many threads most of
    the time is slept away. The place is taken with BEGIN and given back when the connection returns to the pool.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("touchstone_reading", False):
            connection.exec_driver_sql("BEGIN")
            return
        # After the timeout SQLite is asked all the same, and says "database is locked" in its own words.
        # A connection that begins again before it returned to the pool has its place still.
        if not connection.info.get(_QUEUED):
            connection.info[_QUEUED] = self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def leave(self, _connection: Any, record: ConnectionPoolEntry) -> None:
        if record.info.pop(_QUEUED, False):
            self._lock.release()
