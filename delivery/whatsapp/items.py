"""What a webhook can say, as values, and how statuses merge. `webhooks.py` reads bodies into these."""

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
    """A step of one of our messages. `at` is None when the sender gave no time: use that of the receipt."""

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


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a person, known by phone (`wa_id`), by business-scoped id (`user_id`), or both.

    `kind` is WhatsApp's type (text, button, interactive, image ..); `text` is what the person wrote or the title of what
    they pressed; `button_payload` our id of it; `context_id` the wamid of the message it answers.
    """

    wa_id: str | None = dataclasses.field(repr=False)
    user_id: str | None
    message_id: str
    at: datetime | None
    kind: str
    text: str | None = dataclasses.field(repr=False)
    button_payload: str | None
    context_id: str | None


@dataclass(frozen=True, slots=True)
class UserPreference:
    """A person stopped or resumed marketing messages."""

    wa_id: str | None = dataclasses.field(repr=False)
    user_id: str | None
    value: PreferenceValue
    at: datetime | None


@dataclass(frozen=True, slots=True)
class TemplateUpdate:
    """A template changed state; `event` as WhatsApp says it: APPROVED, PAUSED, DISABLED, REINSTATED .."""

    template: str
    language: str | None
    template_id: str | None
    event: str
    reason: str | None
    category: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class OtherChange:
    """Anything else, kept whole: an unknown field, or an item that lacks what its kind needs."""

    field: str
    value: Any = dataclasses.field(repr=False)


WebhookItem = StatusUpdate | InboundMessage | UserPreference | TemplateUpdate | OtherChange

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
