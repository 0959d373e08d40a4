"""Times of day on a user's own clock, as moments. Pure.

Rules: a local time that a clock change skips becomes the next minute that exists, even where that is on the next day; one
that comes twice is the first. A user without a usable zone is in UTC.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from experiments.send_times import EVERY_DAY

FALLBACK_ZONE: Final = ZoneInfo("UTC")
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def zone_of(name: str | None) -> ZoneInfo:
    """The zone with this IANA name, or UTC when it is missing or unknown: a wrong zone must not cost the message."""
    if not name:
        return FALLBACK_ZONE
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        # ZoneInfo answers a name that is a folder, or too long for a path, with an OSError.
        return FALLBACK_ZONE


def next_local_time(
    at: time, *, not_before: datetime, zone: tzinfo, weekdays: Collection[int] = EVERY_DAY
) -> datetime:
    """The first moment (UTC) from `not_before` on at which clocks in `zone` show `at`, on one of `weekdays` (0 is Monday)."""
    # Start a day early: a time skipped just before midnight comes out on the next day.
    day = not_before.astimezone(zone).date() - _DAY
    while day.weekday() not in weekdays or (moment := local_moment(day, at, zone)) < not_before:
        day += _DAY
    return moment


def local_moment(day: date, at: time, zone: tzinfo) -> datetime:
    """The moment (UTC) at which clocks in `zone` show `at` on `day`.

    >>> spring = date(2026, 3, 29)  # from 02:00 to 03:00 there is no local time
    >>> local_moment(spring, time(2, 30), ZoneInfo("Europe/Amsterdam")).isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    wall = datetime.combine(day, at.replace(fold=0))
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # PEP 495: inside a gap, fold=0 lands after the change and fold=1 before it.
    return _first_minute_after_gap(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment, zone)


def _first_minute_after_gap(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    new_offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == new_offset:
            after = middle
        else:
            before = middle
    # Clocks change on whole minutes; the search stops within a second after the change.
    return after.replace(second=0, microsecond=0)
