"""What comes in: signatures, the handshake, and bodies parsed into items. Pure, and tolerant: nothing is dropped.

Webhooks come at least once, unordered and batched. A body is checked over its raw bytes, stored, answered, and only
later parsed here. What is not understood becomes an `OtherChange`, so that one odd item never costs the others.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from delivery.whatsapp.items import (
    InboundMessage,
    OtherChange,
    PreferenceValue,
    StatusUpdate,
    TemplateUpdate,
    UserPreference,
    WebhookItem,
    merge_status,
)
from experiments.errors import Invalid
from experiments.vocabulary import MessageState

__all__ = [
    "InboundMessage",
    "OtherChange",
    "PreferenceValue",
    "StatusUpdate",
    "TemplateUpdate",
    "UserPreference",
    "WebhookItem",
    "handshake",
    "merge_status",
    "parse",
    "sign",
    "verify_signature",
]

SIGNATURE_PREFIX = "sha256="
MARKETING_MESSAGES = "marketing_messages"
"""The one category that people can stop."""


_STATUSES = {
    "sent": MessageState.SENT,
    "delivered": MessageState.DELIVERED,
    "read": MessageState.READ,
    "played": MessageState.READ,  # a voice message was listened to
    "failed": MessageState.FAILED,
}


def sign(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256` for `body`: `sha256=` and the HMAC in hex."""
    return SIGNATURE_PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify_signature(secret: str, body: bytes, header: str | None) -> bool:
    """Whether `header` signs `body`, compared in constant time. An empty secret, which anybody knows, signs nothing."""
    if not secret or header is None or not header.isascii():
        return False
    return hmac.compare_digest(sign(secret, body), header)


def handshake(params: Mapping[str, str], verify_token: str) -> str | None:
    """The challenge to answer a webhook subscription with, or None when it does not know `verify_token`."""
    given = params.get("hub.verify_token", "")
    if not verify_token or params.get("hub.mode") != "subscribe":
        return None
    if not hmac.compare_digest(given.encode(errors="replace"), verify_token.encode()):
        return None
    return params.get("hub.challenge")


