"""`touchstone report`, `replay`, and `analyze` with files, as a person types them."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api import migrations
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.analysis_rows import DAY
from tests.integration.command_line import CommandLine
from tests.integration.looks import campaign, look_often
from tests.unit.analysis.pages import Page

FILE = (
    "variant,bought\n"
    + "\n".join(f"{'AB'[i % 2]},{int(i % 10 < 3 + 2 * (i % 2))}" for i in range(400))
    + "\n"
)
ANALYZE = (
    "analyze",
    "orders.csv",
    "--variant",
    "variant",
    "--control",
    "A",
    "--metric",
    "bought=proportion:bought",
)


@pytest.fixture
def key(touchstone: CommandLine, tmp_path: Path, clock: SteppedClock) -> str:
    return _looked_at_twice(tmp_path, clock)


def _looked_at_twice(tmp_path: Path, clock: SteppedClock) -> str:
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    migrations.upgrade(database)
    name = campaign(database, clock, users=150)
    look_often(database, clock, name, looks=2, every=3 * DAY)
    database.dispose()
    return name


def test_a_report_in_every_form_and_a_kept_one_by_its_id(
    touchstone: CommandLine, key: str, tmp_path: Path
) -> None:
    text = touchstone("report", key)
    assert text.returncode == 0, text.stderr
    assert "bought (proportion, primary)" in text.stdout
    assert (
        touchstone("report", key, "--id", "2", "--format", "html", "--out", "r.html").stdout
        == "wrote r.html\n"
    )
    assert "bought over time" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    touchstone("report", key, "--id", "2", "--format", "csv", "--out", "r.csv")
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as table:
        assert len(list(csv.DictReader(table))) == 9
    touchstone("report", key, "--id", "1", "--out", "r.txt")
    assert "Health" in (tmp_path / "r.txt").read_text(encoding="utf-8")
    document = json.loads(touchstone("report", key, "--id", "2", "--format", "json").stdout)
    assert document["provenance"]["id"] == 2
    assert "there is no report 99" in touchstone.fails("report", key, "--id", "99")
    assert "key" in touchstone.fails("report", "nobody")
    assert touchstone("report", key, "--format", "pdf").returncode == 2
    assert "cannot be written" in touchstone.fails(
        "report", key, "--id", "1", "--format", "csv", "--out", "no/such/r.csv"
    )


def test_what_is_shown_can_be_had_again_by_an_id(touchstone: CommandLine, tmp_path: Path) -> None:
    # The command line goes by the clock of the machine, and looks before its time would count as newer.
    key = _looked_at_twice(tmp_path, SteppedClock(datetime(2026, 3, 2, 9, tzinfo=UTC)))
    made = touchstone("report", key)
    assert made.stderr == "report 3; `touchstone replay 3` makes it again\n"
    assert touchstone("replay", "3").returncode == 0
    again = touchstone("report", key)
    assert again.stderr.startswith("nothing has changed since report 3 of ")
    listed = touchstone("reports", key).stdout
    assert [line.split("│")[1].strip() for line in listed.splitlines() if line.startswith("│")] == [
        "3",
        "2",
        "1",
    ]
    assert len(touchstone("reports", key, "--limit", "1").stdout.splitlines()) == len(listed.splitlines()) - 2
    assert "nobody" in touchstone.fails("reports", "nobody")


def test_replay_by_id_and_from_a_file(touchstone: CommandLine, key: str, tmp_path: Path) -> None:
    run = touchstone("replay", "2")
    assert (run.returncode, run.stderr) == (0, "")
    assert "the same, byte for byte" in run.stdout
    touchstone("report", key, "--id", "2", "--format", "json", "--out", "r.json")
    assert touchstone("replay", "r.json").stdout == run.stdout
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    document["decision"]["action"] = "ship"
    (tmp_path / "r.json").write_text(json.dumps(document), encoding="utf-8")
    altered = touchstone("replay", "r.json")
    assert altered.returncode == 1
    assert "the report was altered" in altered.stdout
    assert 'first difference at decision.action: kept "ship", made again ' in altered.stdout


def test_a_report_of_a_file_is_written_as_page_and_table_and_replays(
    touchstone: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_text(FILE)
    run = touchstone(*ANALYZE, "--json", "--html", "r.html", "--csv", "r.csv")
    assert run.returncode == 0, run.stderr
    (tmp_path / "r.json").write_text(run.stdout, encoding="utf-8")
    assert touchstone("replay", "r.json").returncode == 0
    assert json.loads(run.stdout)["inputs"]["specification"]["metrics"] == ["bought=proportion:bought"]
    assert "orders.csv" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert (tmp_path / "r.csv").read_text(encoding="utf-8").count("\n") == 3
    assert "cannot be written" in touchstone.fails(*ANALYZE, "--html", "no/such/r.html")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "does not hold a report"),
        ('{"a": NaN}', "is not JSON"),
        ("{}", "is not a report"),
        ('{"arms": [], "as_of": "2026-12-01T10:00:00Z"}', "cannot be replayed: made before"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(
    touchstone: CommandLine, tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "r.json").write_text(content)
    assert says in touchstone.fails("replay", "r.json")


def test_an_id_or_a_file_that_is_not_there_is_said(touchstone: CommandLine, key: str) -> None:
    assert "there is no file nowhere.json" in touchstone.fails("replay", "nowhere.json")
    assert "there is no report 77" in touchstone.fails("replay", "77")
    assert "there is no report" in touchstone.fails("replay", "9" * 40)
