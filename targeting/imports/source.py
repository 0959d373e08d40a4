"""Where rows come from, whatever they were written in: their columns, and one good row or reject after the other. Pure."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Final

from experiments.errors import Invalid
from targeting.imports.cells import ImportRow, plain, read_row
from targeting.imports.mapping import Columns
from targeting.profile import check_text

MAX_RAW: Final = 10_000
_AS_THEY_ARE: Final = frozenset({int, bool, NoneType})
_shown: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken: where it starts (from 1), the field at fault (empty: the row), why, and its text.

    `cells` is what stood in it, as far as it could be told apart.
    """

    line: int
    field: str
    reason: str
    raw: str
    cells: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def as_cells(self) -> list[str]:
        """The four cells of the reject file, safe to open in a spreadsheet and to write as UTF-8."""
        return [
            str(self.line),
            *(neutralise_formula(_printable(c)) for c in (self.field, self.reason, self.raw)),
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class RowSource:
    """The columns of a table of people (`names`), what they mean, and its rows, to be read once."""

    names: Sequence[str]
    columns: Columns
    rows: Iterator[ImportRow | Reject]


def neutralise_formula(cell: str) -> str:
    """`cell` so that a spreadsheet shows it and does not run it.

    >>> neutralise_formula("=HYPERLINK(1)")
    "'=HYPERLINK(1)"
    """
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell


def _printable(text: str) -> str:
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return clean if len(clean) <= MAX_RAW else clean[:MAX_RAW] + ".."


def check_names(names: Sequence[str]) -> list[str]:
    """The names of columns without blanks around them; raises Invalid, field `header`."""
    names = [name.strip() for name in names]
    for position, name in enumerate(names, start=1):
        if not name:
            raise Invalid(f"column {position} has no name", field="header")
        check_text(name, field="header")
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        raise Invalid(f"column {twice!r} is there twice", field="header")
    return names


def row_of_values(
    found: Mapping[str, Any], columns: Columns, line: int, default_region: str
) -> ImportRow | Reject:
    """What a row of typed values says, as a table or a database gives them, or why it is not taken."""
    cells: dict[str, Any] = {}
    for name, value in found.items():
        kind = type(value)
        if kind is str:
            kept = value.strip()
        elif kind in _AS_THEY_ARE:
            kept = value
        else:
            try:
                kept = plain(value)
            except Invalid as error:
                return Reject(line, name, error.message, _shown(found), cells)
        if kept is not None and kept != "":
            cells[name] = kept
    return row_or_reject(cells, columns, line, _shown(cells), default_region)


def row_or_reject(
    cells: Mapping[str, Any], columns: Columns, line: int, raw: str, default_region: str
) -> ImportRow | Reject:
    """What a row says, or why it is not taken. `cells`: column -> value, without the empty ones."""
    try:
        return read_row(cells, columns, line=line, raw=raw, default_region=default_region)
    except Invalid as error:
        problem = error.problems[0]
        return Reject(line, problem.field, problem.message, raw, cells)
