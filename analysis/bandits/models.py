"""The table of what bandits did, and did not do."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, UniqueConstraint
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


class Reallocation(SQLModel, table=True):
    """What became of one slot of an experiment with a bandit. Slots follow each other from the start, `interval` apart.

    outcome: moved (a new epoch was opened: `epoch`), skipped (`epoch` is the one that went on), shipped or ended (of a broadcast: the rest
    gets one variant, or nothing). reason: in words. numbers:
    everything behind it, see `considering.Considered`.
    """

    __tablename__ = "reallocations"
    __table_args__ = (UniqueConstraint("experiment_id", "slot"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    slot: int
    at: datetime = Field(sa_type=UtcDateTime)
    outcome: str = Field(max_length=20)
    reason: str = Field(max_length=1000)
    epoch: int
    numbers: dict[str, Any] = Field(sa_type=JsonDocument)


class GuardLook(SQLModel, table=True):
    """What the guards of an experiment saw when they last looked, and how many seconds that took; see `harm.Verdict`."""

    __tablename__ = "guard_looks"

    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), primary_key=True))
    looked_at: datetime = Field(sa_type=UtcDateTime)
    seconds: float
    verdicts: list[Any] = Field(sa_type=JsonDocument)
