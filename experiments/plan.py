"""The analysis plan of a campaign: how it is compared, and the rules by which it ends. Fixed before the first look."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from experiments.clock import format_duration
from experiments.errors import Problem
from experiments.metrics import PositiveDuration
from experiments.vocabulary import Method


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecisionRules(_Value):
    """When the report may recommend something. Every look is judged by the same rules, in the same order.

    Stopping for harm is never held up by `min_weeks` or `min_users`.
    """

    min_weeks: int = Field(
        0,
        ge=0,
        le=104,
        strict=True,
        description="Whole weeks from the start before anything is shipped or given up, so that all days of the week count",
    )
    min_users: int = Field(
        100,
        ge=2,
        le=1_000_000_000,
        strict=True,
        description="Users of each arm whose window has closed, before anything is decided",
    )
    stop_at_power: StrictBool = Field(
        False,
        description="End as soon as a look would have established an effect of `mde` with probability `power`",
    )
    futility: Annotated[float, Field(gt=0, le=0.5, strict=True, allow_inf_nan=False)] | None = Field(
        None,
        description="Give up when the chance to establish an effect of `mde` by the planned end falls below this",
    )
    harm_within: PositiveDuration = Field(
        timedelta(hours=1),
        description="A user's first message is blamed for harm that comes within this time; guards then count the user",
    )
    stop_for_harm: StrictBool | dict[str, StrictBool] = Field(
        True,
        description="Whether a breached guardrail stops a variant; or one answer for each guardrail, true where none is given",
    )

    @field_validator("stop_for_harm", mode="before")
    @classmethod
    def _answers(cls, value: object) -> object:
        answers = list(value.values()) if isinstance(value, Mapping) else [value]
        if all(isinstance(answer, bool) for answer in answers):
            return value
        raise ValueError("write true, false, or one of them for each guardrail, such as {opted_out: false}")

    def stops_for(self, guardrail: str) -> bool:
        """Whether a breach of this guardrail stops a variant. One that does not still holds a winner up."""
        if isinstance(self.stop_for_harm, bool):
            return self.stop_for_harm
        return self.stop_for_harm.get(guardrail, True)


class Plan(_Value):
    """The analysis plan, fixed before the first look."""

    method: Method = Method.SPENDING
    alpha: float = Field(0.05, gt=0, lt=0.5, strict=True)
    power: float = Field(0.8, gt=0, lt=1, strict=True)
    mde: float | None = Field(
        None,
        ge=1e-6,
        le=100,
        strict=True,
        allow_inf_nan=False,
        description="Smallest relative effect worth finding: 0.1 is a tenth more",
    )
    ends_after: PositiveDuration | None = Field(
        None,
        description="From the opening to the planned end: who would not count by then no longer enters, and the report concludes",
    )
    rules: DecisionRules = DecisionRules()


def rule_problems(plan: Plan, *, guardrails: Collection[str], planned_end: bool) -> list[Problem]:
    """What in the rules can never be judged, by the path of its field.

    guardrails: the keys of the experiment's guardrails, and of those that guard every experiment. planned_end: whether anybody knows how many users will come.
    """
    rules = plan.rules
    named = {} if isinstance(rules.stop_for_harm, bool) else rules.stop_for_harm
    known = f"there are {', '.join(guardrails)}" if guardrails else "there are none"
    problems = [
        Problem(f"plan.rules.stop_for_harm.{key}", f"is not a guardrail of this experiment; {known}")
        for key in named
        if key not in guardrails
    ]
    if plan.mde is None:
        problems += [
            Problem(f"plan.rules.{name}", "needs `plan.mde`, the smallest relative effect worth finding")
            for name, asked in (
                ("stop_at_power", rules.stop_at_power),
                ("futility", rules.futility is not None),
            )
            if asked
        ]
    if rules.stop_at_power and plan.method == Method.FIXED:
        problems.append(
            Problem(
                "plan.rules.stop_at_power",
                "does not go with method fixed, whose only look is at the planned end; use spending or always_valid",
            )
        )
    if rules.futility is not None and plan.method != Method.SPENDING:
        why = "has one look only" if plan.method == Method.FIXED else "has no planned end"
        problems.append(
            Problem(
                "plan.rules.futility", f"does not go with method {plan.method}, which {why}; use spending"
            )
        )
    elif rules.futility is not None and not planned_end:
        problems.append(
            Problem(
                "plan.rules.futility",
                "needs a planned end, and nobody knows how many users will come; it goes with trigger once",
            )
        )
    return problems


def end_problems(plan: Plan, *, longest_window: timedelta) -> list[Problem]:
    """Whether anybody who comes by and by could enter and still count by the planned end."""
    if plan.ends_after is None or plan.ends_after > longest_window:
        return []
    words = (
        f"is not longer than the longest window, {format_duration(longest_window)}, so nobody could enter and count by the planned end; "
        "lengthen it, or leave it out"
    )
    return [Problem("plan.ends_after", words)]
