"""Running pulls: the answer of another database becomes users by the same path as a file.

Who runs a pull holds its row and moves the cursor in the transaction of each batch, so that a crash loses nobody and two
workers never run the same pull; the batch that a crash left open is read again, which changes nothing.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TextIO

from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid, TouchstoneError
from experiments.settings import Settings
from targeting.imports.cells import ImportRow
from targeting.imports.importing import ImportOptions, ImportOutcome, import_rows
from targeting.imports.mapping import Columns, resolve
from targeting.imports.source import Reject, RowSource, check_names, row_of_values
from targeting.profile import check_region
from targeting.pulls import repository as pull_repository
from targeting.pulls.definitions import PullDefinition, check_query, check_source
from targeting.pulls.hold import Hold
from targeting.pulls.query_repository import Answer, address_of, answer_of

ACTOR: Final = "pull"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pulled:
    """How many pulls ended well, and how many did not."""

    done: int = 0
    failed: int = 0


def pull_tick(database: Database, clock: Clock, *, settings: Settings) -> Pulled:
    """Run every pull that is due, one after the other; an error stays with its pull, which is tried again at its next time."""
    pulled = Pulled()
    with database.snapshot() as session:
        keys = pull_repository.due_keys(session, now=clock.now())
    for key in keys:
        try:
            run(database, clock, settings=settings, key=key, actor=ACTOR)
            pulled = replace(pulled, done=pulled.done + 1)
        except TouchstoneError as error:
            _log.warning("pull %s: %s", key, error)
            pulled = replace(pulled, failed=pulled.failed + 1)
    return pulled


def run(
    database: Database,
    clock: Clock,
    *,
    settings: Settings,
    key: str,
    actor: str,
    rejects: TextIO | None = None,
) -> ImportOutcome:
    """Run a pull now, and here. Raises Conflict when somebody else does, and whatever is wrong with source, query or rows."""
    hold = Hold.take(database, clock, settings, key)
    error: str | None = "was interrupted"
    try:
        outcome = _pull(database, clock, settings, hold, actor, rejects or io.StringIO())
        error = None
    except TouchstoneError as told:
        error = str(told)
        raise
    finally:
        hold.release(error)
    return outcome


def _pull(
    database: Database, clock: Clock, settings: Settings, hold: Hold, actor: str, rejects: TextIO
) -> ImportOutcome:
    definition = hold.definition
    url = address_of(definition.source, settings.sources[check_source(definition.source, settings.sources)])
    mapping = definition.mapping.to_mapping()
    options = ImportOptions(
        mapping=mapping,
        default_region=check_region(settings.default_region if mapping.region is None else mapping.region),
        max_rows=settings.max_upload_rows,
        file_name=f"pull {hold.key}",
        source=f"pull:{hold.key}",
        erasure_secret=settings.erasure_secret.get_secret_value(),
    )
    with answer_of(
        definition.source,
        url,
        query=check_query(definition.query, backend=url.get_backend_name()),
        cursor_column=definition.cursor_column,
        after=hold.position,
        timeout=settings.source_timeout,
    ) as answer:
        table = _Table(answer, definition, options)
        return import_rows(
            database,
            clock,
            table.source,
            actor=actor,
            options=options,
            rejects=rejects,
            after_batch=lambda _rows, session: hold.advance(session, table.last),
            progress=lambda _rows: hold.extend(),
            part_of_source=hold.position is not None,
        )


class _Table:
    """The answer of a source as rows of people; `last` is the cursor's value in the newest row that was handed out."""

    def __init__(self, answer: Answer, definition: PullDefinition, options: ImportOptions) -> None:
        names = _names(answer.names)
        self._cursor = _cursor_place(names, definition.cursor_column)
        self.last: Any = None
        columns = resolve(options.mapping, names)
        rows = self._read(answer, names, columns, options.default_region)
        self.source = RowSource(names, columns, rows)

    def _read(
        self, answer: Answer, names: Sequence[str], columns: Columns, region: str
    ) -> Iterator[ImportRow | Reject]:
        for number, values in enumerate(answer.rows, start=1):
            if self._cursor is not None and values[self._cursor] is not None:
                self.last = values[self._cursor]
            yield row_of_values(dict(zip(names, values, strict=True)), columns, number, region)


def _names(names: Sequence[str]) -> list[str]:
    try:
        return check_names(names)
    except Invalid as error:
        raise Invalid(error.message, field="query") from error


def _cursor_place(names: Sequence[str], column: str | None) -> int | None:
    if column is None:
        return None
    if column not in names:
        raise Invalid(
            f"the query has no column {column!r}; there are {', '.join(names)}", field="cursor_column"
        )
    return names.index(column)
