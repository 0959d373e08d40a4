"""What must be read to know when messages are allowed, for many users in a few queries: `Standing`s for reservation and why.

The caller holds the users while it means to act on the answer, and has called `lock_tier` before the time was taken where
a tier counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from delivery.fuses import numbers
from delivery.limits import ledger_repository as repository
from delivery.limits.adaptive import EVIDENCE, Signal
from delivery.limits.caps import windows, windows_of
from delivery.limits.hours import ALWAYS, Week, country_of, during, outside
from delivery.limits.policy import DeliveryPolicy
from delivery.limits.standing import Slot, Standing
from delivery.limits.tier import SERVICE_WINDOW, TIER_WINDOW, Leaving, Tier, counts, is_open
from delivery.local_time import zone_of
from delivery.outbox.dispatch_repository import Recipient
from experiments.send_times import Frequency
from experiments.settings import Settings
from experiments.vocabulary import Category


def tier_of(session: Session, policy: DeliveryPolicy, settings: Settings) -> int | None:
    """How many people may be written to in 24 hours: what the policy says, else what WhatsApp last said of the number."""
    if policy.unique_users is not None:
        return policy.unique_users
    known = numbers.state_of(session, settings.whatsapp_phone_number_id)
    return None if known is None else known.unique_users


def reach_of(
    policy: DeliveryPolicy, frequencies: Collection[Frequency], settings: Settings, *, tier: bool
) -> timedelta:
    """How far back any rule looks at slots."""
    reach = [settings.unknown_after, TIER_WINDOW if tier else timedelta(0)]
    for category in Category:
        caps = policy.caps(category)
        reach += [limit.window for limit in windows(caps)]
        reach.append(caps.min_interval or timedelta(0))
    for frequency in frequencies:
        reach += [frequency.min_interval, *(limit.window for limit in windows_of(frequency))]
    return max(reach)


@dataclass(slots=True)
class Circumstances:
    """What was read about some users at one moment. Since then, `going` more people count towards the tier, and `ahead` of
    whoever asks now so many wait for room in it.
    """

    policy: DeliveryPolicy
    now: datetime
    slots: Mapping[int, Sequence[Slot]]
    signals: Mapping[int, Sequence[Signal]] = field(default_factory=dict)
    limit: int | None = None
    leaving: Leaving | None = None
    going: int = 0
    ahead: int = 0
    _weeks: dict[tuple[str, str | None], Week] = field(default_factory=dict)

    def standing(
        self,
        user_pk: int,
        person: Recipient,
        *,
        category: str,
        experiment_id: int | None,
        frequency: Frequency | None,
        busy_until: datetime | None,
        turn_at: datetime | None = None,
    ) -> Standing:
        """What the rules look at for one message to one of these users."""
        return Standing(
            category=category,
            experiment_id=experiment_id,
            slots=self.slots.get(user_pk, ()),
            caps=self.policy.caps(category),
            adaptive=self.policy.adaptive if category == Category.MARKETING else None,
            signals=self.signals.get(user_pk, ()),
            frequency=frequency,
            week=self._week(category, person.phone),
            zone=zone_of(person.time_zone),
            tier=self._tier(user_pk, person),
            busy_until=busy_until,
            turn_at=turn_at,
        )

    def _week(self, category: str, phone: str | None) -> Week:
        policy = self.policy
        if category not in policy.quiet_categories or (policy.quiet_hours is None and not policy.countries):
            return ALWAYS
        country = country_of(phone) if phone is not None and policy.countries else None
        week = self._weeks.get((category, country))
        if week is None:
            week = week_of(policy, country)
            self._weeks[category, country] = week
        return week

    def _tier(self, user_pk: int, person: Recipient) -> Tier | None:
        if self.limit is None or self.leaving is None:
            return None
        inbound = person.last_inbound_at
        own = max(
            (
                slot.at + TIER_WINDOW
                for slot in self.slots.get(user_pk, ())
                if slot.at > self.now - TIER_WINDOW and counts(slot.at, inbound)
            ),
            default=None,
        )
        left = self.limit - self.going - self.ahead
        return Tier(
            limit=self.limit,
            counted=self.leaving.counted + self.going,
            exempt_until=inbound + SERVICE_WINDOW
            if inbound is not None and is_open(inbound, self.now)
            else None,
            own_until=own,
            # Where this very look gave all room away, it comes back when the first of those people is forgotten.
            room_at=self.leaving.room_at(left, own_until=own, now=self.now)
            if left > 0
            else self.now + TIER_WINDOW,
        )


def week_of(policy: DeliveryPolicy, country: str | None) -> Week:
    """When people of a country may be written to, by the clock on their wall: outside quiet hours and in allowed ones."""
    quiet, allowed = policy.quiet_hours, policy.countries.get(country) if country else None
    week = ALWAYS if quiet is None else outside(quiet.start, quiet.end)
    if allowed is None:
        return week
    return week & during(allowed.start, allowed.end, [day.number for day in allowed.days])


def look_at(
    session: Session,
    *,
    policy: DeliveryPolicy,
    limit: int | None,
    user_pks: Collection[int],
    frequencies: Collection[Frequency],
    settings: Settings,
    now: datetime,
) -> Circumstances:
    """Read what the rules need to know of these users. `limit` is the tier, if one counts."""
    reach = reach_of(policy, frequencies, settings, tier=limit is not None)
    slots: dict[int, list[Slot]] = {}
    for slot in repository.slots(session, user_pks, since=now - reach):
        slots.setdefault(slot.user_pk, []).append(slot)
    signals: dict[int, list[Signal]] = {}
    if policy.adaptive is not None:
        for signal in repository.signals(session, user_pks, since=now - EVIDENCE):
            signals.setdefault(signal.user_pk, []).append(signal)
    leaving = None
    if limit is not None:
        leaving = repository.people_written_to(session, limit=limit, spare=len(user_pks), now=now)
    return Circumstances(policy, now, slots, signals, limit, leaving)
