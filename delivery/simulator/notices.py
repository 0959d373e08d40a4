"""What WhatsApp tells a business about itself: templates, the number, the account, in Meta's form. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

TITLES_OF_PAUSES = ("FIRST_PAUSE", "SECOND_PAUSE")


@dataclass(frozen=True, slots=True)
class Notice:
    """One change that is about no message; `at` in whole seconds since 1970 on the simulated clock."""

    field: str
    value: Mapping[str, Any]
    at: int


class Named(Protocol):
    """A template, as far as a notice names it."""

    name: str
    language: str
    id: int
    category: str


def _named(template: Named) -> dict[str, Any]:
    return {
        "message_template_id": template.id,
        "message_template_name": template.name,
        "message_template_language": template.language,
    }


def template_status(
    template: Named, event: str, at: int, *, reason: str = "NONE", title: str | None = None, text: str = ""
) -> Notice:
    """APPROVED, PAUSED, REINSTATED, DISABLED, REJECTED ..; `title` such as FIRST_PAUSE or UNPAUSE, with its `text`."""
    value = {"event": event, **_named(template), "reason": reason}
    value["message_template_category"] = template.category
    if title is not None:
        value["other_info"] = {"title": title, "description": text}
    if event == "DISABLED":
        value["disable_info"] = {"disable_date": at}
    return Notice("message_template_status_update", value, at)


def template_quality(template: Named, old: str, new: str, at: int) -> Notice:
    value = {"previous_quality_score": old, "new_quality_score": new, **_named(template)}
    return Notice("message_template_quality_update", value, at)


def template_category(template: Named, old: str, new: str, at: int) -> Notice:
    value = {**_named(template), "previous_category": old, "new_category": new}
    return Notice("template_category_update", value, at)


def number_limit(display_phone_number: str, event: str, old: str, new: str, at: int) -> Notice:
    """`event` such as UPGRADE, DOWNGRADE, FLAGGED, UNFLAGGED, THROUGHPUT_UPGRADE; limits such as TIER_2K."""
    value = {
        "display_phone_number": display_phone_number,
        "event": event,
        "old_limit": old,
        "current_limit": new,
        "max_daily_conversations_per_business": new,
    }
    return Notice("phone_number_quality_update", value, at)


def capability(tier: int | None, at: int) -> Notice:
    """How many people a day the business may write to; -1 is without limit."""
    value = {
        "max_daily_conversation_per_phone": -1 if tier is None else tier,
        "max_daily_conversations_per_business": -1 if tier is None else tier,
        "max_phone_numbers_per_waba": 25,
    }
    return Notice("business_capability_update", value, at)


def account(display_phone_number: str, event: str, at: int, **more: Any) -> Notice:
    """`event` such as DISABLED_UPDATE, ACCOUNT_VIOLATION, ACCOUNT_RESTRICTION, with what Meta adds for each."""
    date = datetime.fromtimestamp(at, UTC)
    extra: dict[str, Any] = {
        "DISABLED_UPDATE": {
            "ban_info": {
                "waba_ban_state": "DISABLE",
                "waba_ban_date": f"{date:%B} {date.day}, {date.year}",
            }
        },
        "ACCOUNT_VIOLATION": {"violation_info": {"violation_type": "SPAM"}},
    }.get(event, {})
    return Notice(
        "account_update", {"phone_number": display_phone_number, "event": event, **extra, **more}, at
    )
