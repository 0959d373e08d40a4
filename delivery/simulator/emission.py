"""Webhooks as the Cloud API words them. Pure: news in, a body out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from delivery.simulator.graph import TITLES


class Step(StrEnum):
    """What can happen to a message after it was accepted; the first four are statuses."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    CLICK = "click"
    STOP_TEXT = "stop_text"
    STOP_MENU = "stop_menu"


@dataclass(frozen=True, slots=True)
class News:
    """One thing to report; `at` in whole seconds since 1970 on the simulated clock."""

    step: Step
    at: int
    wa_id: str
    wamid: str
    callback_data: str | None
    category: str
    code: int | None = None


def webhook(news: Sequence[News], *, phone_number_id: str, display_phone_number: str) -> bytes:
    """One body that reports all of `news`, in their order within each kind."""
    sender = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": display_phone_number, "phone_number_id": phone_number_id},
    }
    changes = []
    statuses = [item for item in news if item.step not in (Step.STOP_TEXT, Step.STOP_MENU)]
    if statuses:
        value = sender | {"contacts": _contacts(statuses), "statuses": [_status(item) for item in statuses]}
        changes.append({"field": "messages", "value": value})
    for item in news:
        if item.step is Step.STOP_TEXT:
            value = sender | {"contacts": _contacts([item]), "messages": [_stop_text(item)]}
            changes.append({"field": "messages", "value": value})
        elif item.step is Step.STOP_MENU:
            value = sender | {"contacts": _contacts([item]), "user_preferences": [_stop_menu(item)]}
            changes.append({"field": "user_preferences", "value": value})
    entry = {"id": "102290129340398", "changes": changes}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def _contacts(news: Sequence[News]) -> list[dict[str, Any]]:
    return [{"profile": {"name": "Simulated"}, "wa_id": item.wa_id} for item in news]


def _status(item: News) -> dict[str, Any]:
    status: dict[str, Any] = {
        "id": item.wamid,
        "status": str(item.step),
        "timestamp": str(item.at),
        "recipient_id": item.wa_id,
    }
    if item.callback_data is not None:
        status["biz_opaque_callback_data"] = item.callback_data
    if item.code is not None:
        title = TITLES[item.code]
        status["errors"] = [
            {"code": item.code, "title": title, "message": title, "error_data": {"details": title}}
        ]
    else:
        status["pricing"] = {"billable": True, "pricing_model": "PMP", "category": item.category}
    return status


def _stop_text(item: News) -> dict[str, Any]:
    return {
        "from": item.wa_id,
        "id": f"{item.wamid}.stop",
        "timestamp": str(item.at),
        "type": "text",
        "text": {"body": "STOP"},
        "context": {"id": item.wamid},
    }


def _stop_menu(item: News) -> dict[str, Any]:
    return {
        "wa_id": item.wa_id,
        "detail": "User requested to stop marketing messages",
        "category": "marketing_messages",
        "value": "stop",
        "timestamp": item.at,
    }
