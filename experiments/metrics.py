"""How events become a number per user: the definition of a metric, and the metrics that need no definition."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from experiments.clock import format_duration, parse_duration
from experiments.quantities import Quantity, QuantityFields, inside
from experiments.vocabulary import (
    MESSAGE_RECEIVED_EVENT,
    OPTED_OUT_EVENT,
    SHARE_KINDS,
    Direction,
    MessageStage,
    MetricKind,
    MetricRole,
)

KEY_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
Level = Annotated[float, Field(gt=0, lt=1, strict=True, allow_inf_nan=False)]


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


_ADDED_UP: Final = (MetricKind.SUM, MetricKind.MEAN)
_WITH_VALUE: Final = (*_ADDED_UP, MetricKind.QUANTILE)
_CAPPED: Final = (MetricKind.COUNT, *_ADDED_UP)


class MetricDefinition(QuantityFields):
    """What to count. A user's number, from what happened inside `window`:

    proportion: 1 with at least one `event` (or `message`), else 0.
    count: how many there were.
    sum, mean: the sum of their property `value` (absent or not a number counts 0), or of the `price` of messages. Both
    names mean this; a variant shows the mean over its users. (A mean over *events* is a ratio.)
    ratio: `numerator` and `denominator`, each a quantity of its own; a variant shows total over total.
    quantile: the sum of `value` (without it: the count), of which a variant shows the quantile `level` over all its users.
    retention: 1 with at least one `event` in the second window [`after`, `window`), else 0.

    `window` runs from the assignment, the same for every arm. `where` keeps only some of the events. `covariate` is the
    length of the period before the assignment over which the same quantity is measured for CUPED.
    """

    kind: MetricKind
    numerator: Quantity | None = None
    denominator: Quantity | None = None
    level: Level | None = Field(None, description="Of kind quantile: 0.5 is the median")
    window: PositiveDuration = timedelta(days=7)
    after: PositiveDuration | None = Field(None, description="Of kind retention: where its window begins")
    direction: Direction = Direction.INCREASE
    covariate: PositiveDuration | None = None

    @model_validator(mode="after")
    def _fields_go_with_the_kind(self) -> Self:
        if self.kind == MetricKind.RATIO:
            self._check_ratio()
        else:
            for name in ("numerator", "denominator"):
                if getattr(self, name) is not None:
                    raise inside(name, words=f"belongs to kind ratio, not to {self.kind}")
            self.check_source()
            self._check_amount()
        self._check_windows()
        if self.level is not None and self.kind != MetricKind.QUANTILE:
            raise inside("level", words=f"belongs to kind quantile, not to {self.kind}")
        if self.level is None and self.kind == MetricKind.QUANTILE:
            raise inside("level", words="is required for a quantile, such as 0.9 (0.5 is the median)")
        return self

    def _check_ratio(self) -> None:
        for name in ("event", "message", "value", "price", "where", "cap"):
            if getattr(self, name) is not None:
                raise inside(name, words="of a ratio stands in its `numerator` or `denominator`")
        for name in ("numerator", "denominator"):
            if getattr(self, name) is None:
                raise inside(name, words="is required for a ratio, such as {event: Order Completed}")

    def _check_amount(self) -> None:
        if self.kind in _ADDED_UP and self.event is not None and self.value is None:
            words = f"is required: a {self.kind} needs `value`, the property of the event to add up, such as revenue"
            raise inside("value", words=words)
        if self.kind not in _WITH_VALUE and self.value is not None:
            raise inside("value", words=f"belongs to kind sum, mean, quantile or ratio, not to {self.kind}")
        if self.kind in _ADDED_UP and self.message is not None and self.price is None:
            raise inside("price", words=f"is required: a {self.kind} of messages adds up their price")
        if self.kind not in _ADDED_UP and self.price is not None:
            raise inside("price", words=f"belongs to kind sum, mean or ratio, not to {self.kind}")
        if self.kind not in _CAPPED and self.cap is not None:
            raise inside(
                "cap",
                words=f"belongs to kind count, sum, mean or ratio; a {self.kind} has no long tail to cut",
            )

    def _check_windows(self) -> None:
        if self.kind != MetricKind.RETENTION and self.after is not None:
            raise inside("after", words=f"belongs to kind retention, not to {self.kind}")
        if self.kind == MetricKind.RETENTION:
            if self.message is not None:
                raise inside("message", words="cannot come back; retention is about an `event`")
            if self.after is None:
                raise inside("after", words="is required for retention: where its window begins, such as 7d")
            if self.after >= self.window:
                words = f"is not before the end of the window, {format_duration(self.window)} after the assignment"
                raise inside("after", words=words)
        if self.covariate is None:
            return
        if self.kind == MetricKind.QUANTILE:
            raise inside("covariate", words="adjusts means; a quantile takes none")
        if any(part.message is not None for part in self.quantities.values()):
            words = "measures the time before the assignment, in which an experiment has no messages"
            raise inside("covariate", words=words)

    @property
    def quantities(self) -> Mapping[str, QuantityFields]:
        """The numbers per user that the metric is made of: "y", and for a ratio its denominator "d"."""
        if self.numerator is None or self.denominator is None:
            return {"y": self}
        return {"y": self.numerator, "d": self.denominator}

    @property
    def is_share(self) -> bool:
        """Whether a user's number is 0 or 1."""
        return self.kind in SHARE_KINDS

    def properties(self) -> Iterator[str]:
        """The properties of events that the metric reads."""
        for part in self.quantities.values():
            yield from () if part.value is None else (part.value,)
            yield from part.where or ()


