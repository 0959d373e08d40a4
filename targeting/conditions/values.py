"""How a condition reads the values of a user: what counts as a number, as text, as equal, as a time, as a version.

The rules are those of the GrowthBook SDK, whose operators compare as JavaScript does: a missing value is null and counts
as 0 when it meets a number, true counts as 1, `"5"` as 5. They are narrowed where JavaScript surprises: text counts as a
number only when it is a plain decimal of at most 40 characters, null is never equal to the text "null", and lists and
objects never turn into text or numbers. `sql.py` says the same in SQL.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from experiments.clock import (
    MICROSECOND,
    format_duration,
    format_moment,
    from_micros,
    parse_duration,
    to_micros,
)

MAX_NUMBER_TEXT: Final = 40
_MARGIN_MICROS: Final = 5 * 86_400 * 1_000_000
DECIMAL: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_NUMBER_TEXT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?")

TIME: Final = re.compile(
    r"([1-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]+))?)?)?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
)
"""ISO 8601: a date, or a date and a time; without an offset it is in UTC."""

_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}

Number = int | float


def is_number(value: Any) -> bool:
    """A JSON number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_operator_object(value: Any) -> bool:
    """Whether a JSON value is a set of operators such as `{"$gt": 5}`, rather than a document to compare with."""
    return isinstance(value, dict) and bool(value) and all(map(_is_operator, value))


def _is_operator(key: object) -> bool:
    return isinstance(key, str) and key.startswith("$")


def matches_entries_whole(condition: Any) -> bool:
    """Whether the operand of `$elemMatch` holds operators on each entry, rather than a condition on its fields."""
    return is_operator_object(condition) and not condition.keys() <= {"$and", "$or", "$nor"}


def kind_of(value: Any) -> str:
    """The name of the JSON type, as the operand of `$type` spells it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, types in (("string", str), ("number", (int, float)), ("array", list)):
        if isinstance(value, types):
            return kind
    return "object"


def to_number(value: Any) -> Number | None:
    """What `value` counts as when it meets a number; None when it counts as none."""
    if isinstance(value, int | float):
        return value
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= MAX_NUMBER_TEXT and DECIMAL.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def number_text(number: Number) -> str:
    """The number as JavaScript writes it.

    >>> number_text(10.0), number_text(1e21), number_text(1.5e-7)
    ('10', '1e+21', '1.5e-7')
    """
    if isinstance(number, int) and abs(number) < 10**21:
        return str(int(number))
    try:
        text = repr(float(number))
    except OverflowError:
        return "-Infinity" if number < 0 else "Infinity"
    if not math.isfinite(float(text)):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(text, "NaN")
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or 0)
    laid_out = _lay_out(digits.rstrip("0"), point)
    return laid_out if laid_out == "0" or not text.startswith("-") else "-" + laid_out


def _lay_out(digits: str, point: int) -> str:
    """`digits`, without zeros at either end, with the decimal point after the first `point` of them."""
    if not digits:
        return "0"
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{digits.rjust(len(digits) - point, '0')}"
    return f"{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1:+d}"


def number_written_as(text: str) -> Number | None:
    """The number whose JavaScript text is exactly `text`; None when there is none.

    >>> number_written_as("10"), number_written_as("10.0")
    (10, None)
    """
    if not _NUMBER_TEXT.fullmatch(text) or len(text) > MAX_NUMBER_TEXT:
        return None
    number: Number = float(text) if "." in text or "e" in text else int(text)
    return number if number_text(number) == text else None


def text_of(value: Any) -> str | None:
    """A scalar as text; None for null, lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else None


def truthy(value: Any) -> bool:
    """JavaScript's truth: null, false, 0, NaN and empty text are false; every list and object is true."""
    if isinstance(value, int | float):
        return bool(value) and value == value  # noqa: PLR0124 - NaN alone differs from itself
    return bool(value) if isinstance(value, str) else value is not None


def identical(left: Any, right: Any) -> bool:
    """Strict equality of scalars: 1 is not true and not "1". Lists and objects are never identical."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if left is None or right is None:
        return left is right
    if isinstance(left, str | int | float) and isinstance(right, str | int | float):
        return left == right
    return False


def deep_equal(left: Any, right: Any) -> bool:
    """Equality of JSON documents, whatever the order of their keys."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            deep_equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(deep_equal, left, right))
    return identical(left, right)


