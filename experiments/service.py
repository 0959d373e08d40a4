"""What can be done with experiments. Each function leaves the commit to its caller."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock, format_moment
from experiments.design import ExperimentDesign, read_design, weight_problems
from experiments.errors import Conflict, Invalid, Problem
from experiments.lifecycle import Move, next_status
from experiments.metrics import MetricDefinition
from experiments.models import Epoch, Experiment, Metric
from experiments.vocabulary import ExperimentStatus
from experiments.waves import first_bound

LONGEST_REASON: Final = 500
LARGEST_WEIGHT: Final = 1e6
ROUNDING: Final = 1e-12


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
    """Start, pause, resume or stop. Raises NotFound, or Conflict when the move is not legal from here, and to resume what would give new users
    a variant that a guardrail has stopped.

    Starting opens epoch 1 with the weights of the design. Whether the audience is empty is for the floor above to ask.
    """
    experiment = repository.get_experiment(session, key, for_update=True)
    before = _state(experiment)
    status = next_status(ExperimentStatus(experiment.status), move)
    if move == Move.RESUME:
        _check_somebody_gets_something(session, experiment)
    now = clock.now()
    experiment.status, experiment.updated_at = status, now
    if move == Move.START:
        experiment.started_at = now
        bandit = design_of(experiment).bandit
        if bandit is not None and bandit.waves is not None:
            experiment.released = first_bound(bandit.waves)
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


def _check_somebody_gets_something(session: Session, experiment: Experiment) -> None:
    # Only where nobody else could get its share (it was shipped, or had all of the weight) does a stopped variant keep some.
    weights = repository.current_epoch(session, _id(experiment)).weights
    for variant, told in stopped_by_guards(experiment).items():
        if weights.get(variant):
            raise Conflict(
                f"guardrail {told['guard']} has stopped {variant!r}, which whoever comes would get; release it first, or stop the experiment"
            )


def stopped_by_guards(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """Why each variant that is stopped now was stopped."""
    known = experiment.stopped_arms or {}
    return {variant: told for variant, told in known.items() if told.get("released_at") is None}


def raise_coverage(
    session: Session, clock: Clock, *, actor: str, key: str, coverage: float
) -> tuple[Experiment, float]:
    """Let a started experiment take a larger share of its audience; returns it and the share it took before.

    Raises NotFound; Invalid for a share that is none; Conflict for an experiment that is a draft or stopped, and for a
    smaller share than now: people who have been assigned have had messages, and stay.
    """
    if not 0 < coverage <= 1:
        raise Invalid(f"is a share above 0, at most 1, not {coverage:g}", field="coverage")
    experiment = live(session, key, "ramped", instead="redesign the draft")
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
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    weights: Mapping[str, float],
    reason: str,
    hold: bool | None = None,
    numbers: Mapping[str, Any] | None = None,
) -> Epoch:
    """Open a new epoch, whose weights decide for users who are assigned from now on; whoever is assigned stays.

    Weights are a ratio of whole numbers or shares that sum to 1; 0 gives a variant nobody new. hold: whether a bandit leaves the
    weights alone from now on (until `release`); None: as before. numbers: what the weights were computed from, for the audit log.
    Returns the open epoch, which is the old one when its weights are the same. Raises NotFound, Invalid with the path
    `weights.VARIANT`, or Conflict for an experiment that is a draft or stopped, and for weight of a variant that a guardrail stopped.
    """
    experiment = live(session, key, "given other weights", instead="redesign the draft")
    shares = _shares(weights, [variant.key for variant in design_of(experiment).variants])
    check_reason(reason)
    # A guardrail's word stands until somebody releases the variant; weights are no such word.
    for variant, told in stopped_by_guards(experiment).items():
        if shares.get(variant):
            raise Conflict(
                f"guardrail {told['guard']} has stopped {variant!r}; release it before it gets anybody again",
                field=f"weights.{variant}",
            )
    if hold is not None and hold != (experiment.held_at is not None):
        _hold(session, clock, actor=actor, experiment=experiment, hold=hold, reason=reason)
    # Whoever gets new users again is no longer silent.
    silent = experiment.silenced or []
    still = [variant for variant in silent if not shares[variant]]
    experiment.silenced = still or None
    return open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        experiment=experiment,
        shares=shares,
        reason=reason,
        was={} if still == silent else {"silenced": silent},
        told=(numbers or {}) if still == silent else {**(numbers or {}), "silenced": still},
    )


def release(session: Session, clock: Clock, *, actor: str, key: str, reason: str) -> Experiment:
    """Let the bandit move the weights again. Raises NotFound, Invalid, or Conflict when nobody holds them."""
    experiment = live(session, key, "released", instead="nothing holds a draft")
    check_reason(reason)
    if experiment.held_at is None:
        raise Conflict(f"nobody holds the weights of experiment {key!r}", field="status")
    _hold(session, clock, actor=actor, experiment=experiment, hold=False, reason=reason)
    return experiment


def open_epoch(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    action: str,
    experiment: Experiment,
    shares: Mapping[str, float],
    reason: str,
    told: Mapping[str, Any] | None = None,
    was: Mapping[str, Any] | None = None,
) -> Epoch:
    """Open a new epoch of an experiment that is held (`live`), and note it in the audit log with what `was` and what is
    `told` beside the weights. shares: by variant, summing to 1. Returns the open epoch, which is the old one when its weights
    are the same.
    """
    old = repository.current_epoch(session, _id(experiment))
    if old.weights == shares:
        return old
    now = clock.now()
    old.closed_at = now
    new = Epoch(
        experiment_id=_id(experiment),
        number=old.number + 1,
        weights=dict(shares),
        opened_at=now,
        reason=reason,
    )
    session.add(new)
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action=action,
        subject_kind="experiment",
        subject_key=experiment.key,
        before={"epoch": old.number, "weights": old.weights, **(was or {})},
        after={"epoch": new.number, "weights": new.weights, "reason": reason, **(told or {})},
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


def live(session: Session, key: str, what: str, *, instead: str, though_shipped: bool = False) -> Experiment:
    """A running or paused experiment, held until the transaction ends. Raises NotFound, or Conflict that says it cannot be `what`,
    as one that has shipped a variant cannot either unless `though_shipped`.
    """
    experiment = repository.get_experiment(session, key, for_update=True)
    if experiment.status not in {ExperimentStatus.RUNNING, ExperimentStatus.PAUSED}:
        advice = f"; {instead}" if experiment.status == ExperimentStatus.DRAFT else ""
        raise Conflict(
            f"experiment {key!r} is {experiment.status}, and only a running or paused one can be {what}{advice}",
            field="status",
        )
    if experiment.shipped_at is not None and not though_shipped:
        raise Conflict(
            f"experiment {key!r} has shipped {experiment.shipped!r} to everybody who comes; it can be paused and stopped, and not "
            f"be {what}",
            field="status",
        )
    return experiment


def check_reason(reason: str) -> None:
    """Raise Invalid unless it is one that fits into an epoch."""
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise Invalid(f"say why, in 1 to {LONGEST_REASON} characters", field="reason")


def _hold(
    session: Session, clock: Clock, *, actor: str, experiment: Experiment, hold: bool, reason: str
) -> None:
    before = experiment.held_at
    experiment.held_at = clock.now() if hold else None
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.hold" if hold else "experiment.release",
        subject_kind="experiment",
        subject_key=experiment.key,
        before={"held_at": None if before is None else format_moment(before)},
        after={"held_at": format_moment(clock.now()) if hold else None, "reason": reason},
    )


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
    # Shares stay as they are to the last digit: what a bandit says that it set is what users are drawn with.
    whole = 1.0 if math.isclose(total, 1.0, rel_tol=ROUNDING) else total
    return {key: weights[key] / whole for key in variants}


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
