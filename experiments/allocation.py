"""How traffic is split over time: for good, or by a bandit that moves it to the better variants while the experiment runs.

Values, checked when they are made. What can only be known beside the rest of a design (its variants, metrics and trigger) is
checked by `allocation_problems`, and filled in by `settled`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, field_validator, model_validator

from experiments.clock import format_duration
from experiments.errors import Problem
from experiments.metrics import KEY_PATTERN, MetricDefinition, PositiveDuration
from experiments.quantities import inside
from experiments.vocabulary import MetricKind

OBJECTIVES: Final = (MetricKind.PROPORTION, MetricKind.COUNT, MetricKind.SUM, MetricKind.MEAN)
"""Kinds of which an arm's number is the mean of one number per user, so that a bandit can compare arms by it."""
MONEY: Final = (MetricKind.SUM, MetricKind.MEAN)
DEFAULT_LEADER: Final = 0.5
DEFAULT_WAVE: Final = 0.1
LEAST_INTERVAL: Final = timedelta(minutes=1)
"""Each slot reads all facts of the experiment, and opens an epoch within which alone arms are compared: seconds would be all cost."""
_MOST: Final = 1e9


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BurnIn(_Value):
    """What an arm must have before traffic is moved: assigned users, and users with a number above zero."""

    users: int = Field(100, ge=0, le=1_000_000_000, strict=True)
    conversions: int = Field(10, ge=0, le=1_000_000_000, strict=True)


class Cost(_Value):
    """The objective in money: `conversion` times the outcome, less `message` times the messages delivered, per user."""

    message: float = Field(ge=0, le=_MOST, strict=True, allow_inf_nan=False)
    conversion: float | None = Field(
        None,
        gt=0,
        le=_MOST,
        strict=True,
        allow_inf_nan=False,
        description="What one unit of the metric is worth; 1 for a metric that adds up money",
    )


class Waves(_Value):
    """How much of the audience goes out at a time: a share of it, or so many users. Exactly one."""

    share: float | None = Field(None, gt=0, lt=1, strict=True, allow_inf_nan=False)
    users: int | None = Field(None, ge=1, le=1_000_000_000, strict=True)

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if (self.share is None) == (self.users is None):
            raise ValueError("give one of `share` and `users`, such as {share: 0.1} or {users: 5000}")
        return self


