"""Guards at work: each experiment that is live is looked at again and again, and a variant that does harm is stopped at once.

What takes long only reads, in a snapshot. What acts is one short transaction that holds the experiment: the variant gets nobody new,
its planned messages are cancelled, and from the commit on none is claimed. Whoever comes second finds it stopped and does nothing.
A look may take one part in `1 / SHARE` of the time: a small experiment is looked at at every tick, one whose look takes half a
second every ten. The facts always come from the application's own database: a copy would know of harm too late.

Each experiment stands alone: whatever goes wrong with one keeps no other from being looked at. A look that failed is counted, and after a few
the experiment's messages wait until one works (`delivery.fuses.unguarded`): nobody would see what harm they do.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from analysis.bandits import repository
from analysis.bandits.harm import Verdict, judge
from analysis.bandits.models import GuardLook
from analysis.facts.engines import SessionFacts
from analysis.facts.guard_facts import gather_harm
from analysis.reports.repository import epochs_of
from delivery.fuses import unguarded
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
    """One look at an experiment: when it began, what every guard said, and how long it took. known: what was stopped and
    released by then (`Experiment.stopped_arms`).
    """

    at: datetime
    verdicts: Sequence[Verdict]
    seconds: float = 0.0
    known: Mapping[str, Any] = field(default_factory=dict)

    @property
    def breached(self) -> Mapping[str, list[Verdict]]:
        """The guards that are breached, by variant that is not stopped, the clearest first."""
        found: dict[str, list[Verdict]] = {}
        for verdict in sorted(self.verdicts, key=lambda each: each.needed - each.log_e):
            is_stopped = verdict.variant in self.known and not self.known[verdict.variant].get("released_at")
            if verdict.breached and not is_stopped:
                found.setdefault(verdict.variant, []).append(verdict)
        return found


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

    Opens its own transactions. `monotonic` gives the machine's time in seconds. Raises only what keeps all experiments from being looked at.
    """
    with database.snapshot() as session:
        live = repository.guarded_experiments(session)
        failing = unguarded.failing(session)
    stopped: list[ArmStopped] = []
    quiet: list[tuple[str, GuardLook]] = []
    for experiment, last in live:
        if key not in (None, experiment.key) or (key is None and not is_due(last, now=clock.now())):
            continue
        began, at = monotonic(), clock.now()
        seen: Seen | None = None
        try:
            verdicts, known = _looked(database, clock, experiment.key)
            seen = Seen(at=at, verdicts=verdicts, seconds=monotonic() - began, known=known)
            if seen.breached:
                with database.transaction() as session:
                    stopped += act(session, clock, key=experiment.key, seen=seen)
            elif verdicts or experiment.key in failing:
                quiet.append((experiment.key, _kept(experiment, seen)))
        except Exception as error:  # noqa: BLE001  # told, counted, and held back below
            # Whatever it is: the other experiments are looked at, and this one is not sent unwatched for long.
            # With where it happened once, and not at every tick.
            _log.error(
                "the guards of experiment %s could not look: %r",
                experiment.key,
                error,
                exc_info=experiment.key not in failing,
            )
            failed = Seen(at=at, verdicts=(), seconds=monotonic() - began)
            with database.transaction() as session:
                _note_failed(session, clock, experiment, last, failed, error, found_harm=seen is not None)
    over = set(failing) - {experiment.key for experiment, _ in live}
    if quiet or over:
        # This comes before every part of a run of sending: one commit for all looks that found nothing, and no experiment held.
        with database.transaction() as session:
            for looked_at, kept in quiet:
                repository.put_look(session, kept)
                if looked_at in failing:
                    unguarded.note_looked(session, clock, experiment=looked_at)
            for ended in sorted(over):
                unguarded.note_looked(session, clock, experiment=ended)
    return stopped


def _looked(database: Database, clock: Clock, key: str) -> tuple[list[Verdict], Mapping[str, Any]]:
    with database.snapshot() as session:
        experiment = get_experiment(session, key)
        return look(session, clock, experiment), experiment.stopped_arms or {}


def _note_failed(
    session: Session,
    clock: Clock,
    experiment: Experiment,
    last: GuardLook | None,
    failed: Seen,
    error: Exception,
    *,
    found_harm: bool,
) -> None:
    told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    opened = unguarded.note_failed(session, clock, experiment=experiment.key, error=told, at_once=found_harm)
    if opened:
        _log.error("nothing of experiment %s is sent until its guards can look: %s", experiment.key, told)
    # What took long and failed is tried again as rarely as what took long.
    kept = _kept(experiment, failed)
    kept.verdicts = [] if last is None else last.verdicts
    repository.put_look(session, kept)


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
    for variant, breached in seen.breached.items():
        if not repository.is_live(experiment):
            continue
        # What was seen is of users whom a release has excused since. Times would not tell: a release has the time of its transaction's
        # beginning, and may become visible after the look.
        if (experiment.stopped_arms or {}).get(variant) != seen.known.get(variant):
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
    unguarded.note_looked(session, clock, experiment=key)
    return done


def _kept(experiment: Experiment, seen: Seen) -> GuardLook:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return GuardLook(
        experiment_id=experiment.id,
        looked_at=seen.at,
        seconds=seen.seconds,
        verdicts=[asdict(verdict) for verdict in seen.verdicts],
    )


def is_due(last: GuardLook | None, *, now: datetime) -> bool:
    """Whether the last look was long enough ago."""
    if last is None:
        return True
    since = now - last.looked_at
    # A look of the future was by a clock that ran ahead; nobody waits until it comes.
    return since < timedelta(0) or since >= timedelta(seconds=last.seconds / SHARE)
