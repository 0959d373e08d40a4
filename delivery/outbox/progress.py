"""How one status changes one message: a lattice, so that any order and any repetition end in the same row. Pure.

accepted < sent < delivered < read. A failure stands apart, and two rules make it fit:
- The first failure of an attempt decides what becomes of the message (`retry.after_error`); its copies change nothing.
- A proof of receipt outweighs a failure, whichever came first: a message that had been counted failed, suppressed or
  planned again and then turns out delivered *is* delivered, is not sent again, and takes its place in the user's
  ledger again, at the time WhatsApp took it. `failed_at` and `error_code` keep the contradiction visible; that the message
  ever failed at its person (`first_failed_at`) is taken back, unless that was another attempt than the one that was received.
Of an earlier attempt only a proof of receipt counts. Any status implies acceptance, a receipt implies that the message
was sent, a reading that it was delivered: missing times are filled in, and of several the earliest stays.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from delivery.outbox.retry import Alarm, Rules, after_error
from delivery.outbox.story import Story
from delivery.whatsapp.error_table import classify
from delivery.whatsapp.items import merge_status
from experiments.vocabulary import RECEIVED_STATES, MessageState

_OUT = frozenset({MessageState.INFLIGHT, MessageState.ACCEPTED, MessageState.SENT, MessageState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Receipt:
    """A status of one attempt: `state` is sent, delivered, read or failed."""

    attempt: int
    state: MessageState
    at: datetime
    wamid: str | None
    error_code: int | None


def belongs(story: Story, receipt: Receipt) -> bool:
    """Whether the receipt can be of this message: it was sent at all, and not under another id of WhatsApp's.

    Another program that sends from the same number may use the same callback data.
    """
    if story.tries == 0 and story.failed_at is None:
        return False
    stale = receipt.attempt < story.tries
    return stale or None in (story.wamid, receipt.wamid) or story.wamid == receipt.wamid


def merge(story: Story, receipt: Receipt, rules: Rules) -> tuple[Story, Alarm | None]:
    """The message after one more receipt, and what a failure says about more than this message."""
    stale = receipt.attempt < story.tries
    if stale and receipt.state not in RECEIVED_STATES:
        return story, None
    told = _times(story, receipt)
    if not stale and story.wamid is None and receipt.wamid is not None:
        told["wamid"] = receipt.wamid
    if receipt.state is not MessageState.FAILED:
        if _takes_back(story, receipt, stale=stale):
            told["first_failed_at"] = None
        return settled(_with(story, told | _move(story, receipt.state))), None
    dated = _with(story, told)
    if story.failed_at is not None:
        earlier = min(story.failed_at, receipt.at)
        if story.first_failed_at == story.failed_at:
            dated = dated._replace(first_failed_at=earlier)
        return settled(dated._replace(failed_at=earlier)), None
    # The code alone decides: a status has no HTTP status of its own.
    kind = classify(receipt.error_code)
    failed, alarm = after_error(
        dated, error_class=kind, code=receipt.error_code, at=receipt.at, rules=rules, refused=False
    )
    if story.state in _OUT:
        return failed, alarm
    return settled(dated._replace(failed_at=receipt.at, error_code=failed.error_code)), alarm


def _takes_back(story: Story, receipt: Receipt, *, stale: bool) -> bool:
    """Whether the receipt proves that the attempt which failed at its person was received: an earlier one, or this one where it was the first to fail."""
    if story.first_failed_at is None or receipt.state not in RECEIVED_STATES:
        return False
    return stale or story.first_failed_at == story.failed_at


def _with(story: Story, changes: dict[str, Any]) -> Story:
    # Copying is the dearest step of projection, so it is done once, and only for something.
    return story._replace(**changes) if changes else story


def _times(story: Story, receipt: Receipt) -> dict[str, Any]:
    """The times that a receipt tells and that are earlier than what is known."""
    at, state = receipt.at, receipt.state
    received = state in RECEIVED_STATES
    told: dict[str, Any] = {}
    for name, is_told in (
        ("accepted_at", True),
        ("sent_at", received or state is MessageState.SENT),
        ("delivered_at", received),
        ("read_at", state is MessageState.READ),
    ):
        known = getattr(story, name)
        if is_told and (known is None or at < known):
            told[name] = at
    return told


def _move(story: Story, incoming: MessageState) -> dict[str, Any]:
    current = MessageState(story.state)
    if story.failed_at is not None and current not in RECEIVED_STATES:
        current = MessageState.FAILED
    state = merge_status(current, incoming)
    return {} if state is current else {"state": state, "reason": None, "lease_until": None}


def settled(story: Story) -> Story:
    """Slots and due times that do not depend on whether the failure or the receipt came first."""
    if story.state in RECEIVED_STATES and story.failed_at is not None and story.accepted_at is not None:
        return story._replace(slot_at=story.accepted_at, due_at=story.accepted_at, claimed_by=None)
    if story.slot_at is None and story.state in (MessageState.SENT, *RECEIVED_STATES):
        return story._replace(slot_at=story.accepted_at)
    return story
