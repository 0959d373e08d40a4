"""Stored webhooks, read: the items of a batch of bodies, sorted by what is to be done with them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from delivery.receipts.inbound import Said, said_in
from delivery.receipts.receipt_repository import Looked, Stored
from delivery.whatsapp import webhooks
from delivery.whatsapp.items import (
    InboundMessage,
    NumberUpdate,
    OtherChange,
    StatusUpdate,
    TemplateUpdate,
    UserPreference,
    WebhookItem,
)
from experiments.clock import format_moment, parse_moment
from experiments.errors import Invalid
from experiments.vocabulary import MessageState


@dataclass(frozen=True, slots=True)
class Status:
    """A status of one body, at the time it happened, or came."""

    body_id: int
    update: StatusUpdate
    at: datetime


@dataclass(slots=True)
class Reading:
    """The items of a batch of bodies, sorted by kind.

    `displays` are the digits of numbers by their ids, `others` the kinds in each body of which nothing is made.
    """

    statuses: list[Status] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    templates: list[tuple[datetime, TemplateUpdate]] = field(default_factory=list)
    numbers: list[tuple[datetime, NumberUpdate]] = field(default_factory=list)
    displays: dict[str, str] = field(default_factory=dict)
    unreadable: list[Looked] = field(default_factory=list)
    others: dict[int, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A stored body as items, or why it cannot be read. Of one that was looked at before, only the statuses left over."""

    body: Stored
    items: Sequence[WebhookItem]
    error: str | None = None


def parse(bodies: Sequence[Stored]) -> list[Parsed]:
    """Take these bodies apart. It is the longer half of the work, and needs no transaction."""
    return [_parsed(body) for body in bodies]


def _parsed(body: Stored) -> Parsed:
    if body.unmatched is not None:
        return Parsed(body, [*map(_from_json, body.unmatched)])
    try:
        return Parsed(body, webhooks.parse(body.body))
    except Invalid as error:
        return Parsed(body, (), str(error))


def read(parsed: Sequence[Parsed], *, now: datetime) -> Reading:
    """What these bodies say. Unreadable ones are closed at `now`."""
    reading = Reading()
    for each in parsed:
        body, items = each.body, each.items
        if each.error is not None:
            reading.unreadable.append(Looked(body.id, now, each.error, None))
            continue
        for item in items:
            if isinstance(item, StatusUpdate):
                reading.statuses.append(Status(body.id, item, item.at or body.received_at))
                if item.number is not None and item.display is not None:
                    reading.displays[item.number] = item.display
            elif isinstance(item, InboundMessage | UserPreference):
                reading.said.append(said_in(item, received_at=body.received_at))
            elif isinstance(item, OtherChange):
                reading.others.setdefault(body.id, []).append(item.field)
            else:
                # A word of the future would outweigh every other until then.
                at = min(item.at or body.received_at, now)
                if isinstance(item, TemplateUpdate):
                    reading.templates.append((at, item))
                else:
                    reading.numbers.append((at, item))
    return reading


def as_json(update: StatusUpdate) -> dict[str, Any]:
    """A status as it waits in `unmatched`: without the person's number."""
    return {
        "wamid": update.wamid,
        "status": str(update.status),
        "at": None if update.at is None else format_moment(update.at),
        "callback_data": update.callback_data,
        "error_code": update.error_code,
        "error_title": update.error_title,
        "user_id": update.user_id,
        "number": update.number,
    }


def _from_json(left: dict[str, Any]) -> StatusUpdate:
    return StatusUpdate(
        wamid=left["wamid"],
        status=MessageState(left["status"]),
        at=None if left["at"] is None else parse_moment(left["at"]),
        recipient_id=None,
        callback_data=left["callback_data"],
        error_code=left["error_code"],
        error_title=left["error_title"],
        category=None,
        billable=None,
        user_id=left["user_id"],
        number=left.get("number"),
    )
