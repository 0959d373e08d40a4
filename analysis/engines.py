"""Where the queries of `facts.py` run: in the application database, or in a copy of its tables elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlmodel import Session

from experiments.database import Database
from experiments.errors import Invalid, Unavailable
from experiments.settings import Settings

SETTING: Final = "TOUCHSTONE_FACTS_URL"
SUPPORTED: Final = ("sqlite", "postgresql")

Row = Mapping[str, Any]


class FactsEngine(Protocol):
    """Runs one query of `facts.py` and returns its rows by column name: at most one per variant and epoch."""

    def fetch(self, query: Select[Any]) -> Sequence[Row]: ...


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
        except OperationalError as error:
            raise Unavailable(f"the database of {SETTING} does not answer: {error.orig}") from error

    def dispose(self) -> None:
        """Close every connection."""
        self._database.dispose()


def open_replica(settings: Settings) -> ReplicaFacts | None:
    """The engine that `TOUCHSTONE_FACTS_URL` names; None when it is unset. Raises Invalid for what we cannot query."""
    if settings.facts_url is None:
        return None
    try:
        url = make_url(settings.facts_url)
    except ArgumentError as error:
        raise Invalid("is not a URL such as postgresql://USER@HOST/NAME", field=SETTING) from error
    backend = url.get_backend_name()
    if backend not in SUPPORTED:
        raise Invalid(
            f"facts cannot be read from {backend!r}; use sqlite:///FILE or postgresql://USER@HOST/NAME",
            field=SETTING,
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return ReplicaFacts(Database(url.render_as_string(hide_password=False)))
