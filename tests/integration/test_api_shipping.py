"""Shipping over HTTP and from a terminal: by the report's decision, by force, again; and what is said of a wave."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.conftest import START
from tests.integration.broadcast import WINS, begin, people_buy, plan
from tests.integration.command_line import CommandLine

SHIP = "/v1/experiments/spring/ship"
EVENT = {"type": "event", "event": "Cart Abandoned"}
DAILY = {"type": "recurring", "cron": "0 10 * * *"}


@pytest.fixture
def bought(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> TestClient:
    """A client, and a campaign with fixed weights whose coupon has won."""
    begin(wiring.database, clock, allocation={"policy": "fixed"}, audience={"coverage": 0.5})
    plan(wiring.database, clock)
    people_buy(wiring.database, clock, WINS)
    clock.advance(timedelta(days=2))
    return writer


def test_the_winner_is_shipped_once(bought: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    shipped = bought.post(SHIP, json={})
    assert shipped.status_code == 200, shipped.text
    found = shipped.json()
    assert (found["status"], found["shipped"], found["shipped_at"]) == (
        "running",
        "coupon",
        "2026-12-03T10:00:00Z",
    )
    assert found["design"]["audience"]["coverage"] == 1.0
    jobs.plan(wiring)
    again = bought.post(SHIP, json={"variant": "coupon"})
    assert again.status_code == 200
    assert again.json() == found
    refused = bought.post(SHIP, json={"variant": "reminder", "force": True, "reason": "no"})
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "variant"
    clock.advance(timedelta(seconds=1))
    report = bought.get("/v1/experiments/spring/report", params={"max_age": 0}).json()
    assert any("coupon was shipped" in warning for warning in report["warnings"])
    assert bought.post("/v1/experiments/spring/stop").json()["status"] == "stopped"


def test_a_winner_is_shipped_by_a_report_of_now(
    writer: TestClient, wiring: Wiring, clock: SteppedClock, keys: dict[str, str]
) -> None:
    begin(wiring.database, clock, allocation={"policy": "fixed"}, audience={"coverage": 0.5})
    plan(wiring.database, clock)
    people_buy(wiring.database, clock, WINS)
    clock.advance(timedelta(hours=23, minutes=30))

    def report() -> dict[str, str]:
        said = writer.get("/v1/experiments/spring/report", params={"max_age": 86_400}).json()
        return {"as_of": said["as_of"], "action": said["decision"]["action"]}

    assert report() == {"as_of": "2026-12-02T09:30:00Z", "action": "continue"}
    # Their windows close in half an hour; the report of before that does not know who has won.
    clock.advance(timedelta(minutes=45))
    assert report()["action"] == "continue"
    forced = writer.post(SHIP, json={"force": True, "variant": "reminder"})
    assert forced.json()["errors"][0]["field"] == "reason"
    # By force nothing is decided by it, so nobody waits for another one.
    assert report()["as_of"] == "2026-12-02T09:30:00Z"
    shipped = writer.post(SHIP)
    assert (shipped.status_code, shipped.json()["shipped"]) == (200, "coupon")
    assert report() == {"as_of": "2026-12-02T10:15:00Z", "action": "ship"}
    log = writer.get("/v1/audit", headers={"Authorization": f"Bearer {keys['admin']}"}).json()["items"]
    [entry] = [each for each in log if each["action"] == "experiment.ship"]
    assert entry["after"]["as_of"] == "2026-12-02T10:15:00Z"


@pytest.mark.parametrize(
    ("trigger", "variant", "words"),
    [
        (EVENT, "coupon", "what is planned for them goes out"),
        (DAILY, "coupon", "goes on getting its messages at every occasion until the experiment is stopped"),
        (DAILY, "silence", "silence has no message, so the messaging has ended"),
    ],
)
def test_the_answer_says_who_gets_what_from_now_on(
    writer: TestClient, wiring: Wiring, clock: SteppedClock, trigger: dict[str, str], variant: str, words: str
) -> None:
    begin(wiring.database, clock, people=5, allocation={"policy": "fixed"}, trigger=trigger)
    assert writer.get("/v1/experiments/spring").json()["follows"] == []
    body = {"variant": variant, "force": True, "reason": "it is cheap"}
    (told,) = writer.post(SHIP, json=body).json()["follows"]
    assert words in told
    assert writer.get("/v1/experiments/spring").json()["follows"] == [told]
    writer.post("/v1/experiments/spring/stop")
    assert writer.get("/v1/experiments/spring").json()["follows"] == ([told] if variant == "silence" else [])


def test_what_cannot_be_shipped_is_refused_at_its_field(bought: TestClient, keys: dict[str, str]) -> None:
    for body, status, field in (
        ({"variant": "reminder"}, 409, "force"),
        ({"variant": "nobody", "force": True, "reason": "x"}, 404, "variant"),
        ({"force": True, "variant": "reminder"}, 422, "reason"),
        ({"force": "yes"}, 422, "force"),
        ({"winner": "coupon"}, 422, "winner"),
    ):
        refused = bought.post(SHIP, json=body)
        assert refused.status_code == status, refused.text
        assert refused.json()["errors"][0]["field"] == field
    assert bought.post("/v1/experiments/nobody/ship", json={}).status_code == 404
    bought.headers["Authorization"] = f"Bearer {keys['read']}"
    assert bought.post(SHIP, json={}).status_code == 403


def test_a_terminal_ships_and_tells_of_waves(
    touchstone: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert touchstone("migrate").returncode == 0
    database, clock = Database(f"sqlite:///{tmp_path}/touchstone.db"), SteppedClock(START)
    monkeypatch.setattr("api.wiring.SystemClock", lambda: clock)
    begin(database, clock, people=900, allocation={"interval": "12h", "burn_in": 100_000})
    plan(database, clock)
    clock.advance(timedelta(hours=12))
    said = touchstone("reallocate", "spring").stdout.splitlines()
    assert said[-1].startswith("  the next wave: held, too thin: arm")
    assert "the report's decision is continue" in touchstone("experiment", "ship", "spring").stderr
    by_force = ("--variant", "reminder", "--force", "--reason", "it is cheap")
    told = touchstone("experiment", "ship", "spring", *by_force)
    keeps = "whoever was assigned before keeps their variant and is not messaged a second time"
    rest = f"  the rest of the audience gets reminder; {keeps}\n"
    assert (told.returncode, told.stdout) == (0, f"spring: shipped reminder (running)\n{rest}")
    again = touchstone("experiment", "ship", "spring")
    assert again.stdout == f"spring: was shipped before: reminder (running)\n{rest}"
    refused = touchstone("reallocate", "spring")
    assert refused.returncode == 1
    assert "has shipped reminder, so that no traffic moves" in refused.stderr
    database.dispose()
