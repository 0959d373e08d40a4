"""Bytes become rows and rejects: every kind of broken file, and none of them a crash."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import Invalid
from targeting.imports.cells import ImportRow, infer
from targeting.imports.mapping import ImportMapping, resolve
from targeting.imports.rows import MAX_LINE_BYTES, MAX_RECORD_LINES, read_csv, read_jsonl
from targeting.imports.source import Reject, neutralise_formula


def read(
    data: bytes | str, *, jsonl: bool = False, region: str = "", **mapping: Any
) -> list[ImportRow | Reject]:
    source = io.BytesIO(data.encode() if isinstance(data, str) else data)
    reader = read_jsonl if jsonl else read_csv
    return list(reader(source, mapping=ImportMapping(**mapping), default_region=region).rows)


def rows_of(items: list[ImportRow | Reject]) -> list[ImportRow]:
    return [item for item in items if isinstance(item, ImportRow)]


def rejects_of(items: list[ImportRow | Reject]) -> list[tuple[int, str, str]]:
    return [(item.line, item.field, item.reason) for item in items if isinstance(item, Reject)]


def test_columns_are_found_by_their_usual_names() -> None:
    [row] = rows_of(
        read(
            "Customer ID,Mobile Number,Timezone,Language,Marketing Consent,consent_utility,country,orders\n"
            "c1,+1 202 555 0123,America/New_York,en_US,yes,0,US,3\n"
        )
    )
    assert row.line == 2
    assert (row.change.user_id, row.change.phone) == ("c1", "+12025550123")
    assert (row.change.time_zone, row.change.locale) == ("America/New_York", "en_US")
    assert row.consents == {"marketing": True, "utility": False}
    assert row.change.attributes == {"country": "US", "orders": 3}


def test_a_better_name_for_the_user_id_goes_first() -> None:
    [row] = rows_of(read("email,user_id\na@example.org,u1\n"))
    assert row.change.user_id == "u1"
    assert row.change.attributes == {"email": "a@example.org"}


def test_a_mapping_overrules_the_names() -> None:
    [row] = rows_of(
        read(
            "id,klant,gsm,phone,ok\n1,k1,0612345678,later,yes\n",
            region="NL",
            user_id="klant",
            phone="gsm",
            consent={"marketing": "ok"},
            attributes={"callback": "phone"},
        )
    )
    assert (row.change.user_id, row.change.phone) == ("k1", "+31612345678")
    assert row.change.attributes == {"callback": "later"}
    assert row.consents == {"marketing": True}


@pytest.mark.parametrize(
    ("mapping", "field", "says"),
    [
        ({"phone": "fone"}, "mapping.phone", "did you mean 'phone'?"),
        ({"time_zone": "zzzzzz"}, "mapping.time_zone", "there are 'user_id', 'phone', 'plan'"),
        ({"consent": {"marketing": "okay"}}, "mapping.consent.marketing", "no column 'okay'"),
        ({"consent": {"spam": "plan"}}, "mapping.consent.spam", "not a category"),
        ({"attributes": {"tier": "plam"}}, "mapping.attributes.tier", "did you mean 'plan'?"),
    ],
)
@pytest.mark.parametrize("jsonl", [False, True])
def test_an_unknown_column_is_named_with_the_nearest(
    mapping: dict[str, Any], field: str, says: str, jsonl: bool
) -> None:
    data = '{"user_id":"u1","phone":"1","plan":"x"}\n' if jsonl else "user_id,phone,plan\nu1,1,x\n"
    with pytest.raises(Invalid) as error:
        read(data, jsonl=jsonl, **mapping)
    assert error.value.problems[0].field == field
    assert says in error.value.problems[0].message


def test_all_wrong_columns_are_told_at_once() -> None:
    with pytest.raises(Invalid) as error:
        resolve(ImportMapping(phone="x", locale="y"), ["name"])
    assert [p.field for p in error.value.problems] == ["mapping.phone", "mapping.locale", "mapping.user_id"]


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (b"", "header", "empty"),
        (b"u1,+12025550123\nu2,+12025550124\n", "mapping.user_id", "no column is called like a user id"),
        (b"user_id,plan,plan\n", "header", "'plan' is there twice"),
        (b"user_id,,plan\n", "header", "column 2 has no name"),
        (b"user_id,pl\xffan\n", "header", "not UTF-8"),
        (b"user_id,pl\0an\n", "header", "NUL"),
        (b'user_id,"plan\nu1,free\n', "header", "never closed"),
        (b"user_id," + b"x" * MAX_LINE_BYTES + b"\n", "header", "longer than"),
        ("user_id,phone\n".encode("utf-16"), "file", "UTF-16"),
    ],
)
def test_a_wrong_first_line_is_told_before_any_row(data: bytes, field: str, says: str) -> None:
    with pytest.raises(Invalid) as error:
        read(data)
    assert error.value.problems[0].field == field
    assert says in error.value.problems[0].message


HEADER = b"user_id,phone,time_zone,locale,consent_marketing,plan\n"
GOOD = b"good,+12025550123,,,,free\n"


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        (b",+12025550124,,,,free", "user_id", "is missing"),
        (b"anonymous:1,,,,,", "user_id", "may not start"),
        (b"u,12,,,,", "phone", "has no country code"),
        (b"u,,Mars/Base,,,", "time_zone", "not an IANA"),
        (b"u,,,!,,", "locale", "not a locale"),
        (b"u,,,,perhaps,", "consent_marketing", "neither yes nor no"),
        (b"u,,,,", "", "has 5 cells, the header has 6"),
        (b"u,,,,,free,extra", "", "has 7 cells"),
        (b'u,,,,,"free', "", "quote that is never closed"),
        (b'u,,,,,"free"x', "", "is not CSV"),
        (b"u,,,,,fr\0ee", "", "NUL"),
        (b"u,,,,,caf\xe9", "", "not UTF-8"),
        (b"u,,,,,a\rb", "", "is not CSV"),
        (b"u,,,,," + b"x" * MAX_LINE_BYTES, "", "longer than"),
        (b"u,,,,," + b"x" * 40_000, "attributes", "40011 bytes"),
        (b"u,,,,," + b"x" * 140_000, "", "field larger"),
    ],
)
def test_a_bad_row_is_told_and_the_next_goes_on(line: bytes, field: str, says: str) -> None:
    items = read(HEADER + b"first,,,,,\n" + line + b"\n" + GOOD)
    [(number, at, reason)] = rejects_of(items)
    assert (number, at) == (3, field)
    assert says in reason
    assert [row.change.user_id for row in rows_of(items)] == ["first", "good"]
    assert rows_of(items)[1].line == 4


def test_one_open_quote_costs_one_row_however_long_the_file() -> None:
    many = b"".join(b"u%d,,,,,\n" % n for n in range(3 * MAX_RECORD_LINES))
    items = read(HEADER + b'bad,"+1,,,,\n' + many)
    assert rejects_of(items) == [(2, "", "has a quote that is never closed")]
    assert [row.line for row in rows_of(items)] == list(range(3, 3 + 3 * MAX_RECORD_LINES))


def test_an_open_quote_before_an_endless_line() -> None:
    items = read(HEADER + b'bad,"+1,,,,\n' + b"x" * (MAX_LINE_BYTES + 5) + b"\n" + GOOD)
    assert [line for line, _, _ in rejects_of(items)] == [2, 3]
    assert [row.line for row in rows_of(items)] == [4]


def test_a_cell_may_hold_line_breaks_and_quotes() -> None:
    items = read('user_id,note\nu1,"two\nlines and ""quotes"""\nu2,x\n')
    assert [row.change.attributes["note"] for row in rows_of(items)] == ['two\nlines and "quotes"', "x"]
    assert [row.line for row in rows_of(items)] == [2, 4]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_byte_order_marks_and_line_ends(delimiter: str, bom: str, newline: str) -> None:
    lines = [
        delimiter.join(cells) for cells in (["user_id", "name"], ["ü1", "Zoë"], ["", ""][:0], ["u2", "x"])
    ]
    items = read(bom + newline.join(lines))
    assert [(row.change.user_id, row.change.attributes) for row in rows_of(items)] == [
        ("ü1", {"name": "Zoë"}),
        ("u2", {"name": "x"}),
    ]
    assert not rejects_of(items)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0.50", 0.5),
        ("-0.25", -0.25),
        ("true", True),
        ("FALSE", False),
        ("007", "007"),
        ("+31", "+31"),
        ("1e5", "1e5"),
        ("1,5", "1,5"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1_000", "1_000"),
        ("٣", "٣"),
        ("-", "-"),
        (".5", ".5"),
        ("9999999999999999999", "9999999999999999999"),
        ("2026-08-01", "2026-08-01"),
        ("yes", "yes"),
    ],
)
def test_a_cell_is_what_it_most_plainly_is(text: str, value: object) -> None:
    assert infer(text) == value
    assert type(infer(text)) is type(value)


