"""How many messages a person may get, and how close together: pure rules over the ledger of taken slots.

A slot is the moment at which a message took its place (`messages.slot_at`). Windows roll and are half-open: at `now`
a slot counts while `slot > now - window`, so a slot stops counting exactly one window after it was taken.

    who counts                                   what is bounded
    all experiments, one category                day, week, month, shortest interval of the delivery policy
    the variant's own experiment                 day, week, month, shortest interval of its `frequency`

The SQL twin of the caps, for deciding who may enrol at all, is `delivery.ledger_repository.at_cap`.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from delivery.limits.policy import CategoryCaps
from experiments.send_times import Frequency

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
MONTH: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` slots in any stretch of `window`."""

    count: int
    window: timedelta


def windows(caps: CategoryCaps, *, factor: float = 1.0) -> tuple[Limit, ...]:
    """The rolling caps of a category, each times `factor` (rounded down, but not below 1 where the cap is at least 1).

    >>> windows(CategoryCaps(day=1, week=3), factor=0.5)
    (Limit(count=1, window=datetime.timedelta(days=1)), Limit(count=1, window=datetime.timedelta(days=7)))
    """
    return _windows(caps.day, caps.week, caps.month, factor)


@lru_cache(maxsize=1024)
def _windows(day: int | None, week: int | None, month: int | None, factor: float) -> tuple[Limit, ...]:
    return tuple(
        Limit(adapted(count, factor), window)
        for count, window in ((day, DAY), (week, WEEK), (month, MONTH))
        if count is not None
    )


def adapted(cap: int, factor: float) -> int:
    """A cap times `factor`, rounded down; a cap of at least 1 never becomes 0."""
    return max(min(cap, 1), math.floor(cap * factor))


def windows_of(frequency: Frequency) -> tuple[Limit, ...]:
    """What a variant's own frequency allows in its experiment."""
    return windows(CategoryCaps(day=frequency.per_day, week=frequency.per_week, month=frequency.per_month))


def free_at(slots: Collection[datetime], *, cap: int, window: timedelta, now: datetime) -> datetime | None:
    """The earliest time from `now` on at which one more message fits under the cap; `now` itself when it fits already.

    `slots` are the slots this user has taken, in any order; older ones than a window do no harm. None when `cap` is
    0, since then no time ever comes. Following the answer never puts more than `cap` slots into any window.

    >>> from datetime import UTC
    >>> monday = datetime(2026, 12, 7, tzinfo=UTC)
    >>> free_at([monday], cap=1, window=timedelta(days=7), now=monday + timedelta(days=1)).isoformat()
    '2026-12-14T00:00:00+00:00'
    """
    if cap <= 0:
        return None
    if len(slots) < cap:
        return now
    # Room comes when the cap-th latest slot leaves the window: then cap - 1 of them are left in it.
    leaves = sorted(slots)[-cap] + window
    return max(now, leaves)


def all_free_at(slots: Collection[datetime], limits: Sequence[Limit], now: datetime) -> datetime | None:
    """The earliest time from `now` on at which one more message fits under every limit; None when one of them is 0."""
    at = now
    for limit in limits:
        free = free_at(slots, cap=limit.count, window=limit.window, now=now)
        if free is None:
            return None
        at = max(at, free)
    return at


def rested_at(previous: datetime | None, *, min_interval: timedelta, now: datetime) -> datetime:
    """The earliest time from `now` on that is `min_interval` after `previous`, the last slot that counts."""
    return now if previous is None else max(now, previous + min_interval)


def taken(slots: Collection[datetime], limit: Limit, now: datetime) -> int:
    """How many slots count towards a limit at `now`."""
    return sum(slot > now - limit.window for slot in slots)


def room(slots: Collection[datetime], limits: Sequence[Limit], now: datetime) -> int | None:
    """How many more messages fit under every limit at `now`; None when nothing bounds them."""
    return min((limit.count - taken(slots, limit, now) for limit in limits), default=None)
