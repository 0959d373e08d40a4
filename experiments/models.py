"""Tables of the lowest floor: experiments, their epochs, drafts of campaigns, and the library of metrics."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, UniqueConstraint
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime
from experiments.vocabulary import ExperimentStatus


class Experiment(SQLModel, table=True):
    """A campaign. `definition` is an `ExperimentDesign` as JSON; once the experiment runs, only its coverage grows, and variants
    are added. `held_at`: since when a bandit leaves the weights alone, because somebody set them by hand. `silenced`: retired
    variants whose users are sent nothing any more. `stopped_arms`: what guardrails stopped, see `experiments/stopped_arms.py`.
    `released`: see `experiments.waves`; `shipped`, `shipped_at`: see
    `experiments.shipping`.
    """

    __tablename__ = "experiments"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=200)
    status: str = Field(default=ExperimentStatus.DRAFT, max_length=20, index=True)
    priority: int = 0
    definition: dict[str, Any] = Field(sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    held_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    silenced: list[str] | None = Field(default=None, sa_type=JsonDocument)
    stopped_arms: dict[str, Any] | None = Field(default=None, sa_type=JsonDocument)
    released: float | None = Field(default=None)
    shipped: str | None = Field(default=None, max_length=64)
    shipped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Epoch(SQLModel, table=True):
    """A stretch of time with fixed weights. `weights` maps variant to share of traffic; the shares sum to 1."""

    __tablename__ = "epochs"
    __table_args__ = (UniqueConstraint("experiment_id", "number"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    number: int
    weights: dict[str, float] = Field(sa_type=JsonDocument)
    opened_at: datetime = Field(sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reason: str = Field(max_length=500)


class Metric(SQLModel, table=True):
    """A named metric that any experiment may use. `definition` is a `MetricDefinition` as JSON."""

    __tablename__ = "metrics"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    definition: dict[str, Any] = Field(sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class CampaignDraft(SQLModel, table=True):
    """A campaign that somebody is writing: a document that need not be whole, and that nothing acts on. `revision` counts its
    saves, so that two who write at once notice each other.
    """

    __tablename__ = "campaign_drafts"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    key: str = Field(max_length=64, unique=True)
    document: dict[str, Any] = Field(sa_type=JsonDocument)
    revision: int
    updated_by: str = Field(max_length=200)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
