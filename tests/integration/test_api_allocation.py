"""The traffic of an experiment over HTTP and from a terminal: what a bandit did and would do, held weights, variants."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.analysis_rows import START
from tests.integration.bandit_world import CLOSE, KEY, days_pass, start, weights_now
from tests.integration.command_line import CommandLine
from tests.integration.people import REMINDER, SILENCE, add_people, campaign

SPRING = "/v1/experiments/spring"


@pytest.fixture
def running(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> TestClient:
    """A client, and a campaign with a bandit that runs and has planned half of its audience."""
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 101))
    document = campaign(
        variants=[SILENCE, REMINDER], audience={"coverage": 0.5}, allocation={"policy": "thompson"}
    )
    assert writer.post("/v1/experiments", json=document).status_code == 201
    assert writer.get(f"{SPRING}/allocation").json()["next_due_at"] is None
    assert writer.post(f"{SPRING}/start").status_code == 200
    jobs.plan(wiring)
    return writer


def test_the_state_of_the_traffic(running: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    found = running.get(f"{SPRING}/allocation").json()
    assert found | {"epochs": None, "policy": None} == {
        "experiment": "spring",
        "policy": None,
        "weights": {"silence": 0.5, "reminder": 0.5},
        "active": ["silence", "reminder"],
        "silenced": [],
        "held_at": None,
        "next_due_at": "2026-12-02T10:00:00Z",
        "epochs": None,
        "reallocations": [],
    }
    assert found["policy"] == {
        "policy": "thompson",
        "metric": "bought",
        "interval": "1d",
        "floor": 0.05,
        "burn_in": {"users": 100, "conversions": 10},
        "waves": {"share": 0.1},
    }
    assert [epoch["number"] for epoch in found["epochs"]] == [1]
    clock.current = START.replace(day=2)
    assert running.get(f"{SPRING}/allocation").json()["next_due_at"] == "2026-12-02T10:00:00Z"
    jobs.reallocate(wiring)
    found = running.get(f"{SPRING}/allocation").json()
    (row,) = found["reallocations"]
    assert (row["slot"], row["outcome"], row["epoch"]) == (1, "skipped", 1)
    assert "too thin: arm" in row["reason"]
    assert row["numbers"]["arms"]["reminder"]["weight"] == 0.5
    assert found["next_due_at"] == "2026-12-03T10:00:00Z"
    assert running.get("/v1/experiments/nobody/allocation").status_code == 404


def test_weights_are_held_until_the_bandit_is_resumed(running: TestClient) -> None:
    request = {"weights": {"silence": 1, "reminder": 3}, "reason": "a partner asks for it"}
    assert running.post(f"{SPRING}/weights", json={**request, "hold": True}).status_code == 200
    assert running.get(f"{SPRING}/allocation").json()["held_at"] == "2026-12-01T10:00:00Z"
    # Other weights, and still held.
    again = {"weights": {"silence": 1, "reminder": 1}, "reason": "enough"}
    assert running.post(f"{SPRING}/weights", json=again).json()["number"] == 3
    assert running.get(f"{SPRING}/allocation").json()["held_at"] == "2026-12-01T10:00:00Z"
    assert running.post(f"{SPRING}/weights", json={**again, "hold": "yes"}).status_code == 422
    assert running.post(f"{SPRING}/allocation/resume", json={}).status_code == 422
    assert running.post(f"{SPRING}/allocation/resume", json={"reason": "over"}).status_code == 200
    assert running.get(f"{SPRING}/allocation").json()["held_at"] is None
    assert running.post(f"{SPRING}/allocation/resume", json={"reason": "over"}).status_code == 409


def test_a_variant_is_added_and_one_is_retired(running: TestClient, wiring: Wiring) -> None:
    late = {"key": "late", "message": {"template": "late", "language": "en_US"}}
    request = {"variant": late, "share": 0.2, "reason": "a new idea"}
    added = running.post(f"{SPRING}/variants", json=request)
    assert added.status_code == 201
    assert added.json()["weights"] == {
        "silence": pytest.approx(0.4),
        "reminder": pytest.approx(0.4),
        "late": pytest.approx(0.2),
    }
    design = running.get(SPRING).json()["design"]
    assert [variant["key"] for variant in design["variants"]] == ["silence", "reminder", "late"]
    # The design as it is now is found unchanged.
    assert running.put(SPRING, json=design).json()["outcome"] == "unchanged"
    wrong = running.post(f"{SPRING}/variants", json={**request, "variant": {**late, "weight": 2}})
    assert wrong.status_code == 422
    assert {each["field"] for each in wrong.json()["errors"]} == {"variant.weight"}

    path = f"{SPRING}/variants/reminder/retire"
    assert running.post(path, json={"reason": "sold out"}).status_code == 422
    retired = running.post(path, json={"reason": "sold out", "planned": "cancel"})
    assert retired.status_code == 200
    assert retired.json()["cancelled"] > 10
    assert retired.json()["epoch"]["weights"] == {
        "silence": pytest.approx(2 / 3),
        "reminder": 0.0,
        "late": pytest.approx(1 / 3),
    }
    found = running.get(f"{SPRING}/allocation").json()
    assert (found["active"], found["silenced"]) == (["silence", "late"], ["reminder"])
    assert running.post(path, json={"reason": "again", "planned": "keep"}).status_code == 409
    nobody = running.post(f"{SPRING}/variants/cupon/retire", json={"reason": "x", "planned": "keep"})
    assert nobody.status_code == 404
    evaluated = running.get(f"{SPRING}/report").json()
    assert [arm["variant"] for arm in evaluated["arms"]] == ["silence", "reminder", "late"]


def test_who_may_only_read_changes_nothing(running: TestClient, keys: dict[str, str]) -> None:
    running.headers["Authorization"] = f"Bearer {keys['read']}"
    assert running.get(f"{SPRING}/allocation").status_code == 200
    for path, body in (
        ("allocation/resume", {"reason": "x"}),
        ("variants", {"variant": {"key": "late"}, "reason": "x"}),
        ("variants/reminder/retire", {"reason": "x", "planned": "keep"}),
    ):
        assert running.post(f"{SPRING}/{path}", json=body).status_code == 403


def test_the_command_says_what_it_would_do_and_does_what_is_due(
    touchstone: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert touchstone("migrate").returncode == 0
    database, clock = Database(f"sqlite:///{tmp_path}/touchstone.db"), SteppedClock(START)
    start(database, clock)
    days_pass(database, clock, days=2, ticks=False, rates=CLOSE)
    monkeypatch.setattr("api.wiring.SystemClock", lambda: clock)
    before = weights_now(database)
    told = touchstone("reallocate", "--dry-run")
    assert told.returncode == 0
    first, *arms = told.stdout.splitlines()
    assert first.startswith("spring: would be moved, Thompson sampling by bought:")
    assert [arm.strip().partition(":")[0] for arm in arms] == ["silence", "reminder", "coupon"]
    assert "33.3% -> " in arms[0]
    assert weights_now(database) == before
    done = touchstone("reallocate", KEY)
    assert done.stdout == told.stdout.replace("would be moved", "moved")
    assert weights_now(database) != before
    assert touchstone("reallocate", KEY).stdout == (
        "nothing is due; the next slot of spring is due 2026-12-04T10:00:00Z\n"
    )
    assert touchstone("reallocate").stdout == "nothing is due\n"
    nobody = touchstone("reallocate", "nobody")
    assert (nobody.returncode, "no experiment 'nobody'" in nobody.stderr) == (1, True)
    database.dispose()


def test_the_command_refuses_weights_that_are_fixed(
    touchstone: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert touchstone("migrate").returncode == 0
    database, clock = Database(f"sqlite:///{tmp_path}/touchstone.db"), SteppedClock(START)
    start(database, clock, allocation={"policy": "fixed"})
    database.dispose()
    refused = touchstone("reallocate", KEY, "--dry-run")
    assert refused.returncode == 1
    assert "has fixed weights, so that no traffic moves" in refused.stderr
