"""Whether a claimed message may go out now, and if not, what becomes of it. Pure rules, in the order of their weight.

    paused, or behind an open fuse                    planned as it was
    stopped experiment, or a silenced variant         cancelled
    too late                                          expired: as late, unless a fuse was the last to hold it
    no consent, no phone, a rule that never allows    suppressed
    a rule that allows it later (`standing.py`)       planned for that very moment, or expired when that is too late
    a better message of this person wants the room    planned for a few seconds later

A better message is one of the same category whose time has come, of a running experiment with a higher priority, or of
the same one and due earlier.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from delivery.limits.adaptive import evidence_at
from delivery.limits.caps import taken
from delivery.limits.ledger_repository import Waiting
from delivery.limits.standing import Slot, Standing, first_allowed
from delivery.outbox.retry import PERSON_REST, again
from delivery.outbox.story import MAX_REASON, Story
from experiments.clock import format_duration
from experiments.vocabulary import ExperimentStatus, MessageState

CONSENT: Final = "consent"
NO_PHONE: Final = "no_phone"
LATE: Final = "late"
STOPPED: Final = "stopped"
PRIORITY: Final = "priority"
WINDOW_CLOSED: Final = "window_closed"
CONTENT: Final = "content"
_STOPPED_BY: Final = frozenset({"slow_down", "number_blocked", "template_paused", "paused"})
"""Reasons that go on until the message is claimed again. A rule that put it off had let go when it was due."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What must be known about a message before it goes out. `better`: messages that come before it and want its room.
    `silenced`: why nothing goes out to those who have its variant, or None.
    """

    status: str
    fused: bool
    phone: str | None
    consented: bool
    standing: Standing
    better: int = 0
    silenced: str | None = None


def held_back(story: Story, situation: Situation, *, now: datetime) -> Story | None:
    """The message as it is to be stored when it may not go out now; None when it may."""
    if situation.fused or situation.status not in (ExperimentStatus.RUNNING, ExperimentStatus.STOPPED):
        return _unclaimed(story)._replace(state=MessageState.PLANNED)
    never = (
        (situation.status == ExperimentStatus.STOPPED, MessageState.CANCELLED, STOPPED),
        (situation.silenced is not None, MessageState.CANCELLED, situation.silenced or ""),
        (
            now >= story.expires_at,
            MessageState.EXPIRED,
            story.reason if story.reason in _STOPPED_BY else LATE,
        ),
        (not situation.consented, MessageState.SUPPRESSED, CONSENT),
        (situation.phone is None, MessageState.SUPPRESSED, NO_PHONE),
    )
    for holds, state, reason in never:
        if holds:
            return _ended(story, state, reason)
    return _deferred(story, situation, now)


def _deferred(story: Story, situation: Situation, now: datetime) -> Story | None:
    verdict = first_allowed(situation.standing, now)
    if verdict.at is None:
        return _ended(story, MessageState.SUPPRESSED, str(verdict.reason))
    if verdict.at > now:
        return again(_unclaimed(story), at=verdict.at, reason=str(verdict.reason))
    fits = situation.standing.room_at(now) if situation.better else None
    if fits is not None and fits <= situation.better:
        return again(_unclaimed(story), at=now + PERSON_REST, reason=PRIORITY)
    return None


def unrenderable(story: Story, why: str) -> Story:
    """A message whose text cannot be made for this user; `why` names the variable."""
    return _ended(story, MessageState.SUPPRESSED, f"{CONTENT}: {why}"[:MAX_REASON])


def window_closed(story: Story) -> Story:
    """A free text without a template, and the person has not written to us for 24 hours."""
    return _ended(story, MessageState.SUPPRESSED, WINDOW_CLOSED)


def put_off(story: Story, *, at: datetime, reason: str) -> Story:
    """A message that cannot be made just now, but can later."""
    return again(_unclaimed(story), at=at, reason=reason[:MAX_REASON])


def busy_until(slots: Collection[Slot], now: datetime) -> datetime | None:
    """When to look again because of a message in flight to this person; None when there is none.

    The longer it has been in flight, the less soon an answer is to be expected.
    """
    return max(
        (
            now + max(PERSON_REST, now - slot.at)
            for slot in slots
            if slot.busy_until is not None and slot.busy_until > now
        ),
        default=None,
    )


def turn_at(
    story: Story, waiting: Collection[Waiting], *, min_interval: timedelta, now: datetime
) -> datetime | None:
    """Not before then, because an earlier step of the same experiment still waits; None when none does."""
    return max(
        (
            max(other.due_at + min_interval, now + PERSON_REST)
            for other in waiting
            if other.experiment_id == story.experiment_id and other.step < story.step
        ),
        default=None,
    )


def better(
    story: Story,
    waiting: Collection[Waiting],
    *,
    priority: int,
    fused: Collection[tuple[int, str]],
    now: datetime,
) -> int:
    """How many messages of this person come before this one and could go out now as far as is known."""
    mine = (-priority, story.due_at, story.id)
    return sum(
        other.category == story.category
        and other.due_at <= now < other.expires_at
        and (-other.priority, other.due_at, other.id) < mine
        and (other.experiment_id, other.variant) not in fused
        for other in waiting
    )


def decision(standing: Standing, now: datetime) -> dict[str, Any]:
    """What was counted, for `messages.decision`: the caps after adaptation, how full they are, and why they are so."""
    slots = standing.of_category()
    said: dict[str, Any] = {
        "caps": [
            {"window": format_duration(limit.window), "cap": limit.count, "taken": taken(slots, limit, now)}
            for limit in standing.limits_at(now)
        ],
    }
    if standing.adaptive is not None:
        said |= {"factor": standing.factor_at(now), "evidence": asdict(evidence_at(standing.signals, now))}
    if standing.tier is not None:
        exempt = standing.tier.exempt_until
        said["tier"] = {
            "limit": standing.tier.limit,
            "counted": standing.tier.counted,
            "exempt": exempt is not None and now < exempt,
        }
    return said


def _unclaimed(story: Story) -> Story:
    return story._replace(claimed_by=None, lease_until=None)


def _ended(story: Story, state: MessageState, reason: str) -> Story:
    return _unclaimed(story)._replace(state=state, reason=reason)
