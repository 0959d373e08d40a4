"""Other people's databases, read and never written: one query, streamed, in a read-only transaction that is rolled back.

Nothing that is said here may hold the address of a source: it holds a password.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, NullPool, Select, column, create_engine, or_, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from experiments.errors import Invalid, Unavailable
from targeting.pulls.definitions import Position

FETCHED_AT_ONCE: Final = 2_000
_CONNECT_SECONDS: Final = 10
_PROGRESS_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The names of the columns, and the rows as the driver gives them."""

    names: Sequence[str]
    rows: Iterator[Sequence[Any]]


def address_of(name: str, secret: SecretStr) -> URL:
    """The address of a source; raises Invalid without repeating it."""
    try:
        url = make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):
        raise Invalid("is not a SQLAlchemy URL", field=f"TOUCHSTONE_SOURCES.{name}") from None
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


@contextmanager
def answer_of(
    name: str, url: URL, *, query: str, cursor_column: str | None, after: Position | None, timeout: timedelta
) -> Iterator[Answer]:
    """Run the query of a pull. Raises Unavailable when the source cannot be reached, Invalid when it refuses the query.

    Rows come in the order of the cursor column, from the last position on and including it: others with the same value
    may have come since. Rows without a value there come every time.
    """
    with reading(name, url, timeout=timeout) as (connection, watch):
        with told(url):
            streaming = connection.execution_options(stream_results=True, max_row_buffer=FETCHED_AT_ONCE)
            result = streaming.execute(_wrapped(query, cursor_column, after))
        with result:
            yield Answer(list(result.keys()), _rows(result, watch, url))


@contextmanager
def reading(name: str, url: URL, *, timeout: timedelta) -> Iterator[tuple[Connection, "_Watch"]]:
    """A connection that only reads, for statements of `timeout` each. Raises Unavailable when there is none to be had."""
    watch = _Watch(timeout)
    engine = _open(name, url, watch)
    try:
        with _connected(name, url, engine) as connection:
            with told(url):
                _prepare(connection, timeout)
                watch.start()
            yield connection, watch
    finally:
        engine.dispose()


def _wrapped(query: str, cursor_column: str | None, after: Position | None) -> Select[Any]:
    # A colon of the query is not the name of a parameter; a comment at its end must not swallow the bracket.
    escaped = query.replace(":", r"\:")
    statement = select(text("*")).select_from(text(f"({escaped}\n) pulled"))
    if cursor_column is None:
        return statement
    place: Any = column(cursor_column)
    if after is not None:
        statement = statement.where(or_(place >= after.value, place.is_(None)))
    return statement.order_by(place)


def _rows(result: Any, watch: "_Watch", url: URL) -> Iterator[Sequence[Any]]:
    parts = result.partitions(FETCHED_AT_ONCE)
    while True:
        with told(url):
            watch.start()
            part = next(parts, None)
        if part is None:
            return
        yield from part


class _Watch:
    """Ends a statement of SQLite, which knows no timeout of its own."""

    def __init__(self, timeout: timedelta) -> None:
        self._seconds = timeout.total_seconds()
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + self._seconds

    def expired(self) -> bool:
        return time.monotonic() > self._end


def _open(name: str, url: URL, watch: _Watch) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return create_engine(
                "sqlite://", creator=lambda: _open_sqlite(name, url, watch), poolclass=NullPool
            )
        options = {"connect_timeout": _CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        return create_engine(url, poolclass=NullPool, connect_args=options, hide_parameters=True)
    except (SQLAlchemyError, ImportError) as error:
        raise Invalid(
            f"needs a driver that is not installed: {_line(error, url)}", field=f"TOUCHSTONE_SOURCES.{name}"
        ) from None


def _open_sqlite(name: str, url: URL, watch: _Watch) -> sqlite3.Connection:
    if not url.database or url.database == ":memory:":
        raise Invalid("names no file", field=f"TOUCHSTONE_SOURCES.{name}")
    connection = sqlite3.connect(
        f"file:{quote(url.database)}?mode=ro",
        uri=True,
        timeout=_CONNECT_SECONDS,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.set_progress_handler(watch.expired, _PROGRESS_STEPS)
    watch.start()
    return connection


@contextmanager
def _connected(name: str, url: URL, engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        raise Unavailable(f"the source {name} does not answer: {_line(error, url)}") from None
    try:
        yield connection
    finally:
        connection.close()


def _prepare(connection: Connection, timeout: timedelta) -> None:
    if connection.dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)
        # SET takes no parameters, and this is a number of ours.
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout.total_seconds() * 1000)}")


@contextmanager
def told(url: URL) -> Iterator[None]:
    """What the source refuses is Invalid (`query`), in one line without its address."""
    try:
        yield
    except SQLAlchemyError as error:
        raise Invalid(f"was refused by the source: {_line(error, url)}", field="query") from None


def _line(error: BaseException, url: URL) -> str:
    """What the driver says, in one line, without the statement and without the secret parts of the address."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    line = " ".join(str(said).split())[:300]
    for secret in (url.render_as_string(hide_password=False), url.password):
        if secret:
            line = line.replace(str(secret), "***")
    return line