def test_a_user_id_stays_text_and_an_empty_cell_is_missing() -> None:
    [row] = rows_of(read("user_id,plan,age\n0042,  ,7\n"))
    assert row.change.user_id == "0042"
    assert row.change.attributes == {"age": 7}


def test_json_lines_keep_their_types() -> None:
    lines = [
        {"user_id": 7, "phone": None, "consent_marketing": True, "tags": ["a"], "n": 1.5, "none": None},
        {"user_id": "u2", "consent_marketing": "no", "new": {"deep": 1}},
    ]
    first, second = rows_of(read("\n\n".join(json.dumps(line) for line in lines), jsonl=True))
    assert (first.change.user_id, first.change.phone, first.consents) == ("7", None, {"marketing": True})
    assert first.change.attributes == {"tags": ["a"], "n": 1.5}
    assert (second.line, second.consents) == (3, {"marketing": False})
    assert second.change.attributes == {"new": {"deep": 1}}


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        (b"[1]", "", "not a JSON object"),
        (b"null", "", "not a JSON object"),
        (b'{"user_id": ', "", "is not JSON"),
        (b'{"user_id": "u", "a": NaN}', "", "NaN is not a number"),
        (b'{"user_id": "u", "a": 1e999}', "attributes.a", "finite"),
        (b'{"user_id": "u", "a": ' + b"9" * 5000 + b"}", "", "is not JSON"),
        (b'{"user_id": "u", "a": 99999999999999999999}', "attributes.a", "64 bits"),
        (b'{"user_id": "u", "a": "\\u0000"}', "attributes.a", "NUL"),
        (b'{"user_id": "u", "a": "\\ud800"}', "attributes.a", "half a character"),
        (b'{"user_id": "\\u0000"}', "user_id", "NUL"),
        (b'{"user_id": true}', "user_id", "neither text"),
        (b'{"user_id": "u", "phone": {}}', "phone", "neither text"),
        (b'{"user_id": "u", "consent_marketing": 2}', "consent_marketing", "neither yes nor no"),
        (b'{"user_id": "caf\xe9"}', "", "not UTF-8"),
        (b'{"a": ' * 50 + b"1" + b"}" * 50, "user_id", "missing"),
        (b'{"user_id": "u", "b": ' + b'{"a": ' * 50 + b"1" + b"}" * 51, "attributes", "deep"),
        (b"[" * 100_000, "", "deep"),
        (b'"' + b"x" * MAX_LINE_BYTES + b'"', "", "longer than"),
    ],
)
def test_a_bad_json_line_is_told_and_the_next_goes_on(line: bytes, field: str, says: str) -> None:
    good = b'{"user_id": "good", "phone": "+12025550123", "consent_marketing": 1}'
    items = read(b"\n".join([good, line, good]), jsonl=True)
    [(number, at, reason)] = rejects_of(items)
    assert (number, at) == (2, field)
    assert says in reason
    assert [row.line for row in rows_of(items)] == [1, 3]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"nothing\n[]\n"])
