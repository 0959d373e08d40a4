"""Whether a rule fires: pure. The engine and a dry run share it, and a test holds one against the other.

A rule fires on an occasion when, in this order, the trigger holds, the user meets the condition, and neither
`once_per_user` nor the cool-down keeps them out. The first that does not hold is the verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from targeting.conditions import Predicate, Scope, compile_condition
from targeting.conditions.needs import Needs, needs_of
from targeting.conditions.values import deep_equal
from targeting.rules.definitions import AttributeTrigger, EventTrigger, RuleDefinition

MAX_CHAIN: Final = 5
"""Rules that may follow from one another's changes."""


class Verdict(StrEnum):
    FIRES = "fires"
    TRIGGER = "trigger"
    CONDITION = "condition"
    ONCE = "once_per_user"
    COOL_DOWN = "cool_down"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that happened to one user: an event (`name`, `properties`), or a change of attributes.

    `cause` names it for good. `chain` are the rules that led to it.
    """

    cause: str
    user_pk: int
    at: datetime
    name: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] | None = None
    chain: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveRule:
    """A rule made ready: its conditions compiled, the segments in them written out."""

    id: int
    version: int
    definition: RuleDefinition
    condition: dict[str, Any]
    meets: Predicate
    needs: Needs
    triggers: Callable[[Occasion], bool]

    @property
    def key(self) -> str:
        return self.definition.key

    @property
    def remembers(self) -> bool:
        """Whether earlier firings matter."""
        return self.definition.once_per_user or self.definition.cool_down is not None


def make_ready(
    definition: RuleDefinition, *, rule_id: int, version: int, condition: dict[str, Any]
) -> LiveRule:
    """`condition` is the definition's own with its segments written out (`conditions.needs.expand_segments`)."""
    return LiveRule(
        id=rule_id,
        version=version,
        definition=definition,
        condition=condition,
        meets=compile_condition(condition),
        needs=needs_of(condition),
        triggers=_in_its_time(definition, _triggers(definition)),
    )


def concerns(rule: LiveRule, occasion: Occasion) -> bool:
    """Whether the rule waits for this occasion at all. A rule never follows from its own doing, however indirectly."""
    trigger = rule.definition.trigger
    if rule.id in occasion.chain:
        return False
    if isinstance(trigger, EventTrigger):
        return occasion.name == trigger.event
    return isinstance(trigger, AttributeTrigger) and trigger.name in (occasion.changes or {})


def verdict(
    rule: LiveRule,
    occasion: Occasion,
    *,
    attributes: Mapping[str, Any],
    scope: Scope,
    last_fired: datetime | None,
    now: datetime,
) -> Verdict:
    """What a rule that is concerned decides; `last_fired` is when it last fired for this user."""
    if not rule.triggers(occasion):
        return Verdict.TRIGGER
    if not rule.meets(attributes, scope):
        return Verdict.CONDITION
    return limited(rule.definition, last_fired=last_fired, now=now)


def limited(definition: RuleDefinition, *, last_fired: datetime | None, now: datetime) -> Verdict:
    """Whether earlier firings keep a user out."""
    if last_fired is None:
        return Verdict.FIRES
    if definition.once_per_user:
        return Verdict.ONCE
    if definition.cool_down is not None and now - last_fired < definition.cool_down:
        return Verdict.COOL_DOWN
    return Verdict.FIRES


def _in_its_time(
    definition: RuleDefinition, triggers: Callable[[Occasion], bool]
) -> Callable[[Occasion], bool]:
    if definition.since is None and definition.until is None:
        return triggers
    return lambda occasion: definition.covers(occasion.at) and triggers(occasion)


def _triggers(definition: RuleDefinition) -> Callable[[Occasion], bool]:
    trigger = definition.trigger
    if isinstance(trigger, EventTrigger):
        keeps = compile_condition(trigger.properties or {})
        return lambda occasion: keeps(occasion.properties, Scope(now=occasion.at))
    if not isinstance(trigger, AttributeTrigger):
        return lambda _occasion: True
    path, name = trigger.attribute, trigger.name
    before = compile_condition({} if trigger.from_ is None else {path: trigger.from_})
    after = compile_condition({} if trigger.to is None else {path: trigger.to})

    def changed(occasion: Occasion) -> bool:
        change = (occasion.changes or {})[name]
        was, became = {name: change["before"]}, {name: change["after"]}
        scope = Scope(now=occasion.at)
        moved = not deep_equal(value_at(was, path), value_at(became, path))
        return moved and before(was, scope) and after(became, scope)

    return changed


def value_at(attributes: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = attributes
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
