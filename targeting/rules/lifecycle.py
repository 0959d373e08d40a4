"""A rule's row in each of its states: armed, standing still, parked with an error."""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import MICROSECOND, Clock
from experiments.cron import next_time
from targeting.conditions.needs import expand_segments
from targeting.models import Rule
from targeting.rules.definitions import (
    InactivityTrigger,
    RuleDefinition,
    ScheduleTrigger,
    stored_rule,
)
from targeting.rules.matching import LiveRule, make_ready
from targeting.segments.repository import conditions_by_key

WALK_EVERY: Final = timedelta(hours=1)
"""How often everybody is looked at for a rule about inactivity."""
ENGINE: Final = "rule engine"
_ERROR_LENGTH: Final = 1000


def definition_of(rule: Rule) -> RuleDefinition:
    """The definition of a stored rule; raises Invalid when it cannot be read."""
    return stored_rule(rule.definition)


def live(session: Session, rule: Rule) -> LiveRule:
    """The rule made ready to be evaluated."""
    definition = definition_of(rule)
    condition = expand_segments(definition.condition, conditions_by_key(session), field="condition")
    return make_ready(definition, rule_id=id_of(rule), version=rule.version, condition=condition)


def arm(rule: Rule, definition: RuleDefinition, *, now: datetime) -> None:
    """Let the rule fire from now on. A walk begins anew: whoever it has reached is not reached twice for one occasion."""
    rule.parked_at = rule.error = None
    rule.waits_for = definition.trigger.waits_for
    rule.next_walk_at = first_walk(definition, now=now)
    rule.walk_began_at, rule.walked_to_pk = None, 0


def disarm(rule: Rule) -> None:
    """Let the rule fire no more."""
    rule.waits_for = rule.next_walk_at = rule.walk_began_at = None
    rule.walked_to_pk = 0


def park(session: Session, clock: Clock, rule: Rule, error: Exception) -> None:
    """Stop a rule that failed, and keep why, until somebody enables it again."""
    disarm(rule)
    rule.parked_at = clock.now()
    # What a database says beyond its own words is the statement with its parameters, which are personal data.
    told = getattr(error, "orig", None) or error
    rule.error = f"{type(told).__name__}: {' '.join(str(told).split())}"[:_ERROR_LENGTH]
    audit.record(
        session,
        clock,
        actor=ENGINE,
        action="rule.park",
        subject_kind="rule",
        subject_key=rule.key,
        after={"version": rule.version, "error": rule.error},
    )


def first_walk(definition: RuleDefinition, *, now: datetime) -> datetime | None:
    """When everybody is looked at for the first time; None for a trigger that waits for something instead."""
    if isinstance(definition.trigger, InactivityTrigger):
        return _unless_over(definition, max(now, definition.since or now))
    return next_walk(definition, now=now)


def next_walk(definition: RuleDefinition, *, now: datetime) -> datetime | None:
    """When everybody is looked at next; None when that will not be."""
    trigger = definition.trigger
    if isinstance(trigger, InactivityTrigger):
        return _unless_over(definition, now + WALK_EVERY)
    if isinstance(trigger, ScheduleTrigger):
        after = now if definition.since is None else max(now, definition.since - MICROSECOND)
        return _unless_over(definition, next_time(trigger.cron, time_zone=trigger.time_zone, after=after))
    return None


def _unless_over(definition: RuleDefinition, at: datetime | None) -> datetime | None:
    return None if at is None or (definition.until is not None and at >= definition.until) else at


def id_of(rule: Rule) -> int:
    assert rule.id is not None  # noqa: S101  # a stored row has an id
    return rule.id
