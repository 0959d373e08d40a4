"""Spark says what the database says. Run by `make test-spark`, which brings pyspark; Spark takes its time to start."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from analysis.warehouse.export import export_facts
from analysis.warehouse.spark_facts import SparkFacts
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Unavailable
from tests.integration.analysis_rows import DAY, HOUR, START
from tests.integration.every_fact import every_fact, facts_of, the_same_facts
from tests.integration.warehouse_rows import (
    AS_OF,
    NAMES,
    a_world,
    gather,
    here,
    named,
    opened,
    the_same,
    worth,
)

HARD = (
    "a.b",
    "$",
    "'",
    '"',
    "\\'",
    "`",
    "a'b\"c\\d`e",
    "line\n",
    "'; DROP TABLE events; --",
    "\\' OR 1=1 --",
    "😀",
)
"""Of the names, those that Spark could trip over; each is a query, and Spark takes its time."""

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="not run: pyspark is absent"),
    pytest.mark.skipif(shutil.which("java") is None, reason="not run: there is no Java, which Spark needs"),
    # Spark warns of pandas, which nothing here uses.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def one_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spark starts once; engines share it."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("spark")))
        .getOrCreate()
    )
    yield
    session.stop()


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_spark_says_what_the_database_says(sqlite_url: str, tmp_path: Path, format_: str) -> None:
    database = Database(sqlite_url)
    folder = tmp_path / "facts here"
    engine = opened(f"spark:///{folder}")
    a_world(database, 1)
    for hours in (1, 2):
        # The second export replaces the first, under the eyes of the same engine.
        export_facts(database, SteppedClock(AS_OF + hours * HOUR), folder=folder, format_=format_, page=700)
        the_same(here(database), gather(engine))
        assert engine.copied().until == AS_OF + hours * HOUR
        with database.transaction() as session:
            session.connection().execute(text("DELETE FROM events WHERE id % 3 = 0"))
    database.dispose()


def test_every_fact_is_the_same_on_spark(sqlite_url: str, tmp_path: Path) -> None:
    """Those that SQLite, PostgreSQL and DuckDB agree about (`test_engines_agree.py`), in the same world."""
    ours = facts_of(sqlite_url)
    database = Database(sqlite_url)
    export_facts(database, SteppedClock(AS_OF), folder=tmp_path / "copy", page=700)
    the_same_facts(ours, every_fact(opened(f"spark:///{tmp_path / 'copy'}")))
    database.dispose()


def test_names_are_values_and_never_sql(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    named(database, NAMES)
    export_facts(database, SteppedClock(START + 9 * DAY), folder=tmp_path)
    engine = SparkFacts(tmp_path)
    assert {name: worth(engine, name) for name in HARD} == {name: NAMES.index(name) + 1 for name in HARD}
    database.dispose()


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    engine = SparkFacts(tmp_path)
    with pytest.raises(Unavailable, match=r"there is no file .*assignments\.parquet"):
        engine.copied()
    for table in ("users", "assignments", "events", "messages"):
        (tmp_path / f"{table}.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(Unavailable, match="Spark on") as caught:
        engine.copied()
    assert "\n" not in str(caught.value)
