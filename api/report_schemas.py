"""What travels over HTTP of reports that were kept. A report itself is a plain document: docs/reports.md says what is in it."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from analysis.reports.history import Kept, LookPoint


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class KeptReportAnswer(_Answer):
    """A stored report. `hashes` (specification, data, report) are null for one that was made before they were kept."""

    id: int
    as_of: datetime
    information: float = Field(
        description="Share of the planned information that it rests on; 0 where there is no plan"
    )
    method: str | None
    action: str | None = Field(
        description="What it decided: continue, ship, keep_control, stop_harm or inconclusive"
    )
    variant: str | None
    hashes: dict[str, str] | None
    made_with: dict[str, str | int] | None

    @classmethod
    def of(cls, kept: Kept) -> Self:
        return cls.model_validate(kept)


class EffectPointAnswer(_Answer):
    """One effect at one look; null: could not be told. `n`, `n_control` are the mature users of both arms."""

    metric: str
    variant: str
    control: str
    n: int | None
    n_control: int | None
    estimate: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    adjusted_p_value: float | None
    significant: bool | None


class LookAnswer(_Answer):
    """What one stored report said of the effects. `information` is null where no planned end is known."""

    report: int
    as_of: datetime
    information: float | None
    effects: list[EffectPointAnswer]

    @classmethod
    def of(cls, look: LookPoint) -> Self:
        return cls.model_validate(look)
