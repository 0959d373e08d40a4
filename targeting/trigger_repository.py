"""SQL on the hot path of rules: what they wait for, and what has happened that they wait for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import insert, select
from sqlmodel import Session, col

from targeting.models import PendingTrigger, Rule

_AWAITED: Final = select(col(Rule.waits_for)).where(col(Rule.waits_for).is_not(None)).distinct()


def awaited(session: Session) -> Sequence[str]:
    """What the enabled rules wait for, such as `event:Order Completed`; reads an index and no table."""
    return [text for text in session.connection().execute(_AWAITED).scalars() if text is not None]


def add_pending(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows of `pending_triggers`, all with the same columns."""
    if rows:
        session.connection().execute(insert(PendingTrigger), rows)
