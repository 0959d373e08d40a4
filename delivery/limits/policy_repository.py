"""SQL of the delivery policy: its versions, which are only ever added."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from delivery.models import PolicyVersion


def newest_document(session: Session) -> dict[str, Any] | None:
    query = select(col(PolicyVersion.document)).order_by(col(PolicyVersion.id).desc()).limit(1)
    return session.scalars(query).first()


def add(session: Session, version: PolicyVersion) -> None:
    session.add(version)
    session.flush()


def versions(session: Session, *, before_id: int | None, limit: int) -> Sequence[PolicyVersion]:
    query = select(PolicyVersion).order_by(col(PolicyVersion.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(PolicyVersion.id) < before_id)
    return session.scalars(query).all()
