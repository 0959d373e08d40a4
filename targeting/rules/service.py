"""What can be done with rules: change, try, switch on and off. Each function leaves the commit to its caller.

A rule is `off` until somebody enables it, `on` while it may fire, and `parked` when it failed: enabling it again clears the
error. Every change of what it says is a version of its own, and a firing names the version that fired.

A rule that an experiment has put in place (`owned`) is switched by that experiment alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from sqlmodel import Session

from experiments import audit
from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.errors import Conflict, Invalid, Problem
from targeting.models import Rule, RuleFiring, RuleVersion
from targeting.rules import repository as rule_repository
from targeting.rules.definitions import Enrol, RuleDefinition, read_rule, stored_rule
from targeting.rules.dry_run import DryRun, rehearse
from targeting.rules.lifecycle import arm, disarm, id_of
from targeting.rules.ownership import check_free
from targeting.segments.audience_repository import audience_of
from targeting.segments.condition_reading import warnings_about

__all__ = [
    "MOST_COUNTED",
    "Fired",
    "delete",
    "disable",
    "dry_run",
    "enable",
    "find",
    "fired",
    "firings",
    "list_rules",
    "put",
    "versions",
]

Outcome = Literal["created", "changed", "unchanged"]
State = Literal["off", "on", "parked"]


_audit = partial(audit.record, subject_kind="rule")


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a document that was put. `warnings`: what may be wrong with its condition."""

    rule: Rule
    outcome: Outcome
    warnings: tuple[str, ...] = ()


MOST_COUNTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Fired:
    """How often a rule has fired, counted up to `MOST_COUNTED`, and when last."""

    times: int
    last_at: datetime


def put(
    session: Session, clock: Clock, *, actor: str, document: Mapping[str, Any], key: str | None = None
) -> Put:
    """Create a rule, switched off, or give it a new version; a rule that is on goes on with the new version at once.

    `key` is where the document was sent to, when that was said. Raises Invalid with the path of each wrong field, of an
    experiment or a segment that does not exist among them, or Conflict for a rule that belongs to an experiment.
    """
    definition = read_rule(document, key=key)
    check_free(definition.key)
    return store(session, clock, actor=actor, definition=definition)


def store(session: Session, clock: Clock, *, actor: str, definition: RuleDefinition) -> Put:
    """Store a rule as `put` does, whosever it is."""
    _check_names(session, clock, definition)
    warnings = warnings_about(session, condition=definition.condition)
    now, stored = clock.now(), definition.to_json()
    rule = rule_repository.find_rule(session, definition.key, for_update=True)
    before = _state(rule) if rule else None
    if rule is None:
        rule = Rule(
            key=definition.key, name=definition.name, definition=stored, created_at=now, updated_at=now
        )
        session.add(rule)
        session.flush()
    elif (said := _said(rule)) == stored:
        return Put(rule, "unchanged", warnings)
    else:
        same_trigger = all(said.get(name) == stored[name] for name in ("trigger", "since", "until"))
        rule.name, rule.definition, rule.version, rule.updated_at = (
            definition.name,
            stored,
            rule.version + 1,
            now,
        )
        if state_of(rule) == "on" and not same_trigger:
            arm(rule, definition, now=now)
    session.add(
        RuleVersion(rule_id=id_of(rule), version=rule.version, definition=stored, actor=actor, at=now)
    )
    session.flush()
    _audit(
        session,
        clock,
        actor=actor,
        action="rule.put",
        subject_key=rule.key,
        before=before,
        after=_state(rule),
    )
    return Put(rule, "created" if before is None else "changed", warnings)


def enable(session: Session, clock: Clock, *, actor: str, key: str) -> Rule:
    """Let a rule fire from now on, and clear its error. Raises NotFound, Conflict, or Invalid when what it names is gone."""
    check_free(key)
    return switch_on(session, clock, actor=actor, key=key)


def switch_on(session: Session, clock: Clock, *, actor: str, key: str) -> Rule:
    """Enable a rule, whosever it is."""
    rule = rule_repository.get_rule(session, key, for_update=True)
    if state_of(rule) == "on":
        return rule
    definition = read_rule(rule.definition)
    _check_names(session, clock, definition)
    before = _state(rule)
    rule.enabled, rule.updated_at = True, clock.now()
    arm(rule, definition, now=clock.now())
    _audit(
        session, clock, actor=actor, action="rule.enable", subject_key=key, before=before, after=_state(rule)
    )
    return rule


