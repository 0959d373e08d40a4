"""Indexes on attributes: what is indexed, and the part of a condition that an index can look up.

`prefilter` says something weaker than the condition, in a form that the database's planner recognises: everybody whom
the condition means passes it, so joining the two by `and` never changes whom it means, only how fast they are found.

SQLite keeps one index for an attribute, on the value as `json_extract` gives it (numbers before texts, lists as JSON).
PostgreSQL keeps two: the number, and the first characters of everything else (an index cell must be short there).
"""

import hashlib
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Numeric, Text, and_, cast, literal, literal_column, or_, true
from sqlalchemy.sql.elements import ColumnElement

from experiments.clock import format_moment, from_micros, parse_duration, to_micros
from targeting.conditions.values import is_number, is_operator_object, micros_of, number_written_as, to_number

Bool = ColumnElement[bool]

PREFIX: Final = 100
"""Characters of a text that PostgreSQL's index holds."""
MAX_LISTED: Final = 100
"""A longer list is no longer looked up entry by entry."""
_EXACT: Final = 2**53
_MARGIN_MICROS: Final = 5 * 86_400 * 1_000_000
"""More than an offset from UTC and a day that overflows into the next month can move a time away from its date."""
_SLACK: Final = 1e-12
"""Relative; SQLite reads a decimal to within the last bit or two, so what it holds and what we ask for may differ by that."""
_SPELLABLE: Final = re.compile(r"(?!\$)[^\"\\.\x00-\x1f\ud800-\udfff]+")


def can_be_indexed(name: str) -> bool:
    """Whether an attribute's name can be spelled in an index (no quote, backslash or dot, no dollar in front)."""
    return _SPELLABLE.fullmatch(name) is not None


