"""SQL of planning, links and summaries. The sending side has its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    TextClause,
    func,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from delivery.models import Message
from delivery.outbox.holding import held_ids
from experiments.clock import to_micros
from experiments.vocabulary import WAITING_STATES, Category, MessageState


class NewMessage(NamedTuple):
    """What differs between the planned messages of one batch."""

    user_pk: int
    variant: str
    step: int
    due_at: datetime
    expires_at: datetime
    choice: dict[str, Any] | None


# Many rows travel as one document, as events do (`targeting.event_repository`), and keep its order.
_PLAN: Final[dict[str, TextClause]] = {
    "sqlite": text(
        "INSERT INTO messages (experiment_id, category, priority, state, tries, user_pk, variant, step, first_due_at, "
        "due_at, expires_at, choice) "
        "SELECT :experiment_id, :category, :priority, :state, 0, json_extract(value, '$[0]'), json_extract(value, '$[1]'), "
        "json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[3]'), "
        "json_extract(value, '$[4]'), json_extract(value, '$[5]') FROM json_each(:rows)"
    ),
    "postgresql": text(
        "INSERT INTO messages (experiment_id, category, priority, state, tries, user_pk, variant, step, first_due_at, "
        "due_at, expires_at, choice) "
        "SELECT CAST(:experiment_id AS BIGINT), :category, CAST(:priority AS INTEGER), :state, 0, "
        "CAST(item ->> 0 AS BIGINT), item ->> 1, CAST(item ->> 2 AS INTEGER), CAST(item ->> 3 AS BIGINT), "
        "CAST(item ->> 3 AS BIGINT), CAST(item ->> 4 AS BIGINT), NULLIF(item -> 5, CAST('null' AS JSONB)) "
        "FROM jsonb_array_elements(CAST(:rows AS JSONB)) WITH ORDINALITY AS entry (item, place) ORDER BY place"
    ),
}


def insert_messages(
    session: Session,
    rows: Sequence[NewMessage],
    *,
    experiment_id: int,
    category: Category,
    priority: int,
) -> None:
    """Add planned messages; a step that a user has already is an error, since it would be sent twice."""
    if not rows:
        return
    micros: Final = cache(to_micros)  # users of one zone share their times
    documents = [(*row[:3], micros(row.due_at), micros(row.expires_at), row.choice) for row in rows]
    session.connection().execute(
        _PLAN[session.get_bind().dialect.name],
        {
            "experiment_id": experiment_id,
            "category": category,
            "priority": priority,
            "state": MessageState.PLANNED,
            "rows": msgspec.json.encode(documents).decode(),
        },
    )


def in_hand(session: Session, *, experiment_id: int, user_pks: Sequence[int], since: datetime) -> set[int]:
    """Those of these users who have a message of the experiment that is not over, or had one since a moment."""
    query = select(col(Message.user_pk)).where(
        col(Message.experiment_id) == experiment_id,
        col(Message.user_pk).in_(user_pks),
        or_(col(Message.state).in_([*WAITING_STATES, MessageState.INFLIGHT]), col(Message.slot_at) >= since),
    )
    return set(session.connection().execute(query.distinct()).scalars())


def has_waiting(session: Session, *, experiment_id: int, variants: Sequence[str]) -> bool:
    """Whether a message of these variants is not yet committed to go out."""
    query = select(col(Message.id)).where(*_waiting(experiment_id, variants)).limit(1)
    return session.connection().execute(query).first() is not None


def cancel_waiting(
    session: Session, *, experiment_id: int, reason: str, variants: Sequence[str] | None = None
) -> int:
    """Cancel every message (of these variants) that is not yet committed to go out; returns how many."""
    result = session.connection().execute(
        update(Message)
        .where(col(Message.id).in_(held_ids(*_waiting(experiment_id, variants))))
        .values(state=MessageState.CANCELLED, reason=reason, claimed_by=None, lease_until=None)
    )
    return result.rowcount


def restore_cancelled(
    session: Session, *, experiment_id: int, variant: str, reason: str, now: datetime
) -> int:
    """Plan every message of a variant again that was cancelled for this reason and has not expired; returns how many."""
    result = session.connection().execute(
        update(Message)
        .where(
            col(Message.id).in_(
                held_ids(
                    col(Message.experiment_id) == experiment_id,
                    col(Message.variant) == variant,
                    col(Message.state) == MessageState.CANCELLED,
                    col(Message.reason) == reason,
                    col(Message.expires_at) > now,
                )
            )
        )
        .values(state=MessageState.PLANNED, reason=None)
    )
    return result.rowcount


def _waiting(experiment_id: int, variants: Sequence[str] | None) -> list[ColumnElement[bool]]:
    which = [col(Message.experiment_id) == experiment_id, col(Message.state).in_(WAITING_STATES)]
    if variants is not None:
        which.append(col(Message.variant).in_(variants))
    return which


def fullest_window(session: Session, *, window: timedelta) -> int:
    """The most slots that any user has taken inside any stretch of `window`; what a cap promises to bound."""
    later, earlier = aliased(Message), aliased(Message)
    length = window // timedelta(microseconds=1)
    slots = (
        select(func.count().label("slots"))
        .select_from(later)
        .join(earlier, col(earlier.user_pk) == col(later.user_pk))
        .where(
            type_coerce(col(earlier.slot_at), BigInteger)
            > type_coerce(col(later.slot_at), BigInteger) - length,
            col(earlier.slot_at) <= col(later.slot_at),
        )
        .group_by(col(later.id))
        .subquery()
    )
    return int(session.connection().execute(select(func.coalesce(func.max(slots.c.slots), 0))).scalar_one())
