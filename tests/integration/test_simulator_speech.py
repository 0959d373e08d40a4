"""People speak over real sockets: of themselves, as their behaviour has it, and because a test wants it."""

import time

import httpx
import pytest

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.profile import Limits
from delivery.simulator.server import running
from delivery.whatsapp.client import Rejected
from delivery.whatsapp.webhooks import InboundMessage, UserPreference
from tests.integration.simulation import (
    PHONE_NUMBER_ID,
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


def _text(simulator: str, position: int, kind: str = "text") -> httpx.Response:
    payload = {"messaging_product": "whatsapp", "to": people(position + 1)[-1]["phone"], "type": kind}
    return httpx.post(
        f"{simulator}/v26.0/{PHONE_NUMBER_ID}/messages",
        json=payload | {kind: {"body": "Hello"}},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


def test_the_world_writes_back_and_presses_buttons():
    behaviour = {
        "templates": {
            "promo": {
                "delivered": 1,
                "read": 1,
                "replied": 0.3,
                "pressed": 0.5,
                "reply": "Which sizes?",
                "button": "More",
            }
        }
    }
    with receiver() as (url, received), running(configuration(url)) as simulator:
        post(simulator, "/simulator/world", people=people(200), behaviour=behaviour)
        send(simulator, [message(n, "promo") for n in range(200)])
        final = drain(simulator)
        truth = httpx.get(f"{simulator}/simulator/truth").json()["treatments"]["promo"]
    said = [item for item in received.items() if isinstance(item, InboundMessage)]
    texts = [item for item in said if item.kind == "text"]
    pressed = [item for item in said if item.kind == "button"]
    assert {item.text for item in texts} == {"Which sizes?"}
    assert {(item.text, item.button_payload) for item in pressed} == {("More", "More")}
    assert abs(len(texts) - 200 * truth["replied"]) < 4 * (200 * 0.3 * 0.7) ** 0.5
    assert abs(len(pressed) - 200 * truth["pressed"]) < 4 * (200 * 0.5 * 0.5) ** 0.5
    assert len({item.message_id for item in said}) == len(said) == final["inbound"]
    assert all(item.context_id is not None for item in said)


def test_a_test_lets_somebody_speak():
    with (
        receiver() as (url, received),
        running(configuration(url, clock_factor=1.0, concurrency=1)) as simulator,
    ):
        post(simulator, "/simulator/world", people=people(2), behaviour={"templates": {"promo": {}}})
        assert _text(simulator, 0).json()["error"]["code"] == 131047
        [sent] = send(simulator, [message(0, "promo")])
        phone = people(1)[0]["phone"]
        answer = post(simulator, "/simulator/say", phone=phone, text="Hello?")
        post(simulator, "/simulator/say", user_id="u0", button="More", payload="more-1", message="m-0")
        post(simulator, "/simulator/say", user_id="u1", preference="stop")
        post(simulator, "/simulator/say", user_id="u1", preference="resume")
        written = _text(simulator, 0)
        assert written.json()["messages"][0].keys() == {"id"}
        assert _text(simulator, 1).json()["error"]["code"] == 131047
        assert _text(simulator, 0, kind="interactive").json()["error"]["code"] == 131051
        end = time.monotonic() + 60
        while status(simulator)["inbound"] < 4:
            assert time.monotonic() < end, "what was said was not told"
            time.sleep(0.01)
    said = [item for item in received.items() if isinstance(item, InboundMessage)]
    assert [(item.kind, item.text, item.button_payload, item.context_id) for item in said] == [
        ("text", "Hello?", None, None),
        ("button", "More", "more-1", sent.wamid),
    ]
    assert said[0].message_id == answer["id"]
    chosen = [item for item in received.items() if isinstance(item, UserPreference)]
    assert [(item.wa_id, item.value) for item in chosen] == [
        (people(2)[1]["phone"][1:], v) for v in ("stop", "resume")
    ]


def test_a_stop_holds_until_it_is_taken_back():
    config = SimulatorConfig(token=TOKEN, throughput=None, limits=Limits(stopped=True))
    with running(config) as simulator:
        post(simulator, "/simulator/world", people=people(1), behaviour={"templates": {"promo": {}}})
        codes = []
        for preference in ("stop", "resume"):
            post(simulator, "/simulator/say", user_id="u0", preference=preference)
            [outcome] = send(simulator, [message(0, "promo")])
            codes.append(outcome.code if isinstance(outcome, Rejected) else None)
    assert codes == [131050, None]


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        ({"phone": "+1"}, 422, "text"),
        ({"phone": "+1", "text": "a", "button": "b"}, 422, "text"),
        ({"phone": "+1", "text": ""}, 422, "text"),
        ({"phone": "+1", "text": 3}, 422, "text"),
        ({"phone": "+1", "text": "a", "mood": "b"}, 422, "mood"),
        ({"phone": "+1", "text": "a", "payload": "b"}, 422, "payload"),
        ({"phone": "+1", "preference": "maybe"}, 422, "preference"),
        ({"phone": "home", "text": "a"}, 422, "phone"),
        ({"text": "a"}, 422, "phone"),
        ({"phone": "+1", "user_id": "u0", "text": "a"}, 422, "phone"),
        ({"user_id": "nobody", "text": "a"}, 404, "user_id"),
        ({"phone": "+1", "text": "a", "message": "m-9"}, 404, "message"),
    ],
)
def test_what_nobody_can_say(document, code, field):
    with running(SimulatorConfig()) as simulator:
        answer = httpx.post(f"{simulator}/simulator/say", json=document)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (code, field)
