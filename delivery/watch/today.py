"""Delivery at a glance: what went out in the last 24 hours against what may, and whether anything stands in its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.fuses import breakers, numbers
from delivery.limits import ledger_repository, policy
from delivery.limits.policy import CategoryCaps
from delivery.limits.tier import TIER_WINDOW
from delivery.models import Breaker
from delivery.sending import workers
from delivery.watch import book_repository
from delivery.watch import summary_repository as repository
from delivery.watch.book_repository import Kept
from experiments.clock import Clock
from experiments.settings import Settings

BAD: Final = frozenset({"RED", "YELLOW"})
"""WhatsApp's words for a number that is about to lose its reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """messages: those of the last 24 hours that were not refused; people, people_limit: written to in them, and how many may be (None:
    no bound is known). due: planned messages of running experiments whose time has come, the first since `oldest_due`.
    marketing: how often one person may be written to. broken: experiments whose books did not hold when last checked.
    """

    at: datetime
    messages: int
    people: int
    people_limit: int | None
    marketing: CategoryCaps
    due: int
    oldest_due: datetime | None
    workers: int
    quality: str | None
    pause: Breaker | None
    fuses: Sequence[Breaker]
    broken: Sequence[Kept]

    @property
    def paused(self) -> bool:
        """Whether nothing at all goes out, by a hand or by WhatsApp's word on the account."""
        return self.pause is not None or any(fuse.kind == breakers.Kind.ALL for fuse in self.fuses)


def today(session: Session, clock: Clock, *, settings: Settings) -> Today:
    """Counted anew, from indexes. Call it in a snapshot. `fuses` are the open ones but for the pause by hand."""
    now = clock.now()
    opened = breakers.open_breakers(session, clock)
    known = numbers.state_of(session, settings.whatsapp_phone_number_id)
    chosen = policy.current(session, settings)
    queue = repository.queue(session, now=now)
    return Today(
        at=now,
        messages=repository.accepted_since(session, since=now - TIER_WINDOW),
        people=ledger_repository.people_counted(session, now=now),
        people_limit=known.unique_users if chosen.unique_users is None and known else chosen.unique_users,
        marketing=chosen.marketing,
        due=queue.due,
        oldest_due=queue.oldest,
        workers=len(workers.alive(session, clock)),
        quality=None if known is None else known.quality,
        pause=next((fuse for fuse in opened if _is_by_hand(fuse)), None),
        fuses=[fuse for fuse in opened if not _is_by_hand(fuse)],
        broken=book_repository.broken(session),
    )


def _is_by_hand(fuse: Breaker) -> bool:
    return (fuse.kind, fuse.key) == breakers.EVERYTHING
