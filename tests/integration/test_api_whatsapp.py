"""The webhook endpoint: handshake, signature over the raw body, stored before answered."""

import json

from fastapi.testclient import TestClient
from sqlmodel import select

from api.wiring import Wiring
from delivery.models import WebhookBody
from delivery.whatsapp.webhooks import sign
from tests.integration.conftest import APP_SECRET, VERIFY_TOKEN

BODY = json.dumps({"object": "whatsapp_business_account", "entry": []}, indent=3).encode()


def stored(wiring: Wiring) -> list[bytes]:
    with wiring.database.snapshot() as session:
        return [row.body for row in session.exec(select(WebhookBody))]


def test_the_handshake_answers_the_challenge_to_who_knows_the_token(http: TestClient) -> None:
    params = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}
    answer = http.get("/webhooks/whatsapp", params=params)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert http.get("/webhooks/whatsapp", params={**params, "hub.verify_token": "x"}).status_code == 403
    assert http.get("/webhooks/whatsapp").status_code == 403


def test_a_signed_body_is_stored_byte_for_byte(http: TestClient, wiring: Wiring) -> None:
    answer = http.post(
        "/webhooks/whatsapp", content=BODY, headers={"X-Hub-Signature-256": sign(APP_SECRET, BODY)}
    )
    assert answer.status_code == 200
    assert stored(wiring) == [BODY]


def test_a_wrong_signature_is_refused_and_nothing_is_stored(http: TestClient, wiring: Wiring) -> None:
    signature = sign(APP_SECRET, BODY)
    for headers, body in [
        ({}, BODY),
        ({"X-Hub-Signature-256": "sha256=00"}, BODY),
        ({"X-Hub-Signature-256": signature}, BODY + b" "),
        ({"X-Hub-Signature-256": sign("another", BODY)}, BODY),
    ]:
        answer = http.post("/webhooks/whatsapp", content=body, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["field"] == "X-Hub-Signature-256"
    assert stored(wiring) == []


def test_a_signed_body_that_is_no_json_is_kept_for_a_person_to_see(http: TestClient, wiring: Wiring) -> None:
    body = b"not json"
    answer = http.post(
        "/webhooks/whatsapp", content=body, headers={"X-Hub-Signature-256": sign(APP_SECRET, body)}
    )
    assert answer.status_code == 200
    assert stored(wiring) == [body]
