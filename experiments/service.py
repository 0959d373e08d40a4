"""What can be done with experiments. Each function leaves the commit to its caller."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Conflict
from experiments.lifecycle import Move, next_status
from experiments.metrics import MetricDefinition
from experiments.models import Epoch, Experiment, Metric
from experiments.vocabulary import ExperimentStatus


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
    if definition == experiment.definition:
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
