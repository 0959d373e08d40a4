"""One import as a caller of the API or the command line asks for it: options read, file streamed, rejects kept."""

import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, Literal, TextIO

from api.strict_json import read_json
from api.wiring import Wiring
from experiments.errors import Invalid
from targeting.imports import ImportMapping, ImportOptions, ImportSummary, import_users

SHOWN_REJECTS: Final = 100
"""How many rejected rows an HTTP answer shows; the command line writes all of them to a file."""

FORMATS: Final[Mapping[str, Literal["csv", "jsonl"]]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
}
NAMED: Final[Mapping[str, Literal["csv", "jsonl"]]] = {"csv": "csv", "jsonl": "jsonl"}
MAPPED: Final = ("user_id", "phone", "time_zone", "locale", "consent_source")


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What was asked for. `region` overrides the setting."""

    format: Literal["csv", "jsonl"]
    mapping: ImportMapping
    region: str | None
    name: str


def read_order(
    *,
    name: str | None,
    media_type: str | None,
    chosen: str | None,
    mapping: str | None,
    pairs: Sequence[str] = (),
    region: str | None = None,
) -> ImportOrder:
    """The order behind the options; raises Invalid naming the wrong one.

    `mapping` is a JSON object as text, `pairs` are FIELD=COLUMN; both name `user_id`, `phone`, `time_zone`, `locale`,
    `consent_source`, `consent.CATEGORY` or `attributes.NAME` (in the object the last two are nested).
    """
    document = _from_json(mapping) if mapping else _from_pairs(pairs)
    unknown = set(document) - {*MAPPED, "consent", "attributes"}
    if unknown:
        raise Invalid(
            f"unknown field; use {', '.join(MAPPED)}, consent or attributes", field=f"mapping.{min(unknown)}"
        )
    for field in MAPPED:
        if not isinstance(document.get(field, ""), str):
            raise Invalid("must be the name of a column", field=f"mapping.{field}")
    for field in ("consent", "attributes"):
        _check_names(document.get(field), field)
    return ImportOrder(
        format=_format(name=name, media_type=media_type, chosen=chosen),
        mapping=ImportMapping(**document),
        region=region,
        name=name or "upload",
    )


def _check_names(value: object, field: str) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(column, str) for column in value.values()):
        raise Invalid("must be an object of names and columns", field=f"mapping.{field}")


def _format(*, name: str | None, media_type: str | None, chosen: str | None) -> Literal["csv", "jsonl"]:
    if chosen is not None:
        known = NAMED.get(chosen)
        if known is None:
            raise Invalid(f"must be csv or jsonl, not {chosen[:20]!r}", field="format")
        return known
    suffix = PurePath(name or "").suffix.lower()
    plain = (media_type or "").partition(";")[0].strip().lower()
    found = FORMATS.get(suffix) or FORMATS.get(plain)
    if found is None:
        raise Invalid("cannot tell whether this is CSV or JSONL; say csv or jsonl", field="format")
    return found


def _from_json(text: str) -> dict[str, Any]:
    try:
        document = read_json(text.encode())
    except ValueError as error:
        raise Invalid(f"is not valid JSON: {error}", field="mapping") from error
    if not isinstance(document, dict):
        raise Invalid('must be an object such as {"phone": "mobile"}', field="mapping")
    return document


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


def run(
    wiring: Wiring,
    source: BinaryIO,
    order: ImportOrder,
    *,
    actor: str,
    rejects: TextIO,
    progress: Callable[[int], None] | None = None,
) -> ImportSummary:
    """Import; rejected rows go to `rejects` as CSV."""
    options = ImportOptions(
        format=order.format,
        mapping=order.mapping,
        default_region=wiring.settings.default_region if order.region is None else order.region,
        max_rows=wiring.settings.max_upload_rows,
        file_name=order.name,
    )
    return import_users(
        wiring.database,
        wiring.clock,
        source,
        actor=actor,
        options=options,
        rejects=rejects,
        progress=progress,
    )


def import_stream(wiring: Wiring, source: BinaryIO, order: ImportOrder, *, actor: str) -> dict[str, Any]:
    """Import for an HTTP caller: the summary, and the first rejected rows."""
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as rejects:
        summary = run(wiring, source, order, actor=actor, rejects=rejects)
        rejects.seek(0)
        shown = [
            {"line": int(row["line"]), "field": row["field"], "reason": row["reason"]}
            for row in islice(csv.DictReader(rejects), SHOWN_REJECTS)
        ]
    return {**summary.to_json(), "rejects": shown}


def count_lines(file: Path) -> int:
    """Lines of a file, for a progress bar; reads in blocks."""
    with file.open("rb") as source:
        return sum(block.count(b"\n") for block in iter(lambda: source.read(1 << 20), b""))
