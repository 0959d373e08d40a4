"""The traffic of an experiment over HTTP and from a terminal: what a bandit did and would do, held weights, variants."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import jobs
from api.wiring import Wiring
from delivery.sending.dispatch import Dispatched
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from experiments.stopped_arms import stop_arm
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
        variants=[SILENCE, REMINDER],
        audience={"coverage": 0.5},
        allocation={"policy": "thompson", "waves": {"share": 0.9}},
    )
    assert writer.post("/v1/experiments", json=document).status_code == 201
    assert writer.get(f"{SPRING}/allocation").json()["next_due_at"] is None
    assert writer.post(f"{SPRING}/start").status_code == 200
    jobs.plan(wiring)
    return writer


def test_the_state_of_the_traffic(running: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    found = running.get(f"{SPRING}/allocation").json()
    assert found | {"epochs": None, "policy": None} == {
        "at": "2026-12-01T10:00:00Z",
        "experiment": "spring",
        "policy": None,
        "weights": {"silence": 0.5, "reminder": 0.5},
        "active": ["silence", "reminder"],
        "silenced": [],
        "stopped": {},
        "guards": [],
        "held_at": None,
        "released": 0.9,
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
        "waves": {"share": 0.9},
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
    unsaid = running.post(path, json={"reason": "sold out"})
    assert (unsaid.status_code, unsaid.json()["errors"]) == (
        422,
        [
            {
                "field": "planned",
                "message": "is required: keep (they are sent what it promises) or cancel (nothing more)",
            }
        ],
    )
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


def test_a_variant_that_a_guardrail_stopped_is_told_and_released(
    running: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    path = f"{SPRING}/variants/reminder/release"
    assert running.post(path, json={"reason": "x"}).status_code == 409
    harm(wiring.database, clock)
    (stopped,) = jobs.guard(wiring)
    assert (stopped.variant, stopped.paused) == ("reminder", True)
    found = running.get(f"{SPRING}/allocation").json()
    assert (found["active"], found["silenced"]) == (["silence"], ["reminder"])
    told = found["stopped"]["reminder"]
    assert (told["guard"], told["share"], told["reason"]) == ("opted_out", 0.5, stopped.reason)
    (guard, *_) = [each for each in found["guards"] if each["guard"] == "opted_out"]
    assert guard["log_e"] >= guard["needed"]
    assert guard["harmed"] > 10
    weights = {"weights": {"silence": 1, "reminder": 1}, "reason": "so there"}
    refused = running.post(f"{SPRING}/weights", json=weights)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "weights.reminder")
    assert running.post(path, json={}).status_code == 422
    assert running.post(path, json={"reason": "x", "planned": "keep"}).status_code == 422
    released = running.post(path, json={"reason": "a test list", "planned": "restore"})
    assert released.status_code == 200
    assert released.json()["weights"] == {"silence": 0.5, "reminder": 0.5}
    assert released.json()["restored"] == stopped.cancelled
    assert running.get(SPRING).json()["status"] == "paused"
    assert running.get(f"{SPRING}/allocation").json()["stopped"] == {}
    assert running.post(f"{SPRING}/variants/nobody/release", json={"reason": "x"}).status_code == 404


def test_the_guards_look_before_anything_is_claimed(
    running: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    harm(wiring.database, clock)
    assert jobs.dispatch(wiring) == Dispatched()
    wiring.dispatcher.close()
    assert running.get(f"{SPRING}/allocation").json()["stopped"].keys() == {"reminder"}
    assert running.get(SPRING).json()["status"] == "paused"


def harm(database: Database, clock: SteppedClock) -> None:
    """Everybody who has the reminder was met by it, and opts out."""
    with database.transaction() as session:
        connection = session.connection()
        now, late = to_micros(clock.now()), to_micros(clock.now()) + 60_000_000
        connection.execute(text("UPDATE messages SET state = 'accepted', slot_at = :now"), {"now": now})
        connection.execute(
            text(
                "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
                "SELECT 'out-' || user_pk, user_pk, 'Opted Out', :late, :late, '{}' FROM messages"
            ),
            {"late": late},
        )
    clock.advance(timedelta(hours=2))


def test_who_may_only_read_changes_nothing(running: TestClient, keys: dict[str, str]) -> None:
    running.headers["Authorization"] = f"Bearer {keys['read']}"
    assert running.get(f"{SPRING}/allocation").status_code == 200
    for path, body in (
        ("allocation/resume", {"reason": "x"}),
        ("variants", {"variant": {"key": "late"}, "reason": "x"}),
        ("variants/reminder/retire", {"reason": "x", "planned": "keep"}),
        ("variants/reminder/release", {"reason": "x"}),
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


def test_a_stopped_variant_is_released_from_a_terminal(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database, clock = Database(f"sqlite:///{tmp_path}/touchstone.db"), SteppedClock(START)
    start(database, clock)
    with database.transaction() as session:
        stop_arm(session, clock, actor="guard", key=KEY, variant="coupon", guard="failed", reason="harm", numbers={"verdicts": []})  # fmt: skip
    assert weights_now(database)["coupon"] == 0.0
    done = touchstone("release", KEY, "coupon", "--reason", "the list was wrong", "--restore")
    assert done.returncode == 0
    assert done.stdout == "coupon goes on with 33.3% of new users; 0 messages are planned again\n"
    assert weights_now(database)["coupon"] == pytest.approx(1 / 3)
    again = touchstone("release", KEY, "coupon", "--reason", "x")
    assert (again.returncode, "no guardrail has stopped 'coupon'" in again.stderr) == (1, True)
    assert touchstone("run", "guard").stdout == "guard: []\n"
    database.dispose()
