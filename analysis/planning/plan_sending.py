"""How long a campaign takes to go out: messages per second, quiet hours, and how many people may be written to in a day. Pure."""

from datetime import date, datetime, time, timedelta
from typing import Final

from analysis.planning.plan_findings import Sending
from delivery.limits.policy import DeliveryPolicy
from experiments.design import ExperimentDesign

_DAY: Final = timedelta(days=1)
_SECONDS: Final = 86_400
_ANY_DAY: Final = date(2000, 1, 1)


def sending_of(
    design: ExperimentDesign,
    *,
    users: int | None,
    policy: DeliveryPolicy,
    tier: int | None,
    messages_per_second: int,
) -> Sending | None:
    """What goes out until all of `users` have their messages; None when nobody knows how many users there will be.

    tier: people who may be written to in 24 hours; None: no bound. Quiet hours count as if all clocks showed the same time; what
    other campaigns send at the same time is not known.
    """
    if users is None:
        return None
    shares = design.shares
    people = round(users * sum(shares[each.key] for each in design.variants if each.steps))
    messages = round(users * sum(shares[each.key] * each.steps for each in design.variants))
    through = messages_per_second * _SECONDS * open_share(policy, design.category)
    by_rate = messages / through
    by_tier = people / tier if tier else 0.0
    per_person = messages / people if people else 1.0
    is_tier = by_tier > by_rate
    return Sending(
        messages=messages,
        people=people,
        per_day=int(min(through, tier * per_person) if tier else through),
        days=max(by_rate, by_tier),
        limited_by=f"WhatsApp's bound of {tier:,} people in 24 hours"
        if is_tier
        else f"{messages_per_second} messages a second",
    )


def share_in_time(sending: Sending | None, *, days: int, window: timedelta) -> float:
    """The share of messages that are out before the windows of their users close, when users come for so many days.

    >>> plan = Sending(messages=2000, people=2000, per_day=100, days=20.0, limited_by="")
    >>> share_in_time(plan, days=0, window=timedelta(days=7))
    0.35
    """
    if sending is None or sending.days <= 0:
        return 1.0
    return min(1.0, (days + window / _DAY) / sending.days)


def open_share(policy: DeliveryPolicy, category: str) -> float:
    """The share of a day in which messages of a category may go out."""
    if policy.quiet_hours is None or category not in policy.quiet_categories:
        return 1.0
    quiet = (_at(policy.quiet_hours.end) - _at(policy.quiet_hours.start)) % _DAY
    return 1 - quiet / _DAY


def _at(clock: time) -> datetime:
    return datetime.combine(_ANY_DAY, clock)
