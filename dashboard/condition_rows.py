"""A condition as the rows of a form, and back: nothing is lost on the way. Pure.

A form has items, all of which must hold, or any of which (`any_of`). An item is a row, or a group of rows that are joined
the other way round. What no row can say (a deeper nesting, an operator without a row) is a `Kept` row: a part of the
condition as it is, which people edit in words.

`document_of(rows_of(document))` means what `document` means, and is the same document once it has been through here.
The language is that of docs/conditions.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

MAX_VALUES: Final = 100
"""A longer list of values is kept as it is: nobody edits it in a form."""
MAX_TIMES: Final = 1_000_000
DURATION: Final = re.compile(r"([1-9]\d{0,8})([smhdw])")
KNOWN: Final = "known"
UNKNOWN: Final = "unknown"
IS: Final = "is"
ONE_VALUE: Final = frozenset({IS, "$ne", "$eq", "$gt", "$gte", "$lt", "$lte"})
MANY_VALUES: Final = frozenset({"$in", "$nin", "$all"})
TEXTS: Final = frozenset({"$regex", "$regexi", "$vgte", "$vlt"})
AGES: Final = frozenset({"$olderThan", "$newerThan"})

ValueType = Literal["text", "number", "boolean"]
Times = Literal["at_least", "fewer", "exactly"]


@dataclass(frozen=True, slots=True)
class Compared:
    """An attribute and what is asked of it. `operator` is one of ours (is, known, unknown), or of the language ($in).

    `value` is None as long as nothing was entered, and where the operator needs none.
    """

    path: str = ""
    operator: str = IS
    value: Any = None


@dataclass(frozen=True, slots=True)
class Did:
    """What a user did: at least, fewer than or exactly so many times, within a duration such as 30d (None: ever)."""

    event: str = ""
    how: Times = "at_least"
    times: int = 1
    within: str | None = "30d"


@dataclass(frozen=True, slots=True)
class Member:
    """In at least one of these segments, or in none of them."""

    keys: tuple[str, ...] = ()
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """A part that rows cannot say, as it is; None as long as nothing was entered."""

    document: Mapping[str, Any] | None = None


Row = Compared | Did | Member | Kept


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of which any must hold where all items must, and all where any item must."""

    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """A whole form; without items it means everyone."""

    any_of: bool = False
    items: tuple[Row | Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """The document of a form. `places`: where in it each row stands, by item, or by item and row of the group."""

    document: dict[str, Any]
    places: Mapping[tuple[int, ...], str]

    def row_of(self, field: str, root: str = "condition") -> tuple[int, ...] | None:
        """The row that a problem's field such as `condition.$or[1].age.$gte` speaks of; None: none in particular."""
        inside = field.removeprefix(root)
        found = [
            (len(place), row)
            for row, place in self.places.items()
            if inside == place or inside.startswith((f"{place}.", f"{place}["))
        ]
        if found:
            return max(found)[1]
        return next((row for row, place in self.places.items() if place.startswith(f"{inside}.")), None)


def is_complete(row: Row) -> bool:
    """Whether everything was entered that this row needs."""
    if isinstance(row, Compared):
        return bool(row.path) and _is_value(row.operator, row.value)
    if isinstance(row, Did):
        return bool(row.event)
    return bool(row.keys) if isinstance(row, Member) else row.document is not None


def type_of(value: Any) -> ValueType | None:
    """The type of a value or of all values of a list; None when there is none, or no single one.

    >>> type_of(True), type_of([1, 2.5]), type_of("1"), type_of([1, "1"]), type_of([])
    ('boolean', 'number', 'text', None, None)
    """
    if isinstance(value, list):
        types = {type_of(entry) for entry in value}
        return types.pop() if len(types) == 1 else None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def document_of(rows: Rows) -> dict[str, Any]:
    """The condition that complete rows say."""
    return placed(rows).document


def placed(rows: Rows) -> Placed:
    """The condition, and where each row stands in it. Every row must be complete; a group without rows says nothing."""
    parts = [
        _part(at, item, alternatives=not rows.any_of)
        for at, item in enumerate(rows.items)
        if not isinstance(item, Group) or item.rows
    ]
    return _joined_any(parts) if rows.any_of and len(parts) > 1 else _joined_all(parts)


_Clause = tuple[dict[str, Any], dict[tuple[int, ...], str]]
"""A condition, and the rows in it: each with its place from the condition's own beginning on."""


def _part(at: int, item: Row | Group, *, alternatives: bool) -> _Clause:
    if not isinstance(item, Group):
        return _clause((at,), item)
    clauses = [_clause((at, index), row) for index, row in enumerate(item.rows)]
    whole = _joined_any(clauses) if alternatives and len(clauses) > 1 else _joined_all(clauses)
    return whole.document, dict(whole.places)


def _clause(at: tuple[int, ...], row: Row) -> _Clause:
    document = _said(row)
    names = list(document)
    return document, {at: f".{names[0]}" if len(names) == 1 else ""}


def _joined_any(parts: Sequence[_Clause]) -> Placed:
    places = {
        row: f".$or[{index}]{place}"
        for index, (_, inside) in enumerate(parts)
        for row, place in inside.items()
    }
    return Placed({"$or": [document for document, _ in parts]}, places)


def _joined_all(parts: Sequence[_Clause]) -> Placed:
    """One object where the names allow it and the order stays, else a list."""
    whole: dict[str, Any] = {}
    places: dict[tuple[int, ...], str] = {}
    for document, inside in parts:
        for name, operand in document.items():
            if name not in whole:
                whole[name] = operand
            elif name == next(reversed(whole)) and _can_join(name, whole[name], operand):
                whole[name] = {**whole[name], **operand}
            else:
                return _listed(parts)
        places |= _within_operators(document, inside)
    return Placed(whole, places)


def _within_operators(document: Mapping[str, Any], inside: Mapping[tuple[int, ...], str]) -> dict[Any, str]:
    # Two rows may share the place of their attribute: then the operator tells them apart.
    operand = next(iter(document.values()), None)
    name = next(iter(document), "$")
    if len(inside) == len(document) == 1 and not name.startswith("$") and _is_operators(operand):
        # A row has one operator; what is kept may have several, and then any of them will do.
        return {row: f"{place}.{next(iter(operand or ()))}" for row, place in inside.items()}
    return dict(inside)


def _listed(parts: Sequence[_Clause]) -> Placed:
    places = {
        row: f".$and[{index}]{place}"
        for index, (_, inside) in enumerate(parts)
        for row, place in inside.items()
    }
    return Placed({"$and": [document for document, _ in parts]}, places)


def _can_join(name: str, first: Any, second: Any) -> bool:
    both = not name.startswith("$") and _is_operators(first) and _is_operators(second)
    return both and first.keys().isdisjoint(second)


def _is_operators(operand: Any) -> bool:
    return isinstance(operand, Mapping) and bool(operand) and all(str(key).startswith("$") for key in operand)


def _said(row: Row) -> dict[str, Any]:
    if isinstance(row, Compared):
        return {row.path: _operand(row)}
    if isinstance(row, Did):
        return {"$event": _event(row)}
    if isinstance(row, Member):
        inside = {"$inSegment": row.keys[0] if len(row.keys) == 1 else list(row.keys)}
        return inside if row.inside else {"$not": inside}
    return dict(row.document or {})


def _operand(row: Compared) -> Any:
    if row.operator == IS:
        return row.value
    if row.operator in {KNOWN, UNKNOWN}:
        return {"$exists": row.operator == KNOWN}
    return {row.operator: row.value}


def _event(row: Did) -> dict[str, Any]:
    said: dict[str, Any] = {"name": row.event}
    if row.within is not None:
        said["within"] = row.within
    if row.how == "exactly" or (row.how == "fewer" and row.times == 1):
        said["count"] = row.times if row.how == "exactly" else 0
    elif row.how == "fewer":
        said["count"] = {"$lt": row.times}
    elif row.times > 1:
        said["count"] = {"$gte": row.times}
    return said


def rows_of(document: Mapping[str, Any]) -> Rows:
    """The form that says a condition. Any document has one; what is malformed is kept as it is."""
    clauses = list(_clauses(document))
    if len(clauses) == 1 and (alternatives := _alternatives(clauses[0])) is not None:
        return Rows(any_of=True, items=tuple(_read_any(alternatives)))
    return Rows(items=tuple(_read_item(clause) for clause in clauses))


def _clauses(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Conditions of one clause each that together mean the document."""
    for name, operand in document.items():
        parts = _conditions(operand) if name in {"$and", "$or"} else None
        if parts is not None and (name == "$and" or len(parts) == 1):
            for part in parts:
                yield from _clauses(part)
        elif not name.startswith("$") and _is_operators(operand):
            yield from ({name: {operator: value}} for operator, value in operand.items())
        else:
            yield {name: operand}


def _conditions(operand: Any) -> Sequence[Mapping[str, Any]] | None:
    if isinstance(operand, list) and all(isinstance(part, Mapping) for part in operand):
        return operand
    return None


def _alternatives(clause: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    parts = _conditions(clause.get("$or"))
    return parts or None


def _read_any(parts: Sequence[Mapping[str, Any]]) -> Iterator[Row | Group]:
    for part in parts:
        clauses = list(_clauses(part))
        if len(clauses) == 1:
            inner = _alternatives(clauses[0])
            yield from _read_any(inner) if inner is not None else [_read(clauses[0])]
        else:
            yield Group(tuple(map(_read, clauses))) if clauses else Kept({})


def _read_item(clause: dict[str, Any]) -> Row | Group:
    parts = _alternatives(clause)
    return _read(clause) if parts is None else Group(tuple(_read_alternatives(parts)))


def _read_alternatives(parts: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for part in parts:
        clauses = list(_clauses(part))
        inner = _alternatives(clauses[0]) if len(clauses) == 1 else None
        if inner is not None:
            yield from _read_alternatives(inner)
        else:
            yield _read(clauses[0]) if len(clauses) == 1 else Kept(dict(part))


def _read(clause: dict[str, Any]) -> Row:
    """The row of one clause."""
    ((name, operand),) = clause.items()
    row: Row | None = None
    if name == "$event":
        row = _read_event(operand)
    elif name == "$inSegment":
        row = _read_segments(operand, inside=True)
    elif name == "$not" and isinstance(operand, Mapping) and list(operand) == ["$inSegment"]:
        row = _read_segments(operand["$inSegment"], inside=False)
    elif name and not name.startswith("$"):
        row = _read_comparison(name, operand)
    return row or Kept(clause)


def _read_comparison(name: str, operand: Any) -> Compared | None:
    operator, value = IS, operand
    if _is_operators(operand):
        ((operator, value),) = operand.items()
        if operator == "$exists" and isinstance(value, bool):
            return Compared(name, KNOWN if value else UNKNOWN)
    return Compared(name, operator, value) if _is_value(operator, value) else None


def _is_value(operator: str, value: Any) -> bool:
    """Whether a form can hold this value of this operator."""
    if operator in {KNOWN, UNKNOWN}:
        return True
    if operator in ONE_VALUE:
        return not isinstance(value, list) and type_of(value) is not None
    if operator in MANY_VALUES:
        return isinstance(value, list) and len(value) <= MAX_VALUES and type_of(value) is not None
    if operator in TEXTS:
        return isinstance(value, str)
    return operator in AGES and isinstance(value, str) and DURATION.fullmatch(value) is not None


def _read_event(operand: Any) -> Did | None:
    if not isinstance(operand, Mapping) or not operand.keys() <= {"name", "within", "count", "properties"}:
        return None
    name, within = operand.get("name"), operand.get("within")
    if not isinstance(name, str) or not name or operand.get("properties") is not None:
        return None
    if within is not None and not (isinstance(within, str) and DURATION.fullmatch(within)):
        return None
    counted = _read_times(operand.get("count"))
    return None if counted is None else Did(name, counted[0], counted[1], within)


def _read_times(count: Any) -> tuple[Times, int] | None:
    if count is None:
        return "at_least", 1
    operator, times = "$eq", count
    if isinstance(count, Mapping):
        if len(count) != 1:
            return None
        ((operator, times),) = count.items()
    if type(times) is not int or not 0 <= times < MAX_TIMES:
        return None
    how: Times
    if operator == "$eq":
        how, times = ("exactly", times) if times else ("fewer", 1)
    elif operator in {"$gte", "$gt"}:
        how, times = "at_least", times + (operator == "$gt")
    elif operator in {"$lt", "$lte"}:
        how, times = "fewer", times + (operator == "$lte")
    else:
        return None
    return (how, times) if times else None


def _read_segments(operand: Any, *, inside: bool) -> Member | None:
    keys = [operand] if isinstance(operand, str) else operand
    if isinstance(keys, list) and keys and all(isinstance(key, str) and key for key in keys):
        return Member(tuple(keys), inside)
    return None
