"""Files of users become users: streaming, in batches of their own short transactions, and harmless to run again.

Every row is counted once: created, updated, unchanged, merged into an earlier row of the same file (the later row
wins, attribute by attribute), or rejected with line and reason. A row whose phone belongs to another user is rejected.
Consent: "yes" grants with the evidence `import FILE line N`, "no" withdraws, and a "no" (in this file or from the user
in the meantime) is never overturned by a file, so that neither the order of rows nor running again undoes an opt-out.
"""

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import BinaryIO, Final, Literal, TextIO

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, TooLarge, Unavailable
from targeting import consent, user_repository
from targeting.import_mapping import ImportMapping, ImportRow
from targeting.import_rows import Reject, read_csv, read_jsonl
from targeting.profile import check_region, check_text
from targeting.roster import Roster

__all__ = ["ImportMapping", "ImportOptions", "ImportSummary", "import_users"]

REJECT_HEADER: Final = ("line", "field", "reason", "row")
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read the file. `file_name` is what the consent ledger and the audit log call it."""

    format: Literal["csv", "jsonl"]
    mapping: ImportMapping = field(default_factory=ImportMapping)
    default_region: str = ""
    max_rows: int = 5_000_000
    batch: int = 2000
    file_name: str = "upload"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of the rows: rows = created + updated + unchanged + merged_duplicates + rejected.

    `consents_kept_withdrawn` counts the rows whose "yes" was outweighed by an earlier "no".
    """

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    merged_duplicates: int = 0
    rejected: int = 0
    consents_granted: int = 0
    consents_withdrawn: int = 0
    consents_kept_withdrawn: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def __add__(self, other: "ImportSummary") -> "ImportSummary":
        mine, others = asdict(self), asdict(other)
        return ImportSummary(**{name: mine[name] + others[name] for name in mine})


def import_users(
    database: Database,
    clock: Clock,
    source: BinaryIO,
    *,
    actor: str,
    options: ImportOptions,
    rejects: TextIO,
    progress: Callable[[int], None] | None = None,
) -> ImportSummary:
    """Import a file; `rejects` gets a CSV (line, field, reason, row), `progress` the number of rows so far.

    Opens its own transactions, one per batch, because a file of millions of rows must not hold the write lock until
    its end. Raises Invalid before anything is written when the file as a whole or the mapping is wrong, TooLarge after
    exactly `max_rows` rows (which stay: running a shorter file again changes nothing), Unavailable when the database
    kept being busy (the batches before stay).
    """
    _check_options(options)
    read = read_csv if options.format == "csv" else read_jsonl
    rows = read(source, mapping=options.mapping, default_region=options.default_region)
    batches = _batches(rows, options)
    first = next(batches, None)
    # The writer quotes what its line ends are made of, and a lone carriage return ends a line for whoever reads it back.
    reject_file = csv.writer(rejects, lineterminator="\r\n")
    reject_file.writerow(REJECT_HEADER)
    seen = _SeenUsers()
    total = ImportSummary()
    complete = False
    try:
        for batch in itertools.chain([] if first is None else [first], batches):
            counted, rejected = _store(database, clock, batch, seen, options)
            reject_file.writerows(reject.as_cells() for reject in rejected)
            total += counted
            if progress is not None:
                progress(total.rows)
        if next(rows, None) is not None:
            raise TooLarge(
                f"the file has more than {options.max_rows} rows; the first {total.rows} were imported and stay",
                field="file",
            )
        complete = True
    finally:
        with database.transaction() as session:
            audit.record(
                session,
                clock,
                actor=actor,
                action="users.import",
                subject_kind="import",
                subject_key=options.file_name,
                after=total.to_json() | {"complete": complete},
            )
    return total


def _check_options(options: ImportOptions) -> None:
    if options.format not in ("csv", "jsonl"):
        raise Invalid(f"{options.format!r} is not a format; there are csv and jsonl", field="format")
    if options.batch < 1 or options.max_rows < 1:
        raise Invalid("is less than 1", field="batch" if options.batch < 1 else "max_rows")
    check_region(options.default_region)
    check_text(options.file_name, field="file_name")
    check_text(options.mapping.consent_source, field="mapping.consent_source", limit=consent.MAX_SOURCE)


