"""More coverage, other weights and the counts of enrolment, over HTTP."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from experiments.clock import SteppedClock
from tests.integration.people import REMINDER, SILENCE, add_people, campaign

SPRING = "/v1/experiments/spring"


@pytest.fixture
def running(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> TestClient:
    """A client, and a campaign that runs with half its audience and one tester."""
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 101))
        add_people(session, clock, range(101, 111), consent=[])
    audience = {"coverage": 0.5, "forced": {"user-1": "reminder", "nobody": "silence"}}
    document = campaign(variants=[SILENCE, REMINDER], audience=audience)
    assert writer.post("/v1/experiments", json=document).status_code == 201
    assert writer.get(f"{SPRING}/enrolment").json() == {
        "assigned": 0,
        "excluded": {},
        "forced": None,
        "started_at": None,
        "finished_at": None,
        "occasion_at": None,
    }
    assert writer.post(f"{SPRING}/start").status_code == 200
    jobs.plan(wiring)
    return writer


def test_a_ramp_and_what_became_of_the_audience(running: TestClient, wiring: Wiring) -> None:
    before = running.get(f"{SPRING}/enrolment").json()
    assert before["assigned"] + sum(before["excluded"].values()) == 109
    assert before["excluded"].keys() == {"consent", "coverage"}
    assert before["forced"] == {"assigned": 1, "excluded": {"unknown": 1}}
    assert before["finished_at"] == "2026-12-01T10:00:00Z"

    answer = running.post(f"{SPRING}/ramp", json={"coverage": 1})
    assert answer.status_code == 200
    assert answer.json()["design"]["audience"]["coverage"] == 1.0
    assert running.get(f"{SPRING}/enrolment").json()["finished_at"] is None
    jobs.plan(wiring)
    assert running.get(f"{SPRING}/enrolment").json() | {"started_at": None, "finished_at": None} == {
        "assigned": 99,
        "excluded": {"consent": 10},
        "forced": {"assigned": 1, "excluded": {"unknown": 1}},
        "started_at": None,
        "finished_at": None,
        "occasion_at": None,
    }


def test_new_weights_open_an_epoch(running: TestClient) -> None:
    answer = running.post(
        f"{SPRING}/weights", json={"weights": {"silence": 1, "reminder": 3}, "reason": "it works"}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "number": 2,
        "weights": {"silence": 0.25, "reminder": 0.75},
        "opened_at": "2026-12-01T10:00:00Z",
        "reason": "it works",
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("ramp", {"coverage": 0.25}, 409, "coverage"),
        ("ramp", {"coverage": 2}, 422, "coverage"),
        ("ramp", {"coverage": "much"}, 422, "coverage"),
        ("ramp", {"coverage": True}, 422, "coverage"),
        ("weights", {"weights": {"silence": True, "reminder": 1}, "reason": "x"}, 422, "weights.silence"),
        ("ramp", {"coverage": None}, 422, "coverage"),
        ("ramp", {"covrage": 1}, 422, "coverage"),
        ("weights", {"weights": {"silence": 1}, "reason": "x"}, 422, "weights.reminder"),
        ("weights", {"weights": {"silence": 1, "reminder": "a"}, "reason": "x"}, 422, "weights.reminder"),
        ("weights", {"weights": {"silence": 1, "reminder": 1}}, 422, "reason"),
        ("weights", {"weights": {"silence": 1, "reminder": 10**400}, "reason": "x"}, 422, "weights.reminder"),
    ],
)
def test_what_is_refused_names_its_field(
    running: TestClient, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    answer = running.post(f"{SPRING}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_a_reader_may_look_and_not_change(running: TestClient, keys: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {keys['read']}"}
    assert running.get(f"{SPRING}/enrolment", headers=headers).status_code == 200
    assert running.post(f"{SPRING}/ramp", headers=headers, json={"coverage": 1}).status_code == 403
    assert running.get("/v1/experiments/nobody/enrolment").status_code == 404


def test_overlapping_ranges_and_missing_prerequisites_are_refused_by_their_paths(
    running: TestClient,
) -> None:
    ranged = {"layer": {"key": "promotions", "range": [0, 0.5]}}
    for key in ("first", "second"):
        assert running.post("/v1/experiments", json=campaign(key, audience=ranged)).status_code == 201
    assert running.post("/v1/experiments/first/start").status_code == 200
    refused = running.post("/v1/experiments/second/start")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "audience.layer.range")
    asked = {"prerequisites": [{"experiment": "third", "variants": ["coupon"]}]}
    refused = running.post("/v1/experiments", json=campaign("fourth", audience=asked))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (
        422,
        "audience.prerequisites[0].experiment",
    )
