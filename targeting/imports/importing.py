"""Files of users become users: streaming, in batches of their own short transactions, and harmless to run again.

Every row is counted once: created, updated, unchanged, merged into an earlier row of the same file (the later row
wins, attribute by attribute), or rejected with line and reason. A row whose phone belongs to another user is rejected.
Consent: "yes" grants with the evidence `import FILE line N`, "no" withdraws, and a "no" (in this file or from the user
in the meantime) is never overturned by a file, so that neither the order of rows nor running again undoes an opt-out.
"""

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Final, Literal, TextIO, get_args

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock, passing_in
from experiments.database import Database
from experiments.errors import Invalid, NotFound, TooLarge, TouchstoneError
from targeting import consent
from targeting.imports import run_repository as runs
from targeting.imports.cells import ImportRow
from targeting.imports.mapping import ImportMapping
from targeting.imports.quality import FileProfile, without_values
from targeting.imports.quality_report import judge
from targeting.imports.rows import read_csv, read_jsonl
from targeting.imports.seen import Seen
from targeting.imports.source import Reject, RowSource
from targeting.imports.storing import ImportSummary, store
from targeting.models import ImportRun
from targeting.profile import check_region, check_text

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

REJECT_HEADER: Final = ("line", "field", "reason", "row")
KEPT_REJECTS: Final = 500
"""So many rejected rows are kept with the run, to be mended from; all of them go to the reject file."""

SILENT: Final = timedelta(minutes=15)
SILENT_SECONDS: Final = 60.0
"""Of the machine's time, on a clock that hurries."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read the file. `file_name` is what the consent ledger and the audit log call it.

    `source` names where such files come from: each import is compared with the last one of the same source.
    `erasure_secret` is the setting of that name: rows of people who were erased are rejected.
    """

    format: Format = "csv"
    mapping: ImportMapping = field(default_factory=ImportMapping)
    default_region: str = ""
    max_rows: int = 5_000_000
    batch: int = 2000
    file_name: str = "upload"
    source: str = "upload"
    erasure_secret: str = ""


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """`run_id` is the row of `import_runs`, `quality` the report of `quality_report.judge`."""

    run_id: int
    summary: ImportSummary
    quality: Mapping[str, Any]


def import_users(
    database: Database,
    clock: Clock,
    source: BinaryIO,
    *,
    actor: str,
    options: ImportOptions,
    rejects: TextIO,
    progress: Callable[[int], None] | None = None,
    began: Callable[[int], None] | None = None,
) -> ImportOutcome:
    """Import a file; `rejects` gets a CSV (line, field, reason, row), `progress` the number of rows so far, `began` the run's id.

    Opens its own transactions, one per batch, because a file of millions of rows must not hold the write lock until
    its end. Raises Invalid before anything is written when the file as a whole or the mapping is wrong, TooLarge after
    exactly `max_rows` rows (which stay: running a shorter file again changes nothing), Unavailable when the database
    kept being busy (the batches before stay).
    """
    table = open_source(source, options)
    return import_rows(
        database, clock, table, actor=actor, options=options, rejects=rejects, progress=progress, began=began
    )


def open_source(source: BinaryIO, options: ImportOptions) -> RowSource:
    """The rows of a file, not read yet; raises Invalid for a wrong option, header or mapping."""
    _check_options(options)
    return _reader(options.format)(source, mapping=options.mapping, default_region=options.default_region)


def _reader(form: Format) -> Callable[..., RowSource]:
    if form == "parquet":
        # Arrow takes a while to load, which imports of other files should not wait for.
        from targeting.imports.parquet import read_parquet

        return read_parquet
    return read_csv if form == "csv" else read_jsonl


def import_rows(
    database: Database,
    clock: Clock,
    table: RowSource,
    *,
    actor: str,
    options: ImportOptions,
    rejects: TextIO,
    progress: Callable[[int], None] | None = None,
    began: Callable[[int], None] | None = None,
    after_batch: Callable[[int, Session], None] | None = None,
    part_of_source: bool = False,
) -> ImportOutcome:
    """Import rows wherever they come from, as `import_users` does; the run and its quality are kept in `import_runs`.

    `began` is called with the id of the run before the first row is stored; while it lasts, its `summary` says how many `rows`
    are done. `after_batch` is called with that number, in the transaction of each batch. `part_of_source` as in `judge`.
    """
    batches = batches_of(table.rows, options)
    first = next(batches, None)
    # The writer quotes what its line ends are made of, and a lone carriage return ends a line for whoever reads it back.
    reject_file = csv.writer(rejects, lineterminator="\r\n")
    reject_file.writerow(REJECT_HEADER)
    run = _Run(database, clock, actor, options, FileProfile(table.names, table.columns.meaning_of))
    seen = Seen()
    error: str | None = "was interrupted"
    try:
        if began is not None:
            began(run.id)
        for batch in itertools.chain([] if first is None else [first], batches):
            so_far = run.summary.rows + len(batch)
            counted, rejected = store(
                database,
                clock,
                batch,
                seen=seen,
                origin=options.file_name,
                consent_source=options.mapping.consent_source,
                erasure_secret=options.erasure_secret,
                after=partial(run.note, so_far, also=after_batch),
            )
            reject_file.writerows(reject.as_cells() for reject in rejected)
            run.add(batch, counted, rejected)
            if progress is not None:
                progress(so_far)
        if next(table.rows, None) is not None:
            raise TooLarge(
                f"the file has more than {options.max_rows} rows; the first {run.summary.rows} were imported and stay",
                field="file",
            )
        error = None
    except TouchstoneError as told:
        error = str(told)
        raise
    finally:
        quality = run.finish(error, part_of_source=part_of_source)
    return ImportOutcome(run.id, run.summary, quality)