class Members:
    """A list to look things up in, by strict equality; case is ignored on request. One step however long the list."""

    __slots__ = ("_fold", "_singletons", "_values")

    def __init__(self, values: Iterable[Any], *, ignore_case: bool = False) -> None:
        self._fold = ignore_case
        members = [value for value in values if value is None or isinstance(value, str | int | float)]
        self._singletons = [value for value in members if value is None or isinstance(value, bool)]
        plain = (value for value in members if value is not None and not isinstance(value, bool))
        self._values = frozenset(v.lower() if ignore_case and isinstance(v, str) else v for v in plain)

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, str):
            return (value.lower() if self._fold else value) in self._values
        if value is None or isinstance(value, bool):
            return any(value is member for member in self._singletons)
        return isinstance(value, int | float) and value in self._values

    def meets(self, value: Any) -> bool:
        """Whether `value`, or one of its entries when it is a list, is a member."""
        if not isinstance(value, list):
            return value in self
        for entry in value:  # noqa: SIM110 - a generator would double the cost
            if entry in self:
                return True
        return False


def padded_version(value: Any) -> str:
    """A text that orders as versions do, as the GrowthBook SDKs build it.

    The leading v and the build are dropped, numbers padded to five characters, and a release without a pre-release tag
    ends in "~", which sorts after every tag. What is neither text nor a number is version 0.

    >>> padded_version("v1.2.3+build") == padded_version("1.2.3") > padded_version("1.2.3-rc.10")
    True
    """
    text = number_text(value) if is_number(value) else value
    if not isinstance(text, str) or not text:
        text = "0"
    parts = re.split(r"[-.]", re.sub(r"^v|\+.*$", "", text))
    if len(parts) == 3:
        parts.append("~")
    return "-".join(part.rjust(5) if re.fullmatch(r"[0-9]+", part) else part for part in parts)


def time_micros(value: Any) -> int | None:
    """Microseconds since 1970 UTC of an ISO 8601 text; None when it is no time.

    Impossible days run over into the next month (30 February is 1 or 2 March), which SQL can repeat exactly; digits
    below the microsecond are cut off.
    """
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3, 4, 5, 6))
    minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute
    if match[8]:
        offset = int(match[9]) * 60 + int(match[10])
        minutes -= offset if match[8] == "+" else -offset
    return (minutes * 60 + second) * 1_000_000 + int((match[7] or "")[:6].ljust(6, "0"))


def days_since_1970(year: int, month: int, day: int) -> int:
    """Days in the proleptic Gregorian calendar. Years begin in March here, so that a leap day comes last."""
    year -= month <= 2
    day_of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The moment that lies a duration before `now`, in microseconds, and the days around it.

    Nearly every time is far from it, and then its date tells: one before the day `before` is older, one after the day
    `after` is newer, whatever its offset and however far its day of the month runs over.
    """

    now: datetime
    micros: int
    before: str
    after: str

    @classmethod
    def at(cls, now: datetime, ago: timedelta) -> Self:
        micros = to_micros(now) - micros_of(ago)
        return cls(now, micros, _day(micros - _MARGIN_MICROS), _day(micros + _MARGIN_MICROS))


def _day(micros: int) -> str:
    """A date that text is compared with: before the year 1 it is before every text, after 9999 after every."""
    try:
        return format_moment(from_micros(micros))[:10]
    except OverflowError:
        return "" if micros < 0 else "~"


def micros_of(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // MICROSECOND


def duration_in_words(duration: str) -> str:
    """A duration as people say it, in the largest unit that leaves a whole number.

    >>> duration_in_words("24h")
    '1 day'
    """
    shortest = format_duration(parse_duration(duration))
    number, unit = shortest[:-1], _UNITS[shortest[-1]]
    return f"{number} {unit}{'' if number == '1' else 's'}"


def readable(value: Any) -> str:
    """A value as an error message or a description shows it: plain words bare, everything else as JSON, shortened."""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[^\W\d][\w.@:/+-]*", value)
        and value not in {"true", "false", "null"}
    ):
        return value
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
