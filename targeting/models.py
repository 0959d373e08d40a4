"""Tables of who: users, aliases, consent, events, assignments, and how far enrolment has come."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


def _user_reference(*, primary_key: bool = False, index: bool = False) -> Any:
    return Column(BigKey, ForeignKey("users.id"), nullable=False, primary_key=primary_key, index=index)


class User(SQLModel, table=True):
    """A person who can be messaged. `user_id` is the outside world's id, `id` is ours; `phone` is E.164.

    `attributes` holds everything else that is known, such as `{"country": "NL", "last_order_at": "2026-08-01T..Z"}`.
    `last_inbound_at` opens WhatsApp's 24 h customer-service window.
    """

    __tablename__ = "users"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    user_id: str = Field(max_length=200, unique=True)
    phone: str | None = Field(default=None, max_length=20, unique=True)
    time_zone: str | None = Field(default=None, max_length=64)
    locale: str | None = Field(default=None, max_length=35)
    attributes: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_inbound_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class UserAlias(SQLModel, table=True):
    """Another name of a user: `anonymous_id`, `wa_id`, `business_scoped_id`. User id and phone are on the user."""

    __tablename__ = "user_aliases"

    kind: str = Field(primary_key=True, max_length=30)
    value: str = Field(primary_key=True, max_length=200)
    user_pk: int = Field(sa_column=_user_reference(index=True))


class Consent(SQLModel, table=True):
    """The present state of one user's consent to one category. Absent means: never asked, so never messaged."""

    __tablename__ = "consents"

    user_pk: int = Field(sa_column=_user_reference(primary_key=True))
    category: str = Field(primary_key=True, max_length=20)
    granted: bool
    changed_at: datetime = Field(sa_type=UtcDateTime)


class ConsentRecord(SQLModel, table=True):
    """The ledger behind `Consent`: every grant and withdrawal with its proof. Rows are only ever added."""

    __tablename__ = "consent_records"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    user_pk: int = Field(sa_column=_user_reference(index=True))
    category: str = Field(max_length=20)
    granted: bool
    at: datetime = Field(sa_type=UtcDateTime)
    source: str = Field(max_length=100)
    evidence: str = Field(default="", max_length=1000)


class Event(SQLModel, table=True):
    """Something a user did. `message_id` comes from the sender and makes it idempotent."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_user_name_at", "user_pk", "name", "at"),
        Index("ix_events_name_at", "name", "at"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    message_id: str = Field(max_length=200, unique=True)
    user_pk: int = Field(sa_column=_user_reference())
    name: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    properties: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)


class Assignment(SQLModel, table=True):
    """User x experiment -> variant. `propensity` is the probability with which this variant was drawn, given eligibility.

    `planned_at` is null until delivery has turned the assignment into messages (or into none, for a silent arm).
    """

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("experiment_id", "user_pk"),
        Index("ix_assignments_user", "user_pk"),
        Index(
            "ix_assignments_unplanned",
            "experiment_id",
            "id",
            sqlite_where=text("planned_at IS NULL"),
            postgresql_where=text("planned_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    user_pk: int = Field(sa_column=_user_reference())
    variant: str = Field(max_length=64)
    epoch: int
    propensity: float
    assigned_at: datetime = Field(sa_type=UtcDateTime)
    planned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Enrolment(SQLModel, table=True):
    """How far the audience of one experiment has been enrolled; lets a crashed or paused run go on where it was.

    `last_user_pk` is the highest user looked at; `counts` says what became of them:
    `{"assigned": n, "excluded": {"consent": n, "cap": n, "phone": n, "holdout": n, "coverage": n, "layer": n}}`.
    """

    __tablename__ = "enrolments"

    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), primary_key=True))
    last_user_pk: int = Field(default=0, sa_column=Column(BigKey, nullable=False))
    counts: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
