"""Why one user does not take part in an experiment: every reason that holds now, not only the first. Reads, and holds nothing.

The reasons are those of `eligibility`, asked one by one of the same conditions that enrolment uses, so that the two cannot
disagree; where the audience's condition does not hold, the clauses that fail are named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.models import Experiment
from targeting import repository
from targeting.conditions import describe
from targeting.conditions.paths import is_key
from targeting.conditions.values import readable
from targeting.draw import draw_variants, unit_of
from targeting.eligibility import LAYER, NO_UNIT, PREREQUISITE, reasons_against
from targeting.models import User
from targeting.relations import peers_of
from targeting.segments.audience_repository import Audience, audience_of

AUDIENCE: Final = "audience"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One reason against taking part. `details`: the clauses that fail, in English; or the experiments that stand in the way.

    `own`: what the user has of the attributes that the clauses name, such as `country is BR`.
    """

    reason: str
    details: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def exclusions(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    user: User,
    ineligible: Mapping[str, ColumnElement[bool]],
    global_holdout: float,
) -> tuple[Exclusion, ...]:
    """What would keep this user out if enrolment looked at them now, in the order in which it looks; empty: nothing.

    `ineligible` and `global_holdout` as in `enrolment.enrol_batch`. Whether the experiment enrols at all now is not asked.
    """
    design = service.design_of(experiment)
    forced = user.user_id in design.audience.forced
    asked = _Asked(session, clock, user)
    found: list[Exclusion] = []
    failing = () if forced else tuple(asked.failing_clauses(design.audience.condition))
    if failing:
        own = dict.fromkeys(words for clause in failing for words in _own(clause, user.attributes))
        found.append(Exclusion(AUDIENCE, tuple(map(describe, failing)), tuple(own)))
    peers = {other.id: other.key for other, _ in peers_of(session, experiment) if other.id is not None}
    reasons = reasons_against(session, design, peers=list(peers), ineligible=ineligible)
    for reason, condition in reasons.items():
        if reason is None:
            if forced:
                return tuple(found)
        elif asked.holds(reason, condition):
            found.append(Exclusion(reason, _details(asked, design, reason, peers)))
    drawn = _gate(design, user, global_holdout, experiment.released)
    return (*found, Exclusion(drawn)) if drawn is not None else tuple(found)


class _Asked:
    """Questions about one user, answered by the statements that enrolment uses."""

    def __init__(self, session: Session, clock: Clock, user: User) -> None:
        self.session = session
        self._now = clock.now()
        self.pk = user.id or 0
        self._everyone = audience_of(session, {}, now=self._now)

    def holds(self, reason: str, condition: ColumnElement[bool]) -> bool:
        found = self._look(self._everyone, {reason: condition})
        return any(candidate.reason == reason for candidate in found)

    def failing_clauses(self, condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for clause in clauses(condition):
            audience = audience_of(self.session, clause, now=self._now)
            fits = [candidate for candidate in self._look(audience, {}) if candidate.fits]
            if not audience.keep(self.session, fits):
                yield clause

    def _look(
        self, audience: Audience, reasons: Mapping[str | None, ColumnElement[bool]]
    ) -> list[repository.Candidate]:
        return list(
            repository.candidates_among(
                self.session, audience, reasons=reasons, with_attributes=True, user_pks=[self.pk]
            )
        )


def clauses(condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a condition that must all hold.

    >>> list(clauses({"country": "NL", "$and": [{"age": {"$gte": 18}}, {"plan": "pro"}]}))
    [{'country': 'NL'}, {'age': {'$gte': 18}}, {'plan': 'pro'}]
    """
    for key, operand in condition.items():
        if key == "$and" and isinstance(operand, list):
            for part in operand:
                yield from clauses(part)
        else:
            yield {key: operand}


def _own(clause: Mapping[str, Any], attributes: Mapping[str, Any]) -> Iterator[str]:
    """What the user has of the attributes that a clause names plainly; of paths and lists of clauses nothing is said."""
    for key in clause:
        if is_key(key):
            value = attributes.get(key)
            yield f"{key} is {'unknown' if value is None else readable(value)}"


def _details(
    asked: _Asked, design: ExperimentDesign, reason: str, peers: Mapping[int, str]
) -> tuple[str, ...]:
    def variant_in(experiment_id: int | None) -> str | None:
        if experiment_id is None:
            return None
        found = repository.variants_of(asked.session, experiment_id=experiment_id, user_pks=[asked.pk])
        return found.get(asked.pk)

    if reason == LAYER:
        return tuple(key for pk, key in sorted(peers.items()) if variant_in(pk) is not None)
    if reason != PREREQUISITE:
        return ()
    wanted = design.audience.prerequisites
    ids = experiment_repository.ids_of(asked.session, [each.experiment for each in wanted])
    return tuple(
        each.experiment for each in wanted if variant_in(ids.get(each.experiment)) not in each.variants
    )


def _gate(design: ExperimentDesign, user: User, global_holdout: float, released: float | None) -> str | None:
    """The gate that stops the user, or that there is nothing to hash."""
    unit = unit_of(design, user_id=user.user_id, attributes=user.attributes)
    if unit is None:
        return NO_UNIT
    # No gate looks at the weights.
    weights = {variant.key: variant.weight for variant in design.variants}
    drawn = draw_variants(
        design,
        weights=weights,
        units=[unit],
        user_ids=[user.user_id],
        global_holdout=global_holdout,
        released=released,
    )
    return drawn.reasons[0]
