"""Where the traffic of an experiment stands: weights now, what became of the last slots, and when the next one is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from analysis.bandits import repository
from analysis.bandits.considering import begins_at, slot_at
from analysis.bandits.models import Reallocation
from experiments.allocation import BanditAllocation
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.models import Epoch, Experiment
from experiments.repository import get_experiment
from experiments.service import design_of
from experiments.vocabulary import ExperimentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationState:
    """at: when this was so. weights: of the open epoch, or of the design before the start. active: the variants that get users. next_due_at: when a
    bandit looks again; None without one, or when the experiment does not go on. epochs, reallocations: newest first. guards: what
    they said when they last looked, see `harm.Verdict`.
    """

    at: datetime
    experiment: Experiment
    design: ExperimentDesign
    weights: Mapping[str, float]
    active: tuple[str, ...]
    next_due_at: datetime | None
    epochs: Sequence[Epoch]
    reallocations: Sequence[Reallocation]
    guards: Sequence[Mapping[str, Any]]


def allocation_of(session: Session, clock: Clock, *, key: str, limit: int) -> AllocationState:
    """The state, with the newest `limit` epochs and reallocations. Raises NotFound."""
    experiment = get_experiment(session, key)
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    design = design_of(experiment)
    epochs = repository.newest_epochs(session, experiment.id, limit=limit)
    done = repository.reallocations_of(session, experiment.id, limit=limit)
    weights, now = epochs[0].weights if epochs else design.shares, clock.now()
    return AllocationState(
        at=now,
        experiment=experiment,
        design=design,
        weights=weights,
        active=tuple(variant.key for variant in design.variants if weights.get(variant.key, 0) > 0),
        next_due_at=_next_due(experiment, design.bandit, done, now=now),
        epochs=epochs,
        reallocations=done,
        guards=repository.last_verdicts(session, experiment.id),
    )


def _next_due(
    experiment: Experiment, bandit: BanditAllocation | None, done: Sequence[Reallocation], *, now: datetime
) -> datetime | None:
    live = experiment.status in {ExperimentStatus.RUNNING, ExperimentStatus.PAUSED}
    if bandit is None or not live or experiment.shipped_at is not None:
        return None
    newest = done[0].slot if done else 0
    return begins_at(experiment, bandit, max(slot_at(experiment, bandit, now), newest + 1))
