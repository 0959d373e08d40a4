"""When one message to one person is allowed: all rules about how often and when together, exact to the microsecond. Pure.

Each rule says, for a moment, the first one from there on that it allows. The first moment that all allow is found by
asking each in turn until none moves it: no rule ever skips a moment that it allows, so neither does the search.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple

from delivery.limits.adaptive import Signal, evidence_at, factor, forgotten_at
from delivery.limits.caps import Limit, all_free_at, rested_at, room, windows, windows_of
from delivery.limits.hours import ALWAYS, Week
from delivery.limits.policy import AdaptiveCap, CategoryCaps
from delivery.limits.tier import Tier
from experiments.send_times import Frequency


class Rule(StrEnum):
    """What may hold a message back; the reason that is stored with it."""

    IN_FLIGHT = "in_flight"
    INTERVAL = "interval"
    FREQUENCY = "frequency"
    CAP = "cap"
    QUIET_HOURS = "quiet_hours"
    TIER = "tier"


class Slot(NamedTuple):
    """A place taken in a user's ledger. `busy_until`: until when its message waits for an answer, while it is in flight."""

    user_pk: int
    experiment_id: int
    category: str
    at: datetime
    busy_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rules look at. `slots` are those of the user, of all experiments.

    `busy_until`: not before then, because of a message in flight; `turn_at`: not before then, because an earlier step waits.
    """

    category: str
    experiment_id: int | None
    slots: Sequence[Slot]
    caps: CategoryCaps
    adaptive: AdaptiveCap | None = None
    signals: Sequence[Signal] = ()
    frequency: Frequency | None = None
    week: Week = ALWAYS
    zone: tzinfo = UTC
    tier: Tier | None = None
    busy_until: datetime | None = None
    turn_at: datetime | None = None

    def of_category(self) -> list[datetime]:
        return [slot.at for slot in self.slots if slot.category == self.category]

    def of_experiment(self) -> list[datetime]:
        return [slot.at for slot in self.slots if slot.experiment_id == self.experiment_id]

    def factor_at(self, moment: datetime) -> float:
        """What the caps are multiplied with at a moment."""
        if self.adaptive is None:
            return 1.0
        return factor(evidence_at(self.signals, moment), self.adaptive)

    def limits_at(self, moment: datetime) -> tuple[Limit, ...]:
        """The rolling caps of the category at a moment, adapted."""
        return windows(self.caps, factor=self.factor_at(moment))

    def room_at(self, moment: datetime) -> int | None:
        """How many messages of the category fit at a moment; None when nothing bounds them."""
        fits = room(self.of_category(), self.limits_at(moment), moment)
        return fits if self.caps.min_interval is None else min(1, 1 if fits is None else fits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """When a message is allowed (`at` None: never), the rule that comes last, and what each rule says by itself."""

    at: datetime | None
    reason: Rule | None
    rules: tuple[tuple[Rule, datetime | None], ...] = ()


Asked = Callable[[datetime], datetime | None]


def first_allowed(standing: Standing, now: datetime) -> Verdict:
    """The first moment from `now` on that every rule allows, under the ledger as it stands."""
    rules = list(_rules(standing))
    alone = []
    at, reason = now, None
    for rule, allows in rules:
        then = allows(now)
        alone.append((rule, then))
        if then is None:
            return Verdict(None, rule, tuple(alone))
        if then > at:
            at, reason = then, rule
    moved = at > now
    while moved:
        moved = False
        for rule, allows in rules:
            then = allows(at)
            if then is None:
                return Verdict(None, rule, tuple(alone))
            if then > at:
                at, reason, moved = then, rule, True
    return Verdict(at, reason, tuple(alone))


def _rules(standing: Standing) -> Iterator[tuple[Rule, Asked]]:
    if standing.busy_until is not None:
        yield Rule.IN_FLIGHT, _not_before(standing.busy_until)
    if standing.turn_at is not None:
        yield Rule.INTERVAL, _not_before(standing.turn_at)
    caps, frequency = standing.caps, standing.frequency
    if caps.day is not None or caps.week is not None or caps.month is not None:
        yield Rule.CAP, _capped(standing)
    if caps.min_interval is not None:
        yield Rule.INTERVAL, _rested(standing.of_category(), caps.min_interval)
    if frequency is not None:
        slots = standing.of_experiment()
        yield Rule.INTERVAL, _rested(slots, frequency.min_interval)
        limits = windows_of(frequency)
        if limits:
            yield Rule.FREQUENCY, lambda moment: all_free_at(slots, limits, moment)
    if standing.tier is not None:
        yield Rule.TIER, standing.tier.allows_at
    if standing.week != ALWAYS:
        yield Rule.QUIET_HOURS, lambda moment: standing.week.opens_at(moment, standing.zone)


def _not_before(then: datetime) -> Asked:
    return lambda moment: max(moment, then)


def _rested(slots: Sequence[datetime], min_interval: timedelta) -> Asked:
    latest = max(slots, default=None)
    return lambda moment: rested_at(latest, min_interval=min_interval, now=moment)


def _capped(standing: Standing) -> Asked:
    slots = standing.of_category()

    def allows(moment: datetime) -> datetime | None:
        while True:
            free = all_free_at(slots, standing.limits_at(moment), moment)
            if free is None or free == moment or standing.adaptive is None:
                return free
            # The caps are these only until a signal is forgotten; then they are worked out again.
            change = forgotten_at(standing.signals, moment)
            if change is None or free < change:
                return free
            moment = change

    return allows
