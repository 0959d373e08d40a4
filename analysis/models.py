"""Tables of what was concluded: stored reports. Each stored report is one look at the data."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


class StoredReport(SQLModel, table=True):
    """A report as it was shown. `information` is the information fraction of the look (STATISTICS: spending)."""

    __tablename__ = "reports"
    __table_args__ = (Index("ix_reports_experiment_as_of", "experiment_id", "as_of"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    as_of: datetime = Field(sa_type=UtcDateTime)
    information: float
    body: dict[str, Any] = Field(sa_type=JsonDocument)
