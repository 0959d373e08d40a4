"""Our own webhook bodies (`webhooks.json`), one of each kind and many odd ones: what each is read as."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from delivery.whatsapp.items import (
    InboundMessage,
    NumberUpdate,
    OtherChange,
    Standing,
    StatusUpdate,
    TemplateUpdate,
    UserPreference,
)
from delivery.whatsapp.webhooks import parse

BODIES: dict[str, Any] = json.loads((Path(__file__).parent / "webhooks.json").read_text())
ENTRY = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
ITEM = datetime(2026, 9, 21, 14, 13, 21, tzinfo=UTC)
PHONE, SCOPED, NUMBER, DISPLAY = "12025550123", "US.4711", "106540352242922", "12025550199"

OTHERS = {
    "status_deleted": ["messages.statuses"],
    "status_warning": ["messages.statuses"],
    "status_held": ["messages.statuses"],
    "history": ["history"],
    "nested_lists": ["entry", "entry", "changes", "messages", "messages", "changes"],
    "message_echoes": ["smb_message_echoes"],
    "preference_of_another_category": ["user_preferences"],
    "template_new_field": ["message_template_holiday_update"],
    "number_name": ["phone_number_name_update"],
    "account_ban_scheduled": ["account_update.DISABLED_UPDATE"],
    "account_restricted_elsewhere": ["account_update.ACCOUNT_RESTRICTION"],
    "account_partner": ["account_update.PARTNER_ADDED"],
    "account_alert": ["account_alerts"],
    "review_pending": ["account_review_update"],
    "security": ["security"],
    "call": ["calls"],
    "errors_only": ["messages.errors"],
}
STATUSES = {
    "status_bare": {"status": "delivered", "at": None, "number": None},
    "status_time_as_number": {"at": ITEM, "recipient_id": PHONE, "number": NUMBER, "display": DISPLAY},
    "status_time_in_milliseconds": {"at": ITEM},
    "status_time_odd": {"at": None},
    "status_played": {"status": "read"},
    "status_user_id_only": {"recipient_id": None, "user_id": SCOPED, "callback_data": "17"},
    "status_failed_code_as_text": {"status": "failed", "error_code": 131049, "error_title": "Not now"},
    "status_failed_without_errors": {"status": "failed", "error_code": None},
    "status_with_pricing_and_conversation": {"category": "marketing", "billable": True},
    "other_number": {"number": "777", "callback_data": "17"},
}
MESSAGES = {
    "text": {"kind": "text", "text": "STOP", "wa_id": PHONE, "user_id": SCOPED, "at": ITEM},
    "text_without_phone": {"kind": "text", "wa_id": None, "user_id": SCOPED},
    "text_with_plus": {"wa_id": PHONE, "user_id": SCOPED},
    "button": {"text": "No more", "button_payload": "STOP", "context_id": "wamid.0"},
    "button_reply": {"kind": "interactive", "text": "Yes", "button_payload": "b1"},
    "list_reply": {"text": "Row", "button_payload": "r1"},
    "flow_reply": {"kind": "interactive", "text": None, "button_payload": None},
    **{kind: {"kind": kind, "text": "look"} for kind in ("image", "video", "document")},
    **{kind: {"kind": kind, "text": None} for kind in ("audio", "sticker", "location", "contacts")},
    "reaction": {"kind": "reaction", "text": "\N{THUMBS UP SIGN}", "context_id": "wamid.0"},
    "reaction_removed": {"kind": "reaction", "text": None, "context_id": "wamid.0"},
    "order": {"kind": "order", "text": "quick"},
    "unsupported": {"kind": "unsupported"},
    "request_welcome": {"kind": "request_welcome"},
    "without_type": {"kind": "unknown", "wa_id": PHONE, "user_id": None, "at": None},
    "changed_number": {"kind": "system", "wa_id": PHONE, "new_wa_id": "12025550124"},
    "changed_number_older_form": {"new_wa_id": "12025550124"},
    "changed_user_id": {"new_wa_id": None, "new_user_id": "US.4712"},
    "identity_changed": {"kind": "system", "new_wa_id": None, "new_user_id": None},
}
TEMPLATES = {
    **{
        f"template_{event.lower()}": {
            "event": event,
            "template": "spring_coupon",
            "language": "en_US",
            "at": ENTRY,
        }
        for event in (
            *("APPROVED", "PAUSED", "DISABLED", "REINSTATED"),
            *("REJECTED", "FLAGGED", "PENDING_DELETION"),
        )
    },
    "template_quality": {"event": None, "quality": "RED", "category": None},
    "template_category": {"category": "MARKETING"},
    "template_category_soon": {"category": "UTILITY"},
    "template_components": {
        "components": (
            {"type": "HEADER", "text": "Spring"},
            {"type": "BODY", "text": "Hello {{1}}"},
            {"type": "FOOTER", "text": "Bye"},
            {
                "type": "BUTTONS",
                "buttons": [{"type": "URL", "text": "Shop", "url": "https://shop.example/{{1}}"}],
            },
        )
    },
}
STOPPED, BACK, WARNED = ({"standing": standing} for standing in Standing)
NUMBERS = {
    "number_flagged": WARNED | {"display": DISPLAY, "limit": 10_000, "at": ENTRY},
    "number_unflagged": WARNED | {"display": DISPLAY},
    "number_upgrade": {"standing": None, "has_limit": True, "limit": 10_000},
    "number_unlimited": {"has_limit": True, "limit": None},
    "capability_per_phone": {"display": None, "limit": 1000},
    "capability_per_business": {"display": None, "limit": 2000},
    "account_disabled": STOPPED | {"display": None, "until": None},
    "account_reinstated": BACK,
    "account_restricted": STOPPED | {"until": datetime(2026, 9, 28, 12, 53, 20, tzinfo=UTC)},
    "account_violation": WARNED | {"reason": "SPAM"},
    "account_deleted": STOPPED,
    "review_approved": BACK,
    "review_rejected": STOPPED,
}
PREFERENCES = {
    "preference_stop": {"value": "stop", "wa_id": PHONE, "user_id": SCOPED, "at": ITEM},
    "preference_resume_without_phone": {"value": "resume", "wa_id": None, "user_id": SCOPED},
}
SINGLE: list[tuple[type, dict[str, dict[str, Any]]]] = [
    (StatusUpdate, STATUSES),
    (InboundMessage, MESSAGES),
    (TemplateUpdate, TEMPLATES),
    (NumberUpdate, NUMBERS),
    (UserPreference, PREFERENCES),
]
SEVERAL = {
    "several_of_everything": [StatusUpdate, StatusUpdate, InboundMessage, NumberUpdate],
    "statuses_and_messages_in_one_value": [StatusUpdate, InboundMessage],
}


def _read(name: str) -> list[Any]:
    return parse(json.dumps(BODIES[name]).encode())


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        pytest.param(kind, name, expected, id=name)
        for kind, table in SINGLE
        for name, expected in table.items()
    ],
)
def test_a_body_is_read_as_one_item(kind: type, name: str, expected: dict[str, Any]) -> None:
    (item,) = _read(name)
    assert isinstance(item, kind)
    assert {part: getattr(item, part) for part in expected} == expected


@pytest.mark.parametrize(("name", "fields"), OTHERS.items(), ids=OTHERS)
def test_what_changes_nothing_is_kept_under_its_name(name: str, fields: list[str]) -> None:
    items = _read(name)
    assert all(isinstance(item, OtherChange) for item in items)
    assert [item.field for item in items] == fields


@pytest.mark.parametrize(("name", "kinds"), SEVERAL.items(), ids=SEVERAL)
def test_several_items_come_in_their_order(name: str, kinds: list[type]) -> None:
    assert [type(item) for item in _read(name)] == kinds


def test_every_body_is_expected_to_be_something() -> None:
    known = {*OTHERS, *SEVERAL, *(name for _, table in SINGLE for name in table)}
    assert known == BODIES.keys()
