"""How many messages a person may get, and how close together: pure rules over the ledger of taken slots.

A slot is the moment at which a message took its place (`messages.slot_at`). Windows roll and are half-open: at `now`
a slot counts while `slot > now - window`, so a slot stops counting exactly one window after it was taken.
The SQL twin of the cap, for deciding who may enrol at all, is `delivery.repository.at_cap`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from experiments.treatments import Variant
from experiments.vocabulary import Category

CAPPED_CATEGORY: Final = Category.MARKETING
"""Only marketing is rationed: a receipt or a login code is asked for by the person who gets it."""


def is_capped(category: str) -> bool:
    """Whether messages of this category count towards the cap and are held back by it."""
    return category == CAPPED_CATEGORY


def free_at(slots: Sequence[datetime], *, cap: int, window: timedelta, now: datetime) -> datetime | None:
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


def rested_at(previous: datetime | None, *, min_interval: timedelta, now: datetime) -> datetime:
    """The earliest time from `now` on that is `min_interval` after `previous`, the last slot of this experiment."""
    return now if previous is None else max(now, previous + min_interval)


def min_interval_of(variant: Variant) -> timedelta:
    """The shortest time between two steps of a variant; zero for a variant of one message."""
    if variant.frequency is None or variant.frequency.steps == 1:
        return timedelta(0)
    return variant.frequency.min_interval
