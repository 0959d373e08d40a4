"""What a slot of a bandit should do, and why, or why nothing. Only reads: `reallocation.py` acts on it.

Nothing is moved while the experiment is paused or its weights are held by hand, with fewer than two variants that get users, when
the facts come from a copy that is too old, while the split is in doubt (`soundness.py`), and before the burn-in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlmodel import Session

from analysis.bandits import words
from analysis.bandits.evidence import (
    arms_of,
    evidence_of,
    numbers_of,
    policy_of,
    weights_of,
)
from analysis.bandits.soundness import Soundness, check_split
from analysis.facts.allocation_facts import gather_allocation, gather_drawn
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.reports import copies
from analysis.reports.evidence import made_with
from analysis.reports.repository import epochs_of
from analysis.stats.allocation import weights, why
from analysis.stats.estimates import estimate
from experiments.allocation import BanditAllocation
from experiments.arms import active_arms
from experiments.clock import Clock, format_duration, format_moment
from experiments.design import ExperimentDesign
from experiments.errors import Unavailable
from experiments.models import Epoch, Experiment
from experiments.service import design_of
from experiments.vocabulary import ExperimentStatus

LEAST_MOVE: Final = 0.001
"""When no weight would change by as much, the epoch goes on: a new one would only cut it in two."""

Outcome = Literal["moved", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What is to be done in a slot. epoch, old: the open epoch and its weights; weights: the new ones, None when nothing moves.

    numbers: what was looked at, as plain JSON. Always `experiment`, `as_of`, `policy`, `made_with`; `sample_ratio` once the split
    was checked; `arms`, `epochs`, `delays`, `data` (see `evidence.numbers_of`) once there were facts.
    """

    experiment_id: int
    key: str
    slot: int
    at: datetime
    outcome: Outcome
    reason: str
    epoch: int
    old: Mapping[str, float]
    weights: Mapping[str, float] | None
    numbers: Mapping[str, Any]


def slot_at(experiment: Experiment, bandit: BanditAllocation, moment: datetime) -> int:
    """The slot that a moment lies in: whole intervals since the start. Slot 0 is the time before the first reallocation."""
    assert experiment.started_at is not None  # noqa: S101  # it was started, or it would not be live
    return (moment - experiment.started_at) // bandit.interval


def begins_at(experiment: Experiment, bandit: BanditAllocation, slot: int) -> datetime:
    """When a slot is due."""
    assert experiment.started_at is not None  # noqa: S101  # see above
    return experiment.started_at + slot * bandit.interval


def consider(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    bandit: BanditAllocation,
    facts: FactsEngine | None = None,
) -> Considered:
    """What the slot of now should do for a live experiment. The same data give the same weights, to the last digit.

    facts: where they are read; the database of `session` by default. Whether users were drawn as promised is always asked there.
    """
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    design, now = design_of(experiment), clock.now()
    epochs = epochs_of(session, experiment.id)
    copied = copies.copied_by(facts)
    as_of = copies.known_until(copied, now)
    undecided = Considered(
        experiment_id=experiment.id,
        key=experiment.key,
        slot=slot_at(experiment, bandit, now),
        at=now,
        outcome="skipped",
        reason="",
        epoch=epochs[-1].number,
        old=epochs[-1].weights,
        weights=None,
        numbers={
            "experiment": experiment.key,
            "as_of": format_moment(as_of),
            "policy": bandit.model_dump(mode="json", exclude_none=True),
            "made_with": made_with(),
        },
    )
    reason = _standing(experiment, epochs[-1]) or _stale(experiment, design, bandit, facts, now=now)
    if reason is not None:
        return replace(undecided, reason=reason)
    sound = check_split(
        epochs,
        gather_drawn(SessionFacts(session), experiment_id=experiment.id, as_of=now),
        method=design.plan.method,
    )
    checked = _with(undecided, sample_ratio={"p_value": sound.p_value, "e_value": sound.e_value})
    return _decided(session, checked, design, bandit, epochs, sound, facts, as_of=as_of)


def _standing(experiment: Experiment, epoch: Epoch) -> str | None:
    """What keeps the weights as they are whatever the data say."""
    if experiment.status != ExperimentStatus.RUNNING:
        return f"the experiment is {experiment.status}"
    if experiment.held_at is not None:
        return f"the weights are held by hand since {format_moment(experiment.held_at)}"
    active = active_arms(epoch.weights)
    if len(active) < 2:
        return f"there is nothing to choose: only {active[0]} gets users"
    return None


def _stale(
    experiment: Experiment,
    design: ExperimentDesign,
    bandit: BanditAllocation,
    facts: FactsEngine | None,
    *,
    now: datetime,
) -> str | None:
    """Why the copy that the facts come from will not do; None where it does, or where there is none."""
    copied = copies.copied_by(facts)
    if copied is None:
        return None
    if copied.until is None or now - copied.until > bandit.interval:
        made = "is empty" if copied.until is None else f"is of {format_moment(copied.until)}"
        return f"the copy of the facts {made}, and traffic is moved every {format_duration(bandit.interval)}: export it anew"
    try:
        copies.told(
            copied,
            as_of=now,
            begun=experiment.started_at or now,
            definitions=design.metric_definitions(),
        )
    except Unavailable as error:
        return str(error)
    return None


def _decided(
    session: Session,
    undecided: Considered,
    design: ExperimentDesign,
    bandit: BanditAllocation,
    epochs: Sequence[Epoch],
    sound: Soundness,
    facts: FactsEngine | None,
    *,
    as_of: datetime,
) -> Considered:
    assert bandit.metric is not None  # noqa: S101  # a stored design has it filled in
    metric = design.metric_definitions()[bandit.metric]
    found = gather_allocation(
        facts or SessionFacts(session),
        experiment_id=undecided.experiment_id,
        metric=metric,
        variants=[variant.key for variant in design.variants],
        as_of=as_of,
        with_messages=bandit.cost is not None,
    )
    if not found.epochs:
        return replace(undecided, reason="nobody is assigned yet")
    arms = arms_of(found, history=[epoch.weights for epoch in epochs], burn_in=bandit.burn_in)
    evidence, policy = evidence_of(found, design, metric, arms), policy_of(bandit, metric, arms)
    answer = weights(evidence, policy)
    told = _with(undecided, **numbers_of(found, arms, evidence, estimate(evidence), answer))
    # With the numbers, so that whoever is told of the doubt sees what it holds up.
    thin = why(answer, evidence, policy, arms.variants)
    if sound.doubt is not None or thin is not None:
        return replace(told, reason=sound.doubt or thin or "")
    new = weights_of(answer, arms)
    if max(abs(new[variant] - undecided.old.get(variant, 0.0)) for variant in new) < LEAST_MOVE:
        return replace(told, reason="the weights are right as they are: none would change by 0.1 points")
    p_best = {}
    for variant, arm in told.numbers["arms"].items():
        arm["new_weight"], p_best[variant] = new[variant], arm["p_best"]
    return replace(
        told, outcome="moved", reason=words.why_moved(bandit.policy, bandit.metric, p_best), weights=new
    )


def _with(considered: Considered, **numbers: Any) -> Considered:
    return replace(considered, numbers={**considered.numbers, **numbers})
