"""What can be done with experiments. Each function leaves the commit to its caller."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock
from experiments.design import ExperimentDesign, read_design, weight_problems
from experiments.errors import Conflict, Invalid, Problem
from experiments.lifecycle import Move, next_status
from experiments.metrics import MetricDefinition
from experiments.models import Epoch, Experiment, Metric
from experiments.vocabulary import ExperimentStatus

LONGEST_REASON: Final = 500
LARGEST_WEIGHT: Final = 1e6


def design_of(experiment: Experiment) -> ExperimentDesign:
    """The design of a stored experiment; it was validated when it was stored."""
    return ExperimentDesign.model_validate(experiment.definition)


def create(session: Session, clock: Clock, *, actor: str, document: Mapping[str, Any]) -> Experiment:
    """Store a new draft. Raises Invalid (with the path of each wrong field) or Conflict when the key is taken."""
    design = read_design(document, library=repository.metric_library(session))
    if repository.experiment_exists(session, design.key):
        raise Conflict(f"an experiment {design.key!r} exists already; choose another key", field="key")
    now = clock.now()
    experiment = Experiment(
        key=design.key,
        name=design.name,
        priority=design.priority,
        definition=design.model_dump(mode="json"),
        created_at=now,
        updated_at=now,
    )
    session.add(experiment)
    session.flush()
    _audit(session, clock, actor=actor, action="experiment.create", experiment=experiment, before=None)
    return experiment


def replace_draft(
    session: Session, clock: Clock, *, actor: str, key: str, document: Mapping[str, Any]
) -> tuple[Experiment, bool]:
    """Give a draft a new design; returns it and whether anything changed. A started experiment keeps its design."""
    design = read_design(document, library=repository.metric_library(session))
    experiment = repository.get_experiment(session, key, for_update=True)
    if design.key != key:
        raise Conflict(f"the design has the key {design.key!r}, not {key!r}", field="key")
    definition = design.model_dump(mode="json")
    # What was stored by an older version lacks fields that are new since; as designs both say the same.
    if definition == design_of(experiment).model_dump(mode="json"):
        return experiment, False
    if experiment.status != ExperimentStatus.DRAFT:
        raise Conflict(
            f"experiment {key!r} is {experiment.status}, and only a draft can be redesigned; make a new one under another key",
            field="status",
        )
    before = _state(experiment)
    experiment.name, experiment.priority, experiment.definition = design.name, design.priority, definition
    experiment.updated_at = clock.now()
    _audit(session, clock, actor=actor, action="experiment.redesign", experiment=experiment, before=before)
    return experiment, True


def move(session: Session, clock: Clock, *, actor: str, key: str, move: Move) -> Experiment:
    """Start, pause, resume or stop. Raises NotFound, or Conflict when the move is not legal from here.

    Starting opens epoch 1 with the weights of the design. Whether the audience is empty is for the floor above to ask.
    """
    experiment = repository.get_experiment(session, key, for_update=True)
    before = _state(experiment)
    status = next_status(ExperimentStatus(experiment.status), move)
    now = clock.now()
    experiment.status, experiment.updated_at = status, now
    if move == Move.START:
        experiment.started_at = now
        session.add(
            Epoch(
                experiment_id=_id(experiment),
                number=1,
                weights=design_of(experiment).shares,
                opened_at=now,
                reason="start",
            )
        )
    elif move == Move.STOP:
        experiment.stopped_at = now
        repository.current_epoch(session, _id(experiment)).closed_at = now
    session.flush()
    _audit(session, clock, actor=actor, action=f"experiment.{move}", experiment=experiment, before=before)
    return experiment


def raise_coverage(
    session: Session, clock: Clock, *, actor: str, key: str, coverage: float
) -> tuple[Experiment, float]:
    """Let a started experiment take a larger share of its audience; returns it and the share it took before.

    Raises NotFound; Invalid for a share that is none; Conflict for an experiment that is a draft or stopped, and for a
    smaller share than now: people who have been assigned have had messages, and stay.
    """
    if not 0 < coverage <= 1:
        raise Invalid(f"is a share above 0, at most 1, not {coverage:g}", field="coverage")
    experiment = _live(session, key, "ramped", instead="redesign the draft")
    before = design_of(experiment).audience.coverage
    if coverage < before:
        raise Conflict(
            f"is {before:g} already; it cannot be lowered to {coverage:g}, because people who were assigned have messages "
            "and stay. Pause or stop the experiment instead",
            field="coverage",
        )
    if coverage == before:
        return experiment, before
    state = _state(experiment)
    definition = experiment.definition
    experiment.definition = {**definition, "audience": {**definition["audience"], "coverage": coverage}}
    experiment.updated_at = clock.now()
    session.flush()
    _audit(session, clock, actor=actor, action="experiment.ramp", experiment=experiment, before=state)
    return experiment, before


def set_weights(
    session: Session, clock: Clock, *, actor: str, key: str, weights: Mapping[str, float], reason: str
) -> Epoch:
    """Open a new epoch, whose weights decide for users who are assigned from now on; whoever is assigned stays.

    Weights are a ratio of whole numbers or shares that sum to 1; 0 gives a variant nobody new. Returns the open epoch,
    which is the old one when its weights are the same. Raises NotFound, Invalid with the path `weights.VARIANT`, or
    Conflict for an experiment that is a draft or stopped.
    """
    experiment = _live(session, key, "given other weights", instead="redesign the draft")
    shares = _shares(weights, [variant.key for variant in design_of(experiment).variants])
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise Invalid(f"say why, in 1 to {LONGEST_REASON} characters", field="reason")
    old = repository.current_epoch(session, _id(experiment))
    if old.weights == shares:
        return old
    now = clock.now()
    old.closed_at = now
    new = Epoch(
        experiment_id=_id(experiment), number=old.number + 1, weights=shares, opened_at=now, reason=reason
    )
    session.add(new)
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        subject_kind="experiment",
        subject_key=key,
        before={"epoch": old.number, "weights": old.weights},
        after={"epoch": new.number, "weights": new.weights, "reason": reason},
    )
    return new


def put_metric(
    session: Session, clock: Clock, *, actor: str, key: str, definition: MetricDefinition
) -> Metric:
    """Add a metric to the library, or change it there. Experiments that use it keep the definition they were made with."""
    now = clock.now()
    document = definition.model_dump(mode="json")
    metric = repository.find_metric(session, key)
    before = metric.definition if metric else None
    if metric is None:
        metric = Metric(key=key, definition=document, created_at=now, updated_at=now)
        session.add(metric)
    else:
        metric.definition, metric.updated_at = document, now
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="metric.put",
        subject_kind="metric",
        subject_key=key,
        before=before,
        after=document,
    )
    return metric


def _live(session: Session, key: str, what: str, *, instead: str) -> Experiment:
    """A running or paused experiment, held until the transaction ends."""
    experiment = repository.get_experiment(session, key, for_update=True)
    if experiment.status not in {ExperimentStatus.RUNNING, ExperimentStatus.PAUSED}:
        advice = f"; {instead}" if experiment.status == ExperimentStatus.DRAFT else ""
        raise Conflict(
            f"experiment {key!r} is {experiment.status}, and only a running or paused one can be {what}{advice}",
            field="status",
        )
    return experiment


def _shares(weights: Mapping[str, float], variants: Sequence[str]) -> dict[str, float]:
    problems = [Problem(f"weights.{key}", "is required") for key in variants if key not in weights]
    problems += [
        Problem(f"weights.{key}", f"there is no variant {key!r}; there are {', '.join(variants)}")
        for key in weights
        if key not in variants
    ]
    problems += [
        Problem(f"weights.{key}", f"is a number from 0 to {LARGEST_WEIGHT:g}, not {weight!r}")
        for key, weight in weights.items()
        if not 0 <= weight <= LARGEST_WEIGHT
    ]
    if not problems:
        problems = weight_problems([weights[key] for key in variants], field="weights")
    total = math.fsum(weights.values())
    if not problems and total <= 0:
        problems = [
            Problem("weights", "are all 0, so nobody could be assigned; pause the experiment instead")
        ]
    if problems:
        raise Invalid.of(problems)
    return {key: weights[key] / total for key in variants}


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id


def _state(experiment: Experiment) -> dict[str, Any]:
    return {"status": experiment.status, "definition": experiment.definition}


def _audit(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    action: str,
    experiment: Experiment,
    before: dict[str, Any] | None,
) -> None:
    audit.record(
        session,
        clock,
        actor=actor,
        action=action,
        subject_kind="experiment",
        subject_key=experiment.key,
        before=before,
        after=_state(experiment),
    )
