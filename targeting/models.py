"""Tables of who: users, aliases, consent, events, assignments, segments, rules, and where users come from."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


def _user_reference(*, primary_key: bool = False, index: bool = False) -> Any:
    return Column(BigKey, ForeignKey("users.id"), nullable=False, primary_key=primary_key, index=index)


_USER_ID: Final = String(200).with_variant(String(200, collation="C"), "postgresql")


class User(SQLModel, table=True):
    """A person who can be messaged. `user_id` is the outside world's id, `id` is ours; `phone` is E.164.

    `attributes` holds everything else that is known, such as `{"country": "NL", "last_order_at": "2026-08-01T..Z"}`.
    `last_inbound_at` opens WhatsApp's 24 h customer-service window.
    """

    __tablename__ = "users"
    __table_args__ = (
        # Those who have ever written to us: a few, among whom WhatsApp's window is open for some.
        Index(
            "ix_users_last_inbound_at",
            "last_inbound_at",
            sqlite_where=text("last_inbound_at IS NOT NULL"),
            postgresql_where=text("last_inbound_at IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    # Compared byte by byte on both databases, so that the ids with one beginning are one stretch of the index.
    user_id: str = Field(
        max_length=200,
        unique=True,
        sa_type=_USER_ID,
    )
    phone: str | None = Field(default=None, max_length=20, unique=True)
    time_zone: str | None = Field(default=None, max_length=64)
    locale: str | None = Field(default=None, max_length=35)
    attributes: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_inbound_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


FORMER_USER_ID: Final = "former_user_id"
"""Kind of an alias: a user id that its user had before."""


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

    `planned_at` is null until delivery has turned the assignment into messages (or into none, for a silent arm); where the
    trigger recurs, it is when that was last looked at.
    `occasions` is for how many occasions of its trigger it has been planned: 0, then 1, and more where the trigger recurs.
    `forced`: the variant was given and not drawn, by hand to a test user or because it was shipped: messaged, never analysed.
    `source` is `audience`, `rule:KEY` when a rule enrolled the user, or `ship`.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("experiment_id", "user_pk"),
        Index("ix_assignments_user", "user_pk"),
        Index("ix_assignments_books", "experiment_id", "variant", "occasions"),
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
    forced: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    source: str = Field(default="audience", max_length=80, sa_column_kwargs={"server_default": "audience"})
    assigned_at: datetime = Field(sa_type=UtcDateTime)
    planned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    occasions: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Enrolment(SQLModel, table=True):
    """How far the audience of one experiment has been enrolled; lets a crashed or paused run go on where it was.

    `last_user_pk` is the highest user looked at; `counts` says what became of them:
    `{"assigned": n, "excluded": {"consent": n, "cap": n, ..}, "forced": {"assigned": n, "excluded": {..}}, "expected": n, "unassigned": n, "afresh_from": share}`: testers
    apart; how many will be assigned at the end of a second walk, while it lasts, and after the last wave; while users wait for a wave of so many, how many without a variant could have taken part when they were counted; and while a wave
    is drawn, what was out before it. Users who come by rules are not counted.
    `occasion_at` is the newest occasion of a recurring trigger that was begun; `planned_to_pk` how far, in the order of users,
    those assigned before have been planned for it; null when all of them have.
    `reach`, of an audience that is met at one moment: what each walk that ended has reached, oldest first, as `[epoch, coverage, released]`
    (`experiments.waves`), the newest of each epoch. So it can be told from hashes alone with which weights somebody was drawn.
    """

    __tablename__ = "enrolments"

    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), primary_key=True))
    last_user_pk: int = Field(default=0, sa_column=Column(BigKey, nullable=False))
    counts: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    occasion_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    planned_to_pk: int | None = Field(default=None, sa_type=BigKey)
    reach: list[Any] | None = Field(default=None, sa_type=JsonDocument)


class Segment(SQLModel, table=True):
    """A named condition, or an imported list of users (`condition` is null; the list is in `SegmentMember`).

    `size` and `refreshed_at` are of the last refresh of its membership.
    """

    __tablename__ = "segments"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=200)
    condition: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    refreshed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    size: int | None = Field(default=None, sa_type=BigKey)


class SegmentMember(SQLModel, table=True):
    """One user in a segment: of an imported list, or as the last refresh of a condition found them."""

    __tablename__ = "segment_members"

    segment_id: int = Field(sa_column=Column(BigKey, ForeignKey("segments.id"), primary_key=True))
    user_pk: int = Field(sa_column=_user_reference(primary_key=True, index=True))
    added_at: datetime = Field(sa_type=UtcDateTime)


class Rule(SQLModel, table=True):
    """Trigger + condition -> actions; `definition` is a `RuleDefinition` as JSON, the newest version.

    `parked_at` and `error` are set when the rule failed: it stands still until somebody enables it again. `waits_for` is
    what every event and every change is compared with: `event:Order Completed` or `attribute:plan`, while the rule may
    fire. The last three columns say how far a walk over all users has come (triggers by inactivity and by schedule).
    """

    __tablename__ = "rules"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=200)
    enabled: bool = Field(default=False)
    version: int = Field(default=1)
    definition: dict[str, Any] = Field(sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    parked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, max_length=1000)
    waits_for: str | None = Field(default=None, max_length=220, index=True)
    next_walk_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    walk_began_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    walked_to_pk: int = Field(default=0, sa_type=BigKey)


class RuleVersion(SQLModel, table=True):
    """What a rule said in each of its versions. Rows are only ever added."""

    __tablename__ = "rule_versions"

    rule_id: int = Field(sa_column=Column(BigKey, ForeignKey("rules.id"), primary_key=True))
    version: int = Field(primary_key=True)
    definition: dict[str, Any] = Field(sa_type=JsonDocument)
    actor: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)


class PendingTrigger(SQLModel, table=True):
    """Something happened that an enabled rule waits for. Written with the event or the change itself, in one transaction,
    and deleted with the effects of the rules, in one transaction: so each is evaluated exactly once.

    `event_id` for an event; else `changes` holds the attributes that changed: `{"plan": {"before": .., "after": ..}}`.
    `chain` are the ids of the rules that led to a change made by rules, first to last; null for anybody else's change.
    """

    __tablename__ = "pending_triggers"
    # An id names an occasion for good, so it is not given out again once its row is gone.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    user_pk: int = Field(sa_column=_user_reference(index=True))
    event_id: int | None = Field(
        default=None, sa_column=Column(BigKey, ForeignKey("events.id"), nullable=True)
    )
    changes: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    chain: list[int] | None = Field(default=None, sa_type=JsonDocument)
    at: datetime = Field(sa_type=UtcDateTime)


class RuleFiring(SQLModel, table=True):
    """A rule fired for a user. `cause` names the occasion (`event:17`, `inactive:2026-11-01T..Z`), so that one occasion fires once."""

    __tablename__ = "rule_firings"
    __table_args__ = (
        UniqueConstraint("rule_id", "user_pk", "cause"),
        Index("ix_rule_firings_rule_user_at", "rule_id", "user_pk", "at"),
        Index("ix_rule_firings_rule_id", "rule_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    rule_id: int = Field(sa_column=Column(BigKey, ForeignKey("rules.id"), nullable=False))
    version: int
    user_pk: int = Field(sa_column=_user_reference(index=True))
    cause: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)
    outcome: dict[str, Any] = Field(default_factory=dict, sa_type=JsonDocument)


class ImportRun(SQLModel, table=True):
    """One import of users, by file or by pull: what became of its rows, and the quality of its data."""

    __tablename__ = "import_runs"
    __table_args__ = (Index("ix_import_runs_source", "source", "id"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    source: str = Field(max_length=200)
    actor: str = Field(max_length=200)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    summary: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    quality: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    error: str | None = Field(default=None, max_length=1000)


class Pull(SQLModel, table=True):
    """A scheduled query of another database. `definition` is a `PullDefinition` as JSON; `cursor` is how far it has come.

    `claimed_until` is set while a worker runs it: nobody else does until then, and whoever finds it changed gives up.
    """

    __tablename__ = "pulls"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    enabled: bool = Field(default=True)
    definition: dict[str, Any] = Field(sa_type=JsonDocument)
    cursor: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    next_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    claimed_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Attribute(SQLModel, table=True):
    """What is known about one attribute of users: its type and how many have it, as last discovered.

    `kind` is text, number, boolean, time, list, object or mixed. `indexed` asks for an index on its values.
    """

    __tablename__ = "attributes"

    name: str = Field(primary_key=True, max_length=200)
    kind: str = Field(max_length=20)
    share: float = Field(description="Share of users that have it")
    examples: list[Any] = Field(default_factory=list, sa_type=JsonDocument)
    indexed: bool = Field(default=False)
    discovered_at: datetime = Field(sa_type=UtcDateTime)


class Tombstone(SQLModel, table=True):
    """Somebody was erased and must not come back by import. Only a keyed digest of what identified them is kept."""

    __tablename__ = "tombstones"

    digest: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=30)
    erased_at: datetime = Field(sa_type=UtcDateTime)
