"""Cells as the types that a mapping declares, and foreign values as JSON."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from experiments.errors import Invalid
from targeting.imports.cells import plain, read_row, read_typed
from targeting.imports.mapping import AttributeColumn, ConsentColumns, ImportMapping, resolve


@pytest.mark.parametrize(
    ("cell", "said", "value"),
    [
        ("1.234,5", {"type": "number", "decimal": ","}, 1234.5),
        ("1,234.5", {"type": "number"}, 1234.5),
        ("-12", {"type": "number"}, -12),
        ("+0012", {"type": "number"}, 12),
        ("1e3", {"type": "number"}, 1000.0),
        (7, {"type": "number"}, 7),
        ("ja", {"type": "boolean", "positive": ("JA",)}, True),
        ("nein", {"type": "boolean", "negative": ("nein",)}, False),
        (1.0, {"type": "boolean"}, True),
        (
            "12.08.2026",
            {"type": "time", "format": "%d.%m.%Y", "zone": "Europe/Berlin"},
            "2026-08-11T22:00:00Z",
        ),
        ("2026-08-12T10:00:00+02:00", {"type": "time", "zone": "America/Sao_Paulo"}, "2026-08-12T08:00:00Z"),
        ("2026-08-12", {"type": "time"}, "2026-08-12T00:00:00Z"),
        ("0", {"type": "time", "format": "unix"}, "1970-01-01T00:00:00Z"),
        (1500, {"type": "time", "format": "unix_ms"}, "1970-01-01T00:00:01.500000Z"),
        ("a | b|", {"type": "list", "separator": "|"}, ["a", "b"]),
        ("1;2,5", {"type": "list", "separator": ";", "items": "number", "decimal": ","}, [1, 2.5]),
        (["x", 1], {"type": "list"}, ["x", "1"]),
        ("007", {"type": "text"}, "007"),
        (True, {"type": "text"}, "true"),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_a_cell_becomes_what_its_column_is_declared_to_be(
    cell: Any, said: dict[str, Any], value: Any
) -> None:
    found = read_typed(cell, AttributeColumn("c", **said))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1.2.3", {"type": "number"}),
        ("1,23", {"type": "number"}),
        ("nan", {"type": "number"}),
        (True, {"type": "number"}),
        ("perhaps", {"type": "boolean"}),
        ("32.01.2026", {"type": "time", "format": "%d.%m.%Y"}),
        ("yesterday", {"type": "time"}),
        ("1e400", {"type": "time", "format": "unix"}),
        ("9" * 18, {"type": "time", "format": "unix"}),
        ("0001-01-01", {"type": "time", "zone": "Asia/Tokyo"}),
        ("a,1", {"type": "list", "items": "number"}),
    ],
)
def test_a_cell_that_is_not_what_it_should_be_names_its_column(cell: Any, said: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as error:
        read_typed(cell, AttributeColumn("c", **said))
    assert error.value.problems[0].field == "c"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (datetime(2026, 8, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-08-01T10:00:00Z"),
        (datetime(2026, 8, 1, 12), "2026-08-01T12:00:00Z"),  # noqa: DTZ001  # what a table without zones holds
        (date(2026, 8, 1), "2026-08-01"),
        (time(10, 30), "10:30:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("2.50"), 2.5),
        (Decimal("3.00"), 3),
        (Decimal("NaN"), None),
        (float("nan"), None),
        (b"text", "text"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [datetime(2026, 1, 1, tzinfo=UTC)]}, {"a": ["2026-01-01T00:00:00Z"]}),
        ((1, True, None), [1, True, None]),
    ],
)
def test_foreign_values_become_json(value: Any, kept: Any) -> None:
    assert plain(value) == kept
    assert type(plain(value)) is type(kept)


@pytest.mark.parametrize("value", [b"\xff", object()])
def test_a_value_that_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        plain(value)


def read(cells: dict[str, Any], **mapping: Any) -> Any:
    columns = resolve(ImportMapping(**mapping), list(cells))
    return read_row(cells, columns, line=2, raw="", default_region="")


def test_a_row_by_its_mapping() -> None:
    row = read(
        {"no": "1", "opt": "si", "where": "shop", "words": "I agree", "land": "NL", "more": "x"},
        user_id="no",
        consent={"marketing": ConsentColumns("opt", "where", "words", positive=("si",))},
        attributes={"country": "land"},
    )
    assert (row.consents, row.proofs) == ({"marketing": True}, {"marketing": ("shop", "I agree")})
    assert row.change.attributes == {"country": "NL"}


def test_other_columns_may_come_along_without_those_that_mean_something() -> None:
    row = read(
        {"no": "1", "land": "NL", "sum": "1,5", "more": "x"},
        user_id="no",
        attributes={"country": "land", "spent": AttributeColumn("sum", "number", decimal=",")},
        other_columns=True,
    )
    assert row.change.attributes == {"country": "NL", "spent": 1.5, "more": "x"}
    # Measured as what it is, not as what stood there.
    assert row.cells["sum"] == 1.5


def test_ids_that_a_table_holds_as_decimals_are_whole_numbers() -> None:
    assert read({"user_id": 12.0}).change.user_id == "12"
    with pytest.raises(Invalid):
        read({"user_id": 12.5})


def test_an_evidence_that_is_too_long_names_its_column() -> None:
    with pytest.raises(Invalid) as error:
        read(
            {"user_id": "u", "opt": "yes", "words": "x" * 1001},
            consent={"marketing": ConsentColumns("opt", evidence="words")},
        )
    assert error.value.problems[0].field == "words"
