"""SQL of leadership: PostgreSQL's advisory lock of a session, and who holds it."""

from typing import Final

from sqlalchemy import Connection, text
from sqlmodel import Session

_LOCK: Final = int.from_bytes(b"tchstone")
"""The number of the lock; it is of one database, so installations that share a server do not meet."""
_NAME: Final = "touchstone leader "
_HELD: Final = (
    "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32) + l.objid::bigint = :lock"
)


def prepare(connection: Connection, *, name: str, idle_seconds: int) -> None:
    """Name the session, and let the server end it when nothing has been heard of it for `idle_seconds`.

    Without that, the lock of a machine that lost its power would be held for hours. A server too old to know one of these
    settings goes without it.
    """
    wanted = {
        "application_name": (_NAME + name)[:63],
        "idle_session_timeout": str(1000 * idle_seconds),
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    query = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
    for setting, value in wanted.items():
        connection.execute(query, {"name": setting, "value": value})


def take(connection: Connection) -> bool:
    """Take the lock for as long as this session lives; False when another session has it."""
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}).scalar())


def give_back(connection: Connection) -> None:
    """Give the lock back at once; the server would do so a little after the session's end."""
    connection.execute(text("SELECT pg_advisory_unlock_all()"))


def holds(connection: Connection) -> bool:
    """Whether this very session has the lock (a pooler between us and the server may have given us another)."""
    query = text(f"SELECT EXISTS (SELECT 1 FROM pg_locks l WHERE {_HELD} AND l.pid = pg_backend_pid())")  # noqa: S608
    return bool(connection.execute(query, {"lock": _LOCK}).scalar())


def leader(session: Session) -> str | None:
    """The name of the process that leads; None when nobody does, or where every process leads itself (SQLite)."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    query = text(
        f"SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {_HELD}"  # noqa: S608
    )
    name = session.connection().execute(query, {"lock": _LOCK}).scalar()
    return None if name is None else str(name).removeprefix(_NAME)
