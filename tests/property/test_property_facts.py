"""The `where` of a metric in SQL means what the same condition means in a segment or a rule; also once translated."""

import json
import sqlite3
from typing import Any

import duckdb
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from analysis.facts.property_facts import KindIn, NumberIn, TextIn, UnusableIn, holds
from experiments.database import JsonDocument
from experiments.metrics import MetricDefinition
from targeting.conditions import matches

ROWS = Table("docs", MetaData(), Column("id", Integer), Column("properties", JsonDocument))
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -2.5, 10, 1e15, 2**53, -0.0, 1e-7]))
texts = st.sampled_from(
    ["", "a", "A", "NL", "1", "0", "-2.5", "10", "10.0", "true", "false", "null", "é", 'q"', " 1"]
)
scalars = st.one_of(numbers, texts, st.booleans(), st.none())
documents = st.lists(
    st.dictionaries(st.sampled_from(["a", "b c"]), st.one_of(scalars, st.just({"x": 1}))),
    min_size=1,
    max_size=6,
)
tests = st.one_of(
    scalars,
    st.fixed_dictionaries({}, optional={"$eq": scalars, "$ne": scalars, "$exists": st.booleans()}).filter(
        bool
    ),
    st.fixed_dictionaries(
        {}, optional={"$gt": numbers, "$gte": numbers, "$lt": numbers, "$lte": numbers}
    ).filter(bool),
    st.fixed_dictionaries({}, optional={"$in": st.lists(scalars, min_size=1, max_size=4)}).filter(bool),
    st.fixed_dictionaries({}, optional={"$nin": st.lists(scalars, min_size=1, max_size=4)}).filter(bool),
)
wheres = st.dictionaries(st.sampled_from(["a", "b c"]), tests, min_size=1)


def on_sqlite(query: Any, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rendered = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE docs (id INTEGER, properties TEXT)")
    connection.executemany(
        "INSERT INTO docs VALUES (?, ?)", [(i, json.dumps(row)) for i, row in enumerate(rows)]
    )
    found = connection.execute(rendered).fetchall()
    connection.close()
    return found


def on_duckdb(query: Any, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    rendered = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    (translated,) = sqlglot.transpile(rendered, read="postgres", write="duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE docs (id INTEGER, properties JSON)")
        connection.executemany(
            "INSERT INTO docs VALUES (?, ?)", [(i, json.dumps(row)) for i, row in enumerate(rows)]
        )
        return connection.execute(translated).fetchall()


@given(wheres, documents)
def test_a_filter_means_what_the_condition_means(where: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    MetricDefinition.model_validate({"kind": "count", "event": "e", "where": where})
    condition = holds(where, ROWS.c.properties)
    assert condition is not None
    expected = [(i,) for i, row in enumerate(rows) if matches(where, row)]
    assert sorted(on_sqlite(select(ROWS.c.id).where(condition), rows)) == expected
    negated = select(ROWS.c.id).where(~condition)
    assert len(on_sqlite(negated, rows)) == len(rows) - len(expected)


def test_a_filter_survives_translation() -> None:
    rows: list[dict[str, Any]] = [
        {"a": value} for value in (1, "1", 2.5, "2.5", None, True, False, "x", "true", "", 0, {"x": 1})
    ]
    rows.append({})
    operands: list[Any] = [
        1,
        "1",
        "x",
        True,
        False,
        None,
        {"$in": [1, "x", True]},
        {"$nin": [None, 2.5]},
        {"$ne": "x"},
    ]
    operands += [{"$gt": 0}, {"$gte": 1, "$lt": 3}, {"$lte": 0}, {"$exists": True}, {"$exists": False}]
    for operand in operands:
        condition = holds({"a": operand}, ROWS.c.properties)
        assert condition is not None
        expected = [(i,) for i, row in enumerate(rows) if matches({"a": operand}, row)]
        assert sorted(on_duckdb(select(ROWS.c.id).where(condition), rows)) == expected, operand


@given(
    st.one_of(
        scalars,
        st.floats(allow_nan=False, allow_infinity=False),
        st.just([1]),
        st.integers(-(10**120), 10**120),
    )
)
def test_a_number_is_found_or_told_unusable_but_never_both(value: Any) -> None:
    document = ROWS.c.properties
    query = select(
        NumberIn(document, "a"), UnusableIn(document, "a"), KindIn(document, "a"), TextIn(document, "a")
    )
    ((number, unusable, kind, text),) = on_sqlite(query, [{"a": value}])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) <= 1e100:
        assert (number, unusable) == (float(value), 0)
    else:
        assert (number, unusable) == (None, int(value is not None))
    assert (kind in {"integer", "real"}) is is_number
    assert text == (value if isinstance(value, str) else None)
