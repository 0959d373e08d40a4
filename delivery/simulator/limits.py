"""What a sender may do to one person and to how many people: the pair rate and the tier of unique people. Pure state.

Asking (`refuses`) and counting (`take`) are apart, because a message that something else refuses must count for nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass

from delivery.simulator.profile import Limits


@dataclass(slots=True)
class _Pair:
    begun: float
    count: int
    strikes: int = 0
    blocked_until: float = float("-inf")


class PairRest:
    """How close together messages to one person may come (131056); `now` in seconds of a clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self._rest = limits.pair_rest
        self._burst = limits.pair_burst
        self._longest = limits.pair_longest
        self._pairs: dict[str, _Pair] = {}

    def refuses(self, wa_id: str, now: float) -> bool:
        """Whether a message to this person comes too soon; asking too soon makes the wait longer."""
        pair = self._pairs.get(wa_id)
        if self._rest is None or pair is None:
            return False
        if now >= pair.blocked_until:
            # All the time that earlier messages borrowed has passed, or the burst goes on.
            rested = now >= pair.begun + pair.count * self._rest
            bursting = now < pair.begun + self._rest and pair.count < self._burst
            if rested or bursting:
                return False
        pair.blocked_until = max(pair.blocked_until, now + min(self._longest, 4.0**pair.strikes))
        pair.strikes = min(pair.strikes + 1, 16)
        return True

    def take(self, wa_id: str, now: float) -> None:
        """A message to this person was accepted."""
        if self._rest is None:
            return
        pair = self._pairs.get(wa_id)
        if pair is not None and now < pair.begun + self._rest and pair.count < self._burst:
            pair.count += 1
            pair.strikes = 0
        else:
            self._pairs[wa_id] = _Pair(now, 1)


class UniquePeople:
    """How many different people may get a template outside their window in a rolling stretch of time."""

    def __init__(self, limits: Limits) -> None:
        self.most = limits.tier
        self._seconds = limits.tier_seconds
        self._latest: OrderedDict[str, float] = OrderedDict()

    def refuses(self, wa_id: str, now: float) -> bool:
        """Whether this person would be one too many; `now` in seconds."""
        if self.most is None:
            return False
        while self._latest and next(iter(self._latest.values())) <= now - self._seconds:
            self._latest.popitem(last=False)
        return wa_id not in self._latest and len(self._latest) >= self.most

    def take(self, wa_id: str, now: float) -> None:
        """A template to this person was accepted."""
        if self.most is not None:
            self._latest[wa_id] = now
            self._latest.move_to_end(wa_id)
