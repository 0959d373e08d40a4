"""Bringing people in: a first look at a file, a rehearsal, the import itself, and pulls. Every function raises ApiError."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client
from dashboard.documents import ImportRun, Quality
from dashboard.reading import Unreadable, read_import, read_quality

MEDIA_TYPES: Final = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
SUFFIXES: Final = {"csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet", "pq": "parquet"}
"""Endings of file names, and the formats that they tell."""
HEAD: Final = 262_144
"""So many bytes of a text file are looked at first."""
PATIENCE: Final = 600.0
"""Seconds that a large file may take to be sent and read."""
PAGE: Final = 25
PULLS: Final = 100


@dataclass(frozen=True, slots=True)
class File:
    """A file of people, as it was uploaded."""

    name: str
    form: str
    content: bytes

    @property
    def head(self) -> bytes:
        """The beginning of the file, cut at the end of a line; Parquet is not cut."""
        if self.form == "parquet" or len(self.content) <= HEAD:
            return self.content
        return self.content[: self.content.rfind(b"\n", 0, HEAD) + 1] or self.content

    @property
    def lines(self) -> int | None:
        """About how many rows it has; None where that stands in no line."""
        if self.form == "parquet":
            return None
        lines = self.content.count(b"\n") + (not self.content.endswith(b"\n"))
        return lines - (self.form == "csv")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file: what it would become by its name, and what stands in the first rows."""

    name: str
    becomes: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an import would do. `rows`: what the first rows would become; `whole`: whether all of the file was read."""

    rows: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, int]
    rejects: tuple[Mapping[str, Any], ...]
    quality: Quality | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """A scheduled query of another database; its runs are imports of the source `pull:KEY`."""

    key: str
    enabled: bool
    running: bool
    every: str
    next_at: datetime | None
    error: str


def look(client: Client, file: File) -> list[Column]:
    path = "/v1/imports/columns"
    answer = client.ask("POST", path, content=(file.head, MEDIA_TYPES[file.form]), timeout=PATIENCE)
    if not isinstance(answer, list):
        raise client.unreadable(path)
    return [
        Column(
            values.text(item.get("name")),
            values.text(item.get("becomes")),
            tuple(str(each) for each in values.items(item.get("values"))),
        )
        for item in values.mappings(answer)
    ]


def rehearse(
    client: Client, file: File, mapping: Mapping[str, Any], *, source: str, whole: bool
) -> Rehearsal:
    """Try the import on the file, or on its beginning; nothing is stored."""
    content = file.content if whole else file.head
    answer = values.mapping(_send(client, file, content, mapping, source=source, dry_run="true"))
    return Rehearsal(
        rows=tuple(values.mappings(answer.get("rows"))),
        counts=values.counts(answer.get("summary")),
        rejects=tuple(values.mappings(answer.get("rejects"))),
        quality=read_quality(answer),
        whole=len(content) == len(file.content),
    )


def begin(client: Client, file: File, mapping: Mapping[str, Any], *, source: str) -> int:
    """Begin the import; its id."""
    answer = values.mapping(_send(client, file, file.content, mapping, source=source, background="true"))
    number = values.whole(answer.get("id"))
    if number is None:
        raise client.unreadable("/v1/imports")
    return number


def runs(client: Client, *, source: str = "", cursor: str = "") -> tuple[list[ImportRun], str | None]:
    """Imports by file and by pull, the newest first, of one source or of all."""
    path = "/v1/imports"
    items, following = page_of(client, path, {"source": source, "cursor": cursor}, limit=PAGE)
    try:
        return [read_import(item) for item in items], following
    except Unreadable as error:
        raise client.unreadable(path) from error


def pulls(client: Client) -> Sequence[Pull]:
    items, _ = page_of(client, "/v1/pulls", {}, limit=PULLS)
    return [
        Pull(
            key=values.text(item.get("key")),
            enabled=item.get("enabled") is True,
            running=item.get("running") is True,
            every=values.text(values.mapping(item.get("definition")).get("every")),
            next_at=values.moment(item.get("next_at")),
            error=values.text(item.get("error")),
        )
        for item in items
    ]


def _send(
    client: Client, file: File, content: bytes, mapping: Mapping[str, Any], *, source: str, **options: str
) -> Any:
    data = {
        "mapping": json.dumps(mapping, ensure_ascii=False),
        "source": source,
        "format": file.form,
        **options,
    }
    parts = {"file": (file.name, io.BytesIO(content), MEDIA_TYPES[file.form])}
    return client.ask("POST", "/v1/imports", data=data, files=parts, timeout=PATIENCE)
