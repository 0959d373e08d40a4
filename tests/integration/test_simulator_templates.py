"""Templates over real sockets: listed as Graph lists them, paced, paused and told of, checked when they are sent."""

import json
import time
from datetime import timedelta

import httpx
import pytest

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.profile import Pacing
from delivery.simulator.server import running
from delivery.whatsapp.client import Accepted, Rejected
from delivery.whatsapp.webhooks import StatusUpdate
from experiments.clock import SteppedClock
from tests.integration.simulation import (
    PHONE_NUMBER_ID,
    START,
    TOKEN,
    configuration,
    drain,
    message,
    people,
    post,
    receiver,
    send,
    status,
)

WABA = SimulatorConfig().waba_id
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
TEMPLATES = [
    {
        "name": f"promo_{number:02}",
        "language": "en_US",
        "components": [
            {"type": "BODY", "text": "Hello {{1}}"},
            {
                "type": "BUTTONS",
                "buttons": [{"type": "URL", "text": "Open", "url": "https://example.com/r/{{1}}"}],
            },
        ],
    }
    for number in range(7)
]


def _get(simulator: str, path: str, **params) -> httpx.Response:
    return httpx.get(f"{simulator}/v26.0/{path}", params=params, headers=HEADERS)


def test_the_list_is_walked_by_its_own_links():
    with running(SimulatorConfig(token=TOKEN)) as simulator:
        loaded = post(simulator, "/simulator/world", people=[], templates=TEMPLATES)
        assert loaded["templates"] == [template["name"] for template in TEMPLATES]
        page = _get(
            simulator, f"{WABA}/message_templates", limit=3, fields="name,quality_score,components"
        ).json()
        names, pages = [], 0
        while True:
            names += [node["name"] for node in page["data"]]
            pages += 1
            if "next" not in page["paging"]:
                break
            page = httpx.get(page["paging"]["next"], headers=HEADERS).json()
        assert (names, pages) == ([template["name"] for template in TEMPLATES], 3)
        assert page["data"][0]["quality_score"] == {"score": "UNKNOWN"}
        assert page["data"][0]["components"] == TEMPLATES[6]["components"]


def test_graph_says_no_as_graph_does():
    with running(SimulatorConfig(token=TOKEN)) as simulator:
        for path in (f"{WABA}/message_templates", PHONE_NUMBER_ID):
            stranger = httpx.get(f"{simulator}/v26.0/{path}", headers={"Authorization": "Bearer wrong"})
            assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, 190)
            assert _get(simulator, path, fields="secrets").json()["error"]["code"] == 100
        for path in ("1234/message_templates", "1234"):
            assert _get(simulator, path).json()["error"]["code"] == 100
        assert _get(simulator, f"{WABA}/message_templates").json() == {"data": []}
        number = _get(
            simulator, PHONE_NUMBER_ID, fields="quality_rating,messaging_limit_tier,throughput"
        ).json()
        assert number == {
            "quality_rating": "GREEN",
            "messaging_limit_tier": "TIER_UNLIMITED",
            "throughput": {"level": "STANDARD"},
            "id": PHONE_NUMBER_ID,
        }


def _changes(received, field: str) -> list[dict]:
    """The values of a kind of change, as they were told."""
    entries = [entry for _, body in received.webhooks for entry in json.loads(body)["entry"]]
    return [change["value"] for entry in entries for change in entry["changes"] if change["field"] == field]


@pytest.mark.parametrize("good", [1.0, 0.0])
def test_a_paced_template_lives_through_its_verdict(good):
    clock = SteppedClock(START)
    pacing = Pacing(first=5, good=good, hold_seconds=600, pause_seconds=3600)
    with (
        receiver() as (url, received),
        running(configuration(url, pacing=pacing, concurrency=1), clock) as simulator,
    ):
        behaviour = {"templates": {"promo": {"delivered": 1, "read": 0, "clicked": 0}}}
        post(simulator, "/simulator/world", people=people(30), behaviour=behaviour)
        first = send(simulator, [message(n, "promo") for n in range(5)])
        rest = send(simulator, [message(n, "promo") for n in range(5, 20)])
        assert {one.message_status for one in first} == {"accepted"}
        assert {one.message_status for one in rest} == {"held_for_quality_assessment"}
        clock.advance(timedelta(seconds=599))
        _until(simulator, received, 10)
        assert len(received.final_states()) == 5
        clock.advance(timedelta(seconds=101))
        listed = _get(simulator, f"{WABA}/message_templates", fields="status,quality_score").json()["data"][0]
        [after] = send(simulator, [message(20, "promo")])
        clock.advance(timedelta(seconds=4000))
        drain(simulator)
        final = _get(simulator, f"{WABA}/message_templates", fields="status,quality_score").json()["data"][0]
    held = {
        (item.status.value, item.error_code)
        for item in received.items()
        if isinstance(item, StatusUpdate) and int(item.callback_data[2:]) in range(5, 20)
    }
    quality = [value["new_quality_score"] for value in _changes(received, "message_template_quality_update")]
    events = [value["event"] for value in _changes(received, "message_template_status_update")]
    if good:
        assert held == {("sent", None), ("delivered", None)}
        assert (quality, events) == (["GREEN"], [])
        assert (listed["status"], listed["quality_score"]["score"]) == ("APPROVED", "GREEN")
        assert isinstance(after, Accepted)
    else:
        assert held == {("failed", 132015)}
        assert (quality, events) == (["RED", "UNKNOWN"], ["PAUSED", "REINSTATED"])
        assert (listed["status"], listed["quality_score"]["score"]) == ("PAUSED", "RED")
        assert isinstance(after, Rejected)
        assert after.code == 132015
        assert final["status"] == "APPROVED"