def index_expressions(name: str, *, dialect: str) -> dict[str, str]:
    """The indexes of one attribute: the name of each, and the expression over `users` that it is on."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    if dialect == "sqlite":
        return {f"ix_users_attribute_{digest}": _sqlite_value(name)}
    return {
        f"ix_users_attribute_{digest}_text": _postgresql_text(name),
        f"ix_users_attribute_{digest}_number": _postgresql_number(name),
    }


def prefilter(condition: Any, *, indexed: Collection[str], dialect: str, now: datetime) -> Bool | None:
    """What indexes can tell of a condition over `users.attributes`; None when they cannot tell anything.

    Holds for everybody for whom the (valid) condition holds, and for others too.
    """
    if not isinstance(condition, dict) or not indexed:
        return None
    found = [
        _clause(key, operand, indexed=indexed, dialect=dialect, now=now) for key, operand in condition.items()
    ]
    return _all(found)


def _clause(key: str, operand: Any, *, indexed: Collection[str], dialect: str, now: datetime) -> Bool | None:
    if key in {"$and", "$or"} and isinstance(operand, list):
        parts = [prefilter(part, indexed=indexed, dialect=dialect, now=now) for part in operand]
        return _all(parts) if key == "$and" else _any(parts)
    if key not in indexed or not can_be_indexed(key):
        return None
    value = _sqlite(key) if dialect == "sqlite" else _postgresql(key)
    if not is_operator_object(operand):
        return _equal(operand, value)
    return _all([_operator(name, bound, value, now) for name, bound in operand.items()])


def _all(parts: list[Bool | None]) -> Bool | None:
    said = [part for part in parts if part is not None]
    return and_(*said) if said else None


def _any(parts: list[Bool | None]) -> Bool | None:
    said = [part for part in parts if part is not None]
    return or_(*said) if said and len(said) == len(parts) else None


@dataclass(frozen=True)
class _Indexed:
    """One attribute as its index holds it. Each test is true for all values that it names, maybe for more."""

    text: ColumnElement[Any]
    number: ColumnElement[Any]
    absent: Bool
    truths: dict[bool, Bool]
    cut: Callable[[str], str]
    """A text as the index holds it."""
    bound: Callable[[float], ColumnElement[Any]]
    """A number to compare with."""
    ends: Bool
    """Keeps a range of numbers that is open above from running on into the texts."""

    def between(self, low: str, high: str) -> Bool:
        return and_(self.text >= low, self.text < high)

    @property
    def decimal(self) -> Bool:
        """A text that may count as a number: it begins with a digit or a minus."""
        return self.between("-", ":")

    @property
    def is_list(self) -> Bool:
        return self.between("[", "\\")


def _sqlite_value(name: str) -> str:
    path = f'$."{name}"'.replace("'", "''")
    return f"json_extract(attributes, '{path}')"


def _sqlite(name: str) -> _Indexed:
    value: ColumnElement[Any] = literal_column(
        _sqlite_value(name).replace("(attributes", "(users.attributes"), Text
    )
    return _Indexed(
        text=value,
        number=value,
        absent=value.is_(None),
        truths={True: value == literal(1), False: value == literal(0)},
        cut=lambda text: text,
        # Not a CAST: its affinity would keep SQLite from using the index.
        bound=literal,
        ends=value < "",
    )


def _postgresql_document(name: str) -> tuple[str, str]:
    step = name.replace("'", "''")
    return (
        f"jsonb_typeof(jsonb_extract_path(attributes, '{step}'))",
        f"jsonb_extract_path_text(attributes, '{step}')",
    )


def _postgresql_text(name: str) -> str:
    kind, text = _postgresql_document(name)
    return f"(CASE WHEN {kind} <> 'number' THEN left({text}, {PREFIX}) END) COLLATE \"C\""


def _postgresql_number(name: str) -> str:
    kind, text = _postgresql_document(name)
    return f"(CASE WHEN {kind} = 'number' THEN {text}::numeric END)"


def _postgresql(name: str) -> _Indexed:
    text: ColumnElement[Any] = literal_column(_of_users(_postgresql_text(name)), Text)
    number: ColumnElement[Any] = literal_column(_of_users(_postgresql_number(name)), Numeric)
    return _Indexed(
        text=text,
        number=number,
        absent=and_(text.is_(None), number.is_(None)),
        truths={True: text == "true", False: text == "false"},
        cut=lambda given: given[:PREFIX],
        bound=lambda given: cast(literal(repr(given), Text), Numeric),
        ends=true(),
    )


def _of_users(expression: str) -> str:
    return expression.replace("(attributes,", "(users.attributes,")


def _same_number(number: float, value: _Indexed) -> Bool:
    if float(number).is_integer():
        return value.number == value.bound(number)
    return and_(_at_least(number, value), _at_most(number, value))


def _at_least(number: float, value: _Indexed) -> Bool:
    return and_(value.number >= value.bound(number - abs(number) * _SLACK), value.ends)


def _at_most(number: float, value: _Indexed) -> Bool:
    return value.number <= value.bound(number + abs(number) * _SLACK)


def _is_exact(number: float) -> bool:
    return abs(number) < _EXACT


def _texts(texts: list[str], value: _Indexed) -> Bool:
    return value.text.in_(sorted({value.cut(text) for text in texts}))


def _equal(operand: Any, value: _Indexed) -> Bool | None:
    """A plain value: compared as JavaScript does."""
    if operand is None:
        return value.absent
    if isinstance(operand, str):
        number = number_written_as(operand)
        tests = [_texts([operand], value)]
        if number is not None:
            if not _is_exact(number):
                return None
            tests.append(_same_number(number, value))
        if operand in {"true", "false"}:
            tests.append(value.truths[operand == "true"])
        return or_(*tests)
    if is_number(operand) and operand and _is_exact(operand):
        truths = [value.truths[True]] if operand == 1 else []
        return or_(_same_number(operand, value), value.decimal, *truths)
    return None


def _operator(name: str, operand: Any, value: _Indexed, now: datetime) -> Bool | None:
    if name == "$eq":
        return _strictly([operand], value)
    if name == "$in" and isinstance(operand, list) and len(operand) <= MAX_LISTED:
        among = _strictly(operand, value)
        return None if among is None else or_(among, value.is_list)
    if name == "$exists" and operand is False:
        return value.absent
    if name in _ORDERS:
        return _ordered(name, operand, value)
    if name in {"$olderThan", "$newerThan"}:
        return _age(name, operand, value, now)
    return None


def _strictly(operands: list[Any], value: _Indexed) -> Bool | None:
    """One of some scalars, of the same type."""
    tests: list[Bool] = []
    texts = [operand for operand in operands if isinstance(operand, str)]
    if texts:
        tests.append(_texts(texts, value))
    for operand in operands:
        if isinstance(operand, str):
            continue
        if operand is None:
            tests.append(value.absent)
        elif isinstance(operand, bool):
            tests.append(value.truths[operand])
        elif is_number(operand) and _is_exact(operand):
            tests.append(_same_number(operand, value))
        else:
            return None
    return or_(*tests) if tests else None


_ORDERS: Final = {"$lt": operator.lt, "$lte": operator.le, "$gt": operator.gt, "$gte": operator.ge}


def _ordered(name: str, bound: Any, value: _Indexed) -> Bool | None:
    number = to_number(bound)
    if isinstance(bound, str):
        if number is not None:
            return None
        # Cutting texts short keeps their order, but may make two of them equal.
        cut = value.cut(bound)
        return and_(value.text <= cut, value.text >= "") if name in {"$lt", "$lte"} else value.text >= cut
    if number is None or isinstance(bound, bool) or not _is_exact(number):
        return None
    tests = [_at_most(number, value) if name in {"$lt", "$lte"} else _at_least(number, value), value.decimal]
    tests += [value.truths[truth] for truth in (True, False) if _ORDERS[name](truth, number)]
    if _ORDERS[name](0, number):
        tests.append(value.absent)
    return or_(*tests)


def _age(name: str, duration: Any, value: _Indexed, now: datetime) -> Bool | None:
    try:
        cutoff = to_micros(now) - micros_of(parse_duration(duration))
        older = format_moment(from_micros(cutoff - _MARGIN_MICROS))[:10]
        newer = format_moment(from_micros(cutoff + _MARGIN_MICROS))[:10]
    except (ValueError, AttributeError, OverflowError):
        return None
    if name == "$newerThan":
        return value.between(older, ":")
    return value.between("1", newer)
