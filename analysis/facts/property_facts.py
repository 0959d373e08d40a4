"""Properties of events as SQL: the number in one, and whether an event meets the `where` of a metric.

Engines disagree about JSON, so a few expressions are spelled out for each: SQLite on one side, PostgreSQL (and what is
translated from it) on the other. All else is built from them in plain parts. A number is a JSON number of sane size;
"12" is text. Tests mean what they mean in a condition (`targeting/conditions/compiling.py`), but that a list is never
looked into.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Integer,
    Text,
    and_,
    case,
    cast,
    false,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from targeting.conditions.sql_values import is_decimal
from targeting.conditions.values import is_number, number_written_as

LARGEST_VALUE: Final = 1e100
"""A larger number in an event is no quantity of anything, and its square would overflow the sums of everybody else."""
MARK: Final = 1e120
"""No sum of usable values comes near it, and the square of many of it is still a double."""
LONGEST_NUMBER: Final = 120
"""Characters of a number as the database prints it. PostgreSQL spells out 1e-400, and then cannot make a float of it."""

Bool = ColumnElement[bool]
_BEYOND: Final = math.nextafter(LARGEST_VALUE, math.inf)
_NUMBERS: Final = ("integer", "real")
_DIGITS: Final = "('-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')"


class _OfProperty(FunctionElement[Any]):
    """Something about the property `name` of a JSON column."""

    inherit_cache = True

    def __init__(self, document: Column[Any], name: str) -> None:
        super().__init__(document, literal(name))


class NumberIn(_OfProperty):
    """The number; NULL when there is none, or one beyond `LARGEST_VALUE`."""

    type = Double()
    inherit_cache = True


class MarkedNumberIn(_OfProperty):
    """The number; 0 when nothing is there, and `MARK` where `NumberIn` finds none in what is there.

    So a sum tells by its size whether anything in it could not be used, at no cost.
    """

    type = Double()
    inherit_cache = True


class UnusableIn(_OfProperty):
    """1 when something is there and not null, and yet `NumberIn` finds no number; else 0."""

    type = Integer()
    inherit_cache = True


class KindIn(_OfProperty):
    """What is there, in SQLite's words: text, integer, real, true, false, null, array, object; NULL when nothing is."""

    type = Text()
    inherit_cache = True


class TextIn(_OfProperty):
    """The text; NULL when it is none."""

    type = Text()
    inherit_cache = True


class WordIn(_OfProperty):
    """The text, number or truth value, as text; NULL when it is none of these."""

    type = Text()
    inherit_cache = True


def holds(where: Mapping[str, Any] | None, document: Column[Any]) -> Bool | None:
    """Whether the properties in `document` meet `where` (validated, see experiments/quantities.py); None: anything does.

    True or false, never NULL.
    """
    tests = [_meets(operand, document, name) for name, operand in (where or {}).items()]
    return and_(*tests) if tests else None


def _meets(operand: Any, document: Column[Any], name: str) -> Bool:
    if isinstance(operand, Mapping):
        return and_(*(_operator(word, bound, document, name) for word, bound in operand.items()))
    kind, text, number = KindIn(document, name), TextIn(document, name), NumberIn(document, name)
    if operand is None:
        return _is_null(kind)
    if isinstance(operand, bool):
        truth = case(
            (kind == "text", text != ""),
            (kind.in_(_NUMBERS), _sure(or_(number.is_(None), number != 0))),
            (kind == "false", false()),
            else_=true(),
        )
        return and_(not_(_is_null(kind)), truth if operand else not_(truth))
    if isinstance(operand, str):
        tests = [_sure(text == operand)]
        written = number_written_as(operand)
        if written is not None:
            tests.append(_sure(number == _double(written)))
        if operand in {"true", "false"}:
            tests.append(_sure(kind == operand))
        return or_(*tests)
    return _sure(_counted(kind, text, number) == _double(operand))


