"""The same experiment on every engine: the same numbers to 1e-9, and the words of others are values, never SQL."""

from pathlib import Path

import duckdb
import pytest

from analysis import facts
from analysis.engines import FactsCopy, FactsEngine, SessionFacts, open_replica
from analysis.facts import ExperimentFacts
from analysis.warehouse.export import export_facts
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from tests.integration.warehouse_rows import AS_OF, METRICS, VARIANTS, a_world, the_same


def gather(engine: FactsEngine, experiment: int = 1) -> ExperimentFacts:
    return facts.gather(engine, experiment_id=experiment, definitions=METRICS, as_of=AS_OF)


def here(database: Database, experiment: int = 1) -> ExperimentFacts:
    with database.snapshot() as session:
        return gather(SessionFacts(session), experiment)


def opened(url: str) -> FactsCopy:
    engine = open_replica(Settings(facts_url=url))
    assert isinstance(engine, FactsCopy)
    return engine


def tables_in(file: Path, folder: Path) -> None:
    """The Parquet files of a folder as tables of a DuckDB file."""
    with duckdb.connect(str(file)) as connection:
        for table in ("assignments", "events", "messages"):
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM '{folder}/{table}.parquet'")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / name for name in ("parquet", "csv")}


@pytest.mark.parametrize("seed", [1, 2])
def test_duckdb_says_what_the_database_says(
    database: Database, tmp_path: Path, folders: dict[str, Path], seed: int
) -> None:
    a_world(database, seed, huge=seed == 2)
    for format_, folder in folders.items():
        export_facts(database, SteppedClock(AS_OF), folder=folder, format_=format_, page=700)
    tables_in(tmp_path / "facts.duckdb", folders["parquet"])
    expected = here(database)
    assert len(expected.arms) == len(VARIANTS)
    assert all(expected.metrics[key] for key in METRICS)
    assert max(arm.mean for arm in expected.metrics["quoted"].values()) > 0
    for place in (*folders.values(), tmp_path / "facts.duckdb"):
        engine = opened(f"duckdb:///{place}")
        the_same(expected, gather(engine))
        the_same(here(database, 2), gather(engine, 2))
        engine.dispose()


def test_sqlite_says_what_postgresql_says(sqlite_url: str, postgres_url: str) -> None:
    found = []
    for url in (sqlite_url, postgres_url):
        database = Database(url)
        a_world(database, 3)
        found.append(here(database))
        database.dispose()
    the_same(*found)
