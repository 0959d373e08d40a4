"""Bounds in time that follow from a design alone: when enrolment opens, and how late the last message can be."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from experiments.cron import next_time
from experiments.errors import Problem
from experiments.treatments import Variant
from experiments.triggers import EventTrigger, OnceTrigger, RecurringTrigger, RuleTrigger, Trigger

LONGEST_SERIES: Final = timedelta(days=365)
"""A series whose last message could be due later than this after its trigger is refused."""

_DAY: Final = timedelta(days=1)
_WEEK: Final = 7
_CLOCK_SET: Final = timedelta(hours=2)
"""The most by which a clock is set, back or forward (Troll station; elsewhere it is an hour or less)."""
_FORWARD_APART: Final = timedelta(days=160)
"""No clock is set forward twice within this time (the shortest in any zone's rules: 161 days, Gaza in 2040)."""
_FIRST_PLACE: Final = timezone(timedelta(hours=14))
"""Where each day begins first (Kiritimati)."""
_ZONES: Final = timedelta(hours=26)
"""From the first place where a clock shows a time to the last."""
_INSTANT: Final = timedelta(microseconds=1)


def opens_at(trigger: Trigger, started: datetime) -> datetime | None:
    """When (UTC) enrolment begins for an experiment that was started at `started`; None when it never does."""
    if isinstance(trigger, OnceTrigger) and trigger.local_moment is not None:
        return max(started, trigger.local_moment.replace(tzinfo=_FIRST_PLACE).astimezone(UTC))
    if isinstance(trigger, OnceTrigger | RuleTrigger):
        return started if trigger.at is None else max(started, trigger.at.astimezone(UTC))
    if isinstance(trigger, RecurringTrigger):
        first = next_time(trigger.cron, time_zone=trigger.time_zone, after=started - _INSTANT)
        return None if first is None or (trigger.until is not None and first >= trigger.until) else first
    return started


def last_send_offset(variant: Variant, trigger: Trigger | None = None) -> timedelta:
    """An upper bound of the time from assignment to the last planned send of a variant, for the first occasion of a trigger.

    It holds where a clock is never set by more than two hours nor forward twice within 160 days, as in every zone from 2024 on.
    Without a time of day it is exact. With one it is the longest that a clock which is never set would give (whatever the day
    on which the series begins, whatever hours are drawn), and

    - two hours, for a clock that is set back on the way;
    - a day (with `days`, a week) for each time that a clock may be set forward on the way, where a lost hour can make a step
      fall short of its wait: such a step goes out at the next time that fits.
    """
    if variant.message is None:
        return timedelta(0)
    begins = _wait_of(trigger) + ((variant.send_time.after if variant.send_time else None) or timedelta(0))
    if variant.send_time is None or not variant.send_time.times:
        return begins + _plain_series(variant)
    times = [timedelta(hours=at.hour) for at in variant.send_time.times]
    weekdays = sorted(variant.send_time.weekdays)
    steady = _series_by_day(variant, times, weekdays) + _CLOCK_SET
    if not _can_fall_short(variant, times):
        return begins + steady
    slip = _DAY if len(weekdays) == _WEEK else _DAY * _WEEK
    span = steady
    while (longer := steady + slip * (span // _FORWARD_APART + 1)) > span:
        span = longer
    return begins + span


def series_problems(variants: Sequence[Variant]) -> list[Problem]:
    """Variants whose messages may take longer than `LONGEST_SERIES` to go out."""
    return [
        Problem(
            f"variants[{i}].{'frequency' if variant.steps > 1 else 'send_time.after'}",
            f"the last of {variant.steps} could be due {took.days} days after the trigger, and no message may be later than"
            f" {LONGEST_SERIES.days}; take fewer `steps`, a shorter `min_interval` or `after`, or wider windows",
        )
        for i, variant in enumerate(variants)
        if (took := last_send_offset(variant)) > LONGEST_SERIES
    ]


def _wait_of(trigger: Trigger | None) -> timedelta:
    """From the assignment to the latest moment that the trigger means."""
    if isinstance(trigger, OnceTrigger) and trigger.local_time is not None:
        # The next 10:00 is at most a day away and what clocks are set back, a named day's at most as far as zones are apart.
        return max(_ZONES, _DAY + _CLOCK_SET)
    return (trigger.delay if isinstance(trigger, EventTrigger) else None) or timedelta(0)


def _plain_series(variant: Variant) -> timedelta:
    """From the first message to the last where any moment will do."""
    offsets = [timedelta(0)]
    while variant.frequency and len(offsets) < variant.steps:
        offsets.append(max(offsets[-n] + wait for n, wait in variant.frequency.waits if n <= len(offsets)))
    return offsets[-1]


def _series_by_day(variant: Variant, times: Sequence[timedelta], weekdays: Sequence[int]) -> timedelta:
    """The longest time from the moment at which a series may begin to its last message, on a clock that is never set.

    Moments are counted from the beginning of a Monday. The later a step, the later those after it, so the worst series takes
    the worst of `times` at each step.
    """
    # The days of the week make a difference only when not all of them are permitted.
    starts = weekdays if len(weekdays) < _WEEK else weekdays[:1]
    return max(
        _worst_series(variant, day * _DAY + at, times, weekdays) - (_day_before(day, weekdays) * _DAY + at)
        for day in starts
        for at in times
    )


def _worst_series(
    variant: Variant, first: timedelta, times: Sequence[timedelta], weekdays: Sequence[int]
) -> timedelta:
    due = [first]
    while variant.frequency and len(due) < variant.steps:
        earliest = max(due[-n] + wait for n, wait in variant.frequency.waits if n <= len(due))
        due.append(_worst_fit(earliest, times, weekdays))
    return due[-1]


def _worst_fit(earliest: timedelta, times: Sequence[timedelta], weekdays: Sequence[int]) -> timedelta:
    """The latest of the moments at which each of `times` (ascending) comes next."""
    day, clock = divmod(earliest, _DAY)
    missed = bisect_left(times, clock)
    fits = []
    if missed:
        fits.append(_day_from(day + 1, weekdays) * _DAY + times[missed - 1])
    if missed < len(times):
        fits.append(_day_from(day, weekdays) * _DAY + times[-1])
    return max(fits)


def _day_from(day: int, weekdays: Sequence[int]) -> int:
    """The first permitted day from `day` on."""
    return min(day + (weekday - day) % _WEEK for weekday in weekdays)


def _day_before(day: int, weekdays: Sequence[int]) -> int:
    """The last permitted day before `day`."""
    return max(day - 1 - (day - 1 - weekday) % _WEEK for weekday in weekdays)


def _can_fall_short(variant: Variant, times: Sequence[timedelta]) -> bool:
    """Whether a step whose wait would be over by its time of day may come too early by an hour or two that a clock has lost."""
    waits = variant.frequency.waits if variant.frequency else ()
    return any(n < variant.steps and (len(times) > 1 or -wait % _DAY < _CLOCK_SET) for n, wait in waits)
