"""What a webhook can say, as values, and how statuses merge. `webhooks.py` and `account_news.py` read bodies into these."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from experiments.vocabulary import MessageState


class PreferenceValue(StrEnum):
    """What a person chose about marketing messages."""

    STOP = "stop"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A step of one of our messages. `at` is None when the sender gave no time: use that of the receipt.

    `number` is the id of the number that sent the message, `display` that number's digits.
    """

    wamid: str
    status: MessageState
    at: datetime | None
    recipient_id: str | None = dataclasses.field(repr=False)
    callback_data: str | None
    error_code: int | None
    error_title: str | None
    category: str | None
    billable: bool | None
    user_id: str | None = None
    number: str | None = None
    display: str | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a person, known by phone (`wa_id`), by business-scoped id (`user_id`), or both.

    `kind` is WhatsApp's type (text, button, interactive, image ..); `text` is what the person wrote or the title of what
    they pressed; `button_payload` our id of it; `context_id` the wamid of the message it answers. `new_wa_id` and
    `new_user_id` come from WhatsApp itself (`kind` system): the person goes by these from now on.
    """

    wa_id: str | None = dataclasses.field(repr=False)
    user_id: str | None
    message_id: str
    at: datetime | None
    kind: str
    text: str | None = dataclasses.field(repr=False)
    button_payload: str | None
    context_id: str | None
    new_wa_id: str | None = dataclasses.field(default=None, repr=False)
    new_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class UserPreference:
    """A person stopped or resumed marketing messages."""

    wa_id: str | None = dataclasses.field(repr=False)
    user_id: str | None
    value: PreferenceValue
    at: datetime | None


@dataclass(frozen=True, slots=True)
class TemplateUpdate:
    """Something about a template changed; what is None was not said.

    `event` is its status as WhatsApp says it: APPROVED, PAUSED, DISABLED, REINSTATED .. `components` are those parts of
    the text that were named, in the form of the template API.
    """

    template: str
    language: str | None
    template_id: str | None
    event: str | None
    reason: str | None
    category: str | None
    at: datetime | None
    quality: str | None = None
    components: tuple[dict[str, Any], ...] | None = dataclasses.field(default=None, hash=False)


class Standing(StrEnum):
    """What a word about a number or an account means for sending through it."""

    STOPPED = "stopped"
    BACK = "back"
    WARNED = "warned"
    """A notice: nothing is forbidden, or allowed again, by it."""


@dataclass(frozen=True, slots=True)
class NumberUpdate:
    """WhatsApp says something about a number (its digits), or about the whole account (`display` None).

    `limit` is how many people it may reach in 24 hours, null for any number, and counts only when `has_limit`.
    A stop with `until` ends by itself then.
    """

    display: str | None
    event: str
    at: datetime | None
    quality: str | None = None
    has_limit: bool = False
    limit: int | None = None
    standing: Standing | None = None
    until: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OtherChange:
    """Anything else, kept whole: an unknown field, or an item that lacks what its kind needs."""

    field: str
    value: Any = dataclasses.field(repr=False)


WebhookItem = StatusUpdate | InboundMessage | UserPreference | TemplateUpdate | NumberUpdate | OtherChange

_LATTICE = {
    MessageState.ACCEPTED: 1,
    MessageState.SENT: 2,
    MessageState.FAILED: 3,
    MessageState.DELIVERED: 4,
    MessageState.READ: 5,
}


def merge_status(current: MessageState, incoming: MessageState) -> MessageState:
    """The state after one more status: the greater of the two, so that order and repetition do not matter.

    accepted < sent < delivered < read; `failed` stands apart: it ends a message that got no further than sent, but
    a proof that the person received it outweighs it. A `current` outside of the chain (in flight, unknown ..)
    gives way to any status; an `incoming` outside of it changes nothing.

    >>> merge_status(MessageState.READ, MessageState.SENT)
    <MessageState.READ: 'read'>
    """
    return incoming if _LATTICE.get(incoming, 0) > _LATTICE.get(current, 0) else current
