"""A file of user ids becomes a list segment: streaming, in batches of their own short transactions, harmless to run again.

One id a line, or a CSV whose header has a column `user_id` (other columns are not looked at). Ids that are no user's go to
the reject file with line and reason; the others land.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final, TextIO

import numpy as np
from sqlmodel import Session

from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid, TooLarge
from targeting.imports.source import Reject
from targeting.profile import check_text
from targeting.segments import repository as segment_repository
from targeting.segments.membership import STEP, held_list, note_list
from targeting.segments.service import segment_id

COLUMN: Final = "user_id"
HEADER: Final = ("line", "field", "reason", "row")
BATCH: Final = 5_000
MAX_LINE: Final = 10_000
_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class ListSummary:
    """What became of the rows: rows = added + present + rejected. `removed` were on the list and are not in the file."""

    rows: int = 0
    added: int = 0
    present: int = 0
    rejected: int = 0
    removed: int = 0
    size: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Line:
    """One id of a file, and the line that it stands in (from 1)."""

    number: int
    user_id: str


def read_ids(source: BinaryIO) -> Iterator[Line | Reject]:
    """The ids of a file, one at a time. Raises Invalid when the file as a whole makes no sense."""
    lines = _lines(source)
    first = next(lines, None)
    if first is None:
        raise Invalid("the file is empty", field="file")
    header = first if isinstance(first, Reject) else _header(first.user_id)
    if isinstance(header, Reject) or header is None:
        return _plain(itertools.chain([first], lines))
    return _columned(lines, *header)


def _lines(source: BinaryIO) -> Iterator[Line | Reject]:
    """Every line as text without its end; a line that is too long, or no UTF-8, as a reject."""
    number = 0
    while raw := source.readline(MAX_LINE + 1):
        number += 1
        shown = raw[:100].decode("utf-8", "replace")
        if len(raw) > MAX_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = source.readline(MAX_LINE)
            yield Reject(number, "", f"is longer than {MAX_LINE} bytes", shown)
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            yield Reject(number, "", "is not UTF-8 text", shown)
            continue
        yield Line(number, text)


def _header(text: str) -> tuple[int, int, str] | None:
    """(place of the column, number of columns, delimiter) when the line names the column of ids."""
    for delimiter in _DELIMITERS:
        names = [name.strip() for name in _cells(text, delimiter) or ()]
        if COLUMN in names:
            return names.index(COLUMN), len(names), delimiter
    return None


def _cells(text: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return None


def _plain(lines: Iterable[Line | Reject]) -> Iterator[Line | Reject]:
    for line in lines:
        if isinstance(line, Reject):
            yield line
        elif text := line.user_id.strip():
            yield _checked(line.number, text, text)


def _columned(
    lines: Iterable[Line | Reject], place: int, columns: int, delimiter: str
) -> Iterator[Line | Reject]:
    # Line by line: an id holds no line break, and a quote that is never closed spoils one line only.
    for line in lines:
        if isinstance(line, Reject):
            yield line
            continue
        cells = _cells(line.user_id, delimiter)
        if cells is None:
            yield Reject(line.number, "", "is no row of a CSV file", line.user_id)
        elif not any(cell.strip() for cell in cells):
            continue
        elif len(cells) != columns:
            yield Reject(line.number, "", f"has {len(cells)} cells, the header has {columns}", line.user_id)
        else:
            yield _checked(line.number, cells[place].strip(), line.user_id)


def _checked(number: int, text: str, raw: str) -> Line | Reject:
    try:
        return Line(number, check_text(text, field=COLUMN))
    except Invalid as error:
        return Reject(number, COLUMN, error.problems[0].message, raw)


def import_members(
    database: Database,
    clock: Clock,
    source: BinaryIO,
    *,
    actor: str,
    key: str,
    rejects: TextIO,
    replace: bool = False,
    max_rows: int = 5_000_000,
    file_name: str = "upload",
    progress: Callable[[int], None] | None = None,
) -> ListSummary:
    """Put the users of a file on a list; `replace` then takes everybody else off. `progress` gets the rows so far.

    Opens its own transactions, one per batch. Memory stays flat: with `replace`, eight bytes for each row. Raises NotFound,
    Conflict for a segment that is a condition, Invalid for a file that makes no sense, TooLarge after `max_rows` rows, which
    stay.
    """
    with database.transaction() as session:
        held_list(session, key)
    rows = read_ids(source)
    reject_file = csv.writer(rejects, lineterminator="\r\n")
    reject_file.writerow(HEADER)
    total = ListSummary()
    kept: list[np.ndarray[Any, Any]] = []
    while batch := list(itertools.islice(rows, min(BATCH, max_rows - total.rows))):
        with database.transaction() as session:
            found, added, refused = _store(session, clock, key, batch)
        reject_file.writerows(reject.as_cells() for reject in refused)
        if replace:
            kept.append(np.array(found, dtype=np.int64))
        total = ListSummary(
            rows=total.rows + len(batch),
            added=total.added + added,
            present=total.present + len(batch) - len(refused) - added,
            rejected=total.rejected + len(refused),
        )
        if progress is not None:
            progress(total.rows)
    too_large = total.rows >= max_rows and next(rows, None) is not None
    removed = 0
    if replace and not too_large:
        removed = _remove_others(database, key, np.unique(np.concatenate(kept)) if kept else np.array([]))
    done = asdict(total) | {"removed": removed}
    with database.transaction() as session:
        what = done | {"file": file_name, "complete": not too_large}
        size = note_list(session, clock, held_list(session, key), actor=actor, what=what)
    if too_large:
        raise TooLarge(
            f"the file has more than {max_rows} rows; the first {total.rows} were taken and stay",
            field="file",
        )
    return ListSummary(**done | {"size": size})


def _store(
    session: Session, clock: Clock, key: str, batch: Sequence[Line | Reject]
) -> tuple[list[int], int, list[Reject]]:
    """(internal ids found, how many were not on the list, rejects) of one batch."""
    held = segment_id(held_list(session, key))
    known = segment_repository.pks_of(session, {row.user_id for row in batch if isinstance(row, Line)})
    added = segment_repository.add_members(session, held, set(known.values()), now=clock.now())
    refused = [
        row if isinstance(row, Reject) else Reject(row.number, COLUMN, "is no user's id", row.user_id)
        for row in batch
        if isinstance(row, Reject) or row.user_id not in known
    ]
    return list(known.values()), added, refused


def _remove_others(database: Database, key: str, kept: "np.ndarray[Any, Any]") -> int:
    removed = after = 0
    while True:
        with database.transaction() as session:
            held = segment_id(held_list(session, key))
            some = segment_repository.next_member_pks(session, held, after_pk=after, limit=STEP)
            if not some:
                return removed
            others = np.setdiff1d(np.array(some, dtype=np.int64), kept, assume_unique=True).tolist()
            removed += segment_repository.remove_members(session, held, others)
            after = some[-1]
