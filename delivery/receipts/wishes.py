"""What people want: to stop marketing messages, or to have them again. A stop counts at once, however late it arrives.

Wishes come more than once and in any order, so each is kept as an event of its person at the time it was made, and what
holds follows from all of them: of a stop and a resume the newer counts, of two of the same time the stop. What was
withdrawn in another way (the API, a file) is undone only by a resume that is younger; what was granted in another way does
not outweigh a stop that becomes known later. A wish that was heard before says nothing new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session

from delivery.receipts import wish_repository as repository
from experiments.clock import EPOCH, Clock, to_micros
from experiments.vocabulary import MARKETING_RESUMED_EVENT, MARKETING_STOPPED_EVENT, Category
from targeting import consent, event_repository, user_repository
from targeting.consent import Applied, ConsentChange

PREFERENCES: Final = "whatsapp user_preferences"
STOP_WORD: Final = "whatsapp stop word"
STATUS_131050: Final = "whatsapp 131050"
SOURCES: Final = (PREFERENCES, STOP_WORD, STATUS_131050)


class Wish(StrEnum):
    STOP = "stop"
    RESUME = "resume"


NAMES: Final = {Wish.STOP: MARKETING_STOPPED_EVENT, Wish.RESUME: MARKETING_RESUMED_EVENT}


@dataclass(frozen=True, slots=True)
class Wished:
    """What a user wanted at `at`; `source` is where we heard it, `evidence` the proof."""

    user_pk: int
    wish: Wish
    at: datetime
    source: str
    evidence: str


def apply(session: Session, clock: Clock, *, wished: Sequence[Wished]) -> Applied:
    """Keep these wishes and change consent to marketing where they say something new."""
    if not wished:
        return Applied()
    now = clock.now()
    user_pks = {wish.user_pk for wish in wished}
    user_repository.lock_people(session, user_pks)
    events = {_message_id(wish): _event(wish, now) for wish in wished}
    heard_before = event_repository.known_message_ids(session, events)
    known = repository.newest(session, user_pks, names=NAMES.values())
    withdrawn = repository.withdrawn_otherwise(session, user_pks, sources=SOURCES)
    event_repository.insert_events(session, list(events.values()))
    new = {message_id: wish for wish in wished if (message_id := _message_id(wish)) not in heard_before}
    changes = []
    # A wish of the future would outweigh every other until then; of the same time, the stop comes last and holds.
    for wish in sorted(new.values(), key=lambda wish: (min(wish.at, now), wish.wish is Wish.STOP)):
        stopped, resumed = (known.get((wish.user_pk, NAMES[of]), EPOCH) for of in (Wish.STOP, Wish.RESUME))
        other = withdrawn.get(wish.user_pk, EPOCH)
        at = min(wish.at, now)
        if (resumed > other and resumed > at) if wish.wish is Wish.STOP else at <= max(stopped, other):
            continue
        changes.append(
            ConsentChange(
                wish.user_pk,
                Category.MARKETING,
                granted=wish.wish is Wish.RESUME,
                source=wish.source,
                evidence=wish.evidence,
            )
        )
    return consent.apply_changes(session, clock, changes=changes)


def _message_id(wish: Wished) -> str:
    return f"wish:{wish.user_pk}:{wish.wish}:{to_micros(wish.at)}"


def _event(wish: Wished, now: datetime) -> dict[str, Any]:
    return {
        "message_id": _message_id(wish),
        "user_pk": wish.user_pk,
        "name": NAMES[wish.wish],
        "at": min(wish.at, now),
        "received_at": now,
        "properties": {"source": wish.source},
    }
