"""Guards at work: each experiment that is live is looked at again and again, and a variant that does harm is stopped at once.

What takes long only reads, in a snapshot. What acts is one short transaction that holds the experiment: the variant gets nobody new,
its planned messages are cancelled, and from the commit on none is claimed. Whoever comes second finds it stopped and does nothing.
A look may take one part in `1 / SHARE` of the time: a small experiment is looked at at every tick, one whose look takes half a
second every ten. The facts always come from the application's own database: a copy would know of harm too late.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from analysis.bandits import repository
from analysis.bandits.harm import Verdict, judge
from analysis.bandits.models import GuardLook
from analysis.facts.engines import SessionFacts
from analysis.facts.guard_facts import gather_harm
from analysis.reports.repository import epochs_of
from delivery.planning import planner
from experiments.clock import Clock
from experiments.database import Database
from experiments.guards import guarded_arms, guards_of
from experiments.models import Experiment
from experiments.repository import get_experiment
from experiments.service import design_of
from experiments.stopped_arms import released_arms
from experiments.vocabulary import ExperimentStatus

ACTOR: Final = "guard"
SHARE: Final = 0.05
"""Looking may take this part of the time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at an experiment: when it began, what every guard said, and how long it took."""

    at: datetime
    verdicts: Sequence[Verdict]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStopped:
    """What a tick did to one variant. cancelled: messages that will not go out. paused: whether the experiment is, as it is
    when nothing that sends was left.
    """

    experiment: str
    variant: str
    guard: str
    reason: str
    cancelled: int
    paused: bool


def guard_tick(
    database: Database,
    clock: Clock,
    *,
    key: str | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[ArmStopped]:
    """Look at every live experiment whose look is due, or at one (`key`), due or not; returns what was stopped.

    Opens its own transactions. `monotonic` gives the machine's time in seconds.
    """
    with database.snapshot() as session:
        due = due_experiments(session, now=clock.now(), key=key)
    stopped: list[ArmStopped] = []
    quiet: list[GuardLook] = []
    for each in due:
        began, at = monotonic(), clock.now()
        with database.snapshot() as session:
            experiment = get_experiment(session, each)
            verdicts = look(session, clock, experiment)
        seen = Seen(at=at, verdicts=verdicts, seconds=monotonic() - began)
        if _breached(verdicts):
            with database.transaction() as session:
                stopped += act(session, clock, key=each, seen=seen)
        else:
            quiet.append(_kept(experiment, seen))
    if quiet:
        # This comes before every part of a run of sending: one commit for all looks that found nothing, and no experiment held.
        with database.transaction() as session:
            for looked in quiet:
                repository.put_look(session, looked)
    return stopped


def due_experiments(session: Session, *, now: datetime, key: str | None = None) -> list[str]:
    """The keys of live experiments with a variant that may be stopped, whose last look was long enough ago."""
    return [
        experiment.key
        for experiment, last in repository.guarded_experiments(session)
        if key in (None, experiment.key)
        and (key is not None or _is_due(last, now=now))
        and guarded_arms(design_of(experiment))
    ]


def look(session: Session, clock: Clock, experiment: Experiment) -> list[Verdict]:
    """What every guard says of every variant now, those that are stopped already included; only reads."""
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    design = design_of(experiment)
    guards, arms, control = guards_of(design), guarded_arms(design), design.control
    if not guards or not arms:
        return []
    weights = {epoch.number: epoch.weights for epoch in epochs_of(session, experiment.id)}
    released = released_arms(experiment)
    found: list[Verdict] = []
    for since in {released.get(arm): None for arm in arms}:
        facts = gather_harm(
            SessionFacts(session),
            experiment_id=experiment.id,
            guards=guards,
            variants=[variant.key for variant in design.variants],
            silent_control=control.key if control.message is None else None,
            within=design.plan.rules.harm_within,
            as_of=clock.now(),
            since=since,
        )
        found += judge(
            facts,
            guards=guards,
            arms=[arm for arm in arms if released.get(arm) == since],
            control=control.key,
            weights=weights,
            alpha=design.plan.alpha,
            tests=len(guards) * len(arms),
        )
    return found


def act(session: Session, clock: Clock, *, key: str, seen: Seen) -> list[ArmStopped]:
    """Stop the variants that do harm, and keep what was seen. Nothing is done to one that was stopped or released since the look."""
    experiment = get_experiment(session, key, for_update=True)
    session.refresh(experiment)
    done = []
    for variant, breached in _breached(seen.verdicts).items():
        if not repository.is_live(experiment):
            continue
        released_at = released_arms(experiment).get(variant)
        if released_at is not None and released_at >= seen.at:
            continue
        worst, reason = breached[0], breached[0].told()
        found = planner.stop_harmful(
            session,
            clock,
            actor=ACTOR,
            key=key,
            variant=variant,
            guard=worst.guard,
            reason=reason,
            numbers={"verdicts": [asdict(verdict) for verdict in breached]},
        )
        if found is not None:
            stopped, cancelled = found
            _log.error("variant %s of experiment %s is stopped: %s", variant, key, reason)
            done.append(
                ArmStopped(
                    experiment=key,
                    variant=variant,
                    guard=worst.guard,
                    reason=reason,
                    cancelled=cancelled,
                    paused=stopped.experiment.status == ExperimentStatus.PAUSED,
                )
            )
    repository.put_look(session, _kept(experiment, seen))
    return done


def _kept(experiment: Experiment, seen: Seen) -> GuardLook:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return GuardLook(
        experiment_id=experiment.id,
        looked_at=seen.at,
        seconds=seen.seconds,
        verdicts=[asdict(verdict) for verdict in seen.verdicts],
    )


def _breached(verdicts: Sequence[Verdict]) -> Mapping[str, list[Verdict]]:
    """The guards that are breached, by variant, the clearest first."""
    found: dict[str, list[Verdict]] = {}
    for verdict in sorted(verdicts, key=lambda each: each.needed - each.log_e):
        if verdict.breached:
            found.setdefault(verdict.variant, []).append(verdict)
    return found


def _is_due(last: GuardLook | None, *, now: datetime) -> bool:
    return last is None or now - last.looked_at >= timedelta(seconds=last.seconds / SHARE)
