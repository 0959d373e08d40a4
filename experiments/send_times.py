"""When messages go out and how often: time of day, days, the learned hour, frequency. Values, checked when they are made."""

from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from experiments.metrics import Delay, PositiveDuration

MAX_STEPS: Final = 30
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
EVERY_DAY: Final = frozenset(range(7))
WINDOWS: Final = {"per_day": _DAY, "per_week": timedelta(days=7), "per_month": timedelta(days=30)}
"""The rolling windows of a frequency. A month is 30 days."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_text(value: object) -> object:
    # A number would be read as seconds since midnight, and 1830 is meant as half past six.
    if isinstance(value, int | float):
        raise ValueError("write a time of day such as 18:30, in quotes")  # noqa: TRY004  (pydantic's word)
    return value


def _without_zone(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("is in the user's own zone; write it without an offset")
    return value


# JSON Schema's own format `time` wants an offset, which is the one thing that a local time has not.
LocalTime = Annotated[
    time,
    BeforeValidator(_from_text),
    AfterValidator(_without_zone),
    Field(description="A time of day such as 18:30, in each user's own zone"),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"}),
]


class Weekday(StrEnum):
    """Days of the week, as in cron: Monday first."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @property
    def number(self) -> int:
        """As `date.weekday()` counts: 0 is Monday."""
        return list(Weekday).index(self)


_Hour = Annotated[int, Field(ge=0, le=23, strict=True)]


class BestHour(_Value):
    """The hour of the day at which the user is likeliest to read and click soon, learned from earlier messages.

    Until a user has read or clicked `min_evidence` times, `fallback` is taken for the best. With probability `explore` the
    message goes out at any hour of `hours` (first and last, both included) instead, each alike, so that what is learned is
    not only what was tried. Whatever the hour, the minute is that of `fallback`. Each step draws anew. The hour, the rule it
    came from and its propensity are kept with the message.
    """

    fallback: LocalTime
    hours: tuple[_Hour, _Hour] = (8, 21)
    explore: float = Field(0.1, ge=0, le=1, strict=True, allow_inf_nan=False)
    min_evidence: int = Field(3, ge=1, le=1000, strict=True)

    @model_validator(mode="after")
    def _is_a_day(self) -> Self:
        first, last = self.hours
        if first > last:
            raise ValueError(f"`hours` go from {first} to {last}; they start and end on the same day")
        if not first <= self.fallback.hour <= last:
            raise ValueError(f"`fallback` must be within the hours {first} to {last}")
        return self

    @property
    def times(self) -> tuple[time, ...]:
        """The times of day at which it may go out, one in each hour."""
        first, last = self.hours
        return tuple(self.fallback.replace(hour=hour) for hour in range(first, last + 1))


class SendTime(_Value):
    """When messages go out. The first: `after` the trigger, at the next time that fits. A later step: at the next time that
    fits once the frequency lets it; `after` is not waited again.

    `local_time`: that time of day in the user's zone; `days`: only on these days of the week; `best_hour`: see there.
    """

    local_time: LocalTime | None = None
    days: tuple[Weekday, ...] = ()
    after: Delay | None = None
    best_hour: BestHour | None = None

    @model_validator(mode="after")
    def _names_a_time(self) -> Self:
        if self.local_time is not None and self.best_hour is not None:
            raise ValueError("give `local_time` or `best_hour`, not both")
        if self.local_time is None and self.best_hour is None:
            if self.days:
                raise ValueError("`days` need a time of day: give `local_time` or `best_hour` too")
            if self.after is None:
                raise ValueError("give `local_time`, `after` or `best_hour`")
        if len(set(self.days)) < len(self.days):
            raise ValueError("`days` names a day twice")
        return self

    @property
    def times(self) -> tuple[time, ...]:
        """The times of day at which a message may go out; none when any moment will do."""
        if self.best_hour is not None:
            return self.best_hour.times
        return () if self.local_time is None else (self.local_time,)

    @property
    def weekdays(self) -> frozenset[int]:
        """The days on which a message may go out, as `date.weekday()` counts them."""
        return frozenset(day.number for day in self.days) or EVERY_DAY


class Frequency(_Value):
    """How often: `steps` messages, at least `min_interval` apart, and at most so many in any rolling day, week (7 days) and
    month (30 days) of this experiment.

    Without a `min_interval` it is a day, or the day (the week) shared out evenly among `per_day` (`per_week`) messages.
    """

    steps: int = Field(1, ge=1, le=MAX_STEPS, strict=True)
    min_interval: PositiveDuration = _DAY
    per_day: int | None = Field(None, ge=1, le=MAX_STEPS, strict=True)
    per_week: int | None = Field(None, ge=1, le=MAX_STEPS, strict=True)
    per_month: int | None = Field(None, ge=1, le=MAX_STEPS, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _spread_evenly(cls, value: Any) -> Any:
        """Whoever asks for three a day does not mean 24 hours between them."""
        if not isinstance(value, Mapping) or value.get("min_interval") is not None:
            return value
        counts = {name: str(value.get(name)) for name in WINDOWS}
        shares = [
            WINDOWS[name] // int(count)
            for name, count in counts.items()
            if count.isdecimal() and 1 <= int(count) <= MAX_STEPS
        ]
        # In whole seconds, the shortest that a duration is written in.
        return {**value, "min_interval": min([_DAY, *shares]) // _SECOND * _SECOND}

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        for name, length in WINDOWS.items():
            wanted = getattr(self, name)
            others = [(1, self.min_interval), *self._windows(without=name)]
            if wanted is not None and (most := _most_within(length, others, enough=wanted)) < wanted:
                raise ValueError(
                    f"`{name}` {wanted} is never reached: the rest leaves room for {most}; write {most}, or widen the rest"
                    " (`min_interval`, the other windows)"
                )
        return self

    @property
    def waits(self) -> tuple[tuple[int, timedelta], ...]:
        """`(n, length)`: a message is at least `length` after the n-th before it. All together are the whole frequency, since a
        half-open window has room again exactly when the first of the messages that filled it leaves.
        """
        return ((1, self.min_interval), *self._windows())

    def _windows(self, *, without: str | None = None) -> list[tuple[int, timedelta]]:
        return [
            (count, length)
            for name, length in WINDOWS.items()
            if name != without and (count := getattr(self, name)) is not None
        ]


def _most_within(length: timedelta, waits: Sequence[tuple[int, timedelta]], *, enough: int) -> int:
    """How many messages fit into a window of `length` under these waits; no more than `enough` are counted."""
    offsets = [timedelta(0)]
    while len(offsets) <= enough and offsets[-1] < length:
        offsets.append(max(offsets[-n] + wait for n, wait in waits if n <= len(offsets)))
    return sum(offset < length for offset in offsets)
