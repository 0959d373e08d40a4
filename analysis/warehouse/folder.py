"""A folder that holds a copy: one Parquet or CSV file for each table, and, where `touchstone export facts` made it, a manifest.

The manifest is written last, so whoever reads while files are being replaced finds sizes that do not fit it, and looks again.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from analysis.warehouse.tables import COLUMNS, DISPENSABLE, Copied, wrong
from experiments.clock import format_moment, parse_moment

MANIFEST: Final = "export.json"
Format = Literal["parquet", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("parquet", "csv")
TRIES: Final = 20
SECONDS_BETWEEN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself. sizes: bytes of each file, by its name."""

    format: Format
    taken_at: datetime
    since: datetime | None
    rows: Mapping[str, int]
    sizes: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "taken_at": format_moment(self.taken_at),
            "since": format_moment(self.since) if self.since else None,
            "rows": dict(self.rows),
            "sizes": dict(self.sizes),
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> "Manifest":
        """Raises KeyError, TypeError or ValueError for what no export has written."""
        if document["format"] not in FORMATS:
            raise ValueError("unknown format")
        return cls(
            format=document["format"],
            taken_at=parse_moment(document["taken_at"]),
            since=None if document["since"] is None else parse_moment(document["since"]),
            rows={str(table): int(count) for table, count in document["rows"].items()},
            sizes={str(name): int(size) for name, size in document["sizes"].items()},
        )


@dataclass(frozen=True, slots=True)
class FolderCopy:
    """The files of a folder as they are at one moment. state: changes whenever one of them is replaced."""

    files: Mapping[str, Path]
    format: Format
    manifest: Manifest | None
    state: tuple[tuple[str, int, int, int], ...]

    @property
    def copied(self) -> Copied | None:
        """How far it reaches, where its manifest says so."""
        manifest = self.manifest
        return None if manifest is None else Copied(until=manifest.taken_at, since=manifest.since)

    @property
    def neutralised(self) -> bool:
        """Whether texts are marked against spreadsheets, as an export to CSV marks them."""
        return self.format == "csv" and self.manifest is not None


def look(folder: Path, *, tries: int = TRIES) -> FolderCopy:
    """What is in the folder now. Raises Unavailable, as one line, unless it is a whole copy."""
    for attempt in range(tries):
        if attempt:
            time.sleep(SECONDS_BETWEEN)
        found = _look_once(folder)
        if found.manifest is None or _fits(found, found.manifest):
            return found
    raise wrong(f"the files in {folder} are not those that {MANIFEST} lists; export them again")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None when there is none. Raises Unavailable for one that nobody has exported."""
    place = folder / MANIFEST
    try:
        return Manifest.of_json(json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise wrong(f"{place} is not the manifest of an export") from error


def _look_once(folder: Path) -> FolderCopy:
    if not folder.is_dir():
        raise wrong(f"there is no folder {folder}")
    manifest = read_manifest(folder)
    format_ = manifest.format if manifest else _format_of(folder)
    files = {table: folder / f"{table}.{format_}" for table in COLUMNS}
    state: list[tuple[str, int, int, int]] = []
    for table, file in list(files.items()):
        try:
            told = file.stat()
        except OSError as error:
            if table in DISPENSABLE and manifest is None:
                del files[table]
                continue
            raise wrong(f"there is no file {file}") from error
        state.append((table, told.st_ino, told.st_mtime_ns, told.st_size))
    return FolderCopy(files, format_, manifest, tuple(state))


def _format_of(folder: Path) -> Format:
    """What the files of somebody else are; two kinds side by side leave open which is meant."""
    found = [name for name in FORMATS if any((folder / f"{table}.{name}").exists() for table in COLUMNS)]
    if not found:
        raise wrong(f"there is no file {folder / 'assignments.parquet'} (nor .csv)")
    if len(found) > 1:
        raise wrong(f"{folder} holds tables both as .parquet and as .csv; leave one of them")
    return found[0]


def _fits(found: FolderCopy, manifest: Manifest) -> bool:
    sizes = {found.files[table].name: size for table, _, _, size in found.state}
    return sizes == manifest.sizes
