"""A moment on the clock of a zone, as a field for a day and a time has it: to the minute, and without a zone. Pure."""

from datetime import UTC, datetime, tzinfo
from typing import Final

from dashboard import values

FIRST: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # as the field has it
LAST: Final = datetime(2199, 12, 31, 23, 59)  # noqa: DTZ001
"""What a field for a moment offers."""


def on_clock(text: str | None, zone: tzinfo) -> datetime | None:
    """A moment of the API as the field shows it; None where there is none, or none that the field offers.

    >>> from zoneinfo import ZoneInfo
    >>> on_clock("2026-12-01T10:00:30Z", ZoneInfo("Asia/Shanghai"))
    datetime.datetime(2026, 12, 1, 18, 0)
    """
    found = values.moment(text)
    if found is None or not FIRST.year < found.year < LAST.year:
        return None
    return found.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)


def entered(shown: datetime | None, before: str | None, zone: tzinfo) -> str | None:
    """What a field says that began with `before`: the same to the second while nobody has changed it.

    >>> entered(datetime(2026, 12, 1, 10, 0), None, UTC)
    '2026-12-01T10:00:00Z'
    >>> entered(datetime(2026, 12, 1, 10, 0), "2026-12-01T10:00:30Z", UTC)
    '2026-12-01T10:00:30Z'
    """
    if shown is None:
        return None
    if before is not None and shown == on_clock(before, zone):
        return before
    return shown.replace(tzinfo=zone).astimezone(UTC).isoformat().replace("+00:00", "Z")
