"""Tables of what is sent: the outbox, links and clicks, the inbox of webhooks, and the breakers."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime
from experiments.vocabulary import MessageState

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
_NEVER: Final = "253402214400000000"


class Message(SQLModel, table=True):
    """One row of the outbox: one message of one step to one user, with its whole story.

    `slot_at` is when the message took its place in the user's cap ledger (the in-flight commit); it is null while
    the message holds no place. `due_at` moves when a message is deferred, `first_due_at` does not.
    `error_code` is WhatsApp's, `reason` is why a message was deferred, suppressed, failed or cancelled. From `expires_at`
    on it no longer goes out. `failed_at` is of the latest try, `first_failed_at` stays (`outbox/story.py`). `step` counts on from one occasion of a recurring campaign to the next. `choice` is how its time
    was chosen where that is drawn (`{"hour": 19, "by": "best_hour", "propensity": 0.91, ..}`); `decision` what was decided
    at the last look before sending, with the numbers behind it (caps after adaptation, language, content source).
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("experiment_id", "user_pk", "step"),
        Index("ix_messages_ledger", "user_pk", "slot_at"),
        # Holds all that the books ask for, so that counting a million messages never reads one of them.
        Index("ix_messages_books", "experiment_id", "state", "variant", "reason", "error_code"),
        Index(
            "ix_messages_slot",
            "slot_at",
            "user_pk",
            sqlite_where=text("slot_at IS NOT NULL"),
            postgresql_where=text("slot_at IS NOT NULL"),
        ),
        Index(
            "ix_messages_clicked",
            "experiment_id",
            sqlite_where=text("clicked_at IS NOT NULL"),
            postgresql_where=text("clicked_at IS NOT NULL"),
        ),
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
    expires_at: datetime = Field(
        default=NEVER, sa_type=UtcDateTime, sa_column_kwargs={"server_default": _NEVER}
    )
    language: str | None = Field(default=None, max_length=10)
    choice: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    decision: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
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
    first_failed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
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
    """A webhook as it came, stored before anything is made of it. `error` is why it could not be projected.

    `other` names the kinds in it that nothing was made of, with commas between. `unmatched` are its statuses of messages that
    we do not know; as long as they wait (`projected_at` null), `look_again_at` says until when nobody need look.
    """

    __tablename__ = "webhook_bodies"
    __table_args__ = (
        Index(
            "ix_webhook_bodies_waiting",
            "id",
            sqlite_where=text("projected_at IS NULL AND unmatched IS NULL"),
            postgresql_where=text("projected_at IS NULL AND unmatched IS NULL"),
        ),
        Index(
            "ix_webhook_bodies_look_again",
            "look_again_at",
            sqlite_where=text("projected_at IS NULL AND unmatched IS NOT NULL"),
            postgresql_where=text("projected_at IS NULL AND unmatched IS NOT NULL"),
        ),
        Index(
            "ix_webhook_bodies_errors",
            "id",
            sqlite_where=text("error IS NOT NULL"),
            postgresql_where=text("error IS NOT NULL"),
        ),
        Index(
            "ix_webhook_bodies_other",
            "id",
            "other",
            sqlite_where=text("other IS NOT NULL"),
            postgresql_where=text("other IS NOT NULL"),
        ),
        Index(
            "ix_webhook_bodies_unmatched",
            "id",
            sqlite_where=text("unmatched IS NOT NULL"),
            postgresql_where=text("unmatched IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcDateTime)
    projected_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, max_length=1000)
    unmatched: list[Any] | None = Field(default=None, sa_type=JsonDocument)
    look_again_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    other: str | None = Field(default=None, max_length=200)


class Breaker(SQLModel, table=True):
    """An open fuse: nothing goes out through `kind`/`key` (all, number, template, variant, guard) until it is closed.

    `until` is null when somebody has to close it (or a REINSTATED webhook), else it closes by itself. `streak` counts the
    equal errors (`streak_code`) of a variant since its last success, and the looks of an experiment's guards that failed in a row.
    """

    __tablename__ = "breakers"

    kind: str = Field(primary_key=True, max_length=20)
    key: str = Field(primary_key=True, max_length=200)
    opened_at: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error_code: int | None = None
    reason: str = Field(max_length=300)
    streak: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    streak_code: int | None = None


class PolicyVersion(SQLModel, table=True):
    """What the delivery policy (caps, quiet hours ..) said from `at` on; the newest counts. Rows are only ever added."""

    __tablename__ = "delivery_policies"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    document: dict[str, Any] = Field(sa_type=JsonDocument)
    actor: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)


class NumberState(SQLModel, table=True):
    """What WhatsApp last said about a number of ours. `unique_users`: how many people it may reach in 24 hours; null: no bound
    known. Each part has the time at which WhatsApp said it, since webhooks come in any order. `number` is the id of a number,
    `+` and its digits where WhatsApp gave only those (`display` of the id's own row tells whose they are), or `account`.
    """

    __tablename__ = "number_states"

    number: str = Field(primary_key=True, max_length=50)
    display: str | None = Field(default=None, max_length=50)
    quality: str | None = Field(default=None, max_length=30)
    quality_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    unique_users: int | None = None
    unique_users_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    status: str | None = Field(default=None, max_length=60)
    status_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Template(SQLModel, table=True):
    """A template in one language, as WhatsApp has it. `components` is Meta's own JSON.

    Its parts may be newer than `synced_at`: webhooks change them, each at a time of its own (`status_at` ..), since they
    come in any order; `changed_at` is the newest of all. `gone_at`: it was there once.
    """

    __tablename__ = "templates"

    name: str = Field(primary_key=True, max_length=512)
    language: str = Field(primary_key=True, max_length=10)
    template_id: str | None = Field(default=None, max_length=50)
    category: str = Field(max_length=20)
    status: str = Field(max_length=30)
    quality: str | None = Field(default=None, max_length=30)
    parameter_format: str = Field(default="POSITIONAL", max_length=20)
    components: list[Any] = Field(default_factory=list, sa_type=JsonDocument)
    synced_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)
    status_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    quality_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    category_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    components_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    gone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class TemplateSync(SQLModel, table=True):
    """When the templates of an account were last asked for, and when and with what error that last went well or not."""

    __tablename__ = "template_syncs"

    account: str = Field(primary_key=True, max_length=50)
    tried_at: datetime = Field(sa_type=UtcDateTime)
    synced_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, max_length=500)


class Worker(SQLModel, table=True):
    """A process that sends. Those seen lately share the throughput of their number."""

    __tablename__ = "workers"

    name: str = Field(primary_key=True, max_length=100)
    number: str = Field(max_length=50)
    started_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Balance(SQLModel, table=True):
    """What the books of an experiment said when they were last checked, and how many seconds that took.

    `broken_at`: since when they do not hold. `detail`: slots and messages of each variant whose numbers differ. `lines`: what they were
    drawn up from, `[variant, state, reason, code, number]` each.
    """

    __tablename__ = "balances"

    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), primary_key=True))
    checked_at: datetime = Field(sa_type=UtcDateTime)
    slots: int = Field(sa_type=BigKey)
    messages: int = Field(sa_type=BigKey)
    seconds: float
    broken_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    detail: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    lines: list[Any] | None = Field(default=None, sa_type=JsonDocument)
