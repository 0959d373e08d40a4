"""All SQL of events."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import TextClause, text
from sqlmodel import Session, SQLModel, col, select

from experiments.clock import to_micros
from targeting.models import Event

_EVENTS: Final = SQLModel.metadata.tables["events"]

# Many rows travel as one JSON document in one parameter: the statement is the same at any size, the database takes it
# apart in one step, and Python spends next to nothing on each row.
# RETURNING and not the row count, which does not say which of the events were new.
_INSERT: Final[dict[str, TextClause]] = {
    "sqlite": text(
        "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
        "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), "
        "json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') "
        "FROM json_each(:rows) WHERE true ON CONFLICT (message_id) DO NOTHING RETURNING id, message_id"
    ),
    "postgresql": text(
        "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
        "SELECT item ->> 0, CAST(item ->> 1 AS BIGINT), item ->> 2, CAST(item ->> 3 AS BIGINT), "
        "CAST(item ->> 4 AS BIGINT), item -> 5 FROM jsonb_array_elements(CAST(:rows AS JSONB)) AS item "
        "ON CONFLICT (message_id) DO NOTHING RETURNING id, message_id"
    ),
}


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


def add_events(session: Session, rows: Sequence[EventRow]) -> dict[str, int]:
    """Add these events, except those whose `message_id` is there already; returns the ids of those added, by message id."""
    if not rows:
        return {}
    # Sorted, so that two transactions that bring the same events wait for each other instead of deadlocking.
    document = msgspec.json.encode([(*row[:5], msgspec.Raw(row.properties.encode())) for row in sorted(rows)])
    statement = _INSERT[session.get_bind().dialect.name]
    found = session.connection().execute(statement, {"rows": document.decode()})
    return {message_id: event_id for event_id, message_id in found.all()}


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
    ids = add_events(session, rows)
    return [NewEvent(ids.pop(row[0]), row.user_pk, row.name) for row in rows if row.message_id in ids]


def known_message_ids(session: Session, message_ids: Collection[str]) -> set[str]:
    """Those of `message_ids` that are stored already."""
    query = select(_EVENTS.c.message_id).where(_EVENTS.c.message_id.in_(message_ids))
    return set(session.execute(query).scalars())


def list_events(session: Session, *, user_pk: int, after_id: int = 0, limit: int = 100) -> Sequence[Event]:
    """Up to `limit` events of one user with an id above `after_id`, in the order of their arrival."""
    query = select(Event).where(Event.user_pk == user_pk, col(Event.id) > after_id)
    return session.exec(query.order_by(col(Event.id)).limit(limit)).all()
