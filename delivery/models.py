"""Tables of what is sent: the outbox, links and clicks, the inbox of webhooks, and the breakers."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime
from experiments.vocabulary import MessageState


class Message(SQLModel, table=True):
    """One row of the outbox: one message of one step to one user, with its whole story.

    `slot_at` is when the message took its place in the user's cap ledger (the in-flight commit); it is null while
    the message holds no place. `due_at` moves when a message is deferred, `first_due_at` does not.
    `error_code` is WhatsApp's, `reason` is why a message was deferred, suppressed, failed or cancelled.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("experiment_id", "user_pk", "step"),
        Index("ix_messages_ledger", "user_pk", "slot_at"),
        Index("ix_messages_experiment_state", "experiment_id", "state"),
        Index(
            "ix_messages_due",
            "priority",
            "due_at",
            sqlite_where=text("state = 'planned'"),
            postgresql_where=text("state = 'planned'"),
        ),
        Index(
            "ix_messages_lease",
            "lease_until",
            sqlite_where=text("state IN ('claimed', 'inflight')"),
            postgresql_where=text("state IN ('claimed', 'inflight')"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    user_pk: int = Field(sa_column=Column(BigKey, ForeignKey("users.id"), nullable=False))
    variant: str = Field(max_length=64)
    step: int = 0
    category: str = Field(max_length=20)
    priority: int = 0
    state: str = Field(default=MessageState.PLANNED, max_length=20)
    reason: str | None = Field(default=None, max_length=200)
    error_code: int | None = None
    first_due_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    claimed_by: str | None = Field(default=None, max_length=100)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    tries: int = 0
    slot_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    wamid: str | None = Field(default=None, max_length=200, unique=True)
    parameters: list[str] | None = Field(default=None, sa_type=JsonDocument)
    accepted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    clicked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Link(SQLModel, table=True):
    """The target behind a click token; one a message that has a link."""

    __tablename__ = "links"

    token: str = Field(primary_key=True, max_length=40)
    message_pk: int = Field(sa_column=Column(BigKey, ForeignKey("messages.id"), nullable=False, index=True))
    url: str = Field(max_length=2000)


class Click(SQLModel, table=True):
    """One visit to our redirect. The first one sets the message's `clicked_at`."""

    __tablename__ = "clicks"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    token: str = Field(foreign_key="links.token", max_length=40, index=True)
    at: datetime = Field(sa_type=UtcDateTime)


class WebhookBody(SQLModel, table=True):
    """A webhook as it came, stored before anything is made of it. `error` is why it could not be projected."""

    __tablename__ = "webhook_bodies"
    __table_args__ = (
        Index(
            "ix_webhook_bodies_waiting",
            "id",
            sqlite_where=text("projected_at IS NULL"),
            postgresql_where=text("projected_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcDateTime)
    projected_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, max_length=1000)
    unmatched: list[Any] | None = Field(default=None, sa_type=JsonDocument)


class Breaker(SQLModel, table=True):
    """An open fuse: nothing goes out through `kind`/`key` (number, template, variant) until it is closed.

    `until` is null when somebody has to close it (or a REINSTATED webhook), else it closes by itself.
    """

    __tablename__ = "breakers"

    kind: str = Field(primary_key=True, max_length=20)
    key: str = Field(primary_key=True, max_length=200)
    opened_at: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error_code: int | None = None
    reason: str = Field(max_length=300)
