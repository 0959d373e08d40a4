"""What a slot of a bandit should do, and why, or why nothing. Only reads: `reallocation.py` acts on it.

Nothing is moved while the experiment is paused or its weights are held by hand, with fewer than two variants that get users, when
the facts come from a copy that is too old, while the split is in doubt (`soundness.py`), and before the burn-in. What becomes of the
next wave of a broadcast is decided with it (`waves.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from analysis.bandits.waves import Wave, next_wave
from analysis.facts.allocation_facts import gather_allocation, gather_drawn
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.facts.unit_facts import gather_units, shared_by
from analysis.reports import copies
from analysis.reports.evidence import made_with
from analysis.reports.models import StoredReport
from analysis.reports.repository import enrolment_of, epochs_of
from analysis.reports.service import LOOK_EVERY
from analysis.stats.allocation import Reason, weights, why
from analysis.stats.estimates import estimate
from experiments.allocation import BanditAllocation
from experiments.arms import active_arms
from experiments.clock import Clock, format_duration, format_moment
from experiments.design import ExperimentDesign
from experiments.errors import Unavailable
from experiments.models import Epoch, Experiment
from experiments.service import LONGEST_REASON, design_of
from experiments.stopped_arms import stopped_arms
from experiments.timing import opens_at
from experiments.vocabulary import ExperimentStatus
from experiments.waves import is_waiting
from targeting.waves import upto_next

LEAST_MOVE: Final = 0.001
"""When no weight would change by as much, the epoch goes on: a new one would only cut it in two."""

Outcome = Literal["moved", "skipped", "shipped", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What is to be done in a slot. epoch, old: the open epoch and its weights; weights: the new ones, None when nothing moves.

    outcome: shipped and ended are those of the wave. waits: whether what keeps the weights may pass, so that a wave waits for it.
    released, wave: of a broadcast in waves, the share that is out and what becomes of the next one (`waves.py`). doubt: of the split, or of the copy that the facts come from.
    updated_at: of the experiment as it was considered.

    numbers: what was looked at, as plain JSON. Always `experiment`, `as_of`, `policy`, `made_with`, `stopped` (by a guardrail); `report` and `wave` while waves wait; `sample_ratio` once the split
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
    waits: bool = True
    released: float | None = None
    wave: Wave | None = None
    doubt: str | None = None
    updated_at: datetime | None = None


def slot_at(experiment: Experiment, bandit: BanditAllocation, moment: datetime) -> int:
    """The slot that a moment lies in: whole intervals since the start. Slot 0 is the time before the first reallocation; in a
    broadcast in waves slots count from its moment, when the first wave goes out.
    """
    return (moment - _first_slot(experiment, bandit)) // bandit.interval


def oldest_report(experiment: Experiment, bandit: BanditAllocation, moment: datetime) -> timedelta:
    """How old a report may be by which the slot of a moment ships or ends: made since the slot began, and a 24th of the interval (an hour) at most.

    So whoever does a slot when it is due makes a report of its own, and whoever has to do it again and again (an error, a race) does not make one each time.
    """
    since = moment - begins_at(experiment, bandit, slot_at(experiment, bandit, moment))
    return min(since, bandit.interval / 24, LOOK_EVERY)


def begins_at(experiment: Experiment, bandit: BanditAllocation, slot: int) -> datetime:
    """When a slot is due."""
    return _first_slot(experiment, bandit) + slot * bandit.interval


def _first_slot(experiment: Experiment, bandit: BanditAllocation) -> datetime:
    assert experiment.started_at is not None  # noqa: S101  # it was started, or it would not be live
    if bandit.waves is None:
        return experiment.started_at
    return opens_at(design_of(experiment).trigger, experiment.started_at) or experiment.started_at


def consider(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    bandit: BanditAllocation,
    facts: FactsEngine | None = None,
    report: StoredReport | None = None,
) -> Considered:
    """What the slot of now should do for a live experiment. The same data give the same weights, to the last digit.

    facts: where they are read; the database of `session` by default. Whether users were drawn as promised is always asked there.
    report: by whose decision a broadcast in waves may end; None: nothing ends by a report.
    """
    found = _of_traffic(session, clock, experiment=experiment, bandit=bandit, facts=facts)
    if report is not None and is_waiting(experiment):
        read = {"as_of": format_moment(report.as_of), "decision": report.body["decision"]["action"]}
        found = _with(found, report=read)
    if not is_waiting(experiment):
        return found
    design, progress = design_of(experiment), enrolment_of(session, found.experiment_id)
    wave = next_wave(
        experiment,
        design,
        bandit,
        progress,
        doubt=found.doubt,
        waits_for=found.reason if found.waits else None,
        decision=None if report is None else report.body["decision"],
        weights=found.old,
        p_best={
            arm: numbers["p_best"]
            for arm, numbers in found.numbers.get("arms", {}).items()
            if numbers["p_best"] is not None
        },
        now=found.at,
        upto=upto_next(session, clock, experiment=experiment, design=design, progress=progress),
    )
    if wave is None:
        return found
    told = replace(_with(found, wave=wave.told()), wave=wave)
    if wave.variant is None:
        return told
    # The rest of the audience gets one variant, so there is no traffic left to move.
    outcome: Outcome = "shipped" if wave.action == "shipped" else "ended"
    return replace(told, outcome=outcome, reason=wave.reason[:LONGEST_REASON], weights=None)


def _of_traffic(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    bandit: BanditAllocation,
    facts: FactsEngine | None,
) -> Considered:
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
        released=experiment.released,
        updated_at=experiment.updated_at,
        numbers={
            "experiment": experiment.key,
            "as_of": format_moment(as_of),
            "policy": bandit.model_dump(mode="json", exclude_none=True),
            "made_with": made_with(),
            "stopped": sorted(stopped_arms(experiment)),
        },
    )
    reason = _standing(experiment, epochs[-1])
    if reason is not None:
        # What somebody chose by hand is no reason for the audience to wait.
        return replace(undecided, reason=reason, waits=experiment.status != ExperimentStatus.RUNNING)
    reason = _stale(experiment, design, bandit, facts, now=now)
    if reason is not None:
        # A report of such a copy decides nothing, either.
        return replace(undecided, reason=reason, doubt=reason)
    asked: Any = {"engine": SessionFacts(session), "experiment_id": experiment.id, "as_of": now}
    together = shared_by(design)
    sound = check_split(
        epochs,
        gather_drawn(**asked),
        method=design.plan.method,
        units=gather_units(**asked, attributes=together) if together else None,
    )
    checked = _with(undecided, sample_ratio={"p_value": sound.p_value, "e_value": sound.e_value})
    checked = replace(checked, doubt=sound.doubt)
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
        return replace(undecided, reason="nobody is assigned yet", waits=False)
    arms = arms_of(found, history=[epoch.weights for epoch in epochs], burn_in=bandit.burn_in)
    evidence, policy = evidence_of(found, design, metric, arms), policy_of(bandit, metric, arms)
    answer = weights(evidence, policy)
    told = _with(undecided, **numbers_of(found, arms, evidence, estimate(evidence), answer))
    # With the numbers, so that whoever is told of the doubt sees what it holds up.
    thin = why(answer, evidence, policy, arms.variants)
    if sound.doubt is not None:
        return replace(told, reason=sound.doubt)
    if thin is not None:
        # Once every window has closed, there is nothing more to learn from those who are there.
        if answer.reason == Reason.FEW_CONVERSIONS:
            thin += words.way_out(arms.variants[int(answer.arm)], control=design.control.key)
        return replace(told, reason=thin, waits=bool(found.users[:, :, :-1].any()))
    new = weights_of(answer, arms)
    if max(abs(new[variant] - undecided.old.get(variant, 0.0)) for variant in new) < LEAST_MOVE:
        right = "the weights are right as they are: none would change by 0.1 points"
        return replace(told, reason=right, waits=False)
    p_best = {}
    for variant, arm in told.numbers["arms"].items():
        arm["new_weight"], p_best[variant] = new[variant], arm["p_best"]
    return replace(
        told,
        outcome="moved",
        reason=words.why_moved(bandit.policy, bandit.metric, p_best),
        weights=new,
        waits=False,
    )


def _with(considered: Considered, **numbers: Any) -> Considered:
    return replace(considered, numbers={**considered.numbers, **numbers})
