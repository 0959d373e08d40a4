"""What WhatsApp tells a business about itself, read into values: its templates, its numbers, its account. Pure.

Fields and values: Meta, "Webhooks reference" of the WhatsApp Business Platform. Meta adds events and renames fields, so an
event is read by the words in it, and a field by each name that it has had.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from delivery.whatsapp.items import NumberUpdate, OtherChange, Standing, TemplateUpdate, WebhookItem
from delivery.whatsapp.values import dict_or_empty, dicts, digits, limit, moment, text

LIMITS: Final = (
    "max_daily_conversations_per_business",
    "max_daily_conversation_per_business",
    "max_daily_conversations_per_phone",
    "max_daily_conversation_per_phone",
    "current_limit",
)
"""Where WhatsApp says how many people may be reached in 24 hours; the first that says something counts."""
BUSINESS_INITIATED: Final = "RESTRICTED_BIZ_INITIATED_MESSAGING"
BAN_STATES: Final = {"DISABLE": Standing.STOPPED, "REINSTATE": Standing.BACK}
"""A ban that is only scheduled says nothing yet: messages still go out."""
_BACK: Final = ("REINSTATE", "UNRESTRICT", "UNBAN", "RECONNECT", "RESTORED", "REENABLED")
_STOPS: Final = ("DISABLE", "RESTRICT", "BANNED", "SUSPEND", "DISCONNECT", "OFFBOARD", "DELETED")
_WARNINGS: Final = ("VIOLATION", "FLAGGED")
"""Whoever broke a rule, or is flagged (or no more: UNFLAGGED), may send, until a restriction or a ban says otherwise."""
_REVIEWS: Final = {"APPROVED": Standing.BACK, "REJECTED": Standing.STOPPED}
_ELEMENTS: Final = {"HEADER": "title", "BODY": "element", "FOOTER": "footer"}


def read(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    """The change as a value, or as an `OtherChange` when what its kind needs is missing."""
    return READERS[field](field, value, at)


def _template(field: str, value: dict[str, Any], at: datetime | None, *, needs: str) -> WebhookItem:
    name, said = text(value.get("message_template_name")), text(value.get(needs))
    if name is None or said is None:
        return OtherChange(field, value)
    is_status = needs == "event"
    category = value.get("message_template_category") if is_status else value.get("new_category")
    return TemplateUpdate(
        template=name,
        language=text(value.get("message_template_language")),
        template_id=text(value.get("message_template_id")),
        event=said.upper() if is_status else None,
        reason=text(value.get("reason")) if is_status else None,
        category=_upper(category),
        at=at,
        quality=said.upper() if needs == "new_quality_score" else None,
    )


def _components(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    name = text(value.get("message_template_name"))
    parts: list[dict[str, Any]] = [
        {"type": kind, "text": words}
        for kind, element in _ELEMENTS.items()
        if (words := text(value.get(f"message_template_{element}"))) is not None
    ]
    buttons = [_button(button) for button in dicts(value.get("message_template_buttons"))]
    if buttons:
        parts.append({"type": "BUTTONS", "buttons": buttons})
    if name is None or not parts:
        return OtherChange(field, value)
    return TemplateUpdate(
        template=name,
        language=text(value.get("message_template_language")),
        template_id=text(value.get("message_template_id")),
        event=None,
        reason=None,
        category=None,
        at=at,
        components=tuple(parts),
    )


def _button(button: dict[str, Any]) -> dict[str, Any]:
    prefix = "message_template_button_"
    return {
        name: words
        for name in ("type", "text", "url", "phone_number")
        if (words := text(button.get(prefix + name))) is not None
    }


def _quality(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    display, event = digits(value.get("display_phone_number")), _upper(value.get("event"))
    if display is None or event is None:
        return OtherChange(field, value)
    has_limit, people = _limit(value)
    standing = _standing(event)
    quality = _upper(value.get("new_quality_score") or value.get("quality_rating"))
    if quality is None and standing is not None:
        quality = event
    return NumberUpdate(display, event, at, quality, has_limit, people, standing)


def _capability(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    has_limit, people = _limit(value)
    if not has_limit:
        return OtherChange(field, value)
    return NumberUpdate(
        digits(value.get("display_phone_number")), field.upper(), at, has_limit=True, limit=people
    )


def _account(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    event = _upper(value.get("event"))
    if event is None:
        return OtherChange(field, value)
    ban = dict_or_empty(value.get("ban_info"))
    state = _upper(ban.get("waba_ban_state"))
    restrictions = dicts(value.get("restriction_info") or [value.get("restriction_info")])
    until = None
    if state is not None:
        standing = BAN_STATES.get(state, _warning(event))
    else:
        standing = _standing(event)
        if restrictions and standing in (Standing.STOPPED, Standing.WARNED):
            ours = [
                item for item in restrictions if _upper(item.get("restriction_type")) == BUSINESS_INITIATED
            ]
            standing = Standing.STOPPED if ours else _warning(event)
            ends = [moment(item.get("expiration")) for item in ours]
            until = None if None in ends else max((end for end in ends if end is not None), default=None)
    if standing is None:
        return OtherChange(f"{field}.{event}", value)
    violation = text(dict_or_empty(value.get("violation_info")).get("violation_type"))
    display = digits(value.get("phone_number") or value.get("display_phone_number"))
    return NumberUpdate(
        display,
        event,
        at,
        standing=standing,
        until=until,
        reason=" ".join(filter(None, (state, violation))) or None,
    )


def _review(field: str, value: dict[str, Any], at: datetime | None) -> WebhookItem:
    decision = _upper(value.get("decision"))
    standing = _REVIEWS.get(decision or "")
    if standing is None:
        return OtherChange(field, value)
    return NumberUpdate(None, f"REVIEW_{decision}", at, standing=standing)


def _limit(value: dict[str, Any]) -> tuple[bool, int | None]:
    for name in LIMITS:
        known, people = limit(value.get(name))
        if known:
            return True, people
    return False, None


def _standing(event: str) -> Standing | None:
    """What an event says about sending; a word of return outweighs, since it names what it ends (UNRESTRICTED)."""
    if any(word in event for word in _BACK):
        return Standing.BACK
    return Standing.STOPPED if any(word in event for word in _STOPS) else _warning(event)


def _warning(event: str) -> Standing | None:
    return Standing.WARNED if any(word in event for word in _WARNINGS) else None


def _upper(value: object) -> str | None:
    words = text(value)
    return words.upper() if words is not None else None


READERS: Final[dict[str, Callable[[str, dict[str, Any], datetime | None], WebhookItem]]] = {
    "message_template_status_update": partial(_template, needs="event"),
    "message_template_quality_update": partial(_template, needs="new_quality_score"),
    "template_category_update": partial(_template, needs="new_category"),
    "message_template_components_update": _components,
    "phone_number_quality_update": _quality,
    "business_capability_update": _capability,
    "account_update": _account,
    "account_review_update": _review,
}
"""The kinds about templates, numbers and accounts that change what we do. The others (names, alerts, security) are kept."""
