"""WhatsApp's bound on how many people may be written to in any 24 hours without having written to us first. Pure.

Counted is a person with a slot in the last 24 hours that was not within 24 hours of their last message to us; a second
message to somebody who is counted costs nothing. When somebody wrote more than once, only the last time is known, and a
slot before it is counted: rather one too many than one too few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

TIER_WINDOW: Final = timedelta(hours=24)
SERVICE_WINDOW: Final = timedelta(hours=24)
"""How long after a person's message to us we may write anything."""


def is_open(last_inbound_at: datetime | None, now: datetime) -> bool:
    """Whether a person wrote to us within the last 24 hours."""
    return last_inbound_at is not None and last_inbound_at <= now < last_inbound_at + SERVICE_WINDOW


def counts(slot: datetime, last_inbound_at: datetime | None) -> bool:
    """Whether a slot was outside of the person's window, as far as is known."""
    return not is_open(last_inbound_at, slot)


@dataclass(frozen=True, slots=True)
class Tier:
    """What one message must know of the bound. `counted`: people now, or slots where these are few enough; `own_until`: until
    when this person is among them.

    `exempt_until`: until when their window is open; `room_at`: from when on another person fits, None when never.
    """

    limit: int
    counted: int
    exempt_until: datetime | None
    own_until: datetime | None
    room_at: datetime | None

    def is_new(self, now: datetime) -> bool:
        """Whether a message that goes out at `now` counts one person more."""
        return all(
            free_until is None or now >= free_until for free_until in (self.exempt_until, self.own_until)
        )

    def allows_at(self, moment: datetime) -> datetime | None:
        """The first time from `moment` on at which the message fits."""
        for free_until in (self.exempt_until, self.own_until):
            if free_until is not None and moment < free_until:
                return moment
        return None if self.room_at is None else max(moment, self.room_at)


@dataclass(frozen=True, slots=True)
class Leaving:
    """When counted people stop counting, latest first: those of the ranks from `first` (0 is the latest) on.

    `counted` is how many people count in all. Only ranks around the limit are ever asked for.
    """

    counted: int
    first: int
    times: Sequence[datetime]

    def room_at(self, limit: int, *, own_until: datetime | None, now: datetime) -> datetime | None:
        """From when on fewer than `limit` others count; None when `limit` is not positive.

        `own_until`: until when the person asked about counts, who is no other.
        """
        if limit <= 0:
            return None
        others = self.counted - (own_until is not None)
        if others < limit:
            return now
        rank = limit - 1
        leaves = self._at(rank)
        if leaves is not None and own_until is not None and own_until >= leaves:
            leaves = self._at(rank + 1)  # the person stands before this one in the list
        return now if leaves is None else max(now, leaves)

    def _at(self, rank: int) -> datetime | None:
        # A slot may be given back between counting and reading the times; then there are fewer people than ranks.
        place = rank - self.first
        return self.times[place] if place < len(self.times) else None