def _batches(
    rows: Iterator[ImportRow | Reject], options: ImportOptions
) -> Iterator[list[ImportRow | Reject]]:
    left = options.max_rows
    while batch := list(itertools.islice(rows, min(options.batch, left))):
        left -= len(batch)
        yield batch


def _store(
    database: Database,
    clock: Clock,
    batch: Sequence[ImportRow | Reject],
    seen: "_SeenUsers",
    options: ImportOptions,
) -> tuple[ImportSummary, list[Reject]]:
    rows = [item for item in batch if isinstance(item, ImportRow)]
    stored = None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.transaction() as session:
                stored = _store_rows(session, clock, rows, options)
            break
        except user_repository.RACED as error:
            if attempt == _ATTEMPTS:
                raise Unavailable("the database is busy; run the import again later") from error
    assert stored is not None  # noqa: S101  # the loop ends with a result or an error
    rejected = sorted(
        [item for item in batch if isinstance(item, Reject)] + stored.rejected, key=lambda reject: reject.line
    )
    again = seen.add(stored.accepted)
    created = stored.created - again
    updated = stored.updated - again
    users = len(stored.accepted - again)
    summary = ImportSummary(
        rows=len(batch),
        created=len(created),
        updated=len(updated),
        unchanged=users - len(created) - len(updated),
        merged_duplicates=len(batch) - len(rejected) - users,
        rejected=len(rejected),
        consents_granted=stored.consents.granted,
        consents_withdrawn=stored.consents.withdrawn,
        consents_kept_withdrawn=stored.consents.kept_withdrawn,
    )
    return summary, rejected


@dataclass(frozen=True, slots=True)
class _Stored:
    accepted: set[str]
    created: set[str]
    updated: set[str]
    rejected: list[Reject]
    consents: consent.Applied


def _store_rows(session: Session, clock: Clock, rows: Sequence[ImportRow], options: ImportOptions) -> _Stored:
    known = user_repository.people(session, {row.change.user_id for row in rows}, to_change=True)
    phones = {row.change.phone for row in rows if row.change.phone is not None}
    roster = Roster(known.values(), user_repository.owners_of(session, phones))
    accepted: list[ImportRow] = []
    rejected: list[Reject] = []
    for row in rows:
        try:
            roster.apply(row.change)
            accepted.append(row)
        except (Conflict, Invalid) as error:
            problem = error.problems[0]
            rejected.append(Reject(row.line, problem.field, problem.message, row.raw))
    newcomers, changed = roster.newcomers, roster.changed
    now = clock.now()
    user_repository.free_phones(session, roster.moving_phones)
    user_repository.insert_all_people(session, newcomers, now=now)
    user_repository.update_people(session, changed, now=now)
    changes = [
        consent.ConsentChange(
            user_pk=user_repository.stored_id(roster.enter(row.change.user_id)),
            category=category,
            granted=granted,
            source=options.mapping.consent_source,
            evidence=f"import {options.file_name} line {row.line}",
        )
        for row in accepted
        for category, granted in row.consents.items()
    ]
    return _Stored(
        accepted={row.change.user_id for row in accepted},
        created={person.user_id for person in newcomers},
        updated={person.user_id for person in changed},
        rejected=rejected,
        consents=consent.apply_changes(session, clock, changes=changes, from_file=True),
    )


class _SeenUsers:
    """Which users the file has named before, in eight bytes each: a set of millions of ids would not be flat memory.

    Keeps 64-bit hashes in a few sorted runs of growing length. Two ids of five million share a hash with a chance of
    one in a million, and then only a count is off by one.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, user_ids: set[str]) -> set[str]:
        """Remember these; returns those among them that were there already."""
        ids = list(user_ids)
        hashes = np.fromiter((hash(user_id) for user_id in ids), dtype=np.int64, count=len(ids))
        known = np.zeros(len(ids), dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            known |= run[place] == hashes
        run = np.sort(hashes[~known])
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)
        return {user_id for user_id, was_known in zip(ids, known, strict=True) if was_known}
