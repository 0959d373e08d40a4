"""A file of ids is read line by line, whatever it looks like."""

import io

import pytest

from experiments.errors import Invalid
from targeting.imports.source import Reject
from targeting.segments.lists import MAX_LINE, Line, read_ids


def read(content: str | bytes) -> list[tuple[int, str]]:
    raw = content if isinstance(content, bytes) else content.encode()
    return [
        (row.line, f"! {row.reason}") if isinstance(row, Reject) else (row.number, row.user_id)
        for row in read_ids(io.BytesIO(raw))
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\n", [(1, "a"), (2, "b")]),
        ("\ufeffa\r\n\r\n  b \r\n", [(1, "a"), (3, "b")]),
        ("a,b\n", [(1, "a,b")]),
        ("user_id\n007\n", [(2, "007")]),
        ("\ufeffname; user_id \nAnn;1\n;2\n", [(2, "1"), (3, "2")]),
        (
            'user_id,name\n"a,b",x\n"never closed\nc,y\n',
            [(2, "a,b"), (3, "! has 1 cells, the header has 2"), (4, "c")],
        ),
        ("user_id\tx\n\t1\n", [(2, "! is empty")]),
        ("user_id,x\na\rb,1\nc,2\n", [(2, "! is no row of a CSV file"), (3, "c")]),
        (b"a\n\xff\xfe\nb\n", [(1, "a"), (2, "! is not UTF-8 text"), (3, "b")]),
        (
            "a\n" + "x" * (MAX_LINE + 500) + "\nb\n",
            [(1, "a"), (2, f"! is longer than {MAX_LINE} bytes"), (3, "b")],
        ),
        (
            "x" * 201 + "\na\0\n",
            [(1, "! is longer than 200 characters"), (2, "! contains a NUL or half a character")],
        ),
    ],
)
def test_ids_of_a_file(content: str | bytes, expected: list[tuple[int, str]]) -> None:
    assert read(content) == expected


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(Invalid, match="file: the file is empty"):
        read("")


def test_a_reject_says_where_it_stood() -> None:
    (found,) = read_ids(io.BytesIO(b"user_id,x\n,1\n"))
    assert isinstance(found, Reject)
    assert found.as_cells() == ["2", "user_id", "is empty", ",1"]
    assert next(iter(read_ids(io.BytesIO(b"u")))) == Line(1, "u")
