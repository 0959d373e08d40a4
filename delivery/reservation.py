"""Whether a claimed message may go out now, and if not, what becomes of it. Pure rules, in the order of their weight.

stopped experiment -> cancelled; paused -> planned as it was; too late -> expired; no consent, no phone -> suppressed;
another message in flight to this person, an earlier step not long enough ago, the cap -> planned again for the exact
time at which it fits, or expired when that is too late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from delivery.caps import free_at, rested_at
from delivery.dispatch_repository import Taken
from delivery.retry import PERSON_REST, again
from delivery.story import MAX_REASON, Story
from experiments.settings import Settings
from experiments.vocabulary import WAITING_STATES, ExperimentStatus, MessageState

IN_FLIGHT: Final = "in_flight"
INTERVAL: Final = "interval"
CAP: Final = "cap"
CONSENT: Final = "consent"
NO_PHONE: Final = "no_phone"
LATE: Final = "late"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class Situation:
    """What must be known about a message before it goes out.

    `taken` are the places in the ledger of this user, and the earlier steps of this experiment that still wait.
    """

    status: str
    phone: str | None
    consented: bool
    taken: Sequence[Taken]
    min_interval: timedelta


def held_back(story: Story, situation: Situation, *, settings: Settings, now: datetime) -> Story | None:
    """The message as it is to be stored when it may not go out now; None when it may."""
    if situation.status not in (ExperimentStatus.RUNNING, ExperimentStatus.STOPPED):
        return replace(_unclaimed(story), state=MessageState.PLANNED)
    end = _end(story, situation, settings, now)
    if end is not None:
        return _ended(story, *end)
    at, reason = max(_waits(story, situation, settings, now), key=lambda wait: wait[0])
    return None if at <= now else again(_unclaimed(story), at=at, reason=reason)


def _end(
    story: Story, situation: Situation, settings: Settings, now: datetime
) -> tuple[MessageState, str] | None:
    """What makes the message one that will never go out; the first that holds."""
    never = (
        (situation.status == ExperimentStatus.STOPPED, MessageState.CANCELLED, STOPPED),
        (now >= story.expires_at, MessageState.EXPIRED, story.reason or LATE),
        (not situation.consented, MessageState.SUPPRESSED, CONSENT),
        (situation.phone is None, MessageState.SUPPRESSED, NO_PHONE),
        (settings.cap_week == 0 and story.category == "marketing", MessageState.SUPPRESSED, CAP),
    )
    return next(((state, reason) for holds, state, reason in never if holds), None)


def unrenderable(story: Story, why: str) -> Story:
    """A message whose text cannot be made for this user; `why` names the variable."""
    return _ended(story, MessageState.SUPPRESSED, f"content: {why}"[:MAX_REASON])


def _waits(
    story: Story, situation: Situation, settings: Settings, now: datetime
) -> list[tuple[datetime, str]]:
    """When each rule would let the message go, with the rule's name."""
    waits = []
    for place in situation.taken:
        if place.state == MessageState.INFLIGHT and place.slot_at is not None:
            # The longer it has been in flight, the less soon an answer is to be expected.
            waits.append((now + max(PERSON_REST, now - place.slot_at), IN_FLIGHT))
        elif place.state in WAITING_STATES:
            turn = max(place.due_at + situation.min_interval, now + PERSON_REST)
            waits.append((turn, INTERVAL))
    slots = [
        place.slot_at for place in situation.taken if place.slot_at is not None and _is_step(place, story)
    ]
    rested = rested_at(max(slots, default=None), min_interval=situation.min_interval, now=now)
    waits.append((rested, INTERVAL))
    if story.category == "marketing":
        slots = [
            place.slot_at
            for place in situation.taken
            if place.slot_at is not None and place.category == "marketing"
        ]
        free = free_at(
            slots,
            cap=settings.cap_week if settings.cap_week is not None else 10_000,
            window=timedelta(days=7),
            now=now,
        )
        waits.append((now if free is None else free, CAP))
    return waits


def _is_step(place: Taken, story: Story) -> bool:
    return place.experiment_id == story.experiment_id and place.step < story.step


def _unclaimed(story: Story) -> Story:
    return replace(story, claimed_by=None, lease_until=None)


def _ended(story: Story, state: MessageState, reason: str) -> Story:
    return replace(_unclaimed(story), state=state, reason=reason)
