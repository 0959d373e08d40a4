"""When users enter an experiment, and when messages are due: the kinds of triggers, as validated values."""

import re
from datetime import datetime, time
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    field_validator,
    model_validator,
)

from experiments.cron import check_cron
from experiments.metrics import Delay, PositiveDuration
from experiments.send_times import LocalTime


class _Trigger(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


YEARS: Final = range(1970, 2101)
"""Years in which a moment of a design may be; so far from the ends of the calendar every zone can show it."""


def _is_text(value: object) -> object:
    # A number would be read as seconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)):
        return value
    raise ValueError("write a moment with its zone, as text: 2026-12-01T10:00:00Z")


def _is_near(value: datetime) -> datetime:
    if value.year not in YEARS:
        raise ValueError(f"is in the year {value.year}; years from {YEARS[0]} to {YEARS[-1]} are taken")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_is_text), AfterValidator(_is_near)]
"""A moment, written in ISO 8601 with its zone."""


def _read_local(value: object) -> time | datetime | None:
    """A time of day, or a day with its time: told apart here, so that what is wrong with it is told once."""
    if value is None or isinstance(value, time | datetime):
        found = value
    else:
        try:
            kind = datetime if isinstance(value, str) and "T" in value else time
            found = kind.fromisoformat(value) if isinstance(value, str) and ":" in value else None
        except ValueError:
            found = None
        if found is None:
            raise ValueError(
                "write a day with its time, such as 2026-12-01T10:00, or a time of day such as 18:30, in quotes"
            )
    if found is not None and found.tzinfo is not None:
        raise ValueError("is in the user's own zone; write it without an offset")
    return _is_near(found) if isinstance(found, datetime) else found


class _Until(_Trigger):
    until: Moment | None = Field(None, description="From this moment on nobody enters any more")


class OnceTrigger(_Trigger):
    """Once: at a moment (`at`), at a local time in each user's zone (`local_time`), or as soon as it is started.

    `local_time` is a time of day (the next one at or after the start, or `at`), or a day with its time.
    """

    type: Literal["once"] = "once"
    at: Moment | None = None
    local_time: Annotated[LocalTime | NaiveDatetime | None, BeforeValidator(_read_local)] = None

    @model_validator(mode="after")
    def _is_one_moment(self) -> Self:
        if self.at is not None and isinstance(self.local_time, datetime):
            raise ValueError("`local_time` names a day itself; leave out `at`")
        return self

    @property
    def local_moment(self) -> datetime | None:
        """The day and time on each user's own clock, where a day was named."""
        return self.local_time if isinstance(self.local_time, datetime) else None

    @property
    def time_of_day(self) -> time | None:
        """The time on each user's own clock, where no day was named."""
        return self.local_time if isinstance(self.local_time, time) else None


class EventTrigger(_Until):
    """When a user does something for the first time since the start; messages are due `delay` after that.

    `properties` is a condition over the event's properties.
    """

    type: Literal["event"]
    event: str = Field(min_length=1, max_length=200)
    properties: dict[str, Any] = Field(default_factory=dict)
    delay: Delay | None = None


class Schedule(_Trigger):
    """Moments that `cron` names, on the clocks of `time_zone`."""

    cron: str = Field(max_length=100, description="minute, hour, day of month, month, day of week")
    time_zone: str = Field("UTC", max_length=64)

    @field_validator("cron")
    @classmethod
    def _comes(cls, value: str) -> str:
        check_cron(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (LookupError, ValueError, OSError):
            raise ValueError(
                f"{value[:64]!r} is not an IANA time zone; write a name such as Europe/Amsterdam"
            ) from None
        return value


class RecurringTrigger(Schedule, _Until):
    """At each moment that `cron` names (in `time_zone`), `until`: everybody of the audience gets the messages once more.

    Whoever has come to match by then joins. A user keeps the variant.
    """

    type: Literal["recurring"]


class InactivityTrigger(_Until):
    """When a user has not been seen for `after` or, with `event`, has not done that again."""

    type: Literal["inactivity"]
    after: PositiveDuration
    event: str | None = Field(None, min_length=1, max_length=200)


class RuleTrigger(_Until):
    """Users come one by one, as rules enrol them; from `at` on, where it is given."""

    type: Literal["rule"]
    at: Moment | None = None

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.at is not None and self.until is not None and self.at >= self.until:
            raise ValueError("`until` is not after `at`, so nobody would ever enter")
        return self


Trigger = Annotated[
    OnceTrigger | EventTrigger | RecurringTrigger | InactivityTrigger | RuleTrigger,
    Field(discriminator="type"),
]
WALKED = frozenset({"once", "recurring"})
"""Triggers whose audience is walked; with the others users come one by one."""


def has_closed(trigger: Trigger, now: datetime) -> bool:
    """Whether nobody enters any more. A recurring trigger ends with the last occasion before `until`, walked to its end."""
    return (
        isinstance(trigger, EventTrigger | InactivityTrigger | RuleTrigger)
        and trigger.until is not None
        and now >= trigger.until
    )