def _operator(word: str, bound: Any, document: Column[Any], name: str) -> Bool:
    kind, text, number = KindIn(document, name), TextIn(document, name), NumberIn(document, name)
    if word == "$exists":
        return not_(_is_null(kind)) if bound else _is_null(kind)
    if word in _ORDERS:
        return _sure(_ORDERS[word](_counted(kind, text, number), _double(bound)))
    same = or_(
        *(
            _identical(each, kind, text, number)
            for each in (bound if isinstance(bound, list | tuple) else [bound])
        )
    )
    return same if word in {"$eq", "$in"} else not_(same)


_ORDERS: Final[dict[str, Callable[[Any, Any], Bool]]] = {
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
}


def _identical(operand: Any, kind: KindIn, text: TextIn, number: NumberIn) -> Bool:
    """Strict equality, as `values.identical` has it."""
    if operand is None:
        return _is_null(kind)
    if isinstance(operand, bool):
        return _sure(kind == ("true" if operand else "false"))
    return _sure(number == _double(operand)) if is_number(operand) else _sure(text == operand)


def _counted(kind: KindIn, text: TextIn, number: NumberIn) -> ColumnElement[float]:
    """What a value counts as when it meets a number, as `values.to_number` has it."""
    return case(
        (kind.in_(_NUMBERS), number),
        (and_(kind == "text", is_decimal(text)), cast(text, Double)),
        (kind == "true", _double(1)),
        (or_(kind == "false", _is_null(kind)), _double(0)),
    )


def _is_null(kind: KindIn) -> Bool:
    return or_(kind.is_(None), kind == "null")


def _sure(test: ColumnElement[Any]) -> Bool:
    """False where the test is NULL."""
    return case((test, true()), else_=false())


def _double(value: float) -> ColumnElement[float]:
    return cast(literal(float(value)), Double)


def _parts(element: _OfProperty, compiler: SQLCompiler, **kw: Any) -> tuple[str, str]:
    document, name = (compiler.process(part, **kw) for part in element.clauses)
    return document, name


def _place(element: _OfProperty, compiler: SQLCompiler, **kw: Any) -> str:
    document, name = _parts(element, compiler, **kw)
    return f"""{document}, '$."' || {name} || '"'"""


