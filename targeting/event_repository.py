"""All SQL of events."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session, SQLModel, col, select

from targeting.models import Event
from targeting.user_repository import insert_into

_EVENTS: Final = SQLModel.metadata.tables["events"]


def insert_events(session: Session, events: Sequence[Mapping[str, Any]]) -> int:
    """Add rows of `events`, except those whose `message_id` is there already; returns how many were added."""
    if not events:
        return 0
    # Sorted, so that two transactions that bring the same events wait for each other instead of deadlocking.
    rows = sorted(events, key=lambda event: str(event["message_id"]))
    statement = insert_into(session, _EVENTS).on_conflict_do_nothing(index_elements=[_EVENTS.c.message_id])
    # RETURNING and not the row count, which PostgreSQL's driver does not tell for many rows at once.
    return len(session.execute(statement.returning(_EVENTS.c.id), rows).all())


def known_message_ids(session: Session, message_ids: Collection[str]) -> set[str]:
    """Those of `message_ids` that are stored already."""
    query = select(_EVENTS.c.message_id).where(_EVENTS.c.message_id.in_(message_ids))
    return set(session.execute(query).scalars())


def list_events(session: Session, *, user_pk: int, after_id: int = 0, limit: int = 100) -> Sequence[Event]:
    """Up to `limit` events of one user with an id above `after_id`, in the order of their arrival."""
    query = select(Event).where(Event.user_pk == user_pk, col(Event.id) > after_id)
    return session.exec(query.order_by(col(Event.id)).limit(limit)).all()
