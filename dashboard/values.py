"""Values of the API's JSON, taken defensively: whatever is absent or impossible is None, empty or left out, and never an error."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dashboard.documents import Interval


def number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def whole(value: Any) -> int | None:
    return None if isinstance(value, bool) or not isinstance(value, int) else value


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in items(value) if isinstance(item, Mapping)]


def texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in items(value) if isinstance(item, str) and item)


def counts(value: Any) -> Mapping[str, int]:
    """The whole numbers of a flat mapping; everything else in it is left out."""
    return {str(name): found for name, each in mapping(value).items() if (found := whole(each)) is not None}


def numbers(value: Any) -> Mapping[str, float]:
    """The numbers of a flat mapping; everything else in it is left out."""
    return {str(name): found for name, each in mapping(value).items() if (found := number(each)) is not None}


def interval(value: Any) -> Interval | None:
    """None without an estimate."""
    known = mapping(value)
    estimate = number(known.get("estimate"))
    if estimate is None:
        return None
    return Interval(estimate, number(known.get("lower")), number(known.get("upper")))