class _Run:
    """The row of `import_runs`: written when the import begins, completed when it ends, however it ends."""

    def __init__(
        self, database: Database, clock: Clock, actor: str, options: ImportOptions, profile: FileProfile
    ) -> None:
        self._database, self._clock, self._actor, self._options = database, clock, actor, options
        self._profile = profile
        self._rejects: list[dict[str, Any]] = []
        self.summary = ImportSummary()
        with database.transaction() as session:
            self._before = runs.last_quality(session, options.source)
            row = ImportRun(source=options.source, actor=actor, started_at=clock.now())
            self.id = runs.add_run(session, row)

    def note(
        self, so_far: int, session: Session, *, also: Callable[[int, Session], None] | None = None
    ) -> None:
        """Say with the batch itself how far the import has come, for whoever watches it."""
        runs.note_rows(session, self.id, rows=so_far, at=self._clock.now())
        if also is not None:
            also(so_far, session)

    def add(
        self, batch: Sequence[ImportRow | Reject], counted: ImportSummary, rejected: Sequence[Reject]
    ) -> None:
        self.summary += counted
        self._profile.add(batch)
        self._profile.refuse(rejected)
        for reject in rejected[: KEPT_REJECTS - len(self._rejects)]:
            # Whom a reason names is for the reject file; this stays for good.
            self._rejects.append(
                {"line": reject.line, "field": reject.field, "reason": without_values(reject.reason)}
            )

    def finish(self, error: str | None, *, part_of_source: bool) -> Mapping[str, Any]:
        quality = judge(
            self._profile,
            repeated_users=self.summary.merged_duplicates,
            before=self._before,
            part_of_source=part_of_source,
        )
        counts = self.summary.to_json()
        with self._database.transaction() as session:
            row = runs.find_run(session, self.id)
            assert row is not None  # noqa: S101  # written when the import began, and nobody deletes runs
            row.finished_at = self._clock.now()
            row.summary = counts | {"rejects": self._rejects}
            row.quality = dict(quality)
            row.error = error and error[:1000]
            audit.record(
                session,
                self._clock,
                actor=self._actor,
                action="users.import",
                subject_kind="import",
                subject_key=self._options.file_name,
                after=counts | {"complete": error is None, "run": self.id},
            )
        return quality


def find_run(session: Session, *, run_id: int) -> ImportRun:
    """One run of an import; raises NotFound."""
    run = runs.find_run(session, run_id)
    if run is None:
        raise NotFound(f"there is no import {run_id}")
    return run


def silent_since(run: ImportRun, clock: Clock) -> datetime | None:
    """When a run that has not ended was last heard of; None unless that is so long ago that its process must have died.

    It tells of itself with each batch. Should one have waited for longer than this, it has only been slow, and says more yet.
    """
    if run.finished_at is not None:
        return None
    told = (run.summary or {}).get("at")
    heard = run.started_at if told is None else datetime.fromisoformat(told)
    long_ago = clock.now() - max(SILENT, passing_in(clock, SILENT_SECONDS))
    return heard if heard < long_ago else None


def _check_options(options: ImportOptions) -> None:
    if options.format not in FORMATS:
        raise Invalid(f"{options.format!r} is not a format; there are {', '.join(FORMATS)}", field="format")
    if options.batch < 1 or options.max_rows < 1:
        raise Invalid("is less than 1", field="batch" if options.batch < 1 else "max_rows")
    check_region(options.default_region)
    check_text(options.file_name, field="file_name")
    check_text(options.source, field="source")
    check_text(options.mapping.consent_source, field="mapping.consent_source", limit=consent.MAX_SOURCE)


def batches_of(
    rows: Iterator[ImportRow | Reject], options: ImportOptions
) -> Iterator[list[ImportRow | Reject]]:
    """The rows in batches, `max_rows` of them at most."""
    left = options.max_rows
    while batch := list(itertools.islice(rows, min(options.batch, left))):
        left -= len(batch)
        yield batch
