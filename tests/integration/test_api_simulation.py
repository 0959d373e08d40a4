"""`POST /v1/simulate`: the answer of the command line, within bounds, with mistakes named where they were written."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.command_line import CommandLine

CAMPAIGN: dict[str, Any] = {
    "key": "spring",
    "name": "Spring",
    "trigger": {"type": "event", "event": "Signed Up"},
    "variants": [
        {"key": "silence", "control": True},
        {"key": "coupon", "message": {"template": "spring_coupon", "language": "en_US"}},
    ],
    "metrics": [
        {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "3d"},
    ],
    "allocation": {"policy": "thompson"},
}
WORLD: dict[str, Any] = {
    "rates": {"silence": 0.05, "coupon": 0.08},
    "delay": {"coupon": "2d"},
    "non_delivery": {"coupon": 0.1},
    "intervals": 12,
}


@pytest.fixture
def reader(http: TestClient, keys: dict[str, str]) -> TestClient:
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    return http


def test_the_answer_is_that_of_the_command_line(
    reader: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"campaign": CAMPAIGN, "world": WORLD, "runs": 60, "seed": 7}
    answer = reader.post("/v1/simulate", json=asked)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    fixed, thompson, _ = made["outcomes"]
    assert made["planned"] == thompson["policy"] == "thompson"
    assert thompson["regret"] < fixed["regret"]
    assert made["rates"]["coupon"] == pytest.approx(0.077)
    (tmp_path / "campaign.json").write_text(json.dumps(CAMPAIGN))
    said = CommandLine(tmp_path, monkeypatch, capsys)(
        "simulate", "campaign.json", "--rates", "silence=0.05,coupon=0.08", "--delay", "coupon=2d",
        "--non-delivery", "coupon=0.1", "--intervals", "12", "--runs", "60", "--seed", "7", "--json",
    )  # fmt: skip
    assert json.loads(said.stdout) == made
    assert reader.get("/v1/experiments").json()["items"] == []


@pytest.mark.parametrize("trigger", [CAMPAIGN["trigger"], {"type": "once"}], ids=["stream", "broadcast"])
def test_policies_one_by_one_are_the_same_as_all_at_once(reader: TestClient, trigger: dict[str, Any]) -> None:
    asked = {
        "campaign": CAMPAIGN | {"trigger": trigger},
        "world": WORLD | {"intervals": 5, "users_per_interval": 40},
        "runs": 40,
    }
    whole = reader.post("/v1/simulate", json=asked).json()
    parts = [
        reader.post("/v1/simulate", json=asked | {"policies": [policy]}).json()
        for policy in ("fixed", "thompson", "top_two")
    ]
    assert [part["outcomes"] for part in parts] == [[each] for each in whole["outcomes"]]
    if whole["waves"] is not None:
        fixed, *bandits = whole["waves"]["outcomes"]
        assert [part["waves"]["outcomes"] for part in parts] == [[fixed], *([fixed, one] for one in bandits)]
    for name in ("runs", "rates", "best", "unit", "users"):
        assert {str(part[name]) for part in parts} == {str(whole[name])}
    # What is so under every policy is said by nobody who has seen one.
    assert any("no run ended" in note for note in whole["notes"])
    assert not any("no run ended" in note for part in parts for note in part["notes"])
    assert reader.post("/v1/simulate", json=asked | {"policies": []}).status_code == 422
    assert reader.post("/v1/simulate", json=asked | {"policies": ["luck"]}).status_code == 422


def test_so_many_runs_as_there_is_time_for(reader: TestClient) -> None:
    small = {**WORLD, "intervals": 2, "users_per_interval": 10}
    made = reader.post("/v1/simulate", json={"campaign": CAMPAIGN, "world": small}).json()
    assert made["runs"] == 1000
    long = {**WORLD, "intervals": 365}
    refused = reader.post("/v1/simulate", json={"campaign": CAMPAIGN, "world": long, "runs": 5000})
    assert refused.status_code == 422
    [problem] = refused.json()["errors"]
    assert problem["field"] == "runs"
    assert "at most" in problem["message"]
    many = {
        **CAMPAIGN,
        "variants": [
            *CAMPAIGN["variants"],
            *({**CAMPAIGN["variants"][1], "key": f"v{i}"} for i in range(16)),
        ],
    }
    endless = {"rates": {"silence": 0.05}, "lift": {v["key"]: 0.1 for v in many["variants"][1:]}}
    refused = reader.post("/v1/simulate", json={"campaign": many, "world": {**endless, "intervals": 300}})
    assert [problem["field"] for problem in refused.json()["errors"]] == ["world.intervals"]


def test_a_broadcast_has_its_waves(reader: TestClient) -> None:
    at_once = {**CAMPAIGN, "trigger": {"type": "once"}}
    made = reader.post("/v1/simulate", json={"campaign": at_once, "world": WORLD, "runs": 30}).json()
    assert [one["policy"] for one in made["waves"]["outcomes"]] == ["fixed", "thompson", "top_two"]
    assert made["waves"]["users"] == 12_000
    made = reader.post("/v1/simulate", json={"campaign": CAMPAIGN, "world": WORLD, "runs": 30}).json()
    assert made["waves"] is None


def test_what_is_wrong_is_named_where_it_was_written(reader: TestClient) -> None:
    def refused(**body: Any) -> list[str]:
        answer = reader.post("/v1/simulate", json={"campaign": CAMPAIGN, "world": WORLD, **body})
        assert answer.status_code == 422, answer.text
        return [problem["field"] for problem in answer.json()["errors"]]

    assert "campaign.key" in refused(campaign={})
    assert refused(campaign={**CAMPAIGN, "allocation": {"policy": "luck"}}) == ["campaign.allocation.policy"]
    assert refused(world={}) == ["world.rates"]
    assert refused(world={"rates": {"silence": 0.05, "email": 0.1}}) == ["world.rates.email"]
    assert refused(world={**WORLD, "rates": {"silence": 0.05, "coupon": 1.5}}) == ["world.rates.coupon"]
    assert refused(world={**WORLD, "non_delivery": {"coupon": -1}}) == ["world.non_delivery.coupon"]
    assert refused(world={**WORLD, "delay": {"coupon": "0s"}}) == ["world.delay.coupon"]
    assert refused(world={**WORLD, "intervals": 0}) == ["world.intervals"]
    assert refused(world={**WORLD, "drift": 100}) == ["world.drift"]
    assert refused(world={**WORLD, "luck": 1}) == ["world.luck"]
    assert refused(world={**WORLD, "values": {"silence": 40}}) == ["world.values"]
    money = {"key": "spent", "role": "primary", "kind": "sum", "event": "Order", "value": "revenue"}
    assert refused(campaign={**CAMPAIGN, "metrics": [money]}) == ["world.values"]
    assert refused(
        campaign={**CAMPAIGN, "metrics": [money]}, world={**WORLD, "values": {"silence": 40, "coupon": 0}}
    ) == ["world.values.coupon"]
    assert refused(runs=5) == ["runs"]
    assert refused(runs=10_001) == ["runs"]
    assert refused(seed=-1) == ["seed"]


def test_reading_is_enough_and_less_is_not(http: TestClient, keys: dict[str, str]) -> None:
    body = {"campaign": CAMPAIGN, "world": {**WORLD, "intervals": 2}, "runs": 20}
    assert http.post("/v1/simulate", json=body).status_code == 401
    for scope, status in (("ingest", 403), ("evaluate", 403), ("read", 200)):
        answer = http.post("/v1/simulate", json=body, headers={"Authorization": f"Bearer {keys[scope]}"})
        assert answer.status_code == status, answer.text
