"""A first look at a file of people: its columns, what each would become by its name, and some of what stands in it.

Nothing is checked against the database, and nothing is stored.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, Final

from targeting.imports.importing import Format
from targeting.imports.mapping import guess
from targeting.imports.rows import csv_columns, json_columns

ROWS: Final = 20
"""So many rows are looked at."""
MAX_SHOWN: Final = 200
"""Longest text of a value that is shown, in characters."""


@dataclass(frozen=True, slots=True)
class Column:
    """`becomes` as in `mapping.guess`; `values` is what stands in the first rows, as text, empty where nothing does."""

    name: str
    becomes: str
    values: tuple[str, ...]


def look(source: BinaryIO, form: Format, *, rows: int = ROWS) -> list[Column]:
    """The columns of a file, in its order; raises Invalid as an import of it would, but not for want of a user id."""
    names, found = _reader(form)(source)
    first = list(islice(found, rows))
    meanings = guess(names)
    return [Column(name, meanings[name], tuple(_shown(row.get(name)) for row in first)) for name in names]


def _reader(form: Format) -> Callable[[BinaryIO], tuple[Sequence[str], Iterator[Mapping[str, Any]]]]:
    if form == "parquet":
        # Arrow takes a while to load, which files of other formats should not wait for.
        from targeting.imports.parquet import parquet_columns

        return parquet_columns
    return csv_columns if form == "csv" else json_columns


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + ".."
