"""What one row says about a user: its cells checked, typed and put in their places. Pure."""

import math
import re
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, singledispatch
from types import NoneType
from typing import Any, Final
from uuid import UUID

from experiments.clock import format_moment
from experiments.errors import Invalid
from targeting import consent as ledger
from targeting.imports.mapping import AttributeColumn, Columns
from targeting.profile import (
    check_document,
    check_locale,
    check_text,
    check_time_zone,
    check_user_id,
    normalise_phone,
)
from targeting.roster import ProfileChange

_YES: Final = frozenset({"yes", "y", "true", "t", "1", "opted_in", "granted", "subscribed"})
_NO: Final = frozenset({"no", "n", "false", "f", "0", "opted_out", "withdrawn", "unsubscribed"})
_WORDS: Final = {"true": True, "false": False}
_WORD_LENGTHS: Final = frozenset(map(len, _WORDS))
_NUMBER_STARTS: Final = frozenset("-0123456789")
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}")
_ANY_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_GROUPED: Final = re.compile(r"([+-]?[0-9]{1,3})((?:,[0-9]{3})+)(\.[0-9]+)?")
_UNIX: Final = {"unix": 1.0, "unix_ms": 1000.0}
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One good row. `line` is where it starts in the file (or which row of a table it is), from 1; `raw` is its text.

    `proofs` are source and evidence of a consent where columns tell them; `cells` is what stood in the row, as the types
    that are declared, for the measuring of its quality.
    """

    line: int
    raw: str
    change: ProfileChange
    consents: Mapping[str, bool]
    proofs: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    cells: Mapping[str, Any] = field(default_factory=dict)


def read_row(
    cells: Mapping[str, Any], columns: Columns, *, line: int, raw: str, default_region: str
) -> ImportRow:
    """What one row says. `cells`: column -> value, without the empty ones. Raises Invalid naming the column."""
    user_id = _as_text(cells, columns.user_id)
    if user_id is None:
        raise Invalid("is missing, so there is no telling who this is", field=columns.user_id)
    phone = _as_text(cells, columns.phone)
    time_zone = _as_text(cells, columns.time_zone)
    locale = _as_text(cells, columns.locale)
    attributes = (
        {name: value for name, value in cells.items() if name not in columns.claimed}
        if columns.others
        else {}
    )
    typed: dict[str, Any] = {}
    for attribute, said in columns.attributes.items():
        if said.column in cells:
            attributes[attribute] = value = read_typed(cells[said.column], said)
            if said.type is not None:
                typed[said.column] = value
    check_document(attributes, field="attributes")
    change = ProfileChange(
        user_id=check_user_id(user_id, field=columns.user_id),
        phone=phone and normalise_phone(phone, default_region=default_region, field=columns.phone or ""),
        time_zone=time_zone and check_time_zone(time_zone, field=columns.time_zone or ""),
        locale=locale and check_locale(locale, field=columns.locale or ""),
        attributes=attributes,
        phone_field=columns.phone or "phone",
    )
    consents: dict[str, bool] = {}
    proofs: dict[str, tuple[str | None, str | None]] = {}
    for category, asked in columns.consent.items():
        if asked.column in cells:
            consents[category] = _yes_or_no(cells[asked.column], asked.column, asked.positive, asked.negative)
            if asked.source is not None or asked.evidence is not None:
                proofs[category] = (
                    _proof(cells, asked.source, ledger.MAX_SOURCE),
                    _proof(cells, asked.evidence, ledger.MAX_EVIDENCE),
                )
    return ImportRow(
        line=line,
        raw=raw,
        change=change,
        consents=consents,
        proofs=proofs,
        cells={**cells, **typed} if typed else cells,
    )


def _as_text(cells: Mapping[str, Any], column: str | None) -> str | None:
    value = None if column is None else cells.get(column)
    if value is None or isinstance(value, str):
        return value
    # A column of whole numbers with gaps is often stored as decimals.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Invalid("is neither text nor a whole number", field=column)


def _proof(cells: Mapping[str, Any], column: str | None, limit: int) -> str | None:
    text = _as_text(cells, column)
    return text and check_text(text, field=column or "", limit=limit)


def _yes_or_no(value: Any, column: str, yes: Sequence[str], no: Sequence[str]) -> bool:
    if isinstance(value, float) and value in (0.0, 1.0):
        return value == 1.0
    said = str(value).strip().lower()
    word = said.replace("-", "_").replace(" ", "_")
    if word in _YES or said in map(str.lower, yes):
        return True
    if word in _NO or said in map(str.lower, no):
        return False
    raise Invalid(f"{str(value)[:_SHOWN]!r} is neither yes nor no", field=column)


def infer(text: str) -> Any:
    """The value that a CSV cell most plainly is: whole number, decimal, true or false; anything else stays text.

    Decided cell by cell. Numbers with a leading zero or plus (post codes, phones), in scientific notation, or too long
    for 64 bits stay text, and so do dates: conditions read ISO 8601 as it is.

    >>> [infer(text) for text in ("12", "-0.5", "TRUE", "007", "1e5", "2026-08-01")]
    [12, -0.5, True, '007', '1e5', '2026-08-01']
    """
    if text[:1] in _NUMBER_STARTS:
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text
    return _WORDS.get(text.lower(), text) if len(text) in _WORD_LENGTHS else text


@singledispatch
def plain(value: Any) -> Any:
    """A value of a table or a database as JSON has it; raises Invalid (without a field) for what has no such form.

    Times become ISO 8601 in UTC with a Z (those without a zone are taken as UTC), dates ISO dates, decimals numbers,
    durations seconds, not-a-number nothing; lists and structs keep their shape.
    """
    raise Invalid(f"holds a value of a kind that cannot be kept ({type(value).__name__})")


@plain.register(NoneType | str | int)
def _(value: str | int | None) -> str | int | None:
    return value


@plain.register
def _(value: float) -> float | None:
    return None if math.isnan(value) else value


@plain.register
def _(value: datetime) -> str:
    return format_moment(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


@plain.register(date | time)
def _(value: date | time) -> str:
    return value.isoformat()


@plain.register
def _(value: Decimal) -> int | float | None:
    if value.is_nan():
        return None
    if value.is_infinite():
        return float(value)
    return int(value) if value == value.to_integral_value() else float(value)


@plain.register
def _(value: timedelta) -> float:
    return value.total_seconds()


@plain.register
def _(value: Mapping) -> dict[str, Any]:
    return {str(key): plain(item) for key, item in value.items()}


@plain.register(list | tuple | set | frozenset)
def _(value: Iterable[Any]) -> list[Any]:
    return [plain(item) for item in value]


@plain.register
def _(value: UUID) -> str:
    return str(value)


@plain.register(bytes | bytearray | memoryview)
def _(value: bytes | bytearray | memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Invalid("holds bytes that are not text") from error


def read_typed(value: Any, said: AttributeColumn) -> Any:
    """A cell as the type that the mapping declares for its column; raises Invalid naming the column."""
    if said.type is None:
        return value
    if said.type == "number":
        return _number(value, said.decimal, said.column)
    if said.type == "boolean":
        return _yes_or_no(value, said.column, said.positive, said.negative)
    if said.type == "time":
        return _moment(value, said)
    if said.type == "list":
        return _list(value, said)
    return _word(value)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any, decimal: str, column: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    plain_text = text if decimal == "." else text.translate({ord("."): ",", ord(","): "."})
    if grouped := _GROUPED.fullmatch(plain_text):
        plain_text = grouped[1] + grouped[2].replace(",", "") + (grouped[3] or "")
    if _ANY_WHOLE.fullmatch(plain_text):
        return int(plain_text)
    if isinstance(value, bool) or not _NUMBER.fullmatch(plain_text):
        raise Invalid(f"{text[:_SHOWN]!r} is not a number", field=column)
    return float(plain_text)


def _list(value: Any, said: AttributeColumn) -> list[Any]:
    parts = (
        value
        if isinstance(value, list)
        else [part for item in str(value).split(said.separator) if (part := item.strip())]
    )
    if said.items == "number":
        return [_number(part, said.decimal, said.column) for part in parts]
    return [_word(part) for part in parts]


def _moment(value: Any, said: AttributeColumn) -> str:
    try:
        if said.format in _UNIX:
            seconds = _number(value, ".", said.column) / _UNIX[said.format]
            return format_moment(datetime.fromtimestamp(seconds, UTC))
        return _moment_of_text(str(value).strip(), said.format, said.zone)
    except (ValueError, OverflowError, OSError) as error:
        form = said.format or "ISO 8601"
        raise Invalid(f"{str(value)[:_SHOWN]!r} is not a time as {form}", field=said.column) from error


@lru_cache(maxsize=10_000)
def _moment_of_text(text: str, form: str | None, zone: str) -> str:
    moment = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)  # noqa: DTZ007  # zone below
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return format_moment(moment)
