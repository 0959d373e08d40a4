"""A rule acts on some users at once: enrols, tags, sets attributes, and keeps a record of each firing.

Everything happens in the caller's transaction. An action that one user cannot take, such as an experiment that does not
run or a profile that is full, is an outcome with its reason; anything else that goes wrong is raised, and parks the rule.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Invalid
from experiments.vocabulary import ExperimentStatus
from targeting import rule_triggers
from targeting.enrolment import enrol_users
from targeting.rule_triggers import AttributeChange
from targeting.rules import repository as rule_repository
from targeting.rules.definitions import Enrol
from targeting.rules.effects import with_effect
from targeting.rules.matching import MAX_CHAIN, LiveRule, Occasion

Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """What enrolment has to be told: who cannot take part in an experiment (reason -> condition on `users`), and the
    share of users that no experiment touches.
    """

    ineligible: Callable[[ExperimentDesign], Mapping[str, ColumnElement[bool]]]
    global_holdout: float


def fire(
    session: Session,
    clock: Clock,
    *,
    rule: LiveRule,
    occasions: Sequence[Occasion],
    attributes: Mapping[int, Attributes],
    terms: Terms,
) -> dict[int, Attributes]:
    """Act on the users of these occasions, at most one occasion each; returns the attributes of those that changed.

    `attributes` are all attributes of each of them, whose rows the caller holds.
    """
    if not occasions:
        return {}
    now = clock.now()
    before = {occasion.user_pk: attributes[occasion.user_pk] for occasion in occasions}
    acting = _Acting(session, clock, rule, dict(before), terms, now)
    outcomes = acting.act()
    rule_repository.add_firings(
        session,
        [
            {
                "rule_id": rule.id,
                "version": rule.version,
                "user_pk": occasion.user_pk,
                "cause": occasion.cause,
                "at": now,
                "outcome": {"actions": outcomes[occasion.user_pk]},
            }
            for occasion in occasions
        ],
    )
    changed = {pk: after for pk, after in acting.attributes.items() if after is not before[pk]}
    chains: dict[tuple[int, ...], list[AttributeChange]] = defaultdict(list)
    for occasion in occasions:
        chain = (*occasion.chain, rule.id)
        if occasion.user_pk in changed and len(chain) < MAX_CHAIN:
            pk = occasion.user_pk
            chains[chain].append(AttributeChange(pk, before[pk], changed[pk]))
    for chain, changes in chains.items():
        rule_triggers.note_changes(session, changes=changes, now=now, chain=chain)
    return changed


class _Acting:
    """The actions of one rule, one after another, each for all users."""

    def __init__(
        self,
        session: Session,
        clock: Clock,
        rule: LiveRule,
        attributes: dict[int, Attributes],
        terms: Terms,
        now: datetime,
    ) -> None:
        self.attributes = attributes
        self._session, self._clock, self._rule, self._terms, self._now = session, clock, rule, terms, now
        self._unsaved: set[int] = set()

    def act(self) -> dict[int, list[dict[str, Any]]]:
        """What became of each action, by user."""
        outcomes: dict[int, list[dict[str, Any]]] = {pk: [] for pk in self.attributes}
        for action in self._rule.definition.actions:
            said = action.model_dump(mode="json")
            found = (
                self._enrol(action.experiment)
                if isinstance(action, Enrol)
                else {pk: self._change(pk, action) for pk in self.attributes}
            )
            for pk, outcome in found.items():
                outcomes[pk].append({**said, **outcome})
        self._save()
        return outcomes

    def _change(self, pk: int, action: Any) -> dict[str, Any]:
        before = self.attributes[pk]
        try:
            after = with_effect(before, action)
        except Invalid as error:
            return {"reason": str(error)}
        if after is not before:
            self.attributes[pk] = after
            self._unsaved.add(pk)
        return {"changed": after is not before}

    def _enrol(self, key: str) -> dict[int, dict[str, Any]]:
        # Who may take part is asked of the database, which has to know what earlier actions changed.
        self._save()
        experiment = experiment_repository.get_experiment(self._session, key)
        if experiment.status != ExperimentStatus.RUNNING:
            return {pk: {"variant": None, "reason": str(experiment.status)} for pk in self.attributes}
        enrolled = enrol_users(
            self._session,
            self._clock,
            experiment=experiment,
            user_pks=sorted(self.attributes),
            ineligible=self._terms.ineligible(service.design_of(experiment)),
            global_holdout=self._terms.global_holdout,
            source=f"rule:{self._rule.key}",
        )
        return {
            pk: {"variant": outcome.variant, "reason": outcome.reason, "new": outcome.new}
            for pk, outcome in enrolled.items()
        }

    def _save(self) -> None:
        rule_repository.set_attributes(
            self._session, {pk: self.attributes[pk] for pk in self._unsaved}, now=self._now
        )
        self._unsaved.clear()
