"""SQL on the hot path of rules: what they wait for, and what has happened that they wait for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import TextClause, insert, select, text
from sqlmodel import Session, col

from experiments.clock import to_micros
from targeting.models import PendingTrigger, Rule

_AWAITED: Final = select(col(Rule.waits_for)).where(col(Rule.waits_for).is_not(None)).distinct()

# Many rows travel as one document, as events do (`event_repository`), and keep its order.
_ADD_EVENTS: Final[dict[str, TextClause]] = {
    "sqlite": text(
        "INSERT INTO pending_triggers (event_id, user_pk, at) "
        "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), :at FROM json_each(:rows)"
    ),
    "postgresql": text(
        "INSERT INTO pending_triggers (event_id, user_pk, at) "
        "SELECT CAST(item ->> 0 AS BIGINT), CAST(item ->> 1 AS BIGINT), CAST(:at AS BIGINT) "
        "FROM jsonb_array_elements(CAST(:rows AS JSONB)) WITH ORDINALITY AS entry (item, place) ORDER BY place"
    ),
}


def awaited(session: Session) -> Sequence[str]:
    """What the enabled rules wait for, such as `event:Order Completed`; reads an index and no table."""
    return [each for each in session.connection().execute(_AWAITED).scalars() if each is not None]


def add_events(session: Session, rows: Sequence[tuple[int, int]], *, at: datetime) -> None:
    """Note events, in this order: (event id, internal user id)."""
    if rows:
        parameters = {"rows": msgspec.json.encode(rows).decode(), "at": to_micros(at)}
        session.connection().execute(_ADD_EVENTS[session.get_bind().dialect.name], parameters)


def add_changes(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note changes: rows of `pending_triggers`, all with the same columns."""
    if rows:
        session.connection().execute(insert(PendingTrigger), rows)