def parse(body: bytes) -> list[WebhookItem]:
    """Every item of a webhook body, in its order; raises Invalid when it is no JSON object with a list `entry`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("the webhook body is not JSON") from error
    if not isinstance(document, dict):
        raise Invalid("the webhook body is not a JSON object")
    entries = document.get("entry")
    if not isinstance(entries, list):
        raise Invalid("must be a list", field="entry")
    return [item for entry in entries for item in _entry_items(entry)]


def _entry_items(entry: Any) -> Iterator[WebhookItem]:
    changes = entry.get("changes") if isinstance(entry, dict) else None
    if not isinstance(changes, list):
        yield OtherChange("entry", entry)
        return
    for change in changes:
        name = _text(change.get("field")) if isinstance(change, dict) else None
        if name is None:
            yield OtherChange("changes", change)
        elif not isinstance(change.get("value"), dict):
            yield OtherChange(name, change.get("value"))
        elif name == "messages":
            yield from _message_items(change["value"])
        elif name == "user_preferences":
            yield from _preference_items(change["value"])
        elif name == "message_template_status_update":
            yield _template_update(change["value"], _moment(entry.get("time")))
        else:
            yield OtherChange(name, change["value"])


def _message_items(value: dict[str, Any]) -> Iterator[WebhookItem]:
    contacts = _dicts(value.get("contacts"))
    understood = False
    for key, read in (("statuses", _status), ("messages", _inbound)):
        items = value.get(key)
        if isinstance(items, list):
            understood = True
            yield from (read(item, contacts) for item in items)
    if isinstance(value.get("errors"), list):
        understood = True
        yield OtherChange("messages.errors", {"errors": value["errors"]})
    if not understood:
        yield OtherChange("messages", value)


def _status(item: Any, contacts: list[dict[str, Any]]) -> WebhookItem:
    status = _STATUSES.get(_text(item.get("status")) or "") if isinstance(item, dict) else None
    wamid = _text(item.get("id")) if status else None
    if status is None or wamid is None:
        return OtherChange("messages.statuses", item)
    error = next(iter(_dicts(item.get("errors"))), {})
    pricing = item.get("pricing") if isinstance(item.get("pricing"), dict) else {}
    recipient = _text(item.get("recipient_id"))
    participant = _text(item.get("recipient_participant_user_id"))
    recipient, user_id = _identify(recipient, _text(item.get("recipient_user_id")) or participant, contacts)
    return StatusUpdate(
        wamid=wamid,
        status=status,
        at=_moment(item.get("timestamp")),
        recipient_id=recipient,
        callback_data=_text(item.get("biz_opaque_callback_data")),
        error_code=_code(error.get("code")),
        error_title=_text(error.get("title")) or _text(error.get("message")),
        category=_text(pricing.get("category")),
        billable=pricing.get("billable") if isinstance(pricing.get("billable"), bool) else None,
        user_id=user_id,
    )


def _inbound(item: Any, contacts: list[dict[str, Any]]) -> WebhookItem:
    message_id = _text(item.get("id")) if isinstance(item, dict) else None
    if message_id is None:
        return OtherChange("messages.messages", item)
    wa_id, user_id = _identify(_text(item.get("from")), _text(item.get("from_user_id")), contacts)
    if wa_id is None and user_id is None:
        return OtherChange("messages.messages", item)
    kind = _text(item.get("type")) or "unknown"
    content = item.get(kind) if isinstance(item.get(kind), dict) else {}
    text, payload = _content(kind, content)
    context = item.get("context") if isinstance(item.get("context"), dict) else {}
    return InboundMessage(
        wa_id=wa_id,
        user_id=user_id,
        message_id=message_id,
        at=_moment(item.get("timestamp")),
        kind=kind,
        text=text,
        button_payload=payload,
        context_id=_text(context.get("id"))
        or (_text(content.get("message_id")) if kind == "reaction" else None),
    )


def _content(kind: str, content: dict[str, Any]) -> tuple[str | None, str | None]:
    """What the person said, and our id of the button or the row that they chose."""
    if kind == "text":
        return _text(content.get("body")), None
    if kind == "button":
        return _text(content.get("text")), _text(content.get("payload"))
    if kind == "interactive":
        reply = content.get(_text(content.get("type")) or "")
        reply = reply if isinstance(reply, dict) else {}
        return _text(reply.get("title")), _text(reply.get("id"))
    if kind == "reaction":
        return _text(content.get("emoji")), None
    return _text(content.get("caption")), None


def _preference_items(value: dict[str, Any]) -> Iterator[WebhookItem]:
    contacts = _dicts(value.get("contacts"))
    items = value.get("user_preferences")
    if not isinstance(items, list):
        yield OtherChange("user_preferences", value)
        return
    for item in items:
        known = (
            isinstance(item, dict)
            and item.get("value") in ("stop", "resume")
            and item.get("category", MARKETING_MESSAGES) == MARKETING_MESSAGES
        )
        given = (_text(item.get("wa_id")), _text(item.get("user_id"))) if known else (None, None)
        wa_id, user_id = _identify(*given, contacts)
        if not known or (wa_id is None and user_id is None):
            # A `signup` among others: it proves no consent to us, so it is kept for people to look at.
            yield OtherChange("user_preferences", item)
        else:
            yield UserPreference(
                wa_id, user_id, PreferenceValue(item["value"]), _moment(item.get("timestamp"))
            )


def _template_update(value: dict[str, Any], at: datetime | None) -> WebhookItem:
    name, event = _text(value.get("message_template_name")), _text(value.get("event"))
    if name is None or event is None:
        return OtherChange("message_template_status_update", value)
    return TemplateUpdate(
        template=name,
        language=_text(value.get("message_template_language")),
        template_id=_text(value.get("message_template_id")),
        event=event,
        reason=_text(value.get("reason")),
        category=_text(value.get("message_template_category")),
        at=at,
    )


def _identify(
    wa_id: str | None, user_id: str | None, contacts: list[dict[str, Any]]
) -> tuple[str | None, str | None]:
    """The person's ids, completed from the contact that shares one of them.

    An item with neither id belongs to the only contact; with several contacts nobody can tell.
    """
    known = [(_text(contact.get("wa_id")), _text(contact.get("user_id"))) for contact in contacts]
    if wa_id is None and user_id is None:
        return known[0] if len(known) == 1 else (None, None)
    for phone, scoped in known:
        if (wa_id is not None and phone == wa_id) or (user_id is not None and scoped == user_id):
            return wa_id or phone, user_id or scoped
    return wa_id, user_id


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    """A non-empty text that any database can store; ids that come as whole numbers count as text."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _code(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    """Seconds since 1970, as text or number, as UTC; None when it is no such thing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None
