"""Were the promises of a delivery policy kept? Looks at nothing but the slots that were taken, the slow and plain way.

It shares no code with `delivery`: it counts each window again at each slot, and asks the clock on the wall at each.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

WINDOWS: Final = (timedelta(hours=24), timedelta(days=7), timedelta(days=30))
SERVICE_WINDOW: Final = timedelta(hours=24)


class Sent(NamedTuple):
    """One slot of the ledger, and what is known of its user. `zone` is a valid IANA name."""

    user: int
    experiment: int
    category: str
    at: datetime
    zone: str = "UTC"
    country: str | None = None
    last_inbound_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most so many in any day, week, month, and the shortest time between two."""

    counts: tuple[int | None, int | None, int | None] = (None, None, None)
    apart: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Promises:
    """What must hold. `categories`: bounds by category over all experiments; `experiments`: those of one experiment's messages
    to one user. `quiet`: start and end; `allowed`: start, end and days (0 is Monday) by country.
    """

    categories: Mapping[str, Bounds] = field(default_factory=dict)
    experiments: Mapping[int, Bounds] = field(default_factory=dict)
    quiet: tuple[time, time] | None = None
    allowed: Mapping[str, tuple[time, time, frozenset[int]]] = field(default_factory=dict)
    quiet_categories: frozenset[str] = frozenset({"marketing"})
    unique_users: int | None = None


def breaches(sent: Iterable[Sent], promises: Promises) -> list[str]:
    """Every promise that was broken, in words; empty when all were kept."""
    ledger = sorted(sent, key=lambda slot: slot.at)
    found: list[str] = []
    by_category: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    by_experiment: dict[tuple[int, int], list[datetime]] = defaultdict(list)
    for slot in ledger:
        by_category[slot.user, slot.category].append(slot.at)
        by_experiment[slot.user, slot.experiment].append(slot.at)
        found += _hours(slot, promises)
    for (user, category), times in by_category.items():
        if category in promises.categories:
            found += _bounds(times, promises.categories[category], f"user {user}, {category}")
    for (user, experiment), times in by_experiment.items():
        if experiment in promises.experiments:
            found += _bounds(times, promises.experiments[experiment], f"user {user}, experiment {experiment}")
    return found + _tier(ledger, promises.unique_users)


def _bounds(times: Sequence[datetime], bounds: Bounds, whose: str) -> list[str]:
    found = []
    for count, window in zip(bounds.counts, WINDOWS, strict=True):
        if count is None:
            continue
        for at in times:
            inside = sum(at - window < other <= at for other in times)
            if inside > count:
                found.append(f"{whose}: {inside} in the {window} until {at}, where {count} are allowed")
    found += [
        f"{whose}: {later - sooner} apart at {later}, where {bounds.apart} is the least"
        for sooner, later in pairwise(times)
        if later - sooner < bounds.apart
    ]
    return found


def _hours(slot: Sent, promises: Promises) -> list[str]:
    if slot.category not in promises.quiet_categories:
        return []
    shown = slot.at.astimezone(ZoneInfo(slot.zone))
    found = []
    if promises.quiet is not None and _within(shown.time(), *promises.quiet):
        found.append(f"user {slot.user}: at {shown}, in quiet hours")
    if slot.country is not None and slot.country in promises.allowed:
        start, end, days = promises.allowed[slot.country]
        if shown.weekday() not in days or not (start == end or _within(shown.time(), start, end)):
            found.append(f"user {slot.user}: at {shown}, which {slot.country} does not allow")
    return found


def _within(shown: time, start: time, end: time) -> bool:
    return start <= shown < end if start < end else shown >= start or shown < end


def _tier(ledger: Sequence[Sent], limit: int | None) -> list[str]:
    """Distinct people outside of their window in the 24 hours until each slot; by a sliding window over the ledger."""
    if limit is None:
        return []
    counted = [
        slot
        for slot in ledger
        if slot.last_inbound_at is None
        or not slot.last_inbound_at <= slot.at < slot.last_inbound_at + SERVICE_WINDOW
    ]
    found: list[str] = []
    inside: dict[int, int] = defaultdict(int)
    oldest = 0
    for slot in counted:
        inside[slot.user] += 1
        while counted[oldest].at <= slot.at - timedelta(hours=24):
            gone = counted[oldest].user
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            oldest += 1
        if len(inside) > limit:
            found.append(f"{len(inside)} people in the 24 hours until {slot.at}, where {limit} are allowed")
    return found
