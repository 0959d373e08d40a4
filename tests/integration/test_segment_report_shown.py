"""Reports by slice over HTTP and on the command line."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from analysis.reports.report_csv import render_csv
from api import migrations
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.integration.honest import same_in_the_table
from tests.integration.segmented import World, segmented
from tests.integration.test_report import look, stored
from tests.unit.analysis.pages import Page
from tests.unit.experiments.test_design import CAMPAIGN

PATH = "/v1/experiments/spring/report/segments"


def test_over_http(
    writer: TestClient, wiring: Wiring, clock: SteppedClock, keys: dict[str, str], subtests: pytest.Subtests
) -> None:
    segmented(wiring.database, clock, lifts=(6.0, 0.0, 0.0))
    reader = {"Authorization": f"Bearer {keys['read']}"}
    body = writer.get(PATH, params={"by": "country"}, headers=reader).json()
    assert (body["by"], body["slices"]) == ("country", ["BR", "NL", "US", "DE", ""])
    assert body["metrics"][0]["heterogeneity"][0]["differs"]
    kept = writer.get("/v1/experiments/spring/report").json()
    assert (body["report"], body["as_of"]) == (kept["provenance"]["id"], kept["as_of"])
    assert writer.get(PATH, params={"by": "day", "max_age": 86_400}).json()["slices"] == [
        "2026-12-01",
        "2026-12-02",
    ]
    assert len(stored(wiring.database)) == 1
    shown = {"by": "country", "max_age": 86_400}
    rows = list(csv.DictReader(StringIO(writer.get("/v1/experiments/spring/report.csv", params=shown).text)))
    assert [row["slice"] for row in rows if row["row"] == "slice"] == ["BR", "NL", "US", "DE", ""]
    assert "By country" in Page(writer.get("/v1/experiments/spring/report.html", params=shown).text).text
    assert len(stored(wiring.database)) == 1
    writer.post("/v1/experiments", json={**CAMPAIGN, "key": "other"})
    for path, status, field in (
        (f"{PATH}?by=county", 422, "by"),
        (f"{PATH}?by=a.b", 422, "by"),
        ("/v1/experiments/spring/report.csv?by=county", 422, "by"),
        ("/v1/experiments/spring/report.html?by=", 422, "by"),
        (f"{PATH}?by=", 422, "by"),
        (f"{PATH}?by=%00", 422, "by"),
        (PATH, 422, "by"),
        (f"{PATH}?by=country&per=day", 422, "per"),
        ("/v1/experiments/other/report/segments?by=country", 409, "status"),
        ("/v1/experiments/nobody/report/segments?by=country", 404, "key"),
    ):
        with subtests.test(path):
            answer = writer.get(path)
            assert answer.status_code == status, answer.text
            assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    wrong = writer.get(PATH, params={"by": "day"}, headers={"Authorization": f"Bearer {keys['ingest']}"})
    assert wrong.status_code == 403


@pytest.fixture
def world(touchstone: CommandLine, tmp_path: Path, clock: SteppedClock) -> World:
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    migrations.upgrade(database)
    made = segmented(database, clock, lifts=(6.0, 0.0, 0.0))
    look(database, clock)
    database.dispose()
    return made


def test_on_the_command_line(touchstone: CommandLine, world: World, tmp_path: Path) -> None:
    # By its id, because commands have the clock of the machine; the world has its own.
    kept = ("report", world.key, "--id", "1")
    run = touchstone(*kept, "--by", "country")
    assert run.returncode == 0, run.stderr
    assert "spring by country · report 1" in run.stdout
    assert "coupon: the effect differs between the 3 slices" in run.stdout
    document = json.loads(touchstone(*kept, "--by", "country", "--json").stdout)
    assert (document["report"], document["slices"][:3]) == (1, ["BR", "NL", "US"])
    assert json.loads(touchstone(*kept, "--by", "country", "--format", "json").stdout) == document
    assert touchstone(*kept, "--by", "day", "--out", "days.txt").stdout == "wrote days.txt\n"
    assert "2026-12-02" in (tmp_path / "days.txt").read_text(encoding="utf-8")
    assert json.loads(touchstone(*kept, "--json").stdout)["provenance"]["id"] == 1
    assert "by: no user" in touchstone.fails(*kept, "--by", "county")
    segments = document
    table = touchstone(*kept, "--by", "country", "--format", "csv").stdout
    body = {
        name: value
        for name, value in json.loads(touchstone(*kept, "--json").stdout).items()
        if name != "provenance"
    }
    assert table.replace("\r\n", "\n") == render_csv(body, segments=segments).replace("\r\n", "\n")
    same_in_the_table(body, segments)
    page = Page(touchstone(*kept, "--by", "country", "--format", "html").stdout).text
    assert "By country" in page
    assert "the effect differs between the 3 slices by more than chance" in page
    assert "(none)" in page
    assert "--json: " in touchstone.fails(*kept, "--format", "csv", "--json")
    assert touchstone("report", world.key, "--by", "day").returncode == 0
    assert "key: " in touchstone.fails("report", "nobody", "--by", "day")
