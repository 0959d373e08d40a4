"""Orders as the Graph API checks them."""

import json

import pytest

from delivery.simulator.behaviour import Treatment
from delivery.simulator.graph import GraphError, acceptance, refusal
from delivery.simulator.orders import Order, read_body, read_order
from delivery.simulator.registry import Registry
from delivery.simulator.registry_reading import built
from delivery.whatsapp.payloads import TemplateMessage

MESSAGE = TemplateMessage("+12025550123", "promo_a", "en_US", ("Ann",), "tok", "m-17")
LINK = "https://example.com"
PROMO = built("promo_a", Treatment(parameters=1, language="en_US"), link=LINK, pacing=None)
KNOWN = Registry([PROMO])
SENDER = "447700900999"


def _read(payload, templates=KNOWN) -> Order:
    body, _ = read_body(json.dumps(payload).encode())
    return read_order(body, templates, sender=SENDER)


def _with(*path, value) -> dict:
    payload = MESSAGE.to_payload()
    inner = payload
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return payload


def test_what_our_client_sends_is_understood():
    assert _read(MESSAGE.to_payload()) == Order("12025550123", "promo_a", "tok", PROMO)
    assert read_body(json.dumps(MESSAGE.to_payload()).encode())[1] == "m-17"
    assert _read(_with("template", "name", value="any"), Registry()).template == "any"


def test_free_text_is_an_order_without_a_template():
    payload = {
        "messaging_product": "whatsapp",
        "to": "+12025550123",
        "type": "text",
        "text": {"body": "Hello"},
    }
    assert _read(payload) == Order("12025550123", None, None)
    for text, code in ((None, 131008), ({"body": ""}, 131008), ({"body": "x" * 4097}, 100)):
        with pytest.raises(GraphError) as caught:
            _read(payload | {"text": text})
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ([], 100),
        (_with("messaging_product", value="sms"), 100),
        (_with("biz_opaque_callback_data", value="x" * 513), 100),
        (_with("biz_opaque_callback_data", value=3), 100),
        (_with("type", value="image"), 131051),
        (_with("type", value="interactive"), 131051),
        (_with("to", value=None), 131008),
        (_with("to", value="Ann"), 131009),
        (_with("to", value=["1"]), 131009),
        (_with("to", value=f"+{SENDER}"), 131021),
        (_with("template", value=None), 131008),
        (_with("template", "language", value="en_US"), 131008),
        (_with("template", "name", value="unheard_of"), 132001),
        (_with("template", "language", "code", value="nl"), 132001),
        (_with("template", "components", value="none"), 131009),
        (_with("template", "components", 0, value={"parameters": []}), 131009),
        (_with("template", "components", 0, "parameters", value={}), 131009),
        (_with("template", "components", 0, "parameters", 0, value={"type": "text"}), 131008),
        (_with("template", "components", 0, "parameters", 0, "text", value=""), 131008),
        (_with("template", "components", 0, "parameters", value=[]), 132000),
        (_with("template", "components", value=[]), 132000),
    ],
)
def test_what_is_wrong_gets_its_code(payload, code):
    with pytest.raises(GraphError) as caught:
        _read(payload)
    assert caught.value.code == code
    answer = refusal(code, caught.value.details)
    assert answer.status in (400, 404)
    assert json.loads(answer.body)["error"]["code"] == code


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_an_invalid_parameter(raw):
    with pytest.raises(GraphError) as caught:
        read_body(raw)
    assert caught.value.code == 100


def test_accepted_is_said_as_the_graph_api_says_it():
    body = json.loads(acceptance("12025550123", "wamid.1"))
    assert body["messages"] == [{"id": "wamid.1", "message_status": "accepted"}]
    assert body["contacts"] == [{"input": "12025550123", "wa_id": "12025550123"}]
    assert json.loads(acceptance("1", "wamid.1", None))["messages"] == [{"id": "wamid.1"}]


def test_an_error_without_a_title_is_an_error_all_the_same():
    assert json.loads(refusal(99, "odd").body)["error"]["message"] == "(#99) Error"
