"""`touchstone export facts`: what is written, that it is written whole or not at all, and what is left out."""

import csv
import fcntl
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from analysis.warehouse import export, folder
from analysis.warehouse.export import export_facts
from benchmarks import warehouse_speed
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from experiments.errors import Conflict, Invalid, Unavailable
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, store
from tests.integration.command_line import CommandLine
from tests.integration.warehouse_rows import opened

TABLES = ("users", "assignments", "events", "messages")


def filled(database: Database) -> None:
    store(
        database,
        assigned=[Assigned(1, "=cmd()", START), Assigned(2, "coupon", START)],
        happened=[
            Happened(1, "@SUM(A1)", START + HOUR, {"revenue": 1.5, "note": 'a "b",\n;c'}),
            Happened(2, "'quoted", START - DAY, {}),
            Happened(2, "Order", START + 2 * HOUR, {"revenue": 2}),
        ],
    )
    with database.transaction() as session:
        session.connection().execute(
            text("UPDATE users SET phone = '+3160000000' || id, user_id = 'secret-' || id")
        )


def test_rows_arrive_as_they_are_stored(database: Database, tmp_path: Path, clock: SteppedClock) -> None:
    filled(database)
    tmp_path = tmp_path / "facts"
    seen: list[tuple[str, int, int]] = []
    done = export_facts(database, clock, folder=tmp_path, page=2, progress=lambda *step: seen.append(step))
    events = pq.read_table(tmp_path / "events.parquet").to_pylist()
    assert [row["name"] for row in events] == ["@SUM(A1)", "'quoted", "Order"]
    assert [row["at"] for row in events] == [to_micros(START + h * HOUR) for h in (1, -24, 2)]
    assert json.loads(events[0]["properties"]) == {"revenue": 1.5, "note": 'a "b",\n;c'}
    assert pq.read_table(tmp_path / "messages.parquet").num_rows == 0
    assert done.manifest.rows == {"users": 2, "assignments": 2, "events": 3, "messages": 0}
    assert [step for step in seen if step[0] == "events"] == [("events", 0, 3), ("events", 2, 3), ("events", 3, 3), ("events", 3, 3)]  # fmt: skip
    assert pq.ParquetFile(tmp_path / "events.parquet").num_row_groups == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".export.lock", "assignments.parquet", "events.parquet", "export.json", "messages.parquet", "users.parquet",
    ]  # fmt: skip


def test_nothing_that_names_a_person_leaves(sqlite_url: str, tmp_path: Path, clock: SteppedClock) -> None:
    database = Database(sqlite_url)
    filled(database)
    export_facts(database, clock, folder=tmp_path, format_="csv")
    written = "".join((tmp_path / f"{table}.csv").read_text() for table in TABLES)
    assert "+316" not in written
    assert "secret" not in written
    assert "attributes" not in written
    database.dispose()


def test_a_spreadsheet_runs_nothing_of_a_csv(sqlite_url: str, tmp_path: Path, clock: SteppedClock) -> None:
    database = Database(sqlite_url)
    filled(database)
    export_facts(database, clock, folder=tmp_path, format_="csv")
    for table in TABLES:
        with (tmp_path / f"{table}.csv").open(newline="") as file:
            cells = [cell for row in csv.DictReader(file) for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    with (tmp_path / "events.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["'@SUM(A1)", "''quoted", "Order"]
    database.dispose()


def test_events_before_since_are_left_out_and_the_manifest_says_so(
    database: Database, tmp_path: Path, clock: SteppedClock
) -> None:
    filled(database)
    clock.advance(DAY)
    export_facts(database, clock, folder=tmp_path, since=START)
    assert pq.read_table(tmp_path / "events.parquet").num_rows == 2
    assert pq.read_table(tmp_path / "assignments.parquet").num_rows == 2
    engine = opened(f"duckdb:///{tmp_path}")
    assert (engine.copied().until, engine.copied().since) == (clock.now(), START)
    engine.dispose()


def test_another_format_replaces_the_one_before_and_leaves_what_is_not_ours(
    sqlite_url: str, tmp_path: Path, clock: SteppedClock
) -> None:
    database = Database(sqlite_url)
    filled(database)
    (tmp_path / "notes.parquet").write_text("mine")
    export_facts(database, clock, folder=tmp_path)
    export_facts(database, clock, folder=tmp_path, format_="csv")
    assert {path.name for path in tmp_path.glob("*.parquet")} == {"notes.parquet"}
    assert folder.look(tmp_path).format == "csv"
    database.dispose()


def test_a_failed_export_leaves_the_old_one(sqlite_url: str, tmp_path: Path, clock: SteppedClock) -> None:
    database = Database(sqlite_url)
    filled(database)
    export_facts(database, clock, folder=tmp_path)
    before = folder.look(tmp_path)

    def stop(table: str, _done: int, _last: int) -> None:
        if table == "messages":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_facts(database, clock, folder=tmp_path, progress=stop)
    assert folder.look(tmp_path) == before
    assert not (tmp_path / export.UNFINISHED).exists()
    database.dispose()


def test_bad_input_names_its_field(sqlite_url: str, tmp_path: Path, clock: SteppedClock) -> None:
    database = Database(sqlite_url)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(Invalid, match="format: 'xlsx' is not one of parquet, csv"):
        export_facts(database, clock, folder=tmp_path, format_="xlsx")
    with pytest.raises(Invalid, match="since: lies in the future"):
        export_facts(database, clock, folder=tmp_path, since=clock.now())
    with pytest.raises(Invalid, match=r"folder: .* is a file"):
        export_facts(database, clock, folder=file)
    with pytest.raises(Unavailable, match="cannot be written"):
        export_facts(database, clock, folder=file / "below")
    with (tmp_path / export.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another export"):
            export_facts(database, clock, folder=tmp_path)
    database.dispose()


@pytest.fixture
def touchstone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_the_command_exports_and_says_what(touchstone: CommandLine, tmp_path: Path) -> None:
    assert "there is no database" in touchstone.fails("export", "facts", "out")
    assert touchstone("migrate").returncode == 0
    run = touchstone("export", "facts", "out", "--since", "180d")
    assert run.returncode == 0, run.stderr
    assert "events: 0" in run.stdout
    assert "out holds the facts as of 20" in run.stdout
    assert folder.look(tmp_path / "out").manifest is not None
    assert "--since: 'soon' is neither" in touchstone.fails("export", "facts", "out", "--since", "soon")
    assert "--since" in touchstone.fails("export", "facts", "out", "--since", "99999999999d")
    assert "--since" in touchstone.fails("export", "facts", "out", "--since", "2026-01-01")
    wrong = touchstone.fails("experiment", "list", TOUCHSTONE_FACTS_URL="duckdb://")
    assert "TOUCHSTONE_FACTS_URL: names no folder" in wrong
    assert "format: 'x' is not" in touchstone.fails("export", "facts", "out", "--format", "x")


def test_the_benchmark_of_exported_facts_gives_figures() -> None:
    facts, exported = warehouse_speed.facts_of_many(lambda _text: None, users=300, events=900, repeats=1)
    assert facts.note == "counts agree"
    assert exported.figure > 0
