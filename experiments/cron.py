"""Times of a schedule: the five fields of cron, as cron means them, in a time zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_INSTANT: Final = timedelta(microseconds=1)


def check_cron(text: str) -> None:
    """Raises ValueError, in words for its author, unless `text` names moments that come."""
    _trigger(text, "UTC")
    if next_time(text, time_zone="UTC", after=datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("names a day that never comes")


def next_time(text: str, *, time_zone: str, after: datetime) -> datetime | None:
    """The first moment later than `after`, in UTC; None when there is none any more.

    Where clocks go back an hour, a time of day that comes twice counts once, the first time; where they go forward, one
    that is left out is an hour later.
    """
    trigger = _trigger(text, time_zone)
    while True:
        found: datetime | None = trigger.get_next_fire_time(None, after.astimezone(UTC) + _INSTANT)
        if found is None:
            return None
        after = found.astimezone(UTC)
        if not after.astimezone(ZoneInfo(time_zone)).fold:
            return after


def last_time(text: str, *, time_zone: str, after: datetime, upto: datetime) -> datetime | None:
    """The last moment that is later than `after` and not later than `upto`, in UTC; None when there is none.

    Looks back in strides that grow, so that a schedule of minutes does not cost more than one of months.
    """
    stride = timedelta(hours=1)
    while True:
        start = max(after, upto - stride)
        found, following = None, next_time(text, time_zone=time_zone, after=start)
        while following is not None and following <= upto:
            found, following = following, next_time(text, time_zone=time_zone, after=following)
        if found is not None or start <= after:
            return found
        stride *= 8


@lru_cache(maxsize=256)
def _trigger(text: str, time_zone: str) -> Any:
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            f"has {len(fields)} fields, not 5: minute, hour, day of month, month, day of week, such as 0 9 * * 1"
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ValueError("says both a day of the month and a day of the week; write * for one of them")
    return CronTrigger(
        minute=minute,
        hour=hour,
        day=day,
        month=month,
        day_of_week=_named_days(weekday),
        timezone=ZoneInfo(time_zone),
    )


def _named_days(field: str) -> str:
    """`1-5` as `mon,tue,wed,thu,fri`: cron counts from Sunday, the library from Monday, and only names mean one thing."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        start = _day(first)
        end = _day(last) if dash else (6 if step else start)
        if step and not (step.isascii() and step.isdigit() and 0 < int(step) < 8):
            raise ValueError(f"{part!r} has no step of 1 to 7 days")
        # "fri-mon" and "sat-sun" run over the end of the week.
        end += 7 if end < start else 0
        days.update(range(start, end + 1, int(step or 1)))
    return ",".join(sorted({_DAYS[day % 7] for day in days}, key=_DAYS.index))


def _day(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text.isascii() and text.isdigit() and int(text) <= 7:
        return int(text)
    raise ValueError(f"{text[:20]!r} is no day of the week; write 0 (Sunday) to 6, or sun, mon ..")
