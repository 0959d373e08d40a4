"""When each message of a variant is due: from the trigger's moment, in the user's own zone, as a series of steps. Pure.

Waits are real time, so the night on which an hour is lost moves a daily series by a day rather than squeezing two messages
into 23 hours. A planned series keeps its own frequency; what is deferred later on is held to it again before it is sent.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

from delivery.local_time import local_moment, next_local_time
from delivery.planning.best_hour import Hours, choose
from experiments.send_times import EVERY_DAY
from experiments.treatments import Variant
from experiments.triggers import EventTrigger, OnceTrigger, Trigger

_NOW: Final = timedelta(0)


class Due(NamedTuple):
    """When a step goes out (UTC), and how that was chosen where it was drawn (`messages.choice`)."""

    at: datetime
    choice: dict[str, Any] | None


def trigger_moment(
    trigger: Trigger, *, assigned_at: datetime, zone: tzinfo, occasion_at: datetime | None = None
) -> datetime:
    """The moment (UTC) from which the steps of a user count; never before the user was assigned.

    once with a local time: that time on the user's clock, a named day's even where it has passed (it is then now, since the
    experiment was started too late for that zone). event: `delay` after it. `occasion_at` is the moment of the occasion, of a
    recurring trigger, or of the event where it is known; without it, the assignment.
    """
    moment = assigned_at.astimezone(UTC)
    if isinstance(trigger, OnceTrigger):
        if trigger.local_moment is not None:
            day, at = trigger.local_moment.date(), trigger.local_moment.time()
            return max(moment, local_moment(day, at, zone))
        if trigger.time_of_day is not None:
            return next_local_time(trigger.time_of_day, not_before=moment, zone=zone)
        return moment
    since = moment if occasion_at is None else occasion_at.astimezone(UTC)
    if isinstance(trigger, EventTrigger) and trigger.delay is not None:
        since += trigger.delay
    return max(moment, since)


def is_drawn(variant: Variant) -> bool:
    """Whether the times of a variant differ between users of one zone and moment. Those of the others may be shared."""
    return variant.send_time is not None and variant.send_time.best_hour is not None


def plan_times(
    variant: Variant,
    *,
    trigger_at: datetime,
    zone: tzinfo,
    learned: Hours | None,
    draw: Callable[[int], float],
) -> list[Due]:
    """All steps of one occasion that begins at `trigger_at`; none for a silent arm.

    `learned` is what is known of the user's hours and `draw` gives the number in [0, 1) of each step (from 0); only a variant
    with `best_hour` asks for them.
    """
    if variant.send_time is None or variant.send_time.best_hour is None:
        return [Due(at, None) for at in due_times(variant, start=trigger_at, zone=zone)]
    rule = variant.send_time.best_hour
    choices = choose(rule, learned=learned, draws=[draw(step) for step in range(variant.steps)])
    times = [rule.fallback.replace(hour=choice["hour"]) for choice in choices]
    return [
        Due(at, choice) for at, choice in zip(_series(variant, trigger_at, times, zone), choices, strict=True)
    ]


def due_times(variant: Variant, *, start: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The due time (UTC) of every step of a variant whose steps count from `start`; empty for a silent arm.

    Of a variant with `best_hour`: what it is for users of whom nothing is known.
    """
    at = None
    if variant.send_time is not None:
        rule = variant.send_time.best_hour
        at = variant.send_time.local_time if rule is None else rule.fallback
    return tuple(_series(variant, start, [at] * variant.steps, zone))


def _series(variant: Variant, start: datetime, times: Sequence[time | None], zone: tzinfo) -> list[datetime]:
    """Each step at the first moment that shows its time, is on a permitted day, and keeps the frequency."""
    earliest = start.astimezone(UTC)
    weekdays = EVERY_DAY
    if variant.send_time is not None:
        earliest += variant.send_time.after or _NOW
        weekdays = variant.send_time.weekdays
    waits = variant.frequency.waits if variant.frequency is not None else ()
    due: list[datetime] = []
    for at in times:
        if due:
            earliest = max(due[-n] + wait for n, wait in waits if n <= len(due))
        due.append(earliest if at is None else _fit(at, earliest, zone, weekdays))
    return due


@lru_cache(maxsize=8192)
def _fit(at: time, not_before: datetime, zone: tzinfo, weekdays: frozenset[int]) -> datetime:
    # Users of one zone share most of their times, also where the hours are drawn.
    return next_local_time(at, not_before=not_before, zone=zone, weekdays=weekdays)
