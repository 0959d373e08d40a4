"""The rule of an experiment whose users come by an event or by inactivity: put in place at the start, switched with it.

The engine of rules finds the occasions, exactly once; the experiment decides who takes part. See decision 0013.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.ending import closes_at
from experiments.errors import Conflict, Problem
from experiments.models import Experiment
from experiments.triggers import EventTrigger, InactivityTrigger
from targeting import repository
from targeting.rules import repository as rule_repository
from targeting.rules import service as rules
from targeting.rules.definitions import RuleDefinition, property_problems, read_rule
from targeting.rules.ownership import LONGEST_EXPERIMENT, key_for


def has_rule(design: ExperimentDesign) -> bool:
    """Whether a rule of its own brings the users of this experiment."""
    return isinstance(design.trigger, EventTrigger | InactivityTrigger)


def trigger_problems(design: ExperimentDesign) -> list[Problem]:
    """What is wrong with a trigger that becomes a rule."""
    problems = []
    if has_rule(design) and len(design.key) > LONGEST_EXPERIMENT:
        problems.append(
            Problem(
                "key",
                f"has {len(design.key)} characters; with this trigger at most {LONGEST_EXPERIMENT}, because its rule is named "
                f"{key_for('KEY')}",
            )
        )
    if isinstance(design.trigger, EventTrigger):
        problems += property_problems(design.trigger.properties, field="trigger.properties")
    return problems


def rule_of(design: ExperimentDesign, *, since: datetime) -> RuleDefinition:
    """The rule of an experiment that was started at `since`: the first occasion of somebody in the audience enrols them."""
    trigger = design.trigger
    document: dict[str, Any] = {
        "key": key_for(design.key),
        "name": f"Trigger of {design.key}",
        "trigger": trigger.model_dump(mode="json", include={"type", "event", "properties", "after"}),
        "condition": design.audience.condition,
        "actions": [{"type": "enrol", "experiment": design.key}],
        "once_per_user": True,
        "since": since,
        "until": closes_at(design, since),
    }
    return read_rule(document)


def put_in_place(session: Session, clock: Clock, *, actor: str, experiment: Experiment) -> None:
    """Let a rule bring users to an experiment that was just started, where its trigger asks for one.

    Raises Conflict when there is a rule of that name, from before such names were kept for experiments.
    """
    design = service.design_of(experiment)
    if not has_rule(design):
        return
    assert experiment.started_at is not None  # noqa: S101  # it was just started
    key = key_for(experiment.key)
    if rule_repository.find_rule(session, key) is not None:
        raise Conflict(
            f"there is a rule {key!r} already, which is not its own; give the experiment another key",
            field="key",
        )
    rules.store(session, clock, actor=actor, definition=rule_of(design, since=experiment.started_at))
    rules.switch_on(session, clock, actor=actor, key=key)


def counts_of(session: Session, experiment: Experiment) -> dict[str, Any] | None:
    """What became of the users whom the rule of an experiment has met so far, in the shape of `Enrolment.counts`, testers apart.

    None without a rule, or before the start.
    """
    design = service.design_of(experiment)
    rule = rule_repository.find_rule(session, key_for(experiment.key)) if has_rule(design) else None
    if rule is None or rule.id is None:
        return None
    testers = repository.pks_of(session, design.audience.forced).values()
    counts: dict[str, Any] = _counts(rule_repository.outcomes_of(session, rule.id, but=testers))
    if testers:
        counts["forced"] = _counts(rule_repository.outcomes_of(session, rule.id, among=testers))
    return counts


def _counts(outcomes: Iterable[tuple[Mapping[str, Any], int]]) -> dict[str, Any]:
    assigned, excluded = 0, Counter[str]()
    for outcome, users in outcomes:
        for action in outcome["actions"]:
            if action["variant"] is None:
                excluded[action["reason"]] += users
            elif action["new"]:
                assigned += users
    return {"assigned": assigned, "excluded": dict(excluded)}


def renew(session: Session, clock: Clock, *, actor: str, experiment: Experiment) -> None:
    """Bring the rule of an experiment, if it has one, in line with its design: it may close later now."""
    design = service.design_of(experiment)
    if has_rule(design) and experiment.started_at is not None:
        rules.store(session, clock, actor=actor, definition=rule_of(design, since=experiment.started_at))


def switch(session: Session, clock: Clock, *, actor: str, experiment: Experiment, on: bool) -> None:
    """Let the rule of an experiment, if it has one, fire from now on, or no more."""
    if has_rule(service.design_of(experiment)):
        turn = rules.switch_on if on else rules.switch_off
        turn(session, clock, actor=actor, key=key_for(experiment.key))
