"""What the form of a condition offers for an attribute, and how values are typed in. Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboard.condition_rows import (
    AGES,
    DURATION,
    IS,
    KNOWN,
    MANY_VALUES,
    ONE_VALUE,
    UNKNOWN,
    Compared,
    ValueType,
    type_of,
)

OPERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "text": (IS, "$ne", "$in", "$nin", KNOWN, UNKNOWN, "$regexi", "$vgte", "$vlt"),
    "number": (IS, "$ne", "$gte", "$gt", "$lte", "$lt", "$in", "$nin", KNOWN, UNKNOWN),
    "boolean": (IS, KNOWN, UNKNOWN),
    "time": ("$olderThan", "$newerThan", "$gte", "$lt", KNOWN, UNKNOWN),
    "list": ("$all", "$in", "$nin", KNOWN, UNKNOWN),
}
"""What may be asked of an attribute of each kind, the most usual first."""
EVERY_OPERATOR: Final = tuple(dict.fromkeys(name for names in OPERATORS.values() for name in names))
TYPES: Final[tuple[ValueType, ...]] = ("text", "number", "boolean")
UNITS: Final = ("m", "h", "d", "w", "s")


def operators_for(kind: str, current: str) -> list[str]:
    """What may be asked of an attribute of this kind; what is asked now is always among it."""
    offered = OPERATORS.get(kind, EVERY_OPERATOR)
    return [*offered, *([] if current in offered else [current])]


def value_type(row: Compared, kind: str, examples: Sequence[Any] = ()) -> ValueType:
    """As what values of this row are typed in: that of the value it has, else that of the attribute."""
    own = type_of(row.value)
    if own is not None:
        return own
    by_kind: Mapping[str, ValueType] = {"number": "number", "boolean": "boolean"}
    return by_kind.get(kind) or (type_of(list(examples)) if kind == "list" else None) or "text"


def asks_for_type(row: Compared, kind: str) -> bool:
    """Whether the form has to ask of what type the value is, since the attribute does not say, or says another."""
    if row.operator not in ONE_VALUE | MANY_VALUES:
        return False
    own = type_of(row.value)
    known = {"text": "text", "time": "text", "number": "number", "boolean": "boolean"}.get(kind)
    if kind == "list":
        return own == "boolean"
    return known is None or (own is not None and own != known)


def with_operator(row: Compared, operator: str) -> Compared:
    """The row with another question; the value stays as far as the new question can have it."""
    if operator == row.operator:
        return row
    value = row.value
    if operator in {KNOWN, UNKNOWN} or (operator in AGES) != (row.operator in AGES):
        value = None
    elif operator in MANY_VALUES and value is not None and not isinstance(value, list):
        value = [value]
    elif operator not in MANY_VALUES and isinstance(value, list):
        value = value[0] if value else None
    return Compared(row.path, operator, value)


def spelled(value: Any) -> str:
    """A value as it is typed in.

    >>> spelled(2.5), spelled("NL"), spelled(True), spelled(None)
    ('2.5', 'NL', 'true', '')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def entered(text: str, wanted: ValueType) -> str | int | float | bool | None:
    """What was typed in, as a value of this type; None when it is none.

    >>> entered("18", "number"), entered("18", "text"), entered("1,5", "number"), entered("true", "boolean")
    (18, '18', None, True)
    """
    if wanted == "text":
        return text or None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if type_of(value) != wanted or isinstance(value, list):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value  # type: ignore[no-any-return]  # of the type that was just looked at


def split_duration(text: str | None) -> tuple[int, str] | None:
    """A duration as a number and a unit.

    >>> split_duration("30d"), split_duration("1.5d"), split_duration(None)
    ((30, 'd'), None, None)
    """
    found = DURATION.fullmatch(text or "")
    return (int(found[1]), found[2]) if found else None
