"""Where the queries of `facts.py` run: in the application database, in another one, or in a copy of its tables elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from sqlalchemy import Select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlmodel import Session

from analysis.warehouse.tables import SETTING, Copied
from experiments.database import Database
from experiments.errors import Invalid, Unavailable
from experiments.settings import Settings

DATABASES: Final = ("sqlite", "postgresql")
WAREHOUSES: Final = ("duckdb", "spark")
USE: Final = (
    "duckdb:///FOLDER, duckdb:///FILE.duckdb, spark:///FOLDER, sqlite:///FILE or postgresql://USER@HOST/NAME"
)

Row = Mapping[str, Any]


class FactsEngine(Protocol):
    """Runs one query of `facts.py` and returns its rows by column name: at most one per variant and epoch."""

    def fetch(self, query: Select[Any]) -> Sequence[Row]: ...


@runtime_checkable
class FactsCopy(FactsEngine, Protocol):
    """Facts from a copy that was made at some moment: what happened later is not in it."""

    def copied(self) -> Copied: ...

    def dispose(self) -> None: ...


class SessionFacts:
    """The application database, inside the transaction of whoever asks: the report sees what its caller sees."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def fetch(self, query: Select[Any]) -> Sequence[Row]:
        return [dict(row) for row in self._session.connection().execute(query).mappings()]


class ReplicaFacts:
    """Another database with the same tables, such as a read replica, so that reports do not load the first one.

    Raises Unavailable when it does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def fetch(self, query: Select[Any]) -> Sequence[Row]:
        try:
            with self._database.snapshot() as session:
                return SessionFacts(session).fetch(query)
        except (OperationalError, ProgrammingError) as error:
            said = " ".join(str(error.orig).split())
            raise Unavailable(f"the database of {SETTING} does not answer: {said}") from error

    def dispose(self) -> None:
        """Close every connection."""
        self._database.dispose()


def open_replica(settings: Settings) -> ReplicaFacts | FactsCopy | None:
    """The engine that `TOUCHSTONE_FACTS_URL` names; None when it is unset. Raises Invalid for what we cannot query."""
    if settings.facts_url is None:
        return None
    try:
        url = make_url(settings.facts_url)
    except (ArgumentError, ValueError) as error:
        raise Invalid(f"is not a URL; use {USE}", field=SETTING) from error
    if url.drivername in WAREHOUSES:
        # DuckDB and sqlglot take half a second to load, which no other command should wait for.
        from analysis.warehouse.address import open_warehouse

        return open_warehouse(url)
    backend = url.get_backend_name()
    if backend not in DATABASES:
        raise Invalid(f"facts cannot be read from {backend!r}; use {USE}", field=SETTING)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return ReplicaFacts(Database(url.render_as_string(hide_password=False)))
