"""An import that writes nothing: the same code as the import, in transactions that are rolled back."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import TooLarge, Unavailable
from targeting import user_repository
from targeting.imports import run_repository as runs
from targeting.imports.cells import ImportRow
from targeting.imports.importing import ImportOptions, batches_of, open_source
from targeting.imports.quality import FileProfile
from targeting.imports.quality_report import judge
from targeting.imports.seen import Seen
from targeting.imports.source import Reject
from targeting.imports.storing import ImportSummary, count_up, store_rows

TOGETHER: Final = 20_000
"""So many rows share a transaction: others who write wait for it. A row is not compared with rows of the file before those."""

SHOWN_REJECTS: Final = 20
"""How many rejected rows are told."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do: its first rows, what would become of all, the first rejected rows, and the quality."""

    rows: Sequence[ImportRow | Reject]
    summary: ImportSummary
    rejects: Sequence[Reject]
    quality: Mapping[str, Any]


def preview_users(
    database: Database,
    clock: Clock,
    source: BinaryIO,
    *,
    options: ImportOptions,
    shown: int = 5,
    together: int = TOGETHER,
) -> Preview:
    """Import a whole file, `together` rows at a time, and take each part back.

    Counts and rejected rows are those of the import; beyond `together` rows, a phone that a user of an earlier part was
    given is not known, and the consents of somebody who comes in several parts are counted in each. Raises Invalid,
    TooLarge and Unavailable as the import does.
    """
    table = open_source(source, options)
    with database.snapshot() as session:
        before = runs.last_quality(session, options.source)
    told = _SoFar(shown, FileProfile(table.names, table.columns.meaning_of))
    batches = batches_of(table.rows, options)
    parts = max(1, together // options.batch)
    try:
        while told.take_back(database, clock, itertools.islice(batches, parts), options) == parts:
            pass
    except user_repository.RACED as error:
        raise Unavailable("the database is busy; try again later") from error
    if next(table.rows, None) is not None:
        raise TooLarge(
            f"the file has more than {options.max_rows} rows; an import would stop there", field="file"
        )
    return told.preview(before)


@dataclass(slots=True)
class _SoFar:
    """What the parts of a file have told, of bounded size."""

    shown: int
    profile: FileProfile
    rows: list[ImportRow | Reject] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    summary: ImportSummary = field(default_factory=ImportSummary)
    seen: Seen = field(default_factory=Seen)

    def take_back(
        self,
        database: Database,
        clock: Clock,
        batches: "itertools.islice[list[ImportRow | Reject]]",
        options: ImportOptions,
    ) -> int:
        """Store some batches in one transaction and roll it back; returns how many they were."""
        count = 0
        with database.transaction() as session:
            for batch in batches:
                stored = store_rows(
                    session,
                    clock,
                    batch,
                    origin=options.file_name,
                    consent_source=options.mapping.consent_source,
                    erasure_secret=options.erasure_secret,
                )
                counted, rejected = count_up(batch, stored, seen=self.seen)
                self._add(batch, counted, rejected)
                count += 1
            session.rollback()
        return count

    def _add(
        self, batch: Sequence[ImportRow | Reject], counted: ImportSummary, rejected: Sequence[Reject]
    ) -> None:
        refused = {reject.line: reject for reject in rejected}
        self.rows += [refused.get(row.line, row) for row in batch[: self.shown - len(self.rows)]]
        self.rejects += rejected[: SHOWN_REJECTS - len(self.rejects)]
        self.summary += counted
        self.profile.add(batch)
        self.profile.refuse(rejected)

    def preview(self, before: Mapping[str, Any] | None) -> Preview:
        quality = judge(self.profile, repeated_users=self.summary.merged_duplicates, before=before)
        return Preview(self.rows, self.summary, self.rejects, quality)
