"""Acting on what was considered: each slot of each experiment once, whoever asks and however many ask at once.

What takes long only reads (`considering.consider`, in a snapshot). What acts is one short transaction: it holds the experiment,
makes sure that nothing has changed since, claims the slot by storing its row, and opens the epoch. Whoever is killed in the middle
has done nothing; whoever comes second finds the slot taken.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sqlmodel import Session

from analysis.bandits import repository
from analysis.bandits.considering import Considered, consider, oldest_report, slot_at
from analysis.bandits.models import Reallocation
from analysis.facts.engines import FactsEngine
from analysis.reports.models import StoredReport
from analysis.reports.repository import newest_report
from analysis.reports.service import current_report
from delivery.planning import planner
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import TouchstoneError, Unavailable
from experiments.models import Experiment
from experiments.repository import current_epoch, get_experiment
from experiments.service import design_of, set_weights
from experiments.vocabulary import ExperimentStatus
from experiments.waves import is_waiting
from targeting import campaigns

ACTOR: Final = "bandit"

_log = logging.getLogger(__name__)


def reallocate_tick(
    database: Database, clock: Clock, *, facts: FactsEngine | None = None, key: str | None = None
) -> list[Reallocation]:
    """Do what is due, for one experiment (`key`) or all; returns what was done, skipped slots included.

    Opens its own transactions, like the reports: what takes long only reads. Of slots that were missed only the newest is made
    up for. One experiment that fails does not keep the others waiting; its error is raised when they are done.
    """
    with database.snapshot() as session:
        due = due_experiments(session, clock, key=key)
    failure: Exception | None = None
    done = []
    for each in due:
        try:
            report = _of_the_slot(database, clock, key=each, facts=facts)
            with database.snapshot() as session:
                considered = considered_now(session, clock, key=each, facts=facts, report=report)
        # Numbers that cannot be computed with are ValueErrors: no reason for the other experiments to wait, either.
        except (TouchstoneError, ValueError, ArithmeticError) as error:
            _log.warning("nothing was reallocated in %s: %s", each, error)
            failure = failure or error
            continue
        if considered is None:
            continue
        with database.transaction() as session:
            row = act(session, clock, considered)
        if row is not None:
            done.append(row)
    if failure is not None:
        raise failure
    return done


def _of_the_slot(
    database: Database, clock: Clock, *, key: str, facts: FactsEngine | None
) -> StoredReport | None:
    """The report whose decision may end a broadcast in this slot; None where waves do not wait for one, or a copy cannot tell (the slot then says so)."""
    with database.snapshot() as session:
        experiment = get_experiment(session, key)
        bandit = design_of(experiment).bandit
        if bandit is None or not is_waiting(experiment):
            return None
        allowed = oldest_report(experiment, bandit, clock.now())
    with suppress(Unavailable):
        return current_report(database, clock, key=key, max_age=allowed, facts=facts)
    return None


def due_experiments(session: Session, clock: Clock, *, key: str | None = None) -> Sequence[str]:
    """The keys of experiments with a bandit whose newest slot nothing was done for; of one, where `key` names it."""
    now = clock.now()
    found = []
    for experiment, newest in repository.live_experiments(session):
        bandit = design_of(experiment).bandit
        if bandit is not None and key in (None, experiment.key) and slot_at(experiment, bandit, now) > newest:
            found.append(experiment.key)
    return found


def considered_now(
    session: Session,
    clock: Clock,
    *,
    key: str,
    facts: FactsEngine | None = None,
    report: StoredReport | None = None,
) -> Considered | None:
    """What the slot of now should do, due or not; None for an experiment that has no bandit, or is a draft or stopped.

    report: by whose decision waves may end. Raises NotFound.
    """
    experiment = get_experiment(session, key)
    bandit = design_of(experiment).bandit
    if bandit is None or not repository.is_live(experiment):
        return None
    return consider(session, clock, experiment=experiment, bandit=bandit, facts=facts, report=report)


def would_do(
    database: Database, clock: Clock, *, facts: FactsEngine | None = None, key: str | None = None
) -> list[Considered]:
    """What the slot of now should do in each experiment with a bandit (or in one), due or not. Changes nothing.

    No report is made, for that would be a look: waves would end by the newest one there is, and `numbers` say of when it is.
    """
    with database.snapshot() as session:
        live = [each for each, _ in repository.live_experiments(session) if key in (None, each.key)]
        found = (
            considered_now(session, clock, key=each.key, facts=facts, report=_newest(session, each))
            for each in live
        )
        return [considered for considered in found if considered is not None]


def _newest(session: Session, experiment: Experiment) -> StoredReport | None:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return newest_report(session, experiment.id) if is_waiting(experiment) else None


def act(session: Session, clock: Clock, considered: Considered) -> Reallocation | None:
    """Claim the slot, open the epoch and release the wave, or ship. None when there is nothing to be done any more: the slot is taken, or somebody has set
    other weights, added a variant, ramped or shipped, paused or stopped the experiment since it was considered.
    """
    experiment = get_experiment(session, considered.key, for_update=True)
    session.refresh(experiment)
    if not repository.is_live(experiment) or _has_changed(session, experiment, considered):
        return None
    row = Reallocation(
        experiment_id=considered.experiment_id,
        slot=considered.slot,
        at=considered.at,
        outcome=considered.outcome,
        reason=considered.reason,
        epoch=considered.epoch + _opens_epoch(considered),
        numbers=dict(considered.numbers),
    )
    if not repository.claim(session, row):
        return None
    _let_out(session, clock, experiment, considered)
    if considered.weights is not None:
        set_weights(
            session,
            clock,
            actor=ACTOR,
            key=considered.key,
            weights=considered.weights,
            reason=considered.reason,
            numbers=considered.numbers,
        )
    return row


def _opens_epoch(considered: Considered) -> bool:
    """Whether other weights come with it: new ones, or one variant for all."""
    return considered.weights is not None or (
        considered.wave is not None and considered.wave.variant is not None
    )


def _let_out(session: Session, clock: Clock, experiment: Experiment, considered: Considered) -> None:
    wave = considered.wave
    if wave is None:
        return
    if wave.variant is not None:
        planner.ship(
            session,
            clock,
            actor=ACTOR,
            key=considered.key,
            variant=wave.variant,
            reason=considered.reason,
            numbers=considered.numbers,
        )
    elif wave.action == "released":
        campaigns.release_wave(
            session, clock, actor=ACTOR, experiment=experiment, upto=wave.upto, reason=wave.reason
        )


def _has_changed(session: Session, experiment: Experiment, considered: Considered) -> bool:
    wave = considered.wave
    moves = _opens_epoch(considered)
    goes_out = moves or (wave is not None and wave.action == "released")
    return (
        current_epoch(session, considered.experiment_id).number != considered.epoch
        or (moves and experiment.held_at is not None)
        or (goes_out and experiment.status != ExperimentStatus.RUNNING)
        or experiment.released != considered.released
        or experiment.shipped_at is not None
        # Coverage raised, or the like: a wave is a share of those who can take part.
        or experiment.updated_at != considered.updated_at
    )
