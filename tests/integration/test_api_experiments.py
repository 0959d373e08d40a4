"""Experiments, users, imports and tracking over HTTP, from draft to report."""

import csv
import io
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from experiments.clock import SteppedClock
from tests.unit.experiments.test_design import CAMPAIGN

DESIGN = {
    **CAMPAIGN,
    "audience": {"condition": {"country": "NL"}},
    "trigger": {"type": "once"},
    "metrics": [
        {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed", "window": "7d"}
    ],
    "plan": {"method": "fixed"},
}
PEOPLE = 60


def people_csv(count: int = PEOPLE) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["user_id", "phone", "first_name", "country", "consent_marketing"])
    for i in range(count):
        writer.writerow([f"u{i}", f"+1202555{100 + i:04d}", f"N{i}", "NL", "yes"])
    return out.getvalue().encode()


def bring_people(http: TestClient) -> None:
    answer = http.post("/v1/imports", content=people_csv(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] == PEOPLE


def test_an_import_is_told_in_numbers_and_again_changes_nothing(writer: TestClient) -> None:
    bring_people(writer)
    again = writer.post("/v1/imports", files={"file": ("people.csv", people_csv(), "text/csv")})
    assert again.status_code == 200
    assert (again.json()["created"], again.json()["unchanged"]) == (0, PEOPLE)


def test_rejected_rows_are_named_and_the_rest_lands(writer: TestClient) -> None:
    body = b"user_id,phone\na,+12025550101\n,+12025550102\nc,12\n"
    answer = writer.post("/v1/imports?format=csv", content=body).json()
    assert (answer["created"], answer["rejected"]) == (1, 2)
    assert [(row["line"], row["field"]) for row in answer["rejects"]] == [(3, "user_id"), (4, "phone")]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "format"),
        ({"format": "xlsx"}, "format"),
        ({"format": "csv", "mapping": "{"}, "mapping"),
        ({"format": "csv", "mapping": '{"fone": "x"}'}, "mapping.fone"),
        ({"format": "csv", "mapping": '{"phone": 3}'}, "mapping.phone"),
        ({"format": "csv", "mapping": '{"phone": "mobil"}'}, "mapping.phone"),
        ({"format": "csv", "mapping": '{"consent": {"spam": "phone"}}'}, "mapping.consent.spam"),
    ],
)
def test_a_wrong_import_is_refused_by_the_name_of_its_field(
    writer: TestClient, params: dict[str, str], field: str
) -> None:
    answer = writer.post("/v1/imports", params=params, content=b"user_id,phone\na,\n")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_campaign_without_an_audience_does_not_start(writer: TestClient) -> None:
    assert writer.post("/v1/experiments", json=DESIGN).status_code == 201
    answer = writer.post(f"/v1/experiments/{DESIGN['key']}/start")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "audience.condition"
    assert writer.get(f"/v1/experiments/{DESIGN['key']}").json()["status"] == "draft"


