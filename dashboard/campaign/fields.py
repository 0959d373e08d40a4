"""How values of a campaign are shown in a form and written back, and which fields the form has.

A field reads its place and writes there only when somebody has changed what is shown (`edited`); so a form that is opened and
left changes nothing, and what no field shows stays as it is. `unshown` names it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Generic, TypeVar

from dashboard.campaign.documents import Document, Path, at, leaves, with_value, written
from dashboard.moments import FIRST, LAST

T = TypeVar("T")

UNITS: Final = ("m", "h", "d", "w", "s")
LONGEST: Final = 1_000_000
"""Of a unit, in a field for a duration."""
_DURATION: Final = re.compile(r"(-?\d+)([smhdw])")


@dataclass(frozen=True)
class Codec(Generic[T]):
    """`shown` makes of a value what a widget shows, None of what it cannot show; `written` is its inverse."""

    shown: Callable[[Any], T | None]
    written: Callable[[T], Any]


@dataclass(frozen=True, slots=True)
class Duration:
    """So many of a unit: s, m, h, d or w. 0 is none."""

    number: int
    unit: str


def _duration(value: Any) -> Duration | None:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return Duration(int(found[1]), found[2]) if found and abs(int(found[1])) <= LONGEST else None


def _time(value: Any) -> time | None:
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo else found


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo is None or not _is_offered(found):
        return None
    return found.astimezone(UTC)


def _is_offered(moment: datetime) -> bool:
    return FIRST.year < moment.year < LAST.year


def _local_moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo or not _is_offered(found) else found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _weight(value: float) -> float | int:
    return int(value) if value.is_integer() else value


TEXT: Final = Codec[str](lambda value: value if isinstance(value, str) else None, lambda text: text or None)
NUMBER: Final = Codec[float](_number, _weight)
WHOLE: Final = Codec[int](_whole, lambda number: number)
YES: Final = Codec[bool](lambda value: value if isinstance(value, bool) else None, lambda yes: yes)
PERCENT: Final = Codec[float](
    # Rounded, since 0.07 times 100 is 7.000000000000001.
    lambda value: None if _number(value) is None else round(100 * float(value), 10),
    lambda percent: round(percent / 100, 12),
)
DURATION: Final = Codec[Duration](
    _duration, lambda given: f"{given.number}{given.unit}" if given.number else None
)
TIME: Final = Codec[time](
    _time, lambda given: given.isoformat(timespec="auto" if given.second else "minutes")
)
MOMENT: Final = Codec[datetime](
    _moment, lambda given: given.astimezone(UTC).isoformat().replace("+00:00", "Z")
)
LOCAL_MOMENT: Final = Codec[datetime](_local_moment, lambda given: given.isoformat(timespec="minutes"))
TEXTS: Final = Codec[tuple[str, ...]](
    lambda value: (
        tuple(value)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        else None
    ),
    lambda given: list(given) or None,
)


def within(codec: Codec[Any], least: float, most: float) -> Codec[Any]:
    """A codec whose widget shows only numbers between two bounds."""

    def shown(value: Any) -> Any:
        number = codec.shown(value)
        return number if number is not None and least <= number <= most else None

    return Codec(shown, codec.written)


def shown(document: Document, path: Path, codec: Codec[T], default: T) -> T:
    """What a widget shows of the field at `path`; `default` where it is absent."""
    value = codec.shown(at(document, path))
    return default if value is None else value


def hidden(document: Document, path: Path, codec: Codec[T]) -> bool:
    """Whether something stands there that the widget cannot show."""
    value = at(document, path)
    return value is not None and codec.shown(value) is None


def edited(document: Any, path: Path, codec: Codec[T], default: T, chosen: T) -> Any:
    """The document after a widget that showed `shown(..)` was left at `chosen`."""
    if chosen == shown(document, path, codec, default):
        return document
    return with_value(document, path, codec.written(chosen))


def joined(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock)


_SEND_TIME: Final = (
    "after",
    "local_time",
    "days.**",
    "best_hour.fallback",
    "best_hour.hours.**",
    "best_hour.explore",
    "best_hour.min_evidence",
)
_FREQUENCY: Final = ("steps", "min_interval", "per_day", "per_week", "per_month")
_MESSAGE: Final = (
    "template",
    "language",
    "languages.**",
    "parameters.**",
    "header.text",
    "header.name",
    "header.image",
    "header.video",
    "header.document",
    "buttons.**",
    "link",
    "link_index",
    "text",
)
_TREATMENT: Final = tuple(
    f"{part}.{field}"
    for part, fields in (("message", _MESSAGE), ("send_time", _SEND_TIME), ("frequency", _FREQUENCY))
    for field in fields
)
_QUANTITY: Final = ("event", "message", "value", "price")
SHOWN: Final = (
    "key",
    "name",
    "hypothesis",
    "category",
    "priority",
    "audience.condition.**",
    "audience.coverage",
    "audience.holdout",
    "audience.layer",
    "audience.layer.key",
    "audience.layer.range.**",
    *(
        f"trigger.{name}"
        for name in (
            "type",
            "at",
            "local_time",
            "event",
            "delay",
            "after",
            "cron",
            "time_zone",
            "until",
        )
    ),
    *(f"treatment.{field}" for field in _TREATMENT),
    "factors.*.key",
    "factors.*.levels.*.key",
    "factors.*.levels.*.weight",
    *(f"factors.*.levels.*.{field}" for field in _TREATMENT),
    "variants.*.key",
    "variants.*.control",
    "variants.*.weight",
    *(f"variants.*.{field}" for field in _TREATMENT),
    *(
        f"metrics.*.{field}"
        for field in (
            "key",
            "role",
            "margin",
            "kind",
            *_QUANTITY,
            "level",
            "window",
            "after",
            "direction",
            "covariate",
        )
    ),
    *(f"metrics.*.{part}.{field}" for part in ("numerator", "denominator") for field in _QUANTITY),
    *(f"plan.{field}" for field in ("method", "alpha", "power", "mde", "ends_after")),
    *(f"plan.rules.{field}" for field in ("min_weeks", "min_users", "stop_at_power", "futility")),
    *(
        f"allocation.{field}"
        for field in (
            "policy",
            "metric",
            "interval",
            "floor",
            "leader",
            "burn_in.users",
            "burn_in.conversions",
            "cost.message",
            "cost.conversion",
            "waves.share",
        )
    ),
)
"""Every field that the form has. `*` is a place in a list, `**` all that is below."""

_OF_A_KNOWN_METRIC: Final = frozenset({"key", "role", "margin", "window"})
"""What the form shows of a metric that is not defined in place; of `cost` also its price."""

_SHOWN: Final = re.compile(
    "|".join(re.escape(pattern).replace(r"\.\*\*", r"(?:\..*)?").replace(r"\*", r"\d+") for pattern in SHOWN)
)


def is_shown(path: Path) -> bool:
    """Whether the form has a field for this place."""
    return _SHOWN.fullmatch(".".join(map(str, path))) is not None


def unshown(document: Document) -> list[str]:
    """The fields of a document that the form has no place for, as mistakes name them.

    >>> unshown({"key": "a", "audience": {"forced": {"ann": "b"}}})
    ['audience.forced.ann']
    """
    return [
        written(path)
        for path in leaves(document)
        if path and not _is_shown_here(document, path) and at(document, path) not in (None, {}, [])
    ]


def _is_shown_here(document: Document, path: Path) -> bool:
    if path[0] != "metrics" or len(path) < 3 or at(document, (*path[:2], "kind")) is not None:
        return is_shown(path)
    is_price = path[2] == "price" and at(document, (*path[:2], "key")) == "cost"
    return path[2] in _OF_A_KNOWN_METRIC or is_price
