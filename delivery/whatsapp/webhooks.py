"""What comes in: signatures, the handshake, and bodies parsed into items. Pure, and tolerant: nothing is dropped.

Webhooks come at least once, unordered and batched. A body is checked over its raw bytes, stored, answered, and only
later parsed here. What is not understood becomes an `OtherChange`, so that one odd item never costs the others.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from delivery.whatsapp import account_news
from delivery.whatsapp.items import (
    InboundMessage,
    NumberUpdate,
    OtherChange,
    PreferenceValue,
    StatusUpdate,
    TemplateUpdate,
    UserPreference,
    WebhookItem,
    merge_status,
)
from delivery.whatsapp.values import code, dict_or_empty, dicts, digits, moment, text
from experiments.errors import Invalid
from experiments.vocabulary import MessageState

__all__ = [
    "InboundMessage",
    "NumberUpdate",
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
_WISHES = frozenset(str(value) for value in PreferenceValue)

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
    at = moment(entry.get("time"))
    for change in changes:
        name = text(change.get("field")) if isinstance(change, dict) else None
        if name is None:
            yield OtherChange("changes", change)
        elif not isinstance(change.get("value"), dict):
            yield OtherChange(name, change.get("value"))
        elif name == "messages":
            yield from _message_items(change["value"])
        elif name == "user_preferences":
            yield from _preference_items(change["value"])
        elif name in account_news.READERS:
            yield account_news.read(name, change["value"], at)
        else:
            yield OtherChange(name, change["value"])


def _message_items(value: dict[str, Any]) -> Iterator[WebhookItem]:
    contacts = dicts(value.get("contacts"))
    metadata = dict_or_empty(value.get("metadata"))
    understood = False
    if isinstance(value.get("statuses"), list):
        understood = True
        number, display = (
            text(metadata.get("phone_number_id")),
            _digits_of(text(metadata.get("display_phone_number"))),
        )
        yield from (_status(item, contacts, number, display) for item in value["statuses"])
    if isinstance(value.get("messages"), list):
        understood = True
        yield from (_inbound(item, contacts) for item in value["messages"])
    if isinstance(value.get("errors"), list):
        understood = True
        yield OtherChange("messages.errors", {"errors": value["errors"]})
    if not understood:
        yield OtherChange("messages", value)


@lru_cache(maxsize=64)
def _digits_of(number: str | None) -> str | None:
    # The same few numbers of ours stand in each of thousands of statuses.
    return digits(number)


def _status(
    item: Any, contacts: list[dict[str, Any]], number: str | None, display: str | None
) -> WebhookItem:
    status = _STATUSES.get(text(item.get("status")) or "") if isinstance(item, dict) else None
    wamid = text(item.get("id")) if status else None
    if status is None or wamid is None:
        return OtherChange("messages.statuses", item)
    error = next(iter(dicts(item.get("errors"))), {})
    pricing = dict_or_empty(item.get("pricing"))
    recipient = text(item.get("recipient_id"))
    participant = text(item.get("recipient_participant_user_id"))
    recipient, user_id = _identify(recipient, text(item.get("recipient_user_id")) or participant, contacts)
    return StatusUpdate(
        wamid=wamid,
        status=status,
        at=moment(item.get("timestamp")),
        recipient_id=recipient,
        callback_data=text(item.get("biz_opaque_callback_data")),
        error_code=code(error.get("code")),
        error_title=text(error.get("title")) or text(error.get("message")),
        category=text(pricing.get("category")),
        billable=pricing.get("billable") if isinstance(pricing.get("billable"), bool) else None,
        user_id=user_id,
        number=number,
        display=display,
    )


def _inbound(item: Any, contacts: list[dict[str, Any]]) -> WebhookItem:
    message_id = text(item.get("id")) if isinstance(item, dict) else None
    if message_id is None:
        return OtherChange("messages.messages", item)
    wa_id, user_id = _identify(text(item.get("from")), text(item.get("from_user_id")), contacts)
    if wa_id is None and user_id is None:
        return OtherChange("messages.messages", item)
    kind = text(item.get("type")) or "unknown"
    content = dict_or_empty(item.get(kind))
    words, payload = _content(kind, content)
    context = dict_or_empty(item.get("context"))
    changed = "changed" in (text(content.get("type")) or "") if kind == "system" else False
    return InboundMessage(
        wa_id=wa_id,
        user_id=user_id,
        message_id=message_id,
        at=moment(item.get("timestamp")),
        kind=kind,
        text=words,
        button_payload=payload,
        context_id=text(context.get("id"))
        or (text(content.get("message_id")) if kind == "reaction" else None),
        new_wa_id=digits(content.get("wa_id") or content.get("new_wa_id")) if changed else None,
        new_user_id=text(content.get("user_id")) if changed else None,
    )


def _content(kind: str, content: dict[str, Any]) -> tuple[str | None, str | None]:
    """What the person said, and our id of the button or the row that they chose."""
    if kind == "text":
        return text(content.get("body")), None
    if kind == "button":
        return text(content.get("text")), text(content.get("payload"))
    if kind == "interactive":
        reply = dict_or_empty(content.get(text(content.get("type")) or ""))
        return text(reply.get("title")), text(reply.get("id"))
    if kind == "reaction":
        return text(content.get("emoji")), None
    return text(content.get("caption")) or text(content.get("text")), None


def _preference_items(value: dict[str, Any]) -> Iterator[WebhookItem]:
    contacts = dicts(value.get("contacts"))
    items = value.get("user_preferences")
    if not isinstance(items, list):
        yield OtherChange("user_preferences", value)
        return
    for item in items:
        wish = dict_or_empty(item)
        value_of = {name: (text(wish.get(name)) or "").lower() for name in ("value", "category")}
        known = value_of["value"] in _WISHES and value_of["category"] in ("", MARKETING_MESSAGES)
        given = (text(wish.get("wa_id")), text(wish.get("user_id"))) if known else (None, None)
        wa_id, user_id = _identify(*given, contacts)
        if not known or (wa_id is None and user_id is None):
            # A `signup` among others: it proves no consent to us, so it is kept for people to look at.
            yield OtherChange("user_preferences", item)
        else:
            yield UserPreference(
                wa_id, user_id, PreferenceValue(value_of["value"]), moment(wish.get("timestamp"))
            )


def _identify(
    wa_id: str | None, user_id: str | None, contacts: list[dict[str, Any]]
) -> tuple[str | None, str | None]:
    """The person's ids, completed from the contact that shares one of them.

    An item with neither id belongs to the only contact; with several contacts nobody can tell.
    """
    wa_id = wa_id.removeprefix("+") or None if wa_id else None
    known = [(text(contact.get("wa_id")), text(contact.get("user_id"))) for contact in contacts]
    if wa_id is None and user_id is None:
        return known[0] if len(known) == 1 else (None, None)
    for phone, scoped in known:
        if (wa_id is not None and phone == wa_id) or (user_id is not None and scoped == user_id):
            return wa_id or phone, user_id or scoped
    return wa_id, user_id
