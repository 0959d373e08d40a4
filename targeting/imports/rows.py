"""CSV and JSON lines become rows and rejects, one at a time: nothing in them can crash an import or fill the memory. Pure.

What is wrong with the file as a whole (its first line, its encoding, the mapping) raises Invalid before the first
row; what is wrong with a row becomes a `Reject` that says where and why, and the next row goes on.
"""

import csv
import itertools
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NoReturn

from experiments.errors import Invalid
from targeting.imports.cells import ImportRow, infer
from targeting.imports.mapping import Columns, ImportMapping, resolve
from targeting.imports.source import MAX_RAW, Reject, RowSource, check_names, row_or_reject

MAX_LINE_BYTES: Final = 1_000_000
MAX_RECORD_LINES: Final = 100
"""A quoted cell may hold line breaks, but a quote that is still open after so many lines was never closed."""
_KEYS_FROM: Final = 1_000
_DELIMITERS: Final = ",;\t|"


def read_csv(source: BinaryIO, *, mapping: ImportMapping, default_region: str) -> RowSource:
    """A CSV file with a header; comma, semicolon, tab or bar is recognised in the header."""
    names, records = _csv_table(source)
    columns = resolve(mapping, names)
    return RowSource(names, columns, _csv_rows(records, names, columns, default_region))


def csv_columns(source: BinaryIO) -> tuple[Sequence[str], Iterator[Mapping[str, str]]]:
    """The names of the columns, and the rows as they stand in the file; rows that are none are left out."""
    names, records = _csv_table(source)
    return names, (
        dict(zip(names, record[2], strict=True))
        for record in records
        if not isinstance(record, Reject) and len(record[2]) == len(names)
    )


def _csv_table(source: BinaryIO) -> tuple[list[str], Iterator[tuple[int, str, list[str]] | Reject]]:
    records = _csv_records(_Lines(source))
    header = next(records, None)
    if header is None:
        raise Invalid("the file is empty; its first line must name the columns", field="header")
    if isinstance(header, Reject):
        raise Invalid(f"the first line {header.reason}", field="header")
    return check_names(header[2]), records


def _csv_rows(
    records: Iterator[tuple[int, str, list[str]] | Reject],
    names: Sequence[str],
    columns: Columns,
    default_region: str,
) -> Iterator[ImportRow | Reject]:
    verbatim = columns.verbatim
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        line, raw, cells = record
        if len(cells) != len(names):
            yield Reject(line, "", f"has {len(cells)} cells, the header has {len(names)}", raw)
            continue
        values = {
            # A user id 0042 or true is text.
            name: text if name in verbatim else infer(text)
            for name, cell in zip(names, cells, strict=True)
            if (text := cell.strip())
        }
        yield row_or_reject(values, columns, line, raw, default_region)


def read_jsonl(source: BinaryIO, *, mapping: ImportMapping, default_region: str) -> RowSource:
    """A file with one JSON object per line. Its columns are the keys of the first thousand lines."""
    names, records = _json_table(source)
    columns = resolve(mapping, names)
    return RowSource(names, columns, _json_rows(records, columns, default_region))


def json_columns(source: BinaryIO) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
    """As `csv_columns`, for JSON lines."""
    names, records = _json_table(source)
    return names, (found for _, _, found in records if isinstance(found, dict))


def _json_table(source: BinaryIO) -> tuple[list[str], Iterator[tuple[int, str, dict[str, Any] | str]]]:
    records = _json_records(_Lines(source))
    first = list(itertools.islice(records, _KEYS_FROM))
    names = list(dict.fromkeys(name for _, _, found in first if isinstance(found, dict) for name in found))
    if not first:
        raise Invalid("the file is empty", field="file")
    if not names:
        raise Invalid("none of the first lines is a JSON object", field="file")
    return names, itertools.chain(first, records)


