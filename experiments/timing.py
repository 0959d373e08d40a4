"""Bounds in time that follow from a design alone: when enrolment opens, and how late the last message can be."""

from datetime import datetime, timedelta, timezone
from typing import Final

from experiments.cron import next_time
from experiments.treatments import Variant
from experiments.triggers import OnceTrigger, RecurringTrigger, Trigger

_DAY: Final = timedelta(days=1)
_CLOCK_CHANGES: Final = timedelta(hours=2)
_FIRST_PLACE: Final = timezone(timedelta(hours=14))
"""Where each day begins first (Kiritimati)."""
_ZONES: Final = timedelta(hours=26)
"""From the first place where a clock shows a time to the last."""
_INSTANT: Final = timedelta(microseconds=1)


def opens_at(trigger: Trigger, started: datetime) -> datetime | None:
    """When enrolment begins for an experiment that was started at `started`; None when it never does."""
    if isinstance(trigger, OnceTrigger):
        if trigger.local_moment is not None:
            return max(started, trigger.local_moment.replace(tzinfo=_FIRST_PLACE))
        return started if trigger.at is None else max(started, trigger.at)
    if isinstance(trigger, RecurringTrigger):
        first = next_time(trigger.cron, time_zone=trigger.time_zone, after=started - _INSTANT)
        return None if first is None or (trigger.until is not None and first >= trigger.until) else first
    return started


def last_send_offset(variant: Variant, trigger: Trigger | None = None) -> timedelta:
    """The longest time from assignment to the last planned send of a variant, for the first occasion of a trigger."""
    if variant.message is None:
        return timedelta(0)
    after, grid = timedelta(0), timedelta(0)
    if variant.send_time is not None:
        after = variant.send_time.after or timedelta(0)
        if variant.send_time.local_time is not None or variant.send_time.best_hour is not None:
            grid = timedelta(days=7) if variant.send_time.days else _DAY
    steps = variant.steps
    interval = variant.frequency.min_interval if variant.frequency else timedelta(0)
    if variant.frequency is not None:
        for cap, window in (
            (variant.frequency.per_day, _DAY),
            (variant.frequency.per_week, timedelta(days=7)),
            (variant.frequency.per_month, timedelta(days=30)),
        ):
            if cap is not None:
                # Each message waits at most until a whole window after the one `cap` before it.
                interval = max(interval, window) if cap == 1 else max(interval, window / cap, interval)
    wait = _waits(trigger)
    if not grid:
        return wait + after + (steps - 1) * (interval + after)
    # A later step keeps the time of day, so its interval grows to whole days (or weeks). Where clocks change, the next 18:30 is
    # up to 26 hours away, and a series of whole days slips by one more whenever an hour is lost, which is at most once a year.
    interval = grid * -(-(interval + after) // grid)
    span = wait + after + grid + _CLOCK_CHANGES + (steps - 1) * interval
    years = -(-span // timedelta(days=365))
    return span + (grid * years if steps > 1 else timedelta(0))


def _waits(trigger: Trigger | None) -> timedelta:
    """From the assignment to the latest moment that the trigger means."""
    if isinstance(trigger, OnceTrigger) and trigger.local_time is not None:
        return _ZONES
    delay = getattr(trigger, "delay", None)
    return delay if isinstance(delay, timedelta) else timedelta(0)
