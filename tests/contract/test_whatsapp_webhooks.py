"""Webhook bodies as the Cloud API sends them: each is understood, none raises."""

import json
from pathlib import Path

import pytest

from delivery.whatsapp.webhooks import (
    InboundMessage,
    OtherChange,
    StatusUpdate,
    TemplateUpdate,
    UserPreference,
    parse,
)
from experiments.vocabulary import MessageState

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "conformance" / "whatsapp-webhooks"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"the public webhook bodies are absent: no {FOLDER.parent.name}/{FOLDER.name} beside the repository",
)
KIND_OF_FILE = {
    "callback_button": InboundMessage,
    "message": InboundMessage,
    "message_status": StatusUpdate,
    "template_status_update": TemplateUpdate,
    "user_marketing_preferences": UserPreference,
}
NOT_OF_THE_KIND = {("user_marketing_preferences", "signup"): OtherChange}


def _cases():
    for path in sorted(FOLDER.glob("*.json")):
        for name, body in json.loads(path.read_text()).items():
            yield pytest.param(path.stem, name, body, id=f"{path.stem}-{name}")


@pytest.mark.parametrize(("file", "name", "body"), list(_cases()))
def test_a_body_becomes_items_of_its_kind(file, name, body):
    items = parse(json.dumps(body).encode())
    assert items
    expected = NOT_OF_THE_KIND.get((file, name), KIND_OF_FILE.get(file, object))
    assert isinstance(items[0], expected)
    if isinstance(items[0], InboundMessage):
        source = body["entry"][0]["changes"][0]["value"]["messages"][0]
        assert (items[0].wa_id, items[0].message_id) == (source["from"], source["id"])
        assert items[0].at is not None
        assert int(items[0].at.timestamp()) == int(source["timestamp"])
        assert items[0].user_id == "US.13491208655302741918"
    if isinstance(items[0], StatusUpdate):
        source = body["entry"][0]["changes"][0]["value"]["statuses"][0]
        assert items[0].wamid == source["id"]
        assert items[0].status == MessageState({"played": "read"}.get(source["status"], source["status"]))
        assert items[0].callback_data == source.get("biz_opaque_callback_data")
        assert items[0].error_code == (source["errors"][0]["code"] if "errors" in source else None)


def test_the_same_bodies_without_phone_numbers_still_name_the_person():
    bodies = json.loads((FOLDER / "message.json").read_text()) | json.loads(
        (FOLDER / "callback_button.json").read_text()
    )
    for body in bodies.values():
        value = body["entry"][0]["changes"][0]["value"]
        for contact in value["contacts"]:
            del contact["wa_id"]
        for message in value["messages"]:
            del message["from"]
        item = parse(json.dumps(body).encode())[0]
        assert isinstance(item, InboundMessage)
        assert (item.wa_id, item.user_id) == (None, "US.13491208655302741918")