def _json_rows(
    records: Iterable[tuple[int, str, dict[str, Any] | str]], columns: Columns, default_region: str
) -> Iterator[ImportRow | Reject]:
    for line, raw, found in records:
        if isinstance(found, dict):
            values = {name: value for name, value in found.items() if value is not None and value != ""}
            yield row_or_reject(values, columns, line, raw, default_region)
        else:
            yield Reject(line, "", found, raw)


_TOO_LONG: Final = f"is longer than {MAX_LINE_BYTES} bytes"
_NOT_CLOSED: Final = "has a quote that is never closed"


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    too_long: bool = False


class _Lines:
    """Lines of a stream with their numbers, none longer than `MAX_LINE_BYTES`, and some of them to be read again.

    Bytes that are not UTF-8 survive as lone surrogates, so that a bad cell does not move the borders of its row.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._number = 0
        self._again: deque[_Line] = deque()

    def next(self) -> _Line | None:
        if self._again:
            return self._again.popleft()
        found = self._source.readline(MAX_LINE_BYTES + 1)
        if not found:
            return None
        self._number += 1
        if self._number == 1:
            if found.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise Invalid("the file is UTF-16; save it as UTF-8", field="file")
            found = found.removeprefix(b"\xef\xbb\xbf")
        too_long = len(found) > MAX_LINE_BYTES
        start = found
        while too_long and found and not found.endswith(b"\n"):
            found = self._source.readline(MAX_LINE_BYTES)
        text = start[:MAX_RAW] if too_long else start
        return _Line(self._number, text.decode("utf-8", "surrogateescape"), too_long)

    def read_again(self, lines: list[_Line]) -> None:
        self._again.extendleft(reversed(lines))


class _StopRecordError(Exception):
    """The line that comes next cannot belong to the record that is being read."""


class _Record:
    """Feeds csv.reader line by line and remembers which lines the present record took."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self.taken: list[_Line] = []

    def __iter__(self) -> "_Record":
        return self

    def __next__(self) -> str:
        line = self._lines.next()
        if line is None:
            raise StopIteration
        self.taken.append(line)
        if line.too_long or len(self.taken) > MAX_RECORD_LINES:
            raise _StopRecordError
        return line.text

    def give_back(self) -> _Line:
        """The first line of the failed record; the others will be read again, as records of their own."""
        first, *rest = self.taken
        self._lines.read_again(rest)
        return first


def _csv_records(lines: _Lines) -> Iterator[tuple[int, str, list[str]] | Reject]:
    first = lines.next()
    if first is None:
        return
    lines.read_again([first])
    delimiter = max(_DELIMITERS, key=first.text.count)
    record = _Record(lines)
    # Strict, because a forgiving reader would swallow the rest of the file after one stray quote.
    reader = csv.reader(record, delimiter=delimiter, strict=True)
    while True:
        record.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _StopRecordError) as error:
            several = len(record.taken) > 1
            line = record.give_back()
            if line.too_long:
                reason = _TOO_LONG
            elif several or "unexpected end" in str(error):
                reason = _NOT_CLOSED
            else:
                reason = f"is not CSV: {error}"
            yield Reject(line.number, "", reason, line.text.rstrip("\r\n"))
            continue
        raw = "".join(line.text for line in record.taken).rstrip("\r\n")
        number = record.taken[0].number
        dirt = _dirt(raw)
        if dirt is not None:
            yield Reject(number, "", dirt, raw)
        elif cells:
            yield number, raw, cells


def _dirt(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL byte"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    return None


def _json_records(lines: _Lines) -> Iterator[tuple[int, str, dict[str, Any] | str]]:
    while (line := lines.next()) is not None:
        raw = line.text.strip()
        if raw:
            yield line.number, raw, _TOO_LONG if line.too_long else _dirt(raw) or _json_object(raw)


def _json_object(text: str) -> dict[str, Any] | str:
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        return "is nested too deeply"
    except ValueError as error:
        return f"is not JSON: {error}"
    return found if isinstance(found, dict) else "is not a JSON object"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
