"""Facts from DuckDB: from a folder of Parquet or CSV files, or from a DuckDB file that holds the tables."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
from sqlalchemy import Select

from analysis.warehouse import folder as folders
from analysis.warehouse.folder import FolderCopy
from analysis.warehouse.moments_facts import largest_moments, reach
from analysis.warehouse.tables import COLUMNS, DISPENSABLE, MARK, Copied, Found, Kind, check_table, wrong
from analysis.warehouse.translation import translate, write

ENGINE: Final = "duckdb"
_WHOLE: Final = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")
_REAL: Final = re.compile(r"DOUBLE|FLOAT|DECIMAL.*")
_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INTEGER: "BIGINT",
    Kind.MOMENT: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.FLAG: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
    Kind.DOCUMENT: "VARCHAR",
}
_LONGEST_LINE: Final = 16_000_000
"""Bytes of a line of CSV."""
_CSV_PLACE: Final = re.compile(r'Error when converting column "(\w+)"\. (.*?)(?:\n|$)')
_CSV_LINE: Final = re.compile(r"Line: (\d+)")


class DuckDbFolder:
    """A folder of files, as it is at each query: an export that replaced it is what the next query reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._copy: FolderCopy | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._copied = Copied(None)

    def fetch(self, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        translated = translate(query, ENGINE)
        with _one_line(self._folder), self._lock:
            return _rows(self._newest().cursor(), translated)

    def copied(self) -> Copied:
        """How far the copy reaches: by its manifest, else by its newest row."""
        with _one_line(self._folder), self._lock:
            self._newest()
            return self._copied

    def dispose(self) -> None:
        """Let go of the files."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._copy = None

    def _newest(self) -> duckdb.DuckDBPyConnection:
        found = folders.look(self._folder)
        if self._connection is None or self._copy is None or found.state != self._copy.state:
            connection = _views_of(found)
            reached = _check(connection, {table: file.name for table, file in found.files.items()})
            if self._connection is not None:
                self._connection.close()
            self._connection, self._copy = connection, found
            self._copied = found.copied or reached
        return self._connection


class DuckDbFile:
    """A DuckDB file with the tables, opened anew for each query, so that its owner can replace it in between."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._state: tuple[int, int, int] | None = None
        self._copied = Copied(None)
        self._lock = threading.Lock()

    def fetch(self, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        translated = translate(query, ENGINE)
        with self._opened() as connection:
            return _rows(connection, translated)

    def copied(self) -> Copied:
        """How far the copy reaches: to its newest row."""
        with self._opened():
            return self._copied

    def dispose(self) -> None:
        """Nothing is held between queries."""

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _one_line(self._file), self._lock:
            if not self._file.is_file():
                raise wrong(f"there is no file {self._file}")
            told = self._file.stat()
            state = (told.st_ino, told.st_mtime_ns, told.st_size)
            with duckdb.connect(str(self._file), read_only=True) as connection:
                if state != self._state:
                    self._copied = _check(connection, {table: table for table in COLUMNS})
                    self._state = state
                yield connection


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = connection.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _views_of(found: FolderCopy) -> duckdb.DuckDBPyConnection:
    """A database in memory whose tables are the files."""
    connection = duckdb.connect(":memory:")
    for table, file in found.files.items():
        place = _literal(str(file.resolve()))
        if found.format == "parquet":
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({place})")  # noqa: S608  # our own words
        else:
            _csv_view(connection, table, place, neutralised=found.neutralised)
    # From here on nothing but these files can be reached, whatever a query says.
    connection.execute(
        f"SET allowed_paths = [{', '.join(_literal(str(f.resolve())) for f in found.files.values())}]"
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _csv_view(connection: duckdb.DuckDBPyConnection, table: str, place: str, *, neutralised: bool) -> None:
    dialect = "header = true, delim = ',', quote = '\"', escape = '\"'"
    header = connection.execute(
        f"SELECT * FROM read_csv({place}, {dialect}, all_varchar = true) LIMIT 0"  # noqa: S608  # our own words
    ).description
    kinds = {column[0]: COLUMNS[table].get(column[0], Kind.TEXT) for column in header or ()}
    types = ", ".join(f"{_literal(name)}: '{_TYPES[kind]}'" for name, kind in kinds.items())
    chosen = ", ".join(
        _unmarked(name) if neutralised and kind == Kind.TEXT else _name(name) for name, kind in kinds.items()
    )
    connection.execute(
        f"CREATE VIEW {table} AS SELECT {chosen} FROM read_csv({place}, {dialect}, columns = {{{types}}}, "  # noqa: S608
        f"auto_detect = false, nullstr = '', allow_quoted_nulls = false, max_line_size = {_LONGEST_LINE})"
    )


def _unmarked(name: str) -> str:
    """A text as it was before an export marked it against spreadsheets."""
    column = _name(name)
    return f"CASE WHEN starts_with({column}, '{MARK * 2}') THEN substr({column}, 2) ELSE {column} END AS {column}"


def _check(connection: duckdb.DuckDBPyConnection, places: Mapping[str, str]) -> Copied:
    """How far the newest rows reach, once every table has what facts need."""
    there = {
        row[0] for row in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
    }
    names: dict[str, list[str]] = {}
    for table, place in places.items():
        if table in there:
            described = connection.execute(f"DESCRIBE {table}").fetchall()
            check_table(table, place, [Found(row[0], row[1], _kinds(row[1])) for row in described])
            names[table] = [row[0] for row in described]
        elif table not in DISPENSABLE:
            raise wrong(f"there is no table {table!r}")
    (largest,) = _rows(connection, write(largest_moments(names), ENGINE))
    return reach(largest)


def _kinds(type_: str) -> frozenset[Kind]:
    if _WHOLE.fullmatch(type_):
        return frozenset({Kind.INTEGER, Kind.MOMENT, Kind.NUMBER})
    if _REAL.fullmatch(type_):
        return frozenset({Kind.NUMBER})
    if type_ == "BOOLEAN":
        return frozenset({Kind.FLAG})
    if type_ == "JSON":
        return frozenset({Kind.DOCUMENT})
    if type_ == "VARCHAR" or type_.startswith("ENUM"):
        return frozenset({Kind.TEXT, Kind.DOCUMENT})
    return frozenset()


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _one_line(place: Path) -> Iterator[None]:
    """What DuckDB says, as one line of ours."""
    try:
        yield
    except duckdb.Error as error:
        said = str(error)
        column, line = _CSV_PLACE.search(said), _CSV_LINE.search(said)
        if column is not None:
            where = f"{place}, line {line[1]}" if line else str(place)
            raise wrong(f"{where}: column {column[1]!r}: {column[2]}") from error
        raise wrong(f"{place}: {said.splitlines()[0]}") from error
