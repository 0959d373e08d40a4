"""What `GET /v1/users/{user_id}/why` answers."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExclusionAnswer(_Answer):
    """One reason against taking part. `details`: the clauses that fail, or the experiments that stand in the way."""

    reason: str
    details: list[str]
    because: str


class AssignmentAnswer(_Answer):
    """`source` is `audience`, or `rule:KEY`; `forced`: given by hand, to a tester."""

    variant: str
    epoch: int
    propensity: float
    source: str
    forced: bool
    assigned_at: datetime


class ErrorAnswer(_Answer):
    """WhatsApp's error, what it means, and what can be done about it."""

    code: int | None
    error_class: str
    meaning: str
    remedy: str


class RuleAnswer(_Answer):
    """When one rule on caps and hours lets the message go, by itself; null: never, as things stand."""

    rule: str
    at: datetime | None


class MessageWhyAnswer(_Answer):
    """`next_at`: the first moment at which it may go out; null when there is none, or it has gone. `held_by`: fuses and pauses."""

    id: int
    step: int
    state: str
    because: str
    reason: str | None
    error: ErrorAnswer | None
    first_due_at: datetime
    due_at: datetime
    expires_at: datetime
    next_at: datetime | None
    held_by: list[str]
    rules: list[RuleAnswer]
    choice: dict[str, Any] | None = Field(description="How its hour was chosen, with the propensity")
    decision: dict[str, Any] | None = Field(description="What was decided at the last look before sending")
    times: dict[str, datetime] = Field(description="When it went through which stage")


class ExperimentWhyAnswer(_Answer):
    """`outcome` is one word; `because` says it in sentences. `assignment` is null for who does not take part.

    Without an assignment: not_started, not_open_yet, paused, waiting_for_enrolment, waiting_for_trigger, came_too_late, closed,
    ended, excluded. With one: silent, not_planned_yet, nothing_planned, waiting, or the state of the last message.
    """

    experiment: str
    status: str
    outcome: str
    because: str
    next_at: datetime | None
    excluded_by: list[ExclusionAnswer]
    assignment: AssignmentAnswer | None
    messages: list[MessageWhyAnswer]


class WhyAnswer(_Answer):
    """Of one experiment, or of all that the user takes part in or that are not over, the newest first (`more`: cut off)."""

    user_id: str
    at: datetime
    more: bool
    experiments: list[ExperimentWhyAnswer]
