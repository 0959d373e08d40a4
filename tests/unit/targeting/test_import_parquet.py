"""Parquet files: every type in its place, memory bounded, and broken files told in one line."""

import io
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.errors import Invalid, TooLarge
from targeting.imports import parquet as import_parquet
from targeting.imports.cells import ImportRow
from targeting.imports.mapping import ImportMapping
from targeting.imports.parquet import read_parquet
from targeting.imports.source import Reject


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(data: bytes, **mapping: Any) -> list[ImportRow | Reject]:
    return list(read_parquet(io.BytesIO(data), mapping=ImportMapping(**mapping), default_region="").rows)


def attributes_of(column: pa.Array) -> list[Any]:
    ids = [f"u{n}" for n in range(len(column))]
    found = read(written(pa.table({"user_id": ids, "x": column})))
    return [row.change.attributes.get("x") if isinstance(row, ImportRow) else row.reason for row in found]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([1, None, 2**40]), [1, None, 2**40]),
        (pa.array([1.5, float("nan"), None]), [1.5, None, None]),
        (pa.array([True, False, None]), [True, False, None]),
        (pa.array([" a ", "", None]), ["a", None, None]),
        (pa.array([1_500_000_000], pa.timestamp("ns")), ["1970-01-01T00:00:01.500000Z"]),
        (pa.array([3600], pa.timestamp("s", "Europe/Berlin")), ["1970-01-01T01:00:00Z"]),
        (pa.array([date(2026, 8, 1)]), ["2026-08-01"]),
        (pa.array([time(10, 30)]), ["10:30:00"]),
        (pa.array([90], pa.duration("s")), [90.0]),
        (pa.array([Decimal("1.50"), Decimal("2.00")]), [1.5, 2]),
        (pa.array([[1, 2], [], None]), [[1, 2], [], None]),
        (
            pa.array([{"a": 1, "at": datetime(2026, 8, 1)}]),  # noqa: DTZ001  # what a table without zones holds
            [{"a": 1, "at": "2026-08-01T00:00:00Z"}],
        ),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array([["x"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))), [["x"]]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, None]),
        (pa.nulls(2), [None, None]),
        (pa.array([b"text", b"\xff"]), ["text", "holds bytes that are not text"]),
        (pa.array([float("inf")]), ["is not a finite number"]),
        (
            pa.array([0, 10**12], pa.timestamp("s")),
            ["1970-01-01T00:00:00Z", "holds a value that is out of range"],
        ),
        (pa.array([2**63], pa.uint64()), ["is a whole number of more than 64 bits"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_keep_their_meaning(column: pa.Array, values: list[Any]) -> None:
    found = attributes_of(column)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_row_is_named_by_its_number_and_shown_with_its_values() -> None:
    table = pa.table({"user_id": ["u1", None], "phone": ["+12025550123", "+12025550124"]})
    one, other = read(written(table))
    assert isinstance(one, ImportRow)
    assert (one.line, one.change.phone) == (1, "+12025550123")
    assert isinstance(other, Reject)
    assert (other.line, other.field, other.raw) == (2, "user_id", '{"phone": "+12025550124"}')


def test_rows_come_in_their_order_over_all_row_groups() -> None:
    table = pa.table({"user_id": [f"u{n}" for n in range(5001)]})
    rows = read(written(table, row_group_size=700))
    assert [row.change.user_id for row in rows if isinstance(row, ImportRow)] == [
        f"u{n}" for n in range(5001)
    ]


GOOD = written(pa.table({"user_id": [f"u{n}" for n in range(3000)]}), compression="none")


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"user_id,phone\nu1,\n", GOOD[:-9], GOOD[200:], GOOD[:100]],
    ids=["empty", "magic", "csv", "end", "start", "head"],
)
def test_a_file_that_is_not_parquet_is_told_in_one_line(data: bytes) -> None:
    with pytest.raises(Invalid) as error:
        read(data)
    assert error.value.problems[0].field == "file"
    assert "\n" not in str(error.value)


def test_a_file_that_is_damaged_further_down_says_where() -> None:
    rows = 30_000
    data = bytearray(
        written(
            pa.table({"user_id": [f"u{n}" for n in range(rows)]}),
            compression="none",
            use_dictionary=False,
            row_group_size=10_000,
        )
    )
    middle = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(2).column(0).data_page_offset
    data[middle : middle + 200] = bytes(200)
    with pytest.raises(Invalid, match=r"is damaged after row 20000: .*; the rows before stay"):
        read(bytes(data))


def test_a_file_that_unpacks_to_more_than_the_memory_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_parquet, "MAX_CHUNK_BYTES", 1_000)
    with pytest.raises(TooLarge, match="row group 1 holds a column of more than 1000 bytes"):
        read(GOOD)


def test_a_mapping_is_held_against_the_columns() -> None:
    with pytest.raises(Invalid, match="did you mean 'user_id'"):
        read(GOOD, user_id="user")


def test_a_column_that_is_there_twice_is_refused() -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["user_id", "user_id"])
    with pytest.raises(Invalid, match="is there twice"):
        read(written(table))
