"""The audit log: who changed what, from what, to what. Written in the same transaction as the change."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index
from sqlmodel import Field, Session, SQLModel

from experiments.clock import Clock
from experiments.database import BigKey, JsonDocument, UtcDateTime


class AuditEntry(SQLModel, table=True):
    """One change. `before` is null for a creation, `after` for a removal."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_subject", "subject_kind", "subject_key"),
        Index("ix_audit_entries_actor", "actor", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=200)
    action: str = Field(max_length=100)
    subject_kind: str = Field(max_length=50)
    subject_key: str = Field(max_length=200)
    before: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    after: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)


def record(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    action: str,
    subject_kind: str,
    subject_key: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add one entry to the log, inside the caller's transaction."""
    session.add(
        AuditEntry(
            at=clock.now(),
            actor=actor,
            action=action,
            subject_kind=subject_kind,
            subject_key=subject_key,
            before=before,
            after=after,
        )
    )
