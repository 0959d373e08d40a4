"""`touchstone export facts`: the tables that facts are made of, as a folder of Parquet or CSV files.

Every table is written whole, page by page from one snapshot of the database, into files beside the old ones; these are then
replaced by renaming, the manifest last. Whoever reads meanwhile sees the old copy or the new one (see `folder.py`).
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from sqlmodel import Session

from analysis.warehouse import export_repository as repository
from analysis.warehouse.folder import FORMATS, MANIFEST, Format, Manifest, read_manifest
from analysis.warehouse.tables import COLUMNS, MARK, Kind
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, Unavailable
from targeting.imports.source import neutralise_formula

PAGE: Final = 50_000
"""Rows that are held at a time, and the size of a row group of Parquet."""
LOCK: Final = ".export.lock"
UNFINISHED: Final = ".export-unfinished"
_TYPES: Final[Mapping[Kind, pa.DataType]] = {
    Kind.INTEGER: pa.int64(),
    Kind.MOMENT: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.FLAG: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.DOCUMENT: pa.string(),
}

Progress = Callable[[str, int, int], None]
"""Called with a table, how far its keys have been walked, and its last key."""


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written."""

    folder: Path
    manifest: Manifest


def export_facts(
    database: Database,
    clock: Clock,
    *,
    folder: Path,
    format_: str = "parquet",
    since: datetime | None = None,
    page: int = PAGE,
    progress: Progress = lambda _table, _done, _last: None,
) -> Exported:
    """Write the copy that `duckdb:///FOLDER` and `spark:///FOLDER` read, in place of the one that is there.

    since: events that happened before are left out. Opens its own snapshot, since it takes long. Raises Invalid, field
    `format`, `since` or `folder`; Conflict while another export writes there; Unavailable when the disk does not take it.
    """
    kind = _format(format_)
    now = clock.now()
    if since is not None and since >= now:
        raise Invalid("lies in the future, so that no event would be left", field="since")
    if folder.exists() and not folder.is_dir():
        raise Invalid(f"{folder} is a file", field="folder")
    try:
        with _alone_in(folder) as unfinished, database.snapshot() as session:
            rows = {
                table: _write_table(session, table, unfinished / f"{table}.{kind}", since, page, progress)
                for table in COLUMNS
            }
            sizes = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
            manifest = Manifest(format=kind, taken_at=now, since=since, rows=rows, sizes=sizes)
            _replace(folder, unfinished, manifest)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written: {error.strerror or error}") from error
    return Exported(folder, manifest)


def _format(text: str) -> Format:
    for known in FORMATS:
        if text == known:
            return known
    raise Invalid(f"{text!r} is not one of {', '.join(FORMATS)}", field="format")


@contextmanager
def _alone_in(folder: Path) -> Iterator[Path]:
    """An empty folder inside `folder` for what is not finished. The lock ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another export writes into {folder}; wait until it has ended") from error
        unfinished = folder / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write_table(
    session: Session, table: str, file: Path, since: datetime | None, page: int, progress: Progress
) -> int:
    kinds = COLUMNS[table]
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in kinds.items()])
    last = repository.last_key(session, table)
    progress(table, 0, last)
    count = 0
    with file.open("wb") as raw:
        writer = _writer(raw, schema, file.suffix)
        try:
            for key, rows in repository.pages(session, table, size=page, since=since):
                writer.write_table(_as_arrow(rows, schema, kinds, marked=file.suffix == ".csv"))
                count += len(rows)
                progress(table, key, last)
        finally:
            writer.close()
        raw.flush()
        os.fsync(raw.fileno())
    progress(table, last, last)
    return count


def _writer(raw: Any, schema: pa.Schema, suffix: str) -> _Writer:
    if suffix == ".parquet":
        parquet: _Writer = pq.ParquetWriter(raw, schema, compression="zstd")
        return parquet
    written: _Writer = pa_csv.CSVWriter(
        raw, schema, write_options=pa_csv.WriteOptions(quoting_style="needed")
    )
    return written


def _as_arrow(
    rows: Sequence[Sequence[Any]], schema: pa.Schema, kinds: Mapping[str, Kind], *, marked: bool
) -> pa.Table:
    columns = []
    for values, field in zip(zip(*rows, strict=True), schema, strict=True):
        texts = marked and kinds[field.name] == Kind.TEXT
        columns.append(pa.array([mark(value) for value in values] if texts else values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def mark(text: str | None) -> str | None:
    """A text so that no spreadsheet runs it, and so that its reader can take the mark off again.

    >>> mark("=SUM(A1)"), mark("'tis"), mark("Order")
    ("'=SUM(A1)", "''tis", 'Order')
    """
    if text is None or text.startswith(MARK):
        return None if text is None else MARK + text
    return neutralise_formula(text)


def _replace(folder: Path, unfinished: Path, manifest: Manifest) -> None:
    before = _names_of_old(folder)
    new = unfinished / MANIFEST
    new.write_text(json.dumps(manifest.to_json(), indent=2) + "\n", encoding="utf-8")
    for name in [*manifest.sizes, MANIFEST]:
        (unfinished / name).replace(folder / name)
    for name in before - manifest.sizes.keys():
        (folder / name).unlink(missing_ok=True)


def _names_of_old(folder: Path) -> set[str]:
    """The files of the export before; those of anybody else stay."""
    try:
        old = read_manifest(folder)
    except Unavailable:
        return set()
    ours = {f"{table}.{known}" for table in COLUMNS for known in FORMATS}
    return set(old.sizes) & ours if old else set()
