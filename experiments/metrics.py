"""How events become a number per user: the definition of a metric, and the metrics that need no definition."""

import re
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from experiments.clock import format_duration, parse_duration
from experiments.vocabulary import OPTED_OUT_EVENT, Direction, MetricKind, MetricRole

KEY_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
KINDS_OF_EVENTS: Final = (MetricKind.PROPORTION, MetricKind.COUNT, MetricKind.MEAN)
_PROPERTY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,99}")


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError("write a duration as text, such as 72h or 7d")


Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
]
"""A length of time, written `90s`, `15m`, `72h`, `30d` or `2w`."""


def _between(least: timedelta, most: timedelta) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(
                f"must be between {format_duration(least)} and {format_duration(most)}, not {format_duration(value)}"
            )
        return value

    return AfterValidator(check)


PositiveDuration = Annotated[Duration, _between(timedelta(seconds=1), timedelta(days=3650))]
Delay = Annotated[Duration, _between(timedelta(0), timedelta(days=365))]
"""A length of time that may be none."""


class MetricDefinition(BaseModel):
    """What to count.

    proportion: 1 for a user with at least one `event` inside `window`, else 0.
    count: the number of such events. mean: the sum of their property `value` (absent or not a number counts 0).
    `window` runs from the assignment, the same for every arm. `covariate` is the length of the period before the
    assignment over which the same quantity is measured for CUPED.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: MetricKind
    event: str = Field(min_length=1, max_length=200)
    value: str | None = Field(None, description="Property of the event that is summed (kind mean)")
    window: PositiveDuration = timedelta(days=7)
    direction: Direction = Direction.INCREASE
    covariate: PositiveDuration | None = None

    @field_validator("kind")
    @classmethod
    def _kind_of_events(cls, kind: MetricKind) -> MetricKind:
        if kind not in KINDS_OF_EVENTS:
            raise ValueError(
                f"{kind} cannot be computed from events yet; use one of {', '.join(KINDS_OF_EVENTS)}"
            )
        return kind

    @field_validator("value")
    @classmethod
    def _property_name(cls, value: str | None) -> str | None:
        if value is not None and not _PROPERTY.fullmatch(value):
            raise ValueError("is not the name of an event property (letters, digits, _ - and blanks)")
        return value

    @model_validator(mode="after")
    def _value_goes_with_mean(self) -> Self:
        if self.kind == MetricKind.MEAN and self.value is None:
            raise ValueError("a mean needs `value`, the property of the event to sum, such as revenue")
        if self.kind != MetricKind.MEAN and self.value is not None:
            raise ValueError(f"`value` belongs to kind mean, not to {self.kind}")
        return self


BUILT_IN: Final[dict[str, MetricDefinition]] = {
    "opted_out": MetricDefinition(
        kind=MetricKind.PROPORTION,
        event=OPTED_OUT_EVENT,
        window=timedelta(days=7),
        direction=Direction.DECREASE,
    ),
}
"""Metrics that every experiment may name without defining them."""


class MetricUse(BaseModel):
    """A metric in an experiment: by key from the library (or built in), or defined inline; with its role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=KEY_PATTERN)
    role: MetricRole
    margin: float | None = Field(
        None,
        ge=0,
        le=1e12,
        strict=True,
        allow_inf_nan=False,
        description="Harm that a guardrail tolerates, absolute",
    )
    kind: MetricKind | None = None
    event: str | None = Field(None, min_length=1, max_length=200)
    value: str | None = None
    window: PositiveDuration | None = None
    direction: Direction | None = None
    covariate: PositiveDuration | None = None

    @model_validator(mode="after")
    def _margin_goes_with_guardrail(self) -> Self:
        if self.margin is not None and self.role != MetricRole.GUARDRAIL:
            raise ValueError("`margin` belongs to a guardrail")
        return self

    def resolve(self, library: dict[str, MetricDefinition]) -> MetricDefinition:
        """The definition to compute: inline fields override the library's; ValueError when there is none."""
        inline = {
            name: value
            for name in ("kind", "event", "value", "window", "direction", "covariate")
            if (value := getattr(self, name)) is not None
        }
        known = library.get(self.key) or BUILT_IN.get(self.key)
        if known is not None:
            return MetricDefinition.model_validate({**dict(known), **inline})
        if self.kind is None or self.event is None:
            raise ValueError(
                f"unknown metric {self.key!r}; define it here with `kind` and `event`, or add it to the library of metrics"
            )
        return MetricDefinition.model_validate(inline)