def test_a_wrong_condition_is_refused_by_its_path(writer: TestClient) -> None:
    wrong = {**DESIGN, "audience": {"condition": {"country": {"$inn": ["NL"]}}}}
    answer = writer.post("/v1/experiments", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("audience.condition")
    assert writer.get("/v1/experiments").json()["items"] == []


def test_a_parameter_that_nobody_can_fill_stops_the_start(writer: TestClient) -> None:
    bring_people(writer)
    variants = [DESIGN["variants"][0], {**DESIGN["variants"][1]}]
    variants[1]["message"] = {**variants[1]["message"], "parameters": ["{{ user.frist_name }}"]}
    writer.post("/v1/experiments", json={**DESIGN, "variants": variants})
    answer = writer.post(f"/v1/experiments/{DESIGN['key']}/start")
    assert answer.status_code == 422
    problem = answer.json()["errors"][0]
    assert problem["field"] == "variants[1].message.parameters[0]"
    assert "first_name" in problem["message"]


def test_the_life_of_an_experiment_over_http(writer: TestClient) -> None:
    bring_people(writer)
    key = DESIGN["key"]
    assert writer.post("/v1/experiments", json=DESIGN).json()["status"] == "draft"
    assert writer.post("/v1/experiments", json=DESIGN).status_code == 409
    assert writer.post(f"/v1/experiments/{key}/pause").status_code == 409
    assert writer.put(f"/v1/experiments/{key}", json={**DESIGN, "name": "New"}).json()["outcome"] == "changed"
    assert (
        writer.put(f"/v1/experiments/{key}", json={**DESIGN, "name": "New"}).json()["outcome"] == "unchanged"
    )
    for move, status in [
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
    ]:
        answer = writer.post(f"/v1/experiments/{key}/{move}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert (answer.json()["measured_until"] is not None) == (status == "stopped")
    assert writer.post(f"/v1/experiments/{key}/start").status_code == 409
    assert writer.put(f"/v1/experiments/{key}", json=DESIGN).status_code == 409
    assert [
        item["key"] for item in writer.get("/v1/experiments", params={"status": "stopped"}).json()["items"]
    ] == [key]


def test_from_start_to_report_with_events_that_count_once(
    writer: TestClient, wiring: Wiring, keys: dict[str, str], clock: SteppedClock
) -> None:
    bring_people(writer)
    key = DESIGN["key"]
    writer.post("/v1/experiments", json=DESIGN)
    assert writer.get(f"/v1/experiments/{key}/report").status_code == 409
    writer.post(f"/v1/experiments/{key}/start")
    jobs.plan(wiring)
    rows = writer.get(f"/v1/experiments/{key}/messages", params={"limit": 500}).json()["items"]
    assert {row["state"] for row in rows} == {"planned"}
    buyers = [row["user_id"] for row in rows if row["variant"] == "reminder"][:5]
    clock.advance(timedelta(hours=1))
    for _repeat in range(2):
        for user_id in buyers:
            call = {"userId": user_id, "event": "Order Completed", "messageId": f"order-{user_id}"}
            assert writer.post("/v1/track", auth=(keys["ingest"], ""), json=call).status_code == 200
    clock.advance(timedelta(days=8))
    report = writer.get(f"/v1/experiments/{key}/report").json()
    assert sum(arm["assigned"] for arm in report["arms"]) == PEOPLE
    assert sum(arm["mature"] for arm in report["arms"]) == PEOPLE
    reminder = next(arm for arm in report["metrics"][0]["arms"] if arm["variant"] == "reminder")
    assert reminder["mean"] * reminder["n"] == pytest.approx(5)
    assert {check["check"] for check in report["health"]} >= {"srm"}
    assert report["decision"]["because"]


def test_stopping_cancels_what_has_not_gone_out(writer: TestClient, wiring: Wiring) -> None:
    bring_people(writer)
    key = DESIGN["key"]
    writer.post("/v1/experiments", json=DESIGN)
    writer.post(f"/v1/experiments/{key}/start")
    jobs.plan(wiring)
    writer.post(f"/v1/experiments/{key}/stop")
    rows = writer.get(f"/v1/experiments/{key}/messages", params={"limit": 500}).json()["items"]
    assert rows
    assert {row["state"] for row in rows} == {"cancelled"}


def test_consent_is_given_with_proof_and_withdrawn_at_once(writer: TestClient, keys: dict[str, str]) -> None:
    user = {"user_id": "ann", "phone": "+1 202 555 0155", "attributes": {"country": "NL"}}
    made = writer.post("/v1/users", json=user)
    assert made.json()["phone"] == "+12025550155"
    granted = {"granted": True, "source": "web form", "evidence": "I want news"}
    assert writer.post("/v1/users/ann/consent", json=granted).json()["consents"][0]["granted"] is True
    withdrawn = {"granted": False, "source": "call centre"}
    refused = writer.post("/v1/users/ann/consent", json={"granted": True})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "source"
    assert writer.post("/v1/users/ann/consent", json=withdrawn).json()["consents"][0]["granted"] is False
    reader = writer.get("/v1/users/ann", headers={"Authorization": f"Bearer {keys['read']}"}).json()
    assert (reader["phone"], reader["has_phone"]) == (None, True)


def test_a_batch_with_one_wrong_call_stores_nothing_and_says_which(
    writer: TestClient, keys: dict[str, str]
) -> None:
    good = {"type": "track", "userId": "u1", "event": "X", "messageId": "1"}
    auth = (keys["ingest"], "")
    for wrong, field in [
        ({"type": "track", "userId": "u1"}, "batch[1].event"),
        ({"type": "track", "event": "X"}, "batch[1].userId"),
        ({"type": "sing"}, "batch[1].type"),
        (
            {"type": "track", "userId": "u1", "event": "X", "timestamp": "2026-01-01T00:00:00"},
            "batch[1].timestamp",
        ),
    ]:
        answer = writer.post("/v1/batch", auth=auth, json={"batch": [good, wrong]})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field
    assert writer.get("/v1/users/u1").status_code == 404
    done = writer.post("/v1/batch", auth=auth, json={"batch": [good, good], "sentAt": "2026-12-01T10:00:00Z"})
    assert (done.json()["accepted"], done.json()["duplicates"]) == (1, 1)
