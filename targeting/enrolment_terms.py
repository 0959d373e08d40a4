"""The terms on which users of one experiment are enrolled at one moment, and the step from candidates to stored assignments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.ending import is_closed
from experiments.models import Experiment
from experiments.timing import opens_at
from targeting import repository
from targeting.eligibility import Decision, decide, reasons_against
from targeting.relations import peers_of
from targeting.repository import Candidate, NewAssignment
from targeting.segments.audience_repository import Audience, audience_of

SHIP_SOURCE: Final = "ship"
"""The source of those who were given the variant that was shipped: not drawn, so never compared with anybody."""
AFRESH_FROM: Final = "afresh_from"
"""In the counts of a walk that draws a wave: what was out before it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms users of one experiment are enrolled at one moment; `weights` are those of the open epoch.

    released: the share that waves have let out (`experiments.waves`); afresh_from: see `draw.wave_places`. is_shipped: everybody gets the variant that was shipped.
    """

    experiment_id: int
    design: ExperimentDesign
    now: datetime
    audience: Audience
    reasons: Mapping[str | None, ColumnElement[bool]]
    epoch: int
    weights: Mapping[str, float]
    global_holdout: float
    released: float | None
    afresh_from: float | None
    is_shipped: bool


def terms_of(
    session: Session,
    clock: Clock,
    experiment: Experiment,
    *,
    ineligible: Mapping[str, ColumnElement[bool]],
    global_holdout: float,
) -> Terms | None:
    """The terms, with the experiment held until the transaction ends; None when it enrols nobody now."""
    experiment_id = _id(experiment)
    peers = [_id(other) for other, _ in peers_of(session, experiment)]
    if not repository.lock_for_enrolment(session, experiment_id=experiment_id, peers=peers):
        return None
    # Read again under the lock: the coverage may have been raised since the caller read it.
    held = experiment_repository.reread(session, experiment_id)
    design, now = service.design_of(held), clock.now()
    opens = None if held.started_at is None else opens_at(design.trigger, held.started_at)
    if opens is None or opens > now or is_closed(design, held.started_at, now):
        return None
    epoch = experiment_repository.current_epoch(session, experiment_id)
    progress = (
        None if held.released is None else repository.find_enrolment(session, experiment_id=experiment_id)
    )
    return Terms(
        experiment_id=experiment_id,
        design=design,
        now=now,
        audience=audience_of(session, design.audience.condition, now=now),
        reasons=reasons_against(session, design, peers=peers, ineligible=ineligible),
        epoch=epoch.number,
        weights=epoch.weights,
        global_holdout=global_holdout,
        released=held.released,
        afresh_from=None if progress is None else progress.counts.get(AFRESH_FROM),
        is_shipped=held.shipped_at is not None,
    )


def settle(
    session: Session, terms: Terms, candidates: Sequence[Candidate], *, source: str
) -> tuple[list[Decision], int]:
    """Decide about each candidate and store the assignments; returns the decisions, and how many were stored."""
    decisions = decide(
        terms.design,
        candidates,
        weights=terms.weights,
        global_holdout=terms.global_holdout,
        released=terms.released,
        afresh_from=terms.afresh_from,
    )
    rows = [
        NewAssignment(
            candidate.id, decision.variant, decision.propensity, decision.forced or terms.is_shipped
        )
        for candidate, decision in zip(candidates, decisions, strict=True)
        if decision.variant is not None
    ]
    stored = repository.insert_assignments(
        session,
        rows,
        experiment_id=terms.experiment_id,
        epoch=terms.epoch,
        source=SHIP_SOURCE if terms.is_shipped else source,
        assigned_at=terms.now,
    )
    return decisions, stored


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
