"""What travels over HTTP about the traffic of an experiment: weights, reallocations, variants added and retired."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from analysis.bandits.models import Reallocation
from analysis.bandits.status import AllocationState
from api.experiment_schemas import EpochAnswer
from experiments.quantities import inside
from experiments.stopped_arms import stopped_arms


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class ResumeAllocationRequest(_Request):
    pass


class AddVariantRequest(_Request):
    variant: dict[str, Any] = Field(
        description="As in a campaign: key and treatment; without `control`, `weight` and `levels`"
    )
    share: float | None = Field(
        None,
        strict=True,
        description="Share of new users that it gets, above 0 and below 1; even among all when absent",
    )


class Planned(StrEnum):
    """What becomes of messages that are planned for users of a retired variant, and of those still to be planned."""

    KEEP = "keep"
    CANCEL = "cancel"


class RetireRequest(_Request):
    planned: Planned = Field(
        description="keep: users who have the variant are sent what it promises; cancel: they are sent nothing more"
    )

    @model_validator(mode="before")
    @classmethod
    def _says_what_is_planned(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("planned") is None:
            words = "is required: keep (they are sent what it promises) or cancel (nothing more)"
            raise inside("planned", words=words)
        return value


class RetiredAnswer(BaseModel):
    """The epoch in which nobody new gets the variant, and how many planned messages were cancelled."""

    model_config = ConfigDict(frozen=True)

    epoch: EpochAnswer
    cancelled: int


class Cancelled(StrEnum):
    """What becomes of messages that were cancelled when a guardrail stopped their variant."""

    LEAVE = "leave"
    RESTORE = "restore"


class ReleasedAnswer(EpochAnswer):
    """The open epoch, in which the variant has its share again, and how many cancelled messages are planned again."""

    restored: int


class ReleaseRequest(_Request):
    planned: Cancelled = Field(
        Cancelled.LEAVE,
        description="leave: what was cancelled stays cancelled; restore: it is planned again, unless it has expired",
    )


class ShipRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str | None = Field(
        None, min_length=1, max_length=64, description="The winner of the report's decision when absent"
    )
    force: StrictBool = Field(
        False, description="Ship whatever the report's decision is; asks for a `reason`"
    )
    reason: str | None = Field(None, min_length=1, max_length=500)


class ReallocationAnswer(BaseModel):
    """What became of one slot. `outcome` is moved, skipped, shipped or ended; `numbers` is everything behind it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    slot: int
    at: datetime
    outcome: str
    reason: str
    epoch: int
    numbers: dict[str, Any]

    @classmethod
    def of(cls, row: Reallocation) -> Self:
        return cls.model_validate(row)


class GuardAnswer(BaseModel):
    """One guard of one variant. `log_e` is the natural logarithm of the evidence that its harm exceeds the control's by more than
    `margin`; at `needed` the variant is stopped.
    """

    model_config = ConfigDict(frozen=True)

    variant: str
    guard: str
    margin: float
    users: int
    harmed: int
    control_users: int
    control_harmed: int
    log_e: float
    needed: float


class StoppedArmAnswer(BaseModel):
    """`share` is what it had of the traffic, and gets back when it is released."""

    model_config = ConfigDict(frozen=True)

    guard: str
    at: datetime
    reason: str
    share: float
    verdicts: list[GuardAnswer]


class AllocationAnswer(BaseModel):
    """`at`: when this was so. `weights` of the open epoch (of the design before the start); `active` are the variants that get users. `held_at`: since when
    the weights are held by hand. `released`: of an audience that goes out in waves, the share that is out. `stopped`: why each variant that a guardrail has stopped was stopped; `guards`: what the guards
    of an experiment that runs said when they last looked. `epochs` and `reallocations`: the newest, newest first.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    experiment: str
    policy: dict[str, Any]
    weights: dict[str, float]
    active: list[str]
    silenced: list[str]
    stopped: dict[str, StoppedArmAnswer]
    guards: list[GuardAnswer]
    held_at: datetime | None
    released: float | None
    next_due_at: datetime | None
    epochs: list[EpochAnswer]
    reallocations: list[ReallocationAnswer]

    @classmethod
    def of(cls, state: AllocationState) -> Self:
        return cls(
            at=state.at,
            experiment=state.experiment.key,
            policy=state.design.allocation.model_dump(mode="json", exclude_none=True),
            weights=dict(state.weights),
            active=list(state.active),
            silenced=list(state.experiment.silenced or ()),
            stopped={
                variant: StoppedArmAnswer.model_validate(told)
                for variant, told in stopped_arms(state.experiment).items()
            },
            guards=[GuardAnswer.model_validate(verdict) for verdict in state.guards],
            held_at=state.experiment.held_at,
            released=state.experiment.released,
            next_due_at=state.next_due_at,
            epochs=[EpochAnswer.of(epoch) for epoch in state.epochs],
            reallocations=[ReallocationAnswer.of(row) for row in state.reallocations],
        )