def _until(simulator: str, received, statuses: int) -> None:
    end = time.monotonic() + 60
    while status(simulator)["statuses"] < statuses:
        assert time.monotonic() < end, f"{len(received.items())} statuses were told, not {statuses}"
        time.sleep(0.01)


def test_a_template_is_changed_by_hand_and_told_of():
    with receiver() as (url, received), running(configuration(url, concurrency=1)) as simulator:
        post(simulator, "/simulator/world", people=people(3), behaviour={"templates": {"promo": {}}})
        changed = post(simulator, "/simulator/templates/promo", status="PAUSED", quality="RED")
        assert (changed["data"][0]["status"], changed["data"][0]["quality_score"]) == (
            "PAUSED",
            {"score": "RED"},
        )
        [refused] = send(simulator, [message(0, "promo")])
        assert isinstance(refused, Rejected)
        assert refused.code == 132015
        post(simulator, "/simulator/templates/promo", status="APPROVED")
        assert [type(one) for one in send(simulator, [message(0, "promo")])] == [Accepted]
        drain(simulator)
        wrong = {
            "/simulator/templates/other": ({"status": "PAUSED"}, 404, "name"),
            "/simulator/templates/promo": ({"status": "TIRED"}, 422, "status"),
            "/simulator/number": ({"tier": 0}, 422, "tier"),
            "/simulator/webhooks": ({"field": "moon_update"}, 422, "value"),
        }
        for path, (document, code, field) in wrong.items():
            answer = httpx.post(simulator + path, json=document)
            assert (answer.status_code, answer.json()["problems"][0]["field"]) == (code, field)
    events = [value["event"] for value in _changes(received, "message_template_status_update")]
    assert events == ["PAUSED", "REINSTATED"]


def test_numbers_and_accounts_are_told_of_on_demand():
    with (
        receiver() as (url, received),
        running(configuration(url, clock_factor=1.0, concurrency=1)) as simulator,
    ):
        assert (
            post(simulator, "/simulator/number", quality_rating="RED", tier=250)["messaging_limit_tier"]
            == "TIER_250"
        )
        post(simulator, "/simulator/webhooks", field="account_update", event="ACCOUNT_VIOLATION")
        post(simulator, "/simulator/webhooks", field="business_capability_update")
        post(
            simulator, "/simulator/webhooks", field="phone_number_quality_update", event="THROUGHPUT_UPGRADE"
        )
        post(simulator, "/simulator/webhooks", field="moon_update", value={"phase": "full"})
        final = drain(simulator)
        told = list(received.webhooks)
        codes = [
            one.code
            for one in send(simulator, [message(n, "x") for n in range(260)])
            if isinstance(one, Rejected)
        ]
    changes = [c for _, body in told for e in json.loads(body)["entry"] for c in e["changes"]]
    assert [(change["field"], change["value"].get("event")) for change in changes] == [
        ("phone_number_quality_update", "FLAGGED"),
        ("phone_number_quality_update", "DOWNGRADE"),
        ("business_capability_update", None),
        ("account_update", "ACCOUNT_VIOLATION"),
        ("business_capability_update", None),
        ("phone_number_quality_update", "THROUGHPUT_UPGRADE"),
        ("moon_update", None),
    ]
    assert final["notices"] == 7
    assert codes == [131048] * 10


def test_a_message_must_fit_the_template_that_was_given():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        post(simulator, "/simulator/world", people=people(1), templates=TEMPLATES)
        good = message(0, "promo_00")
        assert [type(one) for one in send(simulator, [good])] == [Accepted]
        payload = good.to_payload()
        payload["template"]["components"].pop()
        url = f"{simulator}/v26.0/{PHONE_NUMBER_ID}/messages"
        error = httpx.post(url, json=payload, headers=HEADERS).json()["error"]
        assert error["code"] == 131008
        assert "Button at index 0 of type url requires a parameter" in error["error_data"]["details"]
