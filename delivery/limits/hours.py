"""Hours in which people may be written to, on the clock on their wall: quiet hours, and what a country allows. Pure.

A moment is open iff the weekday and time that the user's clock shows then are; nothing else about the moment counts. So
what clocks do is defined by itself: in a gap the clock jumps over part of a stretch, and where it jumps into an open
one that very moment is open; in a fold the same hour is shown twice, and both times are judged alike. A user without a
usable zone is in UTC, as everywhere.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

import phonenumbers

from experiments.clock import MICROSECOND

_DAY_LONG: Final = 86_400_000_000
_WEEK_LONG: Final = 7 * _DAY_LONG
_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Week:
    """The open stretches of a week, in microseconds since Monday 00:00 on the wall: sorted, apart, each [start, end)."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __and__(self, other: "Week") -> "Week":
        """What is open in both."""
        found = sorted(
            (max(start, other_start), min(end, other_end))
            for start, end in zip(self.starts, self.ends, strict=True)
            for other_start, other_end in zip(other.starts, other.ends, strict=True)
            if max(start, other_start) < min(end, other_end)
        )
        return Week(tuple(start for start, _ in found), tuple(end for _, end in found))

    @property
    def is_never(self) -> bool:
        return not self.starts

    def opens_at(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first moment (UTC) from `moment` on that is open on clocks in `zone`, to the microsecond; None when none is.

        >>> from zoneinfo import ZoneInfo
        >>> week = outside(time(21), time(8))
        >>> week.opens_at(datetime(2026, 12, 1, 23, tzinfo=UTC), ZoneInfo("America/Sao_Paulo")).isoformat()
        '2026-12-01T23:00:00+00:00'
        >>> week.opens_at(datetime(2026, 12, 2, 0, tzinfo=UTC), ZoneInfo("America/Sao_Paulo")).isoformat()
        '2026-12-02T11:00:00+00:00'
        """
        if self == ALWAYS:
            return moment
        if self.is_never:
            return None
        while True:
            shown = moment.astimezone(zone)
            of_week = shown.weekday() * _DAY_LONG + _of_day(shown.time())
            place = bisect_right(self.starts, of_week) - 1
            if place >= 0 and of_week < self.ends[place]:
                return moment
            wait = (self.starts[(place + 1) % len(self.starts)] - of_week) % _WEEK_LONG
            opens = moment + wait * MICROSECOND
            # The clock goes on evenly only until it is changed; from there it is asked again.
            change = _next_change(moment, opens, zone)
            if change is None:
                return opens
            moment = change


ALWAYS: Final = Week((0,), (_WEEK_LONG,))


def during(start: time, end: time, days: Collection[int] = range(7)) -> Week:
    """Open from `start` until just before `end` while the clock shows one of `days` (0 is Monday).

    Past midnight where `end` is earlier; the whole day where both are the same.
    """
    first, last = _of_day(start), _of_day(end)
    parts = [(first, last)] if first < last else [(0, last), (first, _DAY_LONG)]
    if first == last:
        parts = [(0, _DAY_LONG)]
    return _joined(
        (day * _DAY_LONG + begins, day * _DAY_LONG + ends)
        for day in sorted(set(days))
        for begins, ends in parts
        if begins < ends
    )


def outside(start: time, end: time) -> Week:
    """Open but for the quiet hours from `start` until just before `end`."""
    return during(end, start)


@lru_cache(maxsize=4096)
def country_of(phone: str) -> str | None:
    """The country (two letters) of a phone number in E.164; None when its code belongs to none.

    Countries that share a code and number ranges that nobody uses: the main country of the code.

    >>> country_of("+447700900123"), country_of("+12025550123"), country_of("+99912345678")
    ('GB', 'US', None)
    """
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(number)
    region = region or phonenumbers.region_code_for_country_code(number.country_code or 0)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def _joined(stretches: Iterable[tuple[int, int]]) -> Week:
    joined: list[list[int]] = []
    for start, end in stretches:
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return Week(tuple(start for start, _ in joined), tuple(end for _, end in joined))


def _of_day(shown: time) -> int:
    seconds = (shown.hour * 60 + shown.minute) * 60 + shown.second
    return seconds * 1_000_000 + shown.microsecond


def _next_change(after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """The first moment in (after, until] at which clocks in `zone` are changed."""
    day = (after - _MIDNIGHT) // _DAY
    while _MIDNIGHT + day * _DAY < until:
        change = _change_of_day(zone, day)
        if change is not None and after < change <= until:
            return change
        day += 1
    return None


@lru_cache(maxsize=16_384)
def _change_of_day(zone: tzinfo, day: int) -> datetime | None:
    """The moment of a UTC day, in (00:00, 24:00], at which clocks in `zone` are changed.

    No zone has had two changes less than 166 hours apart since 1970, so the two ends of the day tell.
    """
    before, after = _MIDNIGHT + day * _DAY, _MIDNIGHT + (day + 1) * _DAY
    offset = before.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return None
    while after - before > MICROSECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
