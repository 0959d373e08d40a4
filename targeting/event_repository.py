"""All SQL of events."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import func, literal, union_all
from sqlmodel import Session, SQLModel, col, select

from experiments.clock import to_micros
from targeting.models import Event

_EVENTS: Final = SQLModel.metadata.tables["events"]

# Many rows travel as one JSON document in one parameter: the statement is the same at any size, the database takes it
# apart in one step, and Python spends next to nothing on each row.
_INSERT_SQLITE: Final = (
    "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
    "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), "
    "json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') "
    "FROM json_each(?) WHERE true ON CONFLICT (message_id) DO NOTHING"
)
_INSERT_POSTGRESQL: Final = (
    "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
    "SELECT item ->> 0, CAST(item ->> 1 AS BIGINT), item ->> 2, CAST(item ->> 3 AS BIGINT), "
    "CAST(item ->> 4 AS BIGINT), item -> 5 FROM jsonb_array_elements(CAST(%s AS JSONB)) AS item "
    "ON CONFLICT (message_id) DO NOTHING RETURNING message_id"
)


class EventRow(NamedTuple):
    """A row of `events` to be: times in microseconds since 1970, properties as JSON text."""

    message_id: str
    user_pk: int
    name: str
    at: int
    received_at: int
    properties: str


class NewEvent(NamedTuple):
    """An event that was stored just now."""

    id: int
    user_pk: int
    name: str


def add_events(session: Session, rows: Sequence[EventRow]) -> set[str]:
    """Add these events, except those whose `message_id` is there already; returns the message ids of those added."""
    if not rows:
        return set()
    connection = session.connection()
    is_postgresql = connection.dialect.name == "postgresql"
    # There sorted, so that two transactions that bring the same events wait for each other instead of deadlocking.
    ordered = sorted(rows) if is_postgresql else rows
    document = msgspec.json.encode(
        [(*row[:5], msgspec.Raw(row.properties.encode())) for row in ordered]
    ).decode()
    if is_postgresql:
        return set(connection.exec_driver_sql(_INSERT_POSTGRESQL, (document,)).scalars().all())
    # Not RETURNING: the driver gives up the interpreter for each row that it fetches, on the hottest path there is.
    result = connection.exec_driver_sql(_INSERT_SQLITE, (document,))
    added, last = result.rowcount, result.lastrowid
    if added == len(rows):
        return {row.message_id for row in rows}
    # Nobody else writes to SQLite meanwhile, so the new rows are the last ones.
    query = select(_EVENTS.c.message_id).where(_EVENTS.c.id > last - added)
    return set(connection.execute(query).scalars().all()) if added else set()


def insert_events(session: Session, events: Sequence[Mapping[str, Any]]) -> list[NewEvent]:
    """The same for events given by the names of their columns; returns those that were new."""
    rows = [
        EventRow(
            message_id=event["message_id"],
            user_pk=event["user_pk"],
            name=event["name"],
            at=to_micros(event["at"]),
            received_at=to_micros(event["received_at"]),
            properties=json.dumps(event["properties"], ensure_ascii=False, allow_nan=False),
        )
        for event in events
    ]
    return stored_events(session, add_events(session, rows))


def stored_events(session: Session, message_ids: Collection[str]) -> list[NewEvent]:
    """The events of these message ids, in the order of their ids."""
    if not message_ids:
        return []
    query = select(_EVENTS.c.id, _EVENTS.c.user_pk, _EVENTS.c.name).order_by(_EVENTS.c.id)
    found = session.connection().execute(query.where(_EVENTS.c.message_id.in_(message_ids)))
    return [NewEvent(*row) for row in found.all()]


def known_message_ids(session: Session, message_ids: Collection[str]) -> set[str]:
    """Those of `message_ids` that are stored already."""
    query = select(_EVENTS.c.message_id).where(_EVENTS.c.message_id.in_(message_ids))
    return set(session.execute(query).scalars())


def list_events(session: Session, *, user_pk: int, after_id: int = 0, limit: int = 100) -> Sequence[Event]:
    """Up to `limit` events of one user with an id above `after_id`, in the order of their arrival."""
    query = select(Event).where(Event.user_pk == user_pk, col(Event.id) > after_id)
    return session.exec(query.order_by(col(Event.id)).limit(limit)).all()


def newest_events(session: Session, *, user_pk: int, before_id: int | None, limit: int) -> Sequence[Event]:
    """Up to `limit` events of one user, the latest first; those before the event `before_id`.

    By time and not by id: what a file of last year brought yesterday happened last year. Reads the user's own events only.
    """
    query = select(Event).where(Event.user_pk == user_pk)
    if before_id is not None:
        at = select(Event.at).where(Event.id == before_id).scalar_subquery()
        query = query.where((col(Event.at) < at) | ((col(Event.at) == at) & (col(Event.id) < before_id)))
    return session.exec(query.order_by(col(Event.at).desc(), col(Event.id).desc()).limit(limit)).all()


class KnownEvent(NamedTuple):
    """A name that events have, and when the latest of them happened."""

    name: str
    last_at: datetime


def known_among(session: Session, names: Sequence[str]) -> list[KnownEvent]:
    """Those of a few names that events have, in their order. Each costs one look into the index on (name, at)."""
    if not names:
        return []
    asked = union_all(*(select(literal(name).label("name")) for name in sorted(set(names)))).subquery()
    last_at = select(func.max(_EVENTS.c.at)).where(_EVENTS.c.name == asked.c.name).scalar_subquery()
    happened = select(_EVENTS.c.name).where(_EVENTS.c.name == asked.c.name).exists()
    query = select(asked.c.name, last_at).where(happened).order_by(asked.c.name)
    return [KnownEvent(*row) for row in session.execute(query)]


def known_events(session: Session, *, skip: int, limit: int) -> list[KnownEvent]:
    """Names of events, in their order. Each costs two looks into the index on (name, at), however many events there are."""
    names = select(func.min(_EVENTS.c.name).label("name")).cte("names", recursive=True)
    following = select(func.min(_EVENTS.c.name)).where(_EVENTS.c.name > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    last_at = select(func.max(_EVENTS.c.at)).where(_EVENTS.c.name == names.c.name).scalar_subquery()
    query = select(names.c.name, last_at).where(names.c.name.is_not(None)).offset(skip).limit(limit)
    return [KnownEvent(*row) for row in session.execute(query)]
