"""When people enter and when messages go out, as the choices of a form. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

from dashboard.campaign.documents import Document, Path, at, with_value

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TRIGGERS: Final = ("once", "event", "inactivity", "recurring", "rule")
ONCE: Final = ("now", "at", "time_of_day", "local_day")
"""Of a trigger `once`: as soon as it is started, at a moment, at a time of day or on a day on each user's own clock."""
SEND_TIMES: Final = ("none", "after", "local_time", "best_hour")
_NEW_TRIGGER: Final[dict[str, dict[str, Any]]] = {
    "once": {"type": "once"},
    "event": {"type": "event"},
    "inactivity": {"type": "inactivity", "after": "30d"},
    "recurring": {"type": "recurring", "cron": "0 9 * * 1"},
    "rule": {"type": "rule"},
}
_NEW_SEND_TIME: Final[dict[str, dict[str, Any]]] = {
    "after": {"after": "1h"},
    "local_time": {"local_time": "10:00"},
    "best_hour": {"best_hour": {"fallback": "18:30"}},
}
_CRON: Final = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|\d(?:,\d)*)")


def trigger_type(document: Document) -> str:
    """`once` where nothing is said."""
    return str(at(document, ("trigger", "type"), "once"))


def with_trigger(document: Any, kind: str) -> Any:
    """The document with a trigger of another type, and what such a one needs; the same where it has that type."""
    if kind == trigger_type(document):
        return document
    until = at(document, ("trigger", "until"))
    kept = {"until": until} if until and kind != "once" else {}
    return with_value(document, ("trigger",), {**_NEW_TRIGGER[kind], **kept})


def once_kind(document: Document) -> str:
    """Which of `ONCE` the trigger is."""
    local = at(document, ("trigger", "local_time"))
    if isinstance(local, str):
        return "local_day" if "T" in local else "time_of_day"
    return "at" if at(document, ("trigger", "at")) else "now"


@dataclass(frozen=True, slots=True)
class WeeklyTime:
    """A time of day on some days of the week (0 is Monday); on all when none is named."""

    at: time
    days: tuple[int, ...] = ()


def weekly(cron: str) -> WeeklyTime | None:
    """A cron text as days and a time; None where it says more than that.

    >>> weekly("30 9 * * 1,3")
    WeeklyTime(at=datetime.time(9, 30), days=(0, 2))
    """
    found = _CRON.fullmatch(cron)
    if found is None or int(found[1]) > 59 or int(found[2]) > 23:
        return None
    # In cron 0 and 7 are both Sunday.
    named = [] if found[3] == "*" else [int(day) for day in found[3].split(",")]
    if any(day > 7 for day in named):
        return None
    return WeeklyTime(time(int(found[2]), int(found[1])), tuple(sorted({(day - 1) % 7 for day in named})))


def cron_of(weekly_time: WeeklyTime) -> str:
    """The inverse of `weekly`.

    >>> cron_of(WeeklyTime(time(9, 30), (0, 6)))
    '30 9 * * 1,7'
    """
    days = ",".join(str(day + 1) for day in sorted(weekly_time.days)) or "*"
    return f"{weekly_time.at.minute} {weekly_time.at.hour} * * {days}"


def send_time_kind(send_time: Any) -> str:
    """Which of `SEND_TIMES` it is; a wait beside a time of day counts as that time of day."""
    if not isinstance(send_time, Mapping):
        return "none"
    for kind in ("best_hour", "local_time", "after"):
        if send_time.get(kind) is not None:
            return kind
    return "none"


def with_send_time(document: Any, path: Path, kind: str) -> Any:
    """The document with a send time of another kind at `path`; days and a wait stay where they can."""
    old = at(document, path)
    if kind == send_time_kind(old):
        return document
    if kind == "none":
        return with_value(document, path, None)
    kept: Sequence[str] = () if kind == "after" else ("days", "after")
    was = old if isinstance(old, Mapping) and send_time_kind(old) != "after" else {}
    return with_value(
        document, path, {**_NEW_SEND_TIME[kind], **{name: was[name] for name in kept if was.get(name)}}
    )


def are_hours(value: Any) -> bool:
    """Whether a slider can show it: the first and the last hour of a day.

    >>> are_hours([8, 21]), are_hours([21, 8]), are_hours("8-21")
    (True, False, False)
    """
    whole = isinstance(value, list | tuple) and all(type(hour) is int for hour in value)
    return whole and len(value) == 2 and 0 <= value[0] <= value[1] <= 23


def send_time_words(send_time: Any) -> tuple[str, dict[str, str]]:
    """Which sentence tells a send time (`SEND_TIMES`), and the values in it."""
    kind = send_time_kind(send_time)
    days = ", ".join(map(str, at(send_time, ("days",), [])))
    values = {
        "none": {},
        "after": {"wait": str(at(send_time, ("after",), ""))},
        "local_time": {"time": str(at(send_time, ("local_time",), ""))[:5], "days": days},
        "best_hour": {"time": str(at(send_time, ("best_hour", "fallback"), ""))[:5], "days": days},
    }
    return kind, values[kind]
