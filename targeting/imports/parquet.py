"""Parquet files become rows and rejects, batch by batch: never more of a file in memory than a few thousand rows.

Numbers, booleans, texts, lists and structs stay what they are; the other types are put as `cells.plain` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.errors import Invalid, TooLarge
from targeting.imports.cells import ImportRow, plain
from targeting.imports.mapping import Columns, ImportMapping, resolve
from targeting.imports.source import Reject, RowSource, check_names, row_of_values

MAX_CHUNK_BYTES: Final = 1_000_000_000
"""Largest column of one row group, unpacked: a small file must not unpack to more than the memory holds."""
_BATCH_ROWS: Final = 2_000
_BUFFER_BYTES: Final = 1_000_000
_BROKEN: Final = (pa.ArrowException, OSError, EOFError, OverflowError)


class _Odd:
    """A value that Python cannot hold, such as a time after the year 9999."""

    def __str__(self) -> str:
        return "out of range"


@plain.register
def _(value: _Odd) -> NoReturn:
    raise Invalid(f"holds a value that is {value}")


def read_parquet(source: BinaryIO, *, mapping: ImportMapping, default_region: str) -> RowSource:
    """A Parquet file; `line` of its rows is the number of the row, from 1. Raises Invalid when it is none."""
    names, cells = _table(source)
    columns = resolve(mapping, names)
    return RowSource(names, columns, _rows(cells, columns, default_region))


def parquet_columns(source: BinaryIO) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
    """As `rows.csv_columns`, for Parquet."""
    return _table(source)


def _table(source: BinaryIO) -> tuple[list[str], Iterator[dict[str, Any]]]:
    try:
        # A buffer, because a whole row group would otherwise be read at once.
        file = pq.ParquetFile(source, buffer_size=_BUFFER_BYTES)
        names = check_names(file.schema_arrow.names)
        _check_sizes(file.metadata)
    except _BROKEN as error:
        raise Invalid(f"is not a Parquet file that can be read: {_one_line(error)}", field="file") from error
    return names, _cells(file, names)


def _check_sizes(metadata: Any) -> None:
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(row_group.num_columns):
            if row_group.column(column).total_uncompressed_size > MAX_CHUNK_BYTES:
                raise TooLarge(
                    f"row group {group + 1} holds a column of more than {MAX_CHUNK_BYTES} bytes; write smaller row groups",
                    field="file",
                )


def _rows(
    rows: Iterator[Mapping[str, Any]], columns: Columns, default_region: str
) -> Iterator[ImportRow | Reject]:
    for number, row in enumerate(rows, start=1):
        yield row_of_values(row, columns, number, default_region)


def _cells(file: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    number = 0
    batches = file.iter_batches(batch_size=_BATCH_ROWS)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            cells = [_values(column) for column in batch.columns]
        except _BROKEN as error:
            raise Invalid(
                f"is damaged after row {number}: {_one_line(error)}; the rows before stay", field="file"
            ) from error
        for row in zip(*cells, strict=True):
            number += 1
            yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """The values of a column in Python's types, a value that has none as `_Odd`."""
    column = column.cast(_python_type(column.type), safe=False)
    maps = pa.types.is_map(column.type)
    try:
        found = column.to_pylist()
    except (ValueError, OverflowError):
        found = [_value(item) for item in column]
    # Arrow gives a map as pairs.
    return [None if value is None else dict(value) for value in found] if maps else found


def _value(item: Any) -> Any:
    try:
        return item.as_py()
    except (ValueError, OverflowError):
        return _Odd()


def _python_type(kind: Any) -> Any:
    """The same type without what Python's own cannot hold: nanoseconds, and texts told by their numbers in a dictionary."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = _python_type(kind.value_type)
    elif types.is_timestamp(kind):
        kind = pa.timestamp("us" if kind.unit == "ns" else kind.unit, kind.tz)
    elif types.is_time64(kind):
        kind = pa.time64("us")
    elif types.is_duration(kind):
        kind = pa.duration("us" if kind.unit == "ns" else kind.unit)
    elif types.is_struct(kind):
        kind = pa.struct([pa.field(part.name, _python_type(part.type)) for part in kind])
    elif types.is_list(kind) or types.is_large_list(kind):
        kind = pa.list_(_python_type(kind.value_type))
    elif types.is_map(kind):
        kind = pa.map_(kind.key_type, _python_type(kind.item_type))
    return kind


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
