"""Webhook bodies as WhatsApp sends them, stored and projected, and the messages they speak of."""

import json
from datetime import datetime
from typing import Any

from delivery.models import WebhookBody
from delivery.receipts.inbox import Projected, project_tick, store
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from targeting import consent
from tests.integration import outbox
from tests.integration.outbox import later

WAMID = "wamid.1"


def project(database: Database, clock: SteppedClock, **options: Any) -> Projected:
    return project_tick(database, clock, settings=outbox.settings(), **options)


def come(database: Database, clock: SteppedClock, body: bytes | dict[str, Any]) -> int:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with database.transaction() as session:
        return store(session, clock, body=raw)


def change_of(field: str, value: dict[str, Any], *, at: datetime | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": "1", "changes": [{"field": field, "value": value}]}
    if at is not None:
        entry["time"] = to_micros(at) // 1_000_000
    return {"object": "whatsapp_business_account", "entry": [entry]}


def status(
    kind: str, at: datetime, callback: str | None = None, *, wamid: str = WAMID, code: int | None = None
):
    status: dict[str, Any] = {"id": wamid, "status": kind, "timestamp": str(to_micros(at) // 1_000_000)}
    if callback is not None:
        status["biz_opaque_callback_data"] = callback
    if code is not None:
        status["errors"] = [{"code": code, "title": "title"}]
    return status


def statuses(*statuses: dict[str, Any]) -> dict[str, Any]:
    return change_of("messages", {"messaging_product": "whatsapp", "statuses": list(statuses)})


def text_from(phone: str, text: str, at: datetime) -> dict[str, Any]:
    inbound = {
        "from": phone.removeprefix("+"),
        "id": f"wamid.in.{to_micros(at)}",
        "timestamp": str(to_micros(at) // 1_000_000),
        "type": "text",
        "text": {"body": text},
    }
    return change_of("messages", {"messages": [inbound]})


def preference(phone: str, value: str, at: datetime) -> dict[str, Any]:
    item = {
        "wa_id": phone.removeprefix("+"),
        "value": value,
        "category": "marketing_messages",
        "timestamp": to_micros(at) // 1_000_000,
    }
    return change_of("user_preferences", {"user_preferences": [item]})


def template_event(event: str, at: datetime, language: str | None = "en_US") -> dict[str, Any]:
    value = {"event": event, "message_template_name": "promo_a", "message_template_language": language}
    return change_of("message_template_status_update", {k: v for k, v in value.items() if v}, at=at)


def sent_out(database: Database, clock: SteppedClock, number: int = 1, **changes: Any) -> list[int]:
    """Messages that went out just now."""
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, number)
    defaults = {
        "state": "inflight",
        "tries": 1,
        "slot_at": clock.now(),
        "claimed_by": "w",
        "lease_until": later(clock, hours=24),
    }
    return outbox.add_messages(database, clock, experiment_id, users, **defaults | changes)


def is_granted(database: Database, user_pk: int) -> bool:
    with database.snapshot() as session:
        return consent.consents_of(session, user_pk=user_pk)[0].granted


def stored(database: Database, body_id: int) -> WebhookBody:
    with database.snapshot() as session:
        found = session.get(WebhookBody, body_id)
    assert found is not None
    return found