# SQLite reads the document anew for every mention of a property, which is most of what a report costs: hence no more
# mentions than needed, and scalar max, min and nullif, which take their argument once.
@compiles(NumberIn, "sqlite")
def _number_in_sqlite(element: NumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    place = _place(element, compiler, **kw)
    return f"CASE WHEN json_type({place}) IN ('integer', 'real') THEN CAST({_sane(place)} AS DOUBLE) END"


@compiles(MarkedNumberIn, "sqlite")
def _marked_number_in_sqlite(element: MarkedNumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    place = _place(element, compiler, **kw)
    number = f"coalesce(CAST({_sane(place)} AS DOUBLE), {MARK!r})"
    return (
        f"CASE coalesce(json_type({place}), 'null') WHEN 'real' THEN {number} WHEN 'integer' THEN {number}"
        f" WHEN 'null' THEN 0.0 ELSE {MARK!r} END"
    )


def _sane(place: str) -> str:
    within = f"max(min(json_extract({place}), {_BEYOND!r}), -{_BEYOND!r})"
    return f"nullif(nullif({within}, {_BEYOND!r}), -{_BEYOND!r})"


@compiles(UnusableIn, "sqlite")
def _unusable_in_sqlite(element: UnusableIn, compiler: SQLCompiler, **kw: Any) -> str:
    place = _place(element, compiler, **kw)
    too_large = f"json_extract({place}) NOT BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE}"
    return (
        f"CASE coalesce(json_type({place}), 'null') WHEN 'null' THEN 0"
        f" WHEN 'integer' THEN {too_large} WHEN 'real' THEN {too_large} ELSE 1 END"
    )


@compiles(KindIn, "sqlite")
def _kind_in_sqlite(element: KindIn, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_type({_place(element, compiler, **kw)})"


@compiles(TextIn, "sqlite")
def _text_in_sqlite(element: TextIn, compiler: SQLCompiler, **kw: Any) -> str:
    place = _place(element, compiler, **kw)
    return f"CASE WHEN json_type({place}) = 'text' THEN json_extract({place}) END"


@compiles(WordIn, "sqlite")
def _word_in_sqlite(element: WordIn, compiler: SQLCompiler, **kw: Any) -> str:
    place = _place(element, compiler, **kw)
    return (
        f"CASE json_type({place}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN NULL"
        f" WHEN 'array' THEN NULL WHEN 'object' THEN NULL ELSE CAST(json_extract({place}) AS TEXT) END"
    )


def _as_json(element: _OfProperty, compiler: SQLCompiler, **kw: Any) -> tuple[str, str, str]:
    """The property as JSON text, the first character of that, and the property as text."""
    document, name = _parts(element, compiler, **kw)
    written = f"CAST({document} -> {name} AS TEXT)"
    return written, f"substr({written}, 1, 1)", f"{document} ->> {name}"


# A number is the only JSON value whose text begins so. Only CASE keeps the cast away from everything else.
@compiles(NumberIn)
def _number_in(element: NumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    written, first, text = _as_json(element, compiler, **kw)
    value = f"CAST({text} AS DOUBLE PRECISION)"
    return (
        f"CASE WHEN {first} IN {_DIGITS} AND length({written}) <= {LONGEST_NUMBER}"
        f" THEN CASE WHEN {value} BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE} THEN {value} END END"
    )


@compiles(MarkedNumberIn)
def _marked_number_in(element: MarkedNumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    written, first, text = _as_json(element, compiler, **kw)
    value, mark = f"CAST({text} AS DOUBLE PRECISION)", f"CAST({MARK!r} AS DOUBLE PRECISION)"
    return (
        f"CASE WHEN coalesce({first}, 'n') = 'n' THEN CAST(0 AS DOUBLE PRECISION)"
        f" WHEN {first} IN {_DIGITS} AND length({written}) <= {LONGEST_NUMBER}"
        f" THEN CASE WHEN {value} BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE} THEN {value} ELSE {mark} END"
        f" ELSE {mark} END"
    )


@compiles(UnusableIn)
def _unusable_in(element: UnusableIn, compiler: SQLCompiler, **kw: Any) -> str:
    written, first, text = _as_json(element, compiler, **kw)
    value = f"CAST({text} AS DOUBLE PRECISION)"
    return (
        f"CASE WHEN coalesce({first}, 'n') = 'n' THEN 0"
        f" WHEN {first} IN {_DIGITS} AND length({written}) <= {LONGEST_NUMBER}"
        f" THEN CASE WHEN {value} BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE} THEN 0 ELSE 1 END ELSE 1 END"
    )


@compiles(KindIn)
def _kind_in(element: KindIn, compiler: SQLCompiler, **kw: Any) -> str:
    _, first, _ = _as_json(element, compiler, **kw)
    return (
        f"CASE {first} WHEN '\"' THEN 'text' WHEN 't' THEN 'true' WHEN 'f' THEN 'false' WHEN 'n' THEN 'null'"
        f" WHEN '[' THEN 'array' WHEN '{{' THEN 'object' ELSE CASE WHEN {first} IN {_DIGITS} THEN 'real' END END"
    )


@compiles(TextIn)
def _text_in(element: TextIn, compiler: SQLCompiler, **kw: Any) -> str:
    _, first, text = _as_json(element, compiler, **kw)
    return f"CASE WHEN {first} = '\"' THEN {text} END"


@compiles(WordIn)
def _word_in(element: WordIn, compiler: SQLCompiler, **kw: Any) -> str:
    _, first, text = _as_json(element, compiler, **kw)
    return f"CASE WHEN coalesce({first}, 'n') NOT IN ('n', '[', '{{') THEN {text} END"
