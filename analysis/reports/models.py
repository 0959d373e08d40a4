"""Tables of what was concluded: stored reports. Each stored report is one look at the data."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, Index
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, UtcDateTime

JsonAsWritten = JSON(none_as_null=True)
"""A JSON document that keeps its text. JSONB on PostgreSQL would rewrite numbers (1e+16, -0.0), and the hash with them."""


class StoredReport(SQLModel, table=True):
    """A report as it was shown. `information` is the information fraction of the look (STATISTICS: spending).

    inputs, hashes and made_with are those of `evidence.Evidence`; None for a report from before they were kept.
    """

    __tablename__ = "reports"
    __table_args__ = (Index("ix_reports_experiment_as_of", "experiment_id", "as_of"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    experiment_id: int = Field(sa_column=Column(BigKey, ForeignKey("experiments.id"), nullable=False))
    as_of: datetime = Field(sa_type=UtcDateTime)
    information: float
    body: dict[str, Any] = Field(sa_type=JsonAsWritten)
    inputs: dict[str, Any] | None = Field(default=None, sa_type=JsonAsWritten)
    hashes: dict[str, Any] | None = Field(default=None, sa_type=JsonAsWritten)
    made_with: dict[str, Any] | None = Field(default=None, sa_type=JsonAsWritten)
