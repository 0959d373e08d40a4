"""All SQL of pulls: their definitions, who holds one, how far it has come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, or_, update
from sqlmodel import Session, col, select

from targeting.models import Pull


def find_pull(session: Session, key: str) -> Pull | None:
    return session.exec(select(Pull).where(Pull.key == key).execution_options(populate_existing=True)).first()


def find_pull_to_change(session: Session, key: str) -> Pull | None:
    query = select(Pull).where(Pull.key == key).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).first()


def list_pulls(session: Session, *, after_id: int, limit: int) -> Sequence[Pull]:
    return session.exec(select(Pull).where(col(Pull.id) > after_id).order_by(col(Pull.id)).limit(limit)).all()


def due_keys(session: Session, *, now: datetime) -> Sequence[str]:
    """Pulls whose time has come and that nobody holds, the longest waiting first."""
    query = select(Pull.key).where(col(Pull.enabled), col(Pull.next_at) <= now, _free(now))
    return session.exec(query.order_by(col(Pull.next_at), col(Pull.id))).all()


def claim(session: Session, key: str, *, now: datetime, until: datetime) -> bool:
    """Hold a pull until then; False when somebody else does."""
    statement = update(Pull).where(col(Pull.key) == key, _free(now)).values(claimed_until=until)
    return _changed(session, statement)


def extend(session: Session, pull_id: int, *, held: datetime, until: datetime) -> bool:
    """Hold it longer; False when it is not held as it was, because it was changed or taken over."""
    return _changed(session, update(Pull).where(_held(pull_id, held)).values(claimed_until=until))


def advance(session: Session, pull_id: int, *, held: datetime, cursor: dict[str, Any] | None) -> bool:
    """Move its cursor (None: it has none); False as in `extend`."""
    values = {"claimed_until": held} if cursor is None else {"cursor": cursor}
    return _changed(session, update(Pull).where(_held(pull_id, held)).values(values))


def release(session: Session, pull_id: int, *, held: datetime, next_at: datetime, error: str | None) -> bool:
    """End a run: it is due again at `next_at`."""
    values = {"claimed_until": None, "next_at": next_at, "error": error}
    return _changed(session, update(Pull).where(_held(pull_id, held)).values(values))


def _free(now: datetime) -> Any:
    return or_(col(Pull.claimed_until).is_(None), col(Pull.claimed_until) <= now)


def _held(pull_id: int, held: datetime) -> Any:
    return (col(Pull.id) == pull_id) & (col(Pull.claimed_until) == held)


def _changed(session: Session, statement: Any) -> bool:
    result: CursorResult[Any] = session.execute(statement)  # type: ignore[assignment]  # an UPDATE gives a cursor
    return result.rowcount == 1
