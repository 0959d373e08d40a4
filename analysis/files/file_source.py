"""What kind of file it is, and what its first line says: nothing about it is guessed later."""

import csv
import gzip
from pathlib import Path

from experiments.errors import Invalid

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1_000_000


def kind_of(path: Path) -> str:
    if not path.exists():
        raise Invalid(f"{path} does not exist", field="FILE")
    if not path.is_file():
        raise Invalid(f"{path} is not a file", field="FILE")
    if path.stat().st_size == 0:
        raise Invalid(f"{path} is empty", field="FILE")
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return "parquet"
    if name.endswith(CSV_SUFFIXES):
        return "csv"
    raise Invalid(
        f"{path.name} is neither CSV nor Parquet ({', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES))})",
        field="FILE",
    )


def header_of(path: Path) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns, from the first line; a name that is taken gets a number."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            first = file.readline(_LONGEST_HEADER)
            if "\0" in first:
                raise Invalid(f"{path.name} is not text, so it is no CSV that can be read", field="FILE")
            delimiter = max(_DELIMITERS, key=first.count)
            file.seek(0)
            cells = next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(
            f"{path.name} is not UTF-8 text, so it is no CSV that can be read", field="FILE"
        ) from error
    names: list[str] = []
    taken: set[str] = set()
    for i, cell in enumerate(cells):
        name = cell.strip() or f"column{i}"
        while name.casefold() in taken:
            name += "_1"
        taken.add(name.casefold())
        names.append(name)
    if not names:
        raise Invalid(f"{path.name} has no header", field="FILE")
    return delimiter, names
