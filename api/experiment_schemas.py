"""What travels over HTTP while an experiment runs: more coverage, other weights, how far enrolment has come."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat

from experiments.models import Epoch
from targeting.enrolment_terms import AFRESH_FROM
from targeting.models import Enrolment
from targeting.waves import UNASSIGNED


class RampRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: float = Field(
        strict=True, description="Share of the audience that takes part from now on; above 0, at most 1"
    )


class WeightsRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, StrictFloat] = Field(
        max_length=50, description="Variant -> ratio of whole numbers, or shares that sum to 1; 0: nobody new"
    )
    reason: str = Field(min_length=1, max_length=500)
    hold: StrictBool | None = Field(
        None, description="Whether a bandit leaves them alone from now on; as before when absent"
    )


class EpochAnswer(BaseModel):
    """A stretch of time with fixed weights, as shares that sum to 1."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    number: int
    weights: dict[str, float]
    opened_at: datetime
    reason: str

    @classmethod
    def of(cls, epoch: Epoch) -> Self:
        return cls.model_validate(epoch)


class EnrolmentCounts(BaseModel):
    """Users assigned, and users left out by the first reason that held."""

    model_config = ConfigDict(frozen=True)

    assigned: int = 0
    excluded: dict[str, int] = Field(default_factory=dict)


class EnrolmentAnswer(EnrolmentCounts):
    """What became of the audience so far. `forced`: of the testers, who are not among the others.

    `finished_at` is null while the audience is being walked; where the trigger recurs, for the occasion of `occasion_at`.
    Of users who come by and by, those are counted whom the experiment's own rule (`event`, `inactivity`) has met; not those of other rules.
    """

    forced: EnrolmentCounts | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    occasion_at: datetime | None = None

    @classmethod
    def of(cls, enrolment: Enrolment | None, by_rule: Mapping[str, Any] | None) -> Self:
        if enrolment is None:
            return cls(**by_rule or {})
        counts: dict[str, Any] = {**enrolment.counts}
        for ours in ("expected", UNASSIGNED, AFRESH_FROM):
            counts.pop(ours, None)
        return cls(
            **counts,
            started_at=enrolment.started_at,
            finished_at=enrolment.finished_at,
            occasion_at=enrolment.occasion_at,
        )
