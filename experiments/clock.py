"""Time. Every use of time goes through a `Clock`, so that tests stop it and the demo hurries it.

All times in Touchstone are timezone-aware `datetime` in UTC; the database stores integer microseconds.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What the time is, and how to wait for some of it to pass."""

    def now(self) -> datetime: ...

    def real_seconds(self, duration: timedelta) -> float:
        """How many seconds of the machine's own time `duration` takes on this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_seconds(self, duration: timedelta) -> float:
        return max(0.0, duration.total_seconds())


@dataclass
class ScaledClock:
    """Runs `factor` times faster than the machine's clock, starting at `start` when it is made.

    From `until` on, if given, it runs at the machine's own speed. Two processes share one scaled clock by sharing `start`,
    `factor`, `origin` (the machine's time, seconds since 1970, at which the clock showed `start`) and `until`.
    """

    start: datetime
    factor: float
    origin: float = field(default_factory=time.time)
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.factor <= 0:
            raise ValueError("factor must be positive")

    def now(self) -> datetime:
        elapsed = time.time() - self.origin
        hurried = self.start + timedelta(seconds=elapsed * self.factor)
        if self.until is None or hurried <= self.until:
            return hurried
        return self.until + timedelta(
            seconds=elapsed - (self.until - self.start).total_seconds() / self.factor
        )

    def real_seconds(self, duration: timedelta) -> float:
        hurried = duration
        if self.until is not None:
            hurried = min(duration, max(timedelta(0), self.until - self.now()))
        return max(0.0, hurried.total_seconds() / self.factor + (duration - hurried).total_seconds())

    def slow_down(self, at: datetime | None = None) -> datetime:
        """Run at the machine's own speed from `at` on (None: now); returns that moment.

        A moment still to come lets everybody who shares the clock know of it before, so that nobody's time goes back.
        """
        self.until = at or self.now()
        return self.until


@dataclass
class SteppedClock:
    """Stands still until a test moves it."""

    current: datetime

    def now(self) -> datetime:
        return self.current

    def real_seconds(self, duration: timedelta) -> float:
        del duration
        return 0.0

    def advance(self, duration: timedelta) -> datetime:
        self.current += duration
        return self.current


def passing_in(clock: Clock, seconds: float) -> timedelta:
    """How much time passes on `clock` in `seconds` of the machine's; a clock that stands still counts as the machine's."""
    second = clock.real_seconds(timedelta(seconds=1))
    return timedelta(seconds=seconds / second if second > 0 else seconds)


async def sleep(clock: Clock, duration: timedelta) -> None:
    """Wait until `duration` has passed on `clock`."""
    await asyncio.sleep(clock.real_seconds(duration))


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC; exact.

    >>> to_micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone; pass an aware datetime")
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration(text: str) -> timedelta:
    """`"30d"`, `"72h"`, `"15m"`, `"90s"`, `"2w"` as a timedelta; ValueError otherwise.

    >>> parse_duration("72h")
    datetime.timedelta(days=3)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit: 90s, 15m, 72h, 30d or 2w")
    try:
        duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError as error:
        raise ValueError(f"{text!r} is longer than a duration can be") from error
    if duration.microseconds:
        raise ValueError(f"{text!r} is not a whole number of seconds, the shortest duration there is")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back exactly (to the second).

    >>> format_duration(timedelta(days=7))
    '7d'
    """
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_moment(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`.

    >>> format_moment(datetime(2026, 12, 1, 10, tzinfo=UTC))
    '2026-12-01T10:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_moment(text: str) -> datetime:
    """ISO 8601 with a zone as an aware UTC datetime; ValueError when it has no zone or is no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; add Z or an offset such as +01:00")
    return moment.astimezone(UTC)
