"""`POST /v1/plan`: who may ask, what is answered, what is refused by the name of its field, and that nothing is stored."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.wiring import Wiring
from experiments.clock import SteppedClock, format_moment
from experiments.database import Database
from tests.integration.planned_world import document, settle


@pytest.fixture
def reader(http: TestClient, keys: dict[str, str]) -> TestClient:
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    return http


def fields(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [problem["field"] for problem in answer.json()["errors"]]


def test_a_plan_over_real_users(
    reader: TestClient, database: Database, clock: SteppedClock, wiring: Wiring
) -> None:
    with database.transaction() as session:
        settle(session, clock)
    asked = {"campaign": document(), "assumptions": {"reach": 0.9, "rho": {"revenue": 0.5}}, "simulate": 200}
    answer = reader.post("/v1/plan", json=asked)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["experiment"] == "spring"
    assert made["audience"]["left_out"] == {"consent": 40, "phone": 10}
    assert made["audience"]["taking_part"] == 300
    assert made["reach"] == 0.9
    bought, revenue, opted_out = made["metrics"]
    assert bought["users_needed"] > 300 > 0
    assert bought["power"] < 0.8
    assert bought["minimum_effect"] > 0.5
    assert revenue["base"]["rho"] == 0.5
    assert opted_out["power"] is None
    assert "earlier campaigns of this category have 0 users" in opted_out["reasons"][0]
    assert set(made["simulation"]["found"]) == {"reminder", "coupon"}
    assert made["curve"][-1]["power"] > 0.8
    # With the users there are, the smallest effect that they find is where power meets the plan.
    below = [point for point in made["effects"] if point["effect"] < bought["minimum_effect"]]
    assert all(point["power"] < 0.8 for point in below)
    priced = {(each["method"], each["looks"]): each["users_needed"] for each in made["looking"]}
    assert priced[made["method"], made["looks"]] == bought["users_needed"]
    # The same question gets the same answer, and leaves nothing behind.
    assert reader.post("/v1/plan", json=asked).json() == made
    assert reader.get("/v1/experiments").json()["items"] == []


def test_a_bandit_is_planned_by_playing_it(
    reader: TestClient, database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        settle(session, clock)
    said = document(allocation={"policy": "thompson", "interval": "1d"})
    asked = {
        "campaign": said,
        "assumptions": {"baseline": {"bought": 0.2}, "users": 900, "reach": 1.0},
        "simulate": 200,
    }
    made = reader.post("/v1/plan", json=asked).json()
    played = made["simulation"]
    assert (played["policy"], played["runs"]) == ("thompson", 200)
    assert set(played["found"]) == {"reminder", "coupon"}
    assert 0 < played["any_found"] <= 1
    # Ten waves, a day apart, and two weeks for the last of them.
    assert 14 <= played["mean_days"] <= 23
    # What the formulas say of fixed weights stands beside it, and says what it is.
    assert made["metrics"][0]["power"] is not None
    [words] = [each for each in made["warnings"] if "moves traffic" in each]
    assert "the simulation beside them is of the policy itself" in words
    assert reader.post("/v1/plan", json=asked).json() == made
    # Without a number of runs there are as many as take a few seconds; with fixed weights none.
    small = {**asked, "assumptions": {**asked["assumptions"], "users": 400}}
    del small["simulate"]
    assert reader.post("/v1/plan", json=small).json()["simulation"]["runs"] >= 100
    fixed = reader.post("/v1/plan", json={**small, "campaign": document()}).json()
    assert fixed["simulation"] is None
    assert not [each for each in fixed["warnings"] if "moves traffic" in each]


def test_a_sound_design_that_could_not_be_started_any_more(reader: TestClient, clock: SteppedClock) -> None:
    def start_problems(after: timedelta) -> Any:
        said = document(trigger={"type": "once", "at": format_moment(clock.now() + after)})
        return reader.post("/v1/plan", json={"campaign": said}).json()["start_problems"]

    assert start_problems(timedelta(days=1)) == []
    [problem] = start_problems(timedelta(days=-2))
    assert problem["field"] == "trigger.at"
    assert "is long past" in problem["message"]


def test_conditions_may_be_text(reader: TestClient) -> None:
    said = document(audience={"condition": 'country = "NL"'})
    assert reader.post("/v1/plan", json={"campaign": said}).status_code == 200


def test_what_is_wrong_is_named_where_it_was_written(reader: TestClient) -> None:
    def refused(**body: Any) -> list[str]:
        return fields(reader.post("/v1/plan", json=body))

    assert refused() == ["campaign"]
    assert refused(campaign=[]) == ["campaign"]
    assert "campaign.key" in refused(campaign={})
    assert refused(campaign=document(plan={"mde": -1})) == ["campaign.plan.mde"]
    assert refused(campaign=document(audience={"condition": {"a": {"$in": 5}}}))[0].startswith(
        "campaign.audience.condition"
    )
    assert refused(campaign=document(audience={"condition": {"$segment": "nobody"}}))[0].startswith(
        "campaign.audience.condition"
    )
    good = document()
    assert refused(campaign=good, simulate=5_001) == ["simulate"]
    assert refused(campaign=good, simulate="many") == ["simulate"]
    assert refused(campaign=good, assumptions={"reach": 0}) == ["assumptions.reach"]
    assert refused(campaign=good, assumptions={"luck": 1}) == ["assumptions.luck"]
    assert refused(campaign=good, assumptions={"half_life": "soon"}) == ["assumptions.half_life"]
    assert refused(campaign=good, assumptions={"half_life": "0s"}) == ["assumptions.half_life"]
    assert refused(campaign=good, assumptions={"baseline": {"sold": 0.1}}) == ["assumptions.baseline.sold"]
    assert refused(campaign=good, assumptions={"baseline": {"bought": 1.5}}) == [
        "assumptions.baseline.bought"
    ]
    assert refused(campaign=good, size=3) == ["size"]


def test_reading_is_enough_and_less_is_not(http: TestClient, keys: dict[str, str]) -> None:
    body = {"campaign": document()}
    assert http.post("/v1/plan", json=body).status_code == 401
    for scope, status in (("ingest", 403), ("evaluate", 403), ("read", 200), ("write", 200)):
        answer = http.post("/v1/plan", json=body, headers={"Authorization": f"Bearer {keys[scope]}"})
        assert answer.status_code == status, answer.text


def test_a_size_without_a_campaign(reader: TestClient) -> None:
    asked = {"baseline": 0.1, "mde": 0.1, "weights": [1, 1, 1], "per_day": 5000, "message_price": 0.05}
    answer = reader.post("/v1/plan/size", json=asked)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    # The number that docs/planning.md has of `touchstone plan size`.
    assert made["users_needed"] == 55_983
    assert made["days_needed"] == 12 + 7
    assert made["cost"] == pytest.approx(0.05 * made["messages"])
    assert (made["power"], made["minimum_effect"], made["reasons"]) == (None, None, [])
    guard = reader.post("/v1/plan/size", json={"baseline": 0.01, "margin": 0.002, "method": "fixed"}).json()
    assert (guard["users_needed"], guard["effects"], guard["looking"]) == (61_668, [], [])


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"baseline": 1.5, "mde": 0.1}, "baseline"),
        ({"baseline": 0.1}, "mde"),
        ({"baseline": 0.1, "mde": 0.1, "per_day": 0}, "per_day"),
        ({"baseline": 0.1, "mde": 0.1, "weights": [1]}, "weights"),
        ({"baseline": 0.1, "mde": 0.1, "looks": 91}, "looks"),
        ({"baseline": 0.1, "mde": 0.1, "window": "soon"}, "window"),
        ({"baseline": "0.1", "mde": 0.1}, "baseline"),
        ({"baseline": 0.1, "mde": 0.1, "arms": 3}, "arms"),
    ],
)
def test_a_size_that_cannot_be_names_the_field(reader: TestClient, said: dict[str, Any], field: str) -> None:
    assert fields(reader.post("/v1/plan/size", json=said)) == [field]
