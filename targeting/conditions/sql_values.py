"""The value at a path of a JSON column, as SQL: its kind, its text, its number, its entries, its moment.

SQLite and PostgreSQL spell JSON differently: `_PerDialect` carries both spellings, the statement's compiler takes one.
Both promise that CASE looks no further than the first branch that holds, which is what keeps a cast from ever seeing
text that it cannot read. The rules are those of `values.py`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    collate,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import column, false
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from experiments.errors import Invalid
from targeting.conditions.values import DECIMAL, MAX_NUMBER_TEXT, TIME

MAX_STEPS: Final = 20
Bool = ColumnElement[bool]

NUMBERS: Final = ("number", "integer", "real")
TEXTS: Final = ("string", "text")
"""The kinds of a value, as the one or the other database calls them."""


class _PerDialect(FunctionElement[Any]):
    """One expression in two spellings."""

    name = "per_dialect"
    inherit_cache = True

    def __init__(self, sqlite: ColumnElement[Any], postgresql: ColumnElement[Any]) -> None:
        super().__init__(sqlite, postgresql)
        self.type = sqlite.type


@compiles(_PerDialect, "sqlite")
def _spell_for_sqlite(element: _PerDialect, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "(" + compiler.process(next(iter(element.clauses)), **kwargs) + ")"


@compiles(_PerDialect, "postgresql")
def _spell_for_postgresql(element: _PerDialect, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "(" + compiler.process(list(element.clauses)[1], **kwargs) + ")"


@dataclass(frozen=True)
class JsonValue:
    """What a path leads to, as expressions. `text`, `number`, `length` are NULL when it is none."""

    kind: ColumnElement[str]
    text: ColumnElement[str]
    number: ColumnElement[Any]
    length: ColumnElement[int]
    meets: Callable[[list[Any]], Bool] | None
    """Whether the value is a list with an entry strictly equal to one of these."""
    on_text: Callable[[Callable[[ColumnElement[str]], Bool]], Bool] | None
    """A test of the value as a text; false when it is none."""

    @property
    def is_null(self) -> Bool:
        return or_(self.kind.is_(None), self.kind == "null")

    @property
    def counted(self) -> ColumnElement[Any]:
        """What it counts as when it meets a number, see `values.to_number`."""
        return case(
            (self.kind.in_(NUMBERS), self.number),
            (is_decimal(self.text), cast(self.text, Numeric)),
            (self.kind == "true", 1),
            (or_(self.kind == "false", self.is_null), 0),
        )


def value_at(attributes: ColumnElement[Any], path: str, field: str) -> JsonValue:
    segments = path.split(".")
    if len(segments) > MAX_STEPS:
        raise Invalid(f"SQL follows a path of at most {MAX_STEPS} steps", field=field)
    for index, segment in enumerate(segments):
        # A quote or a backslash has no spelling in a SQLite path; a number may also be a place in a list.
        if re.search(r'["\\\x00-\x1f\ud800-\udfff]', segment) or not segment:
            raise Invalid(f"SQL cannot follow the path {path!r}", field=field)
        if index and (segment == "length" or re.fullmatch(r"\s*[+-]?\d+\s*", segment)):
            raise Invalid(f"SQL cannot look into lists as {path!r} does", field=field)
    place = literal("$" + "".join(f'."{segment}"' for segment in segments), Text)
    steps = [literal(segment, Text) for segment in segments]
    document = func.jsonb_extract_path(attributes, *steps, type_=JSONB)
    as_text = func.jsonb_extract_path_text(attributes, *steps, type_=Text)
    raw_kind = func.jsonb_typeof(document, type_=Text)
    kind = _PerDialect(
        func.json_type(attributes, place, type_=Text), case((raw_kind == "boolean", as_text), else_=raw_kind)
    )
    # Only the C collation orders by code point, as SQLite and Python do.
    raw = _PerDialect(func.json_extract(attributes, place, type_=Text), collate(as_text, "C"))
    number = _PerDialect(func.json_extract(attributes, place, type_=Numeric), cast(as_text, Numeric))
    length = _PerDialect(
        func.json_array_length(attributes, place, type_=BigInteger),
        func.jsonb_array_length(document, type_=BigInteger),
    )

    def meets(values: list[Any]) -> Bool:
        wanted = literal(json.dumps(values), Text)
        return case(
            (
                kind == "array",
                _PerDialect(
                    _sqlite_meets(attributes, place, wanted), _postgresql_meets(document, kind, wanted)
                ),
            ),
            else_=false(),
        )

    def on_text(test: Callable[[ColumnElement[str]], Bool]) -> Bool:
        # SQLite reads the document anew for every mention of a path: a table of one row reads it once.
        entry = func.json_each(attributes, place).table_valued(column("atom", Text), name="entry")
        for_sqlite = select(literal(1)).select_from(entry).where(test(entry.c.atom)).exists()
        return case((kind.in_(TEXTS), _PerDialect(for_sqlite, test(raw))), else_=false())

    return JsonValue(
        kind=kind,
        text=case((kind.in_(TEXTS), raw)),
        number=case((kind.in_(NUMBERS), number)),
        length=case((kind == "array", length)),
        meets=meets,
        on_text=on_text,
    )


def _sqlite_meets(
    attributes: ColumnElement[Any], place: ColumnElement[str], wanted: ColumnElement[str]
) -> Bool:
    entry = func.json_each(attributes, place).table_valued("type", "atom", name="entry")
    value = func.json_each(wanted).table_valued("type", "atom", name="wanted")
    same_kind = or_(entry.c.type == value.c.type, and_(entry.c.type.in_(NUMBERS), value.c.type.in_(NUMBERS)))
    same = and_(same_kind, entry.c.atom.is_not_distinct_from(value.c.atom))
    return select(literal(1)).select_from(entry.join(value, same)).exists()


def _postgresql_meets(
    document: ColumnElement[Any], kind: ColumnElement[str], wanted: ColumnElement[str]
) -> Bool:
    # The planner may open the list before it looks at the CASE around it, hence a second guard.
    guarded = case((kind == "array", document), else_=cast(literal("[]", Text), JSONB))
    entry = (
        func.jsonb_array_elements(guarded).table_valued(column("value", JSONB), name="entry").render_derived()
    )
    value = (
        func.jsonb_array_elements(cast(wanted, JSONB))
        .table_valued(column("value", JSONB), name="wanted")
        .render_derived()
    )
    return select(literal(1)).select_from(entry.join(value, entry.c.value == value.c.value)).exists()


def is_decimal(text: ColumnElement[str]) -> Bool:
    digits = case((text.op("GLOB")("-*"), func.substr(text, 2, type_=Text)), else_=text)
    for_sqlite = and_(
        func.length(text) <= MAX_NUMBER_TEXT,
        digits.op("GLOB")("[0-9]*"),
        digits.op("GLOB")("*[0-9]"),
        not_(or_(digits.op("GLOB")("*[^0-9.]*"), digits.op("GLOB")("*.*.*"))),
    )
    for_postgresql = and_(func.length(text) <= MAX_NUMBER_TEXT, text.regexp_match(f"^(?:{DECIMAL.pattern})$"))
    return _PerDialect(for_sqlite, for_postgresql)


def is_time(text: ColumnElement[str]) -> Bool:
    """Whether `values.TIME` accepts the text."""
    length = func.length(text, type_=Integer)
    offset = func.substr(text, length - 5, 6, type_=Text)
    has_offset = and_(
        length >= 16, offset.op("GLOB")("[+-][0-2][0-9]:[0-5][0-9]"), func.substr(offset, 2, 2) <= "23"
    )
    body = length - case((func.substr(text, length, 1) == "Z", 1), (has_offset, 6), else_=0)
    minute = "[T ][0-2][0-9]:[0-5][0-9]"
    for_sqlite = and_(
        text.op("GLOB")("[1-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*"),
        func.substr(text, 6, 2).between("01", "12"),
        func.substr(text, 9, 2).between("01", "31"),
        or_(
            body == 10,
            and_(
                func.substr(text, 12, 2) <= "23",
                or_(
                    and_(body == 16, func.substr(text, 11, 6).op("GLOB")(minute)),
                    and_(body == 19, func.substr(text, 11, 9).op("GLOB")(f"{minute}:[0-5][0-9]")),
                    and_(
                        body > 20,
                        func.substr(text, 11, 10).op("GLOB")(f"{minute}:[0-5][0-9]."),
                        not_(func.substr(text, 21, body - 20).op("GLOB")("*[^0-9]*")),
                    ),
                ),
            ),
        ),
    )
    return _PerDialect(for_sqlite, text.regexp_match(f"^(?:{TIME.pattern})$"))


def micros(text: ColumnElement[str]) -> ColumnElement[int]:
    """`values.time_micros` of a text that is a time."""

    def part(start: Any, width: Any) -> ColumnElement[int]:
        return cast(func.substr(text, start, width, type_=Text), BigInteger)

    length = func.length(text, type_=Integer)
    sign = func.substr(text, length - 5, 1, type_=Text)
    has_offset = and_(length >= 16, sign.in_(("+", "-")))
    body = length - case((func.substr(text, length, 1) == "Z", 1), (has_offset, 6), else_=0)
    month = part(6, 2)
    year = part(1, 4) - case((month <= 2, 1), else_=0)
    day_of_year = (153 * (month + case((month <= 2, 9), else_=-3)) + 2) // 5 + part(9, 2) - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719_468
    minutes = days * 1_440 + case((body >= 16, part(12, 2) * 60 + part(15, 2)), else_=0)
    offset = part(length - 4, 2) * 60 + part(length - 1, 2)
    minutes -= case((and_(has_offset, sign == "+"), offset), (has_offset, -offset), else_=0)
    seconds = minutes * 60 + case((body >= 19, part(18, 2)), else_=0)
    digits = func.substr(func.substr(text, 21, body - 20, type_=Text) + "000000", 1, 6, type_=Text)
    return seconds * 1_000_000 + case((body > 20, cast(digits, BigInteger)), else_=0)
