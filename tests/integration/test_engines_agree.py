"""The same experiment on every engine: the same numbers to 1e-9, and the words of others are values, never SQL."""

from pathlib import Path

import duckdb
import pytest
from sqlalchemy import BigInteger, Double, column, select, table

from analysis.warehouse.export import export_facts
from analysis.warehouse.translation import translate, write
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.analysis_rows import DAY, START
from tests.integration.every_fact import KINDS, KINDS_OF_FACTS, every_fact, facts_of, the_same_facts
from tests.integration.warehouse_rows import (
    AS_OF,
    METRICS,
    NAMES,
    VARIANTS,
    a_world,
    gather,
    here,
    named,
    opened,
    the_same,
    worth,
)
from tests.unit.analysis.constructs import CONSTRUCTS


def tables_in(file: Path, folder: Path) -> None:
    """The Parquet files of a folder as tables of a DuckDB file."""
    with duckdb.connect(str(file)) as connection:
        for table in ("assignments", "events", "messages"):
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM '{folder}/{table}.parquet'")


@pytest.mark.parametrize(("url", "seed"), [("sqlite_url", 1), ("postgres_url", 2)])
def test_duckdb_says_what_the_database_says(
    request: pytest.FixtureRequest, tmp_path: Path, url: str, seed: int
) -> None:
    database = Database(request.getfixturevalue(url))
    a_world(database, seed, huge=seed == 2)
    for format_ in ("parquet", "csv"):
        export_facts(database, SteppedClock(AS_OF), folder=tmp_path / format_, format_=format_, page=700)
    tables_in(tmp_path / "facts.duckdb", tmp_path / "parquet")
    expected = here(database)
    assert len(expected.arms) == len(VARIANTS)
    assert all(expected.metrics[key] for key in METRICS)
    assert max(arm.mean for arm in expected.metrics["quoted"].values()) > 0
    for place in ("parquet", "csv", "facts.duckdb"):
        engine = opened(f"duckdb:///{tmp_path / place}")
        the_same(expected, gather(engine))
        engine.dispose()
    the_same(here(database, 2), gather(opened(f"duckdb:///{tmp_path / 'parquet'}"), 2))
    database.dispose()


def test_sqlite_says_what_postgresql_says(sqlite_url: str, postgres_url: str) -> None:
    found = []
    for url in (sqlite_url, postgres_url):
        database = Database(url)
        a_world(database, 3)
        found.append(here(database))
        database.dispose()
    the_same(*found)


def test_every_fact_is_the_same_on_sqlite_postgresql_and_duckdb(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    """Whole, per user reached, by epoch, by day, and as a bandit asks; `make test-spark` adds Spark, in the same world."""
    ours = facts_of(sqlite_url)
    assert {name[0] for name in ours} == KINDS_OF_FACTS
    assert {name[2] for name in ours if name[0] == "epoch"} == {1, 2, 3}
    assert {name[1] for name in ours if name[0] == "metric"} == KINDS.keys()
    # No guard is without harm, in any of the ways that it is asked.
    harm = {name[1:4]: 0.0 for name in ours if name[0] == "guard"}
    assert len(harm) == 15
    for name in (name for name in ours if name[0] == "guard"):
        harm[name[1:4]] += ours[name]
    assert min(harm.values()) > 0
    the_same_facts(ours, facts_of(postgres_url))
    database = Database(sqlite_url)
    for format_ in ("parquet", "csv"):
        export_facts(database, SteppedClock(AS_OF), folder=tmp_path / format_, format_=format_, page=700)
        engine = opened(f"duckdb:///{tmp_path / format_}")
        the_same_facts(ours, every_fact(engine))
        engine.dispose()
    database.dispose()


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_names_are_values_and_never_sql(sqlite_url: str, tmp_path: Path, format_: str) -> None:
    database = Database(sqlite_url)
    named(database, NAMES)
    export_facts(database, SteppedClock(START + 9 * DAY), folder=tmp_path, format_=format_)
    engine = opened(f"duckdb:///{tmp_path}")
    assert [worth(engine, name) for name in NAMES] == list(range(1, len(NAMES) + 1))
    assert worth(engine, "nobody") == 0
    database.dispose()


CELLS = [
    (1, 7, "a", 2.5, 3, '{"k": "One"}'), (2, 7, "b", -4.25, 4, '{"k": 5.5}'), (3, 8, "a", None, 0, '{"k": null}'),
    (4, 9, "b", 9.0, 7, "{}"), (5, 8, "q", 3.75, -3, '{"k": [1]}'), (6, 9, "a", 6.0, -4, '{"k": true}'),
]  # fmt: skip


def test_what_facts_may_be_made_of_means_the_same_in_duckdb(postgres_url: str) -> None:
    database, copy = Database(postgres_url), duckdb.connect()
    with database.transaction() as session:
        asked = session.connection().exec_driver_sql
        asked("CREATE TABLE t (id BIGINT, u BIGINT, v TEXT, x DOUBLE PRECISION, y BIGINT, d JSONB)")
        copy.execute("CREATE TABLE t (id BIGINT, u BIGINT, v TEXT, x DOUBLE, y BIGINT, d TEXT)")
        for cells in CELLS:
            asked("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", cells)
            copy.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", cells)
        t = table("t", column("id", BigInteger), column("y", BigInteger), column("x", Double))
        divided = select(t.c.id, t.c.y // 2, t.c.y // -2, t.c.y / 2, t.c.x // 2, t.c.x / t.c.id).order_by(
            t.c.id
        )
        here = [tuple(row) for row in session.connection().execute(divided)]
        there = copy.execute(translate(divided, "duckdb")).fetchall()
        assert [tuple(map(float, row[:-2])) for row in there] == [tuple(map(float, row[:-2])) for row in here]
        for query in CONSTRUCTS:
            here = [tuple(row) for row in asked(query.replace("%", "%%"), ()).fetchall()]
            there = copy.execute(write(query, "duckdb")).fetchall()
            assert here, query
            assert there == [pytest.approx(row, rel=1e-9) if _plain(row) else row for row in here], query
    database.dispose()


def _plain(row: tuple[object, ...]) -> bool:
    return all(isinstance(cell, int | float) for cell in row)
