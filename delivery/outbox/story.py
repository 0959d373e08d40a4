"""One message of the outbox as a value, and the moves that are not failures: its POST begins, is taken, stays unanswered.

An *attempt* is one POST of a message; `tries` numbers them from 1. `failed_at` belongs to the latest attempt: it is set
when that attempt failed and cleared when the next one begins. `first_failed_at` stays: the message has failed at its person once,
for good or for a day, whatever a further try brings. Only a proof that this attempt was received after all takes it back.
"""

import re
from datetime import datetime
from typing import Final, NamedTuple

from experiments.vocabulary import MessageState

HOLDING_STATES: Final = frozenset(
    {
        *(MessageState.INFLIGHT, MessageState.ACCEPTED, MessageState.SENT),
        *(MessageState.DELIVERED, MessageState.READ, MessageState.UNKNOWN),
    }
)
"""States in which a message holds a place in its user's ledger: it went out, or may have."""

MAX_REASON: Final = 200
MAX_WAMID: Final = 200
NO_ANSWER: Final = "no_answer"
_CALLBACK: Final = re.compile(r"([1-9]\d{0,17})(?:\.([1-9]\d{0,3}))?", re.ASCII)


class Story(NamedTuple):
    """What sending and receipts read and write of a row of `messages`; the columns have the same names and meanings.

    `lease_until` is when a claim ends, and for a message in flight when it stops waiting for a status.
    """

    id: int
    experiment_id: int
    user_pk: int
    variant: str
    step: int
    category: str
    state: str
    reason: str | None
    error_code: int | None
    first_due_at: datetime
    due_at: datetime
    expires_at: datetime
    language: str | None
    claimed_by: str | None
    lease_until: datetime | None
    tries: int
    slot_at: datetime | None
    wamid: str | None
    accepted_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
    first_failed_at: datetime | None


def callback_data(message_id: int, attempt: int) -> str:
    """What WhatsApp echoes in each status of an attempt: our id, and from the second attempt on its number.

    Without the number, a late copy of the first attempt's failure would be taken for a failure of the second.

    >>> callback_data(17, 1), callback_data(17, 2)
    ('17', '17.2')
    """
    return str(message_id) if attempt == 1 else f"{message_id}.{attempt}"


def read_callback(data: str | None) -> tuple[int, int] | None:
    """Message id and attempt, or None when it is not one of ours.

    >>> read_callback("17.2"), read_callback("somebody else's")
    ((17, 2), None)
    """
    match = _CALLBACK.fullmatch(data or "")
    return (int(match[1]), int(match[2] or 1)) if match else None


def begin(story: Story, *, now: datetime, waits_until: datetime, language: str | None = None) -> Story:
    """The message takes its slot and is in flight, in this language; whatever the last attempt left behind is cleared."""
    return story._replace(
        language=language,
        state=MessageState.INFLIGHT,
        reason=None,
        slot_at=now,
        lease_until=waits_until,
        tries=story.tries + 1,
        wamid=None,
        accepted_at=None,
        sent_at=None,
        failed_at=None,
    )


def accepted(story: Story, *, attempt: int, wamid: str | None, hold: str | None, at: datetime) -> Story:
    """WhatsApp took this attempt. A status that was faster has moved the message on: then only gaps are filled."""
    if story.tries != attempt:
        return story
    known = story._replace(wamid=story.wamid or wamid, accepted_at=earliest(story.accepted_at, at))
    if story.state != MessageState.INFLIGHT:
        return known
    return known._replace(state=MessageState.ACCEPTED, reason=hold, lease_until=None)


def unanswered(story: Story, *, attempt: int) -> Story:
    """Nobody knows what became of this attempt: it keeps its slot and waits for a status, and is never sent again."""
    if story.tries != attempt or story.state != MessageState.INFLIGHT:
        return story
    return story._replace(reason=NO_ANSWER)


def earliest(known: datetime | None, other: datetime) -> datetime:
    """The earlier of the two; `other` when nothing is known yet."""
    return other if known is None else min(known, other)
