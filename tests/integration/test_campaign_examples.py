"""Every example on the page about campaigns is applied, started and planned, over HTTP and from the command line."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from sqlalchemy import update

from api import jobs
from api.wiring import Wiring
from experiments.clock import SteppedClock
from targeting.models import User
from tests.integration.command_line import CommandLine
from tests.integration.people import add_people, campaign
from tests.integration.rule_world import happens

PAGE = (Path(__file__).parents[2] / "docs/campaign.md").read_text(encoding="utf-8")
WHOLE, *PARTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES = [part for part in PARTS if "audience" not in part]
PATH = "/v1/experiments/spring-wakeup"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def kinds(document: dict[str, Any]) -> Iterator[str]:
    for name, value in document.items():
        yield f"{name}-{value['type']}" if name == "trigger" else name


@pytest.mark.parametrize("part", EXAMPLES, ids=lambda part: "-".join(kinds(part)))
def test_each_example_can_be_started(
    writer: TestClient, wiring: Wiring, clock: SteppedClock, part: dict[str, Any]
) -> None:
    old = "2026-06-01T00:00:00Z"
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 31), attributes={"first_name": "Ann", "last_order_at": old})
        session.connection().execute(update(User).values(last_seen_at=clock.now() - timedelta(days=40)))
    document = WHOLE | part
    made = writer.put(PATH, json=document)
    assert made.status_code == 200, made.text
    design = made.json()["experiment"]["design"]
    assert writer.put(PATH, json=design).json()["outcome"] == "unchanged"
    assert writer.put(PATH, json=document).json()["outcome"] == "unchanged"
    started = writer.post(f"{PATH}/start")
    assert started.status_code == 200, started.text
    assert writer.put(PATH, json=document).json()["outcome"] == "unchanged"
    clock.advance(timedelta(hours=1))
    happens(wiring.database, clock, "user-1", name="Cart Abandoned", value=80)
    for job in ("evaluate-rules", "plan"):
        jobs.JOBS[job](wiring)
    books = writer.get("/v1/delivery/summary").json()
    assert books["holds"] is True
    for move in ("pause", "resume", "stop"):
        assert writer.post(f"{PATH}/{move}").status_code == 200
    assert writer.get("/v1/delivery/summary").json()["holds"] is True


def test_the_rule_of_an_experiment_over_http(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 5))
    trigger = {"type": "event", "event": "Order Completed", "properties": "revenue >= 10"}
    assert writer.post("/v1/experiments", json=campaign(trigger=trigger)).status_code == 201
    assert writer.get("/v1/rules").json()["items"] == []
    assert writer.post("/v1/experiments/spring/start").status_code == 200
    (row,) = writer.get("/v1/rules").json()["items"]
    assert (row["key"], row["experiment"], row["state"]) == ("experiment.spring", "spring", "on")
    place = f"/v1/rules/{row['key']}"
    for refused in (
        writer.put(place, json=row["definition"]),
        writer.delete(place),
        writer.post(f"{place}/enable"),
        writer.post(f"{place}/disable"),
        writer.put("/v1/rules/experiment.other", json={**row["definition"], "key": "experiment.other"}),
    ):
        assert refused.status_code == 409, refused.text
        assert "belongs to experiment" in refused.json()["detail"]
    happens(wiring.database, clock, "user-1", revenue=20)
    jobs.JOBS["evaluate-rules"](wiring)
    assert [one["user_id"] for one in writer.get(f"{place}/firings").json()["items"]] == ["user-1"]
    assert writer.post(f"{place}/dry-run").json()["fires"] == 1
    writer.post("/v1/experiments/spring/pause")
    assert writer.get(place).json()["state"] == "off"
    audit = writer.get("/v1/audit", params={"subject_kind": "rule"}).json()["items"]
    assert [one["action"] for one in audit] == ["rule.disable", "rule.enable", "rule.put"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"trigger": {"type": "recurring", "cron": "9 * *"}}, "trigger.cron"),
        ({"trigger": {"type": "event", "event": "x", "properties": {"a": {"$gtt": 1}}}}, "trigger.properties.a.$gtt"),
        ({"trigger": {"type": "inactivity"}}, "trigger.after"),
        ({"factors": [{"key": "hour", "levels": [{"key": "a"}]}], "variants": []}, "factors[0].levels"),
        ({"expires": {"at": "tomorrow"}}, "expires.at"),
    ],
    ids=["cron", "properties", "after", "levels", "expires"],
)  # fmt: skip
def test_a_mistake_is_one_line_at_the_terminal_and_a_path_over_http(
    cli: CommandLine, tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(campaign(**changes)), encoding="utf-8")
    ran = cli("apply", str(file))
    assert ran.returncode != 0
    assert f"{field}: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert cli("experiment", "start", "spring").returncode != 0


def test_from_the_command_line(cli: CommandLine, tmp_path: Path) -> None:
    document = campaign(trigger={"type": "event", "event": "Order Completed", "delay": "2h"})
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert cli("apply", str(file)).stdout == "spring: created (draft)\n"
    assert cli("apply", str(file)).stdout == "spring: unchanged (draft)\n"
    for move, status, state in (
        ("start", "running", "on"),
        ("pause", "paused", "off"),
        ("resume", "running", "on"),
        ("stop", "stopped", "off"),
    ):
        ran = cli("experiment", move, "spring")
        assert ran.returncode == 0, ran.stderr
        assert status in ran.stdout
        listed = cli("rules", "list").stdout
        assert "experiment.spring" in listed
        assert re.search(rf"\b{state}\b", listed)
    refused = cli("rules", "enable", "experiment.spring")
    assert refused.returncode != 0
    assert "belongs to experiment 'spring'" in refused.stderr
