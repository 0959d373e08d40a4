"""A template is changed because a test wants it: another status, quality or category, with what WhatsApp tells of it."""

from collections.abc import Mapping
from typing import Any

from delivery.simulator.notices import Notice, template_category, template_quality, template_status
from delivery.simulator.registry import CATEGORIES, QUALITIES, STATUSES, Template
from delivery.simulator.registry_reading import one_of
from experiments.errors import Invalid

_KEYS = {"status", "quality", "category", "reason", "event"}


def change_template(template: Template, document: Mapping[str, Any], now: int) -> list[Notice]:
    """`{"status"?, "quality"?, "category"?, "reason"?, "event"?}`; `now` in microseconds.

    A new status ends what pacing still had in store. `event` is what is told (default: the status, and REINSTATED for an
    APPROVED that was paused or disabled before), and tells even when nothing changed.
    """
    for name, value in document.items():
        if name not in _KEYS:
            raise Invalid("is not known", field=name)
        if not isinstance(value, str) or not value:
            raise Invalid("must be a text", field=name)
    status, quality, category = (
        one_of(document[name], allowed, name) if name in document else None
        for name, allowed in (("status", STATUSES), ("quality", QUALITIES), ("category", CATEGORIES))
    )
    template.settle(now)
    at, notices = now // 1_000_000, []
    if quality is not None and quality != template.quality:
        notices.append(template_quality(template, template.quality, quality, at))
        template.quality = quality
    if category is not None and category != template.category:
        notices.append(template_category(template, template.category, category, at))
        template.previous_category, template.category = template.category, category
    before = template.status
    if status is not None:
        template.forget_plans()
        template.status = status
    if "event" in document or template.status != before:
        freed = template.status == "APPROVED" and before in ("PAUSED", "DISABLED")
        event = document.get("event") or ("REINSTATED" if freed else template.status)
        title = {"PAUSED": "FIRST_PAUSE", "REINSTATED": "UNPAUSE", "DISABLED": "DISABLED"}.get(event)
        reason = document.get("reason", "NONE")
        if template.status == "REJECTED":
            template.rejected_reason = reason
        notices.append(
            template_status(template, event, at, reason=reason, title=title, text=f"The template is {event}.")
        )
    return notices