def test_a_file_without_any_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="file"):
        read(data, jsonl=True)


@pytest.mark.parametrize("cell", ["=1+1", "+31", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_formulas_are_neutralised(cell: str) -> None:
    assert neutralise_formula(cell) == "'" + cell
    assert neutralise_formula("x" + cell) == "x" + cell


def test_a_reject_can_be_written_whatever_its_row_holds() -> None:
    cells = Reject(7, "@column", "why", "=caf\udce9\0" + "x" * 20_000).as_cells()
    assert cells[0:3] == ["7", "'@column", "why"]
    assert cells[3].startswith("'=caf\\xe9\\x00xxx")
    assert len(cells[3]) < 10_100
    "".join(cells).encode()


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_csv_reader(data: bytes) -> None:
    lines = 1 + data.replace(b"\r", b"\n").count(b"\n") + 1
    items = read(b"user_id,a\n" + data)
    assert len(items) <= lines


@given(st.lists(st.text(alphabet='{}[]":,\\u0dn1 \n', max_size=40), max_size=10))
def test_no_text_crashes_the_json_reader(lines: list[str]) -> None:
    items = read('{"user_id":"u"}\n' + "\n".join(lines), jsonl=True)
    assert isinstance(items[0], ImportRow)


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20))
def test_what_a_csv_writer_wrote_comes_back_or_is_told(cells: list[tuple[str, str]]) -> None:
    """Conservation: every record is a row or a reject."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["user_id", "a"])
    writer.writerows(cells)
    items = read(out.getvalue().encode("utf-8", "surrogatepass"))
    assert len(items) == len(cells)
