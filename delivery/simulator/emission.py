"""Webhooks as the Cloud API words them. Pure: news in, a body out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from delivery.simulator.graph import title
from delivery.simulator.notices import Notice
from delivery.simulator.profile import Telling

WABA_ID: Final = "102290129340398"
SERVICE: Final = "service"
"""The category of free text, which costs nothing."""


class Step(StrEnum):
    """What can happen to a message after it was accepted; the first four are statuses."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    CLICK = "click"
    STOP_TEXT = "stop_text"
    STOP_MENU = "stop_menu"
    RESUME_MENU = "resume_menu"
    REPLY = "reply"
    PRESS = "press"


PREFERENCES: Final = {Step.STOP_MENU: "stop", Step.RESUME_MENU: "resume"}
WRITTEN: Final = (Step.STOP_TEXT, Step.REPLY, Step.PRESS)
"""What is a message of the person's own, and so opens the 24 h window."""
INBOUND: Final = frozenset((*WRITTEN, *PREFERENCES))


@dataclass(frozen=True, slots=True)
class News:
    """One thing to report; `at` in whole seconds since 1970 on the simulated clock.

    `wamid` is our message's (None: the person speaks unasked), `message_id` the inbound one's, if it must be told apart.
    `text` is what was written or stands on the button, `payload` what the button carries.
    """

    step: Step
    at: int
    wa_id: str
    wamid: str | None
    callback_data: str | None
    category: str
    code: int | None = None
    text: str = "STOP"
    payload: str | None = None
    message_id: str | None = None


Item = TypeVar("Item")


def _chunks(items: Sequence[Item], size: int | None) -> Iterator[Sequence[Item]]:
    step = size or max(1, len(items))
    return (items[start : start + step] for start in range(0, len(items), step))


def webhook(
    news: Sequence[News | Notice],
    *,
    phone_number_id: str,
    display_phone_number: str,
    waba_id: str = WABA_ID,
    telling: Telling = Telling(),  # noqa: B008  (frozen)
) -> bytes:
    """One body that reports all of `news`, in their order within each kind; `telling` says how it is broken up."""
    sender = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": display_phone_number, "phone_number_id": phone_number_id},
    }
    changes = []
    statuses = [item for item in news if isinstance(item, News) and item.step not in INBOUND]
    for some in _chunks(statuses, telling.statuses_per_change):
        value = sender | {"contacts": _contacts(some), "statuses": [_status(item) for item in some]}
        changes.append({"field": "messages", "value": value})
    for item in news:
        if isinstance(item, Notice):
            continue
        if item.step in WRITTEN:
            message = _written(item, display_phone_number)
            value = sender | {"contacts": _contacts([item]), "messages": [message]}
            changes.append({"field": "messages", "value": value})
        elif item.step in PREFERENCES:
            value = sender | {"contacts": _contacts([item]), "user_preferences": [_preference(item)]}
            changes.append({"field": "user_preferences", "value": value})
    entries: list[dict[str, Any]] = [
        {"id": waba_id, "changes": list(some)} for some in _chunks(changes, telling.changes_per_entry)
    ]
    entries.extend(
        {"id": waba_id, "time": item.at, "changes": [{"value": item.value, "field": item.field}]}
        for item in news
        if isinstance(item, Notice)
    )
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()


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
        name = title(item.code)
        status["errors"] = [
            {"code": item.code, "title": name, "message": name, "error_data": {"details": name}}
        ]
    else:
        billable = item.category != SERVICE
        status["pricing"] = {"billable": billable, "pricing_model": "PMP", "category": item.category}
    return status


def _written(item: News, display_phone_number: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "from": item.wa_id,
        "id": item.message_id or f"{item.wamid}.{'stop' if item.step is Step.STOP_TEXT else item.step}",
        "timestamp": str(item.at),
    }
    if item.step is Step.PRESS:
        message |= {"type": "button", "button": {"payload": item.payload or item.text, "text": item.text}}
    else:
        message |= {"type": "text", "text": {"body": item.text}}
    if item.wamid is not None:
        message["context"] = {"from": display_phone_number, "id": item.wamid}
    return message


def _preference(item: News) -> dict[str, Any]:
    value = PREFERENCES[item.step]
    return {
        "wa_id": item.wa_id,
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": item.at,
    }
