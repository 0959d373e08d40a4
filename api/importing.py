"""One import as a caller of the API or the command line asks for it: options read, file streamed, rejects kept."""

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, TextIO, cast

from api.wiring import Wiring
from api.written import read_written
from experiments.errors import Invalid, Unavailable
from targeting.imports import columns
from targeting.imports.importing import (
    FORMATS,
    Format,
    ImportOptions,
    ImportOutcome,
    import_users,
)
from targeting.imports.mapping import ImportMapping
from targeting.imports.mapping_document import read_mapping
from targeting.imports.rehearsal import Preview, preview_users
from targeting.imports.source import Reject

SHOWN_REJECTS: Final = 100
"""How many rejected rows an HTTP answer shows; the command line writes all of them to a file."""
MAX_MAPPING: Final = 20_000
"""Longest mapping document that comes by HTTP, in characters."""

KNOWN: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What was asked for. `region` overrides the mapping, which overrides the setting; `source` is compared with itself."""

    format: Format
    mapping: ImportMapping
    region: str | None
    name: str
    source: str


def read_order(
    *,
    name: str | None,
    media_type: str | None,
    chosen: str | None,
    mapping: str | None,
    pairs: Sequence[str] = (),
    region: str | None = None,
    source: str | None = None,
) -> ImportOrder:
    """The order behind the options; raises Invalid naming the wrong one.

    `mapping` is a mapping document as text (YAML or JSON), `pairs` are FIELD=COLUMN and go before it; they name `user_id`,
    `phone`, `time_zone`, `locale`, `consent_source`, `consent.CATEGORY` or `attributes.NAME`.
    """
    document = read_written(mapping, field="mapping") if mapping else {}
    for group, value in _from_pairs(pairs).items():
        known = document.get(group)
        document[group] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
    return ImportOrder(
        format=format_of(name=name, media_type=media_type, chosen=chosen),
        mapping=read_mapping(document).to_mapping(),
        region=region,
        name=name or "upload",
        source=source or name or "upload",
    )


def format_of(*, name: str | None, media_type: str | None, chosen: str | None) -> Format:
    """The format that was chosen, else the one that name or media type tell; raises Invalid, field `format`."""
    if chosen is not None:
        known = next((form for form in FORMATS if form == chosen), None)
        if known is None:
            raise Invalid(f"must be one of {', '.join(FORMATS)}, not {chosen[:20]!r}", field="format")
        return known
    suffix = PurePath(name or "").suffix.lower()
    plain = (media_type or "").partition(";")[0].strip().lower()
    found = KNOWN.get(suffix) or KNOWN.get(plain)
    if found is None:
        raise Invalid(f"cannot be told; say {', '.join(FORMATS)}", field="format")
    return found


def _from_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not field or not column:
            raise Invalid(f"write FIELD=COLUMN, not {pair!r}", field="--map")
        group, dot, name = field.partition(".")
        if dot:
            document.setdefault(group, {})[name] = column
        else:
            document[field] = column
    return document


def options_of(wiring: Wiring, order: ImportOrder) -> ImportOptions:
    """The options of an import as it was ordered, with what the settings say."""
    regions = (order.region, order.mapping.region, wiring.settings.default_region)
    return ImportOptions(
        format=order.format,
        mapping=order.mapping,
        default_region=next(region for region in regions if region is not None),
        max_rows=wiring.settings.max_upload_rows,
        file_name=order.name,
        source=order.source,
        erasure_secret=wiring.settings.erasure_secret.get_secret_value(),
    )


def run(
    wiring: Wiring,
    source: BinaryIO,
    order: ImportOrder,
    *,
    actor: str,
    rejects: TextIO,
    progress: Callable[[int], None] | None = None,
    began: Callable[[int], None] | None = None,
) -> ImportOutcome:
    """Import; rejected rows go to `rejects` as CSV. The callbacks are those of `import_users`."""
    return import_users(
        wiring.database,
        wiring.clock,
        source,
        actor=actor,
        options=options_of(wiring, order),
        rejects=rejects,
        progress=progress,
        began=began,
    )


def begin(wiring: Wiring, source: BinaryIO, order: ImportOrder, *, actor: str) -> dict[str, int]:
    """Begin an import that goes on after the answer: the id of its run, where it tells how far it is and how it ended.

    Raises what is wrong with the file as a whole, and Unavailable when others are under way. The file is kept until the end;
    the first rejected rows stay with the run. When the process is to end, the import ends early and says so.
    """
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # open until the thread has read it
    shutil.copyfileobj(source, kept)
    kept.seek(0)

    def go_on(_rows: int) -> None:
        if wiring.ending.is_set():
            raise Unavailable(
                "the server was stopped; what came before stays, send the file again for the rest"
            )

    def work(began: Callable[[int], None]) -> None:
        with kept, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            run(
                wiring,
                cast("BinaryIO", kept),
                order,
                actor=actor,
                rejects=nowhere,
                progress=go_on,
                began=began,
            )

    try:
        return {"id": wiring.imports.begin(work)}
    except Exception:
        kept.close()
        raise


def look_at(source: BinaryIO, form: Format) -> list[dict[str, Any]]:
    """The columns of a file with what each would become by its name, and what stands in the first rows."""
    return [asdict(column) for column in columns.look(source, form)]


def preview(wiring: Wiring, source: BinaryIO, order: ImportOrder) -> Preview:
    """What the import would do; writes nothing."""
    return preview_users(wiring.database, wiring.clock, source, options=options_of(wiring, order))


def import_stream(
    wiring: Wiring, source: BinaryIO, order: ImportOrder, *, actor: str, alive: Callable[[], None]
) -> dict[str, Any]:
    """Import for an HTTP caller: the summary, the first rejected rows, and the lights of its quality. Calls `alive` after each batch."""
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as rejects:
        outcome = run(wiring, source, order, actor=actor, rejects=rejects, progress=lambda _rows: alive())
        rejects.seek(0)
        shown = [
            {"line": int(row["line"]), "field": row["field"], "reason": row["reason"]}
            for row in islice(csv.DictReader(rejects), SHOWN_REJECTS)
        ]
    quality = {name: outcome.quality[name] for name in ("light", "topics")}
    return {**outcome.summary.to_json(), "rejects": shown, "id": outcome.run_id, "quality": quality}


def row_shown(row: Any) -> dict[str, Any]:
    """What a row would become, or why it would not be taken."""
    if isinstance(row, Reject):
        return {"line": row.line, "rejected": row.reason, "field": row.field}
    change = row.change
    said = {
        "user_id": change.user_id,
        "phone": change.phone,
        "time_zone": change.time_zone,
        "locale": change.locale,
        "consents": dict(row.consents),
        "attributes": dict(change.attributes),
    }
    return {"line": row.line} | {name: value for name, value in said.items() if value not in (None, {})}


def reject_shown(reject: Reject) -> dict[str, Any]:
    """A rejected row, without what stood in it."""
    return {"line": reject.line, "field": reject.field, "reason": reject.reason}


def preview_stream(wiring: Wiring, source: BinaryIO, order: ImportOrder) -> dict[str, Any]:
    """The same as `import_stream` for a rehearsal: what the first rows would become, counts and quality of all."""
    found = preview(wiring, source, order)
    return {
        "rows": [row_shown(row) for row in found.rows],
        "summary": found.summary.to_json(),
        "rejects": [reject_shown(reject) for reject in found.rejects],
        "quality": dict(found.quality),
    }


def count_lines(file: Path) -> int:
    """Lines of a file, for a progress bar; reads in blocks."""
    with file.open("rb") as source:
        return sum(block.count(b"\n") for block in iter(lambda: source.read(1 << 20), b""))