class BanditAllocation(_Value):
    """A bandit: every `interval` the weights for new users follow the chance of each arm to be the best.

    thompson: the weights are these chances. top_two: they are spread between the leader and its challengers, which finds the
    best arm with fewer users. Each active arm keeps `floor` of the traffic.
    """

    policy: Literal["thompson", "top_two"]
    metric: str | None = Field(
        None,
        pattern=KEY_PATTERN,
        description="What is to be made large (or small); absent: the first primary",
    )
    interval: PositiveDuration = timedelta(days=1)
    floor: float = Field(
        0.05,
        gt=0,
        le=0.5,
        strict=True,
        allow_inf_nan=False,
        description="Share of the traffic that every active arm keeps",
    )
    burn_in: BurnIn = Field(BurnIn(), description="A number alone means users")
    leader: float | None = Field(
        None,
        gt=0,
        lt=1,
        strict=True,
        allow_inf_nan=False,
        description="Of policy top_two: how often the leader itself is drawn; 0.5 when absent",
    )
    cost: Cost | None = None
    waves: Waves | None = Field(None, description="Of trigger once; {share: 0.1} when absent")

    @model_validator(mode="before")
    @classmethod
    def _leader_goes_with_top_two(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        if value.get("policy") == "top_two":
            return value if value.get("leader") is not None else {**value, "leader": DEFAULT_LEADER}
        if value.get("leader") is not None:
            raise inside("leader", words="belongs to policy top_two, not to thompson")
        return value

    @field_validator("waves", mode="before")
    @classmethod
    def _share_or_users(cls, value: object) -> object:
        if value is None or isinstance(value, Mapping | Waves):
            return value
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
        share, users = number if 0 < number < 1 else DEFAULT_WAVE, number if number >= 1 else 5000
        such = (
            ("", "such as ")
            if share == number
            else ("such as ", "")
            if users == number
            else ("such as ",) * 2
        )
        raise ValueError(
            f"write a share of the audience, {such[0]}{{share: {share:g}}}, or a number of users, {such[1]}{{users: {users:g}}}"
        )

    @field_validator("burn_in", mode="before")
    @classmethod
    def _users_alone(cls, value: object) -> object:
        if isinstance(value, Mapping | BurnIn):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("write a number of users, or {users: 100, conversions: 10}")  # noqa: TRY004  # a mistake of the author
        return {"users": value}


class FixedAllocation(_Value):
    """The weights of the design, until somebody changes them by hand."""

    policy: Literal["fixed"] = "fixed"

    @model_validator(mode="before")
    @classmethod
    def _takes_nothing_else(cls, value: object) -> object:
        if isinstance(value, Mapping):
            for name in BanditAllocation.model_fields.keys() & value.keys() - {"policy"}:
                raise inside(
                    name, words="goes with policy thompson or top_two; with policy fixed no traffic moves"
                )
        return value


Allocation = Annotated[FixedAllocation | BanditAllocation, Discriminator("policy")]


def allocation_problems(
    allocation: BanditAllocation,
    *,
    arms: int,
    metrics: Mapping[str, MetricDefinition],
    named: Sequence[str],
    primary: str | None,
    at_once: bool,
    on_a_day: bool,
) -> list[Problem]:
    """What is wrong with a bandit beside the rest of its design, by the path of its field.

    arms: how many variants get users. metrics: those that are whole; `named` are all. primary: the first primary one. at_once:
    whether the whole audience is met at one moment (trigger once), so that there is something to cut into waves. on_a_day: whether that moment is a day and time on each user's own clock.
    """
    problems = [*_interval_problems(allocation.interval), *_floor_problems(allocation.floor, arms)]
    if allocation.waves is not None and not at_once:
        problems.append(
            Problem(
                "allocation.waves", "goes with trigger once; with other triggers users come by and by anyhow"
            )
        )
    if on_a_day:
        problems.append(
            Problem(
                "trigger.local_time",
                'names one day, and with a bandit the audience goes out in waves over many; write a time of day, such as "18:30"',
            )
        )
    key = allocation.metric or primary
    if key is not None and key in metrics:
        problems += _objective_problems(allocation, key, metrics[key])
    elif allocation.metric is not None and key not in named:
        problems.append(
            Problem(
                "allocation.metric",
                f"{key!r} is not a metric of this experiment; there are {', '.join(named)}",
            )
        )
    # A metric that is wrong in itself, or missing, is told at `metrics`.
    return problems


def settled(allocation: BanditAllocation, *, primary: str, at_once: bool) -> BanditAllocation:
    """The allocation with what it left out: its metric, and waves where the audience is met at one moment."""
    waves = Waves(share=DEFAULT_WAVE) if allocation.waves is None and at_once else allocation.waves
    return allocation.model_copy(update={"metric": allocation.metric or primary, "waves": waves})


def _interval_problems(interval: timedelta) -> list[Problem]:
    if interval >= LEAST_INTERVAL:
        return []
    least, asked = format_duration(LEAST_INTERVAL), format_duration(interval)
    return [
        Problem(
            "allocation.interval",
            f"is at least {least}, not {asked}: between two reallocations users have to come, and to convert",
        )
    ]


def _floor_problems(floor: float, arms: int) -> list[Problem]:
    if floor * arms <= 1 + 1e-9:
        return []
    return [
        Problem(
            "allocation.floor",
            f"{arms} variants that keep {floor:g} of the traffic each are more than all of it; at most {1 / arms:.3g} goes",
        )
    ]


def _objective_problems(allocation: BanditAllocation, key: str, metric: MetricDefinition) -> list[Problem]:
    if metric.kind not in OBJECTIVES:
        which = "the first primary metric, " if allocation.metric is None else ""
        return [
            Problem(
                "allocation.metric",
                f"{which}{key!r} is of kind {metric.kind}; traffic follows one of kind {', '.join(OBJECTIVES)}: name it here",
            )
        ]
    cost = allocation.cost
    if cost is not None and cost.conversion is None and metric.kind not in MONEY:
        return [
            Problem(
                "allocation.cost.conversion",
                f"is required: what one {'conversion' if metric.is_share else 'event'} of {key!r} is worth, in the currency "
                "of `message`",
            )
        ]
    return []


def fixed_unless_said(value: Any) -> Any:
    """An allocation without a policy is fixed."""
    return {"policy": "fixed", **value} if isinstance(value, Mapping) and "policy" not in value else value