def _of_messages(stage: MessageStage, direction: Direction = Direction.INCREASE) -> MetricDefinition:
    return MetricDefinition(kind=MetricKind.PROPORTION, message=stage, direction=direction)


BUILT_IN: Final[dict[str, MetricDefinition]] = {
    "delivered": _of_messages(MessageStage.DELIVERED),
    "read": _of_messages(MessageStage.READ),
    "clicked": _of_messages(MessageStage.CLICKED),
    "replied": MetricDefinition(kind=MetricKind.PROPORTION, event=MESSAGE_RECEIVED_EVENT),
    "opted_out": MetricDefinition(
        kind=MetricKind.PROPORTION, event=OPTED_OUT_EVENT, direction=Direction.DECREASE
    ),
    "blocked": _of_messages(MessageStage.BLOCKED, Direction.DECREASE),
    "failed": _of_messages(MessageStage.FAILED, Direction.DECREASE),
    "cost": MetricDefinition(
        kind=MetricKind.SUM, message=MessageStage.DELIVERED, price=1.0, direction=Direction.DECREASE
    ),
}
"""Metrics that every experiment may name without defining them; a window of 7 days unless the experiment says another.

`cost` is what WhatsApp charges for, delivered messages, times `price`; with the price of 1 it counts them.
"""

GUARDED: Final = ("opted_out", "blocked", "failed")
"""Built-in metrics that guard every experiment with messages while it runs, named or not (`experiments/guards.py`)."""


class MetricUse(QuantityFields):
    """A metric in an experiment: by key from the library (or built in), or defined inline; with its role."""

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
    numerator: Quantity | None = None
    denominator: Quantity | None = None
    level: Level | None = None
    window: PositiveDuration | None = None
    after: PositiveDuration | None = None
    direction: Direction | None = None
    covariate: PositiveDuration | None = None

    @model_validator(mode="after")
    def _margin_goes_with_guardrail(self) -> Self:
        if self.margin is not None and self.role != MetricRole.GUARDRAIL:
            raise ValueError("`margin` belongs to a guardrail")
        return self

    def resolve(self, library: Mapping[str, MetricDefinition]) -> MetricDefinition:
        """The definition to compute: inline fields override the library's; ValueError when there is none."""
        inline = {
            name: value
            for name in MetricDefinition.model_fields
            if (value := getattr(self, name)) is not None
        }
        known = library.get(self.key) or BUILT_IN.get(self.key)
        if known is not None:
            return MetricDefinition.model_validate({**dict(known), **inline})
        if self.kind is None or inline.keys() == {"kind"}:
            raise ValueError(
                f"unknown metric {self.key!r}; define it here with `kind` and `event`, or add it to the library of metrics"
            )
        return MetricDefinition.model_validate(inline)