def disable(session: Session, clock: Clock, *, actor: str, key: str) -> Rule:
    """Let a rule fire no more. Raises NotFound or Conflict."""
    check_free(key)
    return switch_off(session, clock, actor=actor, key=key)


def switch_off(session: Session, clock: Clock, *, actor: str, key: str) -> Rule:
    """Disable a rule, whosever it is."""
    rule = rule_repository.get_rule(session, key, for_update=True)
    if not rule.enabled:
        return rule
    before = _state(rule)
    rule.enabled, rule.updated_at = False, clock.now()
    rule.parked_at = rule.error = None
    disarm(rule)
    _audit(
        session, clock, actor=actor, action="rule.disable", subject_key=key, before=before, after=_state(rule)
    )
    return rule


def delete(session: Session, clock: Clock, *, actor: str, key: str) -> None:
    """Remove a rule that has never fired. Raises NotFound, or Conflict when it has: its firings say what it did."""
    check_free(key)
    rule = rule_repository.get_rule(session, key, for_update=True)
    if rule_repository.has_fired(session, id_of(rule)):
        raise Conflict(f"rule {key!r} has fired, so it is kept; disable it instead", field="key")
    _audit(
        session, clock, actor=actor, action="rule.delete", subject_key=key, before=_state(rule), after=None
    )
    rule_repository.delete_rule(session, id_of(rule))


def find(session: Session, *, key: str) -> Rule:
    """Raises NotFound."""
    return rule_repository.get_rule(session, key)


def list_rules(session: Session, *, after_id: int, limit: int, search: str = "") -> Sequence[Rule]:
    """Up to `limit` rules with an id above `after_id`, oldest first; those whose key or name holds `search`."""
    return rule_repository.list_rules(session, after_id=after_id, limit=limit, search=search)


def fired(session: Session, *, rules: Sequence[Rule]) -> dict[str, Fired]:
    """How often rules have fired, by key; those that never have are missing."""
    counts = rule_repository.fired(session, [id_of(rule) for rule in rules], most=MOST_COUNTED)
    return {rule.key: Fired(*counts[id_of(rule)]) for rule in rules if id_of(rule) in counts}


def versions(session: Session, *, key: str, after: int, limit: int) -> Sequence[RuleVersion]:
    """What a rule said in its versions above `after`, oldest first."""
    rule = rule_repository.get_rule(session, key)
    return rule_repository.versions_of(session, id_of(rule), after=after, limit=limit)


def firings(
    session: Session, *, key: str, before_id: int | None = None, limit: int = 50
) -> Sequence[tuple[RuleFiring, str]]:
    """Firings of a rule, each with the user's outside id, newest first."""
    rule = rule_repository.get_rule(session, key)
    return rule_repository.firings_of(session, id_of(rule), before_id=before_id, limit=limit)


def dry_run(
    session: Session,
    clock: Clock,
    *,
    days: int = 30,
    limit: int = 100,
    document: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> DryRun:
    """Who a rule would have fired for, without effects: the stored rule with this `key`, or the one in `document`.

    Reads only, so a snapshot will do. Raises Invalid as `put` does, or NotFound.
    """
    if document is None:
        definition = read_rule(rule_repository.get_rule(session, key or "").definition)
    else:
        definition = read_rule({"key": "dry-run", **document}, key=key)
    _check_names(session, clock, definition)
    return rehearse(session, clock, definition=definition, days=days, limit=limit)


def state_of(rule: Rule) -> State:
    if rule.parked_at is not None:
        return "parked"
    return "on" if rule.enabled else "off"


def _said(rule: Rule) -> dict[str, Any]:
    """What a stored rule says, with the fields that are new since it was stored."""
    try:
        return stored_rule(rule.definition).to_json()
    except Invalid:
        return rule.definition


def _check_names(session: Session, clock: Clock, definition: RuleDefinition) -> None:
    """Raise Invalid when the rule names an experiment or a segment that does not exist."""
    problems = [
        Problem(f"actions[{index}].experiment", f"there is no experiment {action.experiment!r}")
        for index, action in enumerate(definition.actions)
        if isinstance(action, Enrol)
        and not experiment_repository.experiment_exists(session, action.experiment)
    ]
    try:
        audience_of(session, definition.condition, now=clock.now(), field="condition")
    except Invalid as error:
        problems += error.problems
    if problems:
        raise Invalid.of(problems)


def _state(rule: Rule) -> dict[str, Any]:
    return {"state": state_of(rule), "version": rule.version, "definition": rule.definition}
