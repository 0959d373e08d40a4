"""Assignments become messages: who has been drawn gets one planned message for each step of the variant.

The planner pulls: it enrols the audience of every running experiment whose moment has come and gives each new
assignment its messages, a batch at a time. Each batch is a transaction of its own, so that others can write in between
and a crash costs one batch at most; running it again, or on two machines at once, plans nothing twice.

A recurring trigger comes back: at each occasion the audience is walked again, and those who were assigned before get the
steps once more (`targeting.occasions`), each at most one occasion at a time: whoever has a message of the experiment still
waiting, or had one since the occasion came, sits it out.

The messages of a batch are stored in the order of its assignments. The variants of neighbours are drawn by hash, so
sending by due time and then by id interleaves the variants, and throttling hits all arms alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from delivery.limits.ledger_repository import at_cap
from delivery.limits.policy import DeliveryPolicy, current
from delivery.local_time import zone_of
from delivery.planning import planning_repository as repository
from delivery.planning.best_hour import Hours, learned_hours
from delivery.planning.message_rows import rows_of
from delivery.planning.schedule import is_drawn
from experiments import arms, audit, service
from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.models import Epoch, Experiment
from experiments.settings import Settings
from experiments.stopped_arms import GUARDRAIL, Stopped, release_arm, stop_arm, why_silenced
from experiments.timing import opens_at
from experiments.triggers import RecurringTrigger
from experiments.vocabulary import ExperimentStatus
from targeting import campaigns, enrolment, occasions
from targeting.repository import Unplanned

STOPPED: Final = "stopped"
"""The reason of messages that were cancelled because their experiment was stopped."""
RETIRED: Final = "retired"
"""The same because their variant was retired, with what was planned for it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What one tick did: experiments that had something to plan, users assigned, messages planned."""

    experiments: int
    assigned: int
    messages: int


def plan_tick(database: Database, clock: Clock, *, settings: Settings, batch: int = 5000) -> Planned:
    """Enrol and plan until nothing is left to do for any running experiment; `batch` users a transaction.

    Opens its own transactions, since planning a million users in one would lock everybody else out.
    """
    with database.snapshot() as session:
        running = experiment_repository.with_status(session, ExperimentStatus.RUNNING)
        ready = [
            experiment
            for experiment in running
            if _has_work(session, experiment, ttl=settings.message_ttl, now=clock.now())
        ]
        # What was in flight when its variant was silenced may have come back to be tried again.
        late = [
            _id(experiment)
            for experiment in running
            if experiment.silenced
            and repository.has_waiting(session, experiment_id=_id(experiment), variants=experiment.silenced)
        ]
    for experiment_id in late:
        with database.transaction() as session:
            # Asked again under the lock: a variant may have come back since.
            if enrolment.lock_running(session, experiment_id=experiment_id):
                held = experiment_repository.reread(session, experiment_id)
                _cancel_silenced(session, held, held.silenced or ())
    done = [_plan_experiment(database, clock, experiment, settings, batch) for experiment in ready]
    return Planned(
        experiments=len(done),
        assigned=sum(assigned for assigned, _ in done),
        messages=sum(messages for _, messages in done),
    )


def stop(session: Session, clock: Clock, *, actor: str, key: str) -> Experiment:
    """Stop an experiment for good and cancel what has not gone out. Raises NotFound, or Conflict when it does not run.

    The experiment's row is held until the commit, so that nothing is planned between the two.
    """
    experiment = campaigns.stop(session, clock, actor=actor, key=key)
    cancel_planned(session, experiment_id=_id(experiment), reason=STOPPED)
    return experiment


def ship(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: str,
    reason: str,
    numbers: Mapping[str, Any] | None = None,
) -> tuple[Experiment, bool]:
    """`campaigns.ship`; a variant without message ends the messaging, so what has not gone out is cancelled. Raises as that does."""
    experiment, shipped = campaigns.ship(
        session, clock, actor=actor, key=key, variant=variant, reason=reason, numbers=numbers
    )
    if shipped and experiment.status == ExperimentStatus.STOPPED:
        cancel_planned(session, experiment_id=_id(experiment), reason=STOPPED)
    return experiment, shipped


def retire(
    session: Session, clock: Clock, *, actor: str, key: str, variant: str, reason: str, cancel: bool
) -> tuple[Epoch, int]:
    """Give a variant nobody new; returns the new epoch, and how many messages were cancelled. Raises as `arms.retire_variant`.

    cancel: what has not gone out to those who have the variant never does, nor anything planned later. Otherwise they are sent
    what the variant promises them.
    """
    experiment, epoch = arms.retire_variant(
        session, clock, actor=actor, key=key, variant=variant, reason=reason, silence=cancel
    )
    return epoch, _cancel_silenced(session, experiment, [variant]) if cancel else 0


def stop_harmful(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: str,
    guard: str,
    reason: str,
    numbers: Mapping[str, Any],
) -> tuple[Stopped, int] | None:
    """Stop a variant that does harm; returns what was done and how many messages were cancelled. None and raises as `stop_arm`.
    A running experiment in which nothing is left to be sent is paused.

    From the commit on no message of the variant is claimed; one that is claimed already is cancelled, and only what is in flight goes on.
    """
    stopped = stop_arm(
        session, clock, actor=actor, key=key, variant=variant, guard=guard, reason=reason, numbers=numbers
    )
    if stopped is None:
        return None
    if stopped.is_last and stopped.experiment.status == ExperimentStatus.RUNNING:
        campaigns.pause(session, clock, actor=actor, key=key)
    return stopped, _cancel_silenced(session, stopped.experiment, [variant])


def release(
    session: Session, clock: Clock, *, actor: str, key: str, variant: str, reason: str, restore: bool
) -> tuple[Epoch, int]:
    """Let a variant go on that a guardrail has stopped; returns the open epoch and how many messages are planned again. Raises as `release_arm`.

    restore: what guardrails have cancelled of it, and what has not expired, is planned again for when it was due (at once, if that is
    past); caps, consent and hours are asked anew. Otherwise it stays cancelled.
    """
    epoch = release_arm(session, clock, actor=actor, key=key, variant=variant, reason=reason)
    experiment = experiment_repository.reread(session, epoch.experiment_id)
    if not restore or variant in (experiment.silenced or ()):
        return epoch, 0
    restored = repository.restore_cancelled(
        session, experiment_id=epoch.experiment_id, variant=variant, reason=GUARDRAIL, now=clock.now()
    )
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.restore_messages",
        subject_kind="experiment",
        subject_key=key,
        before=None,
        after={"variant": variant, "messages": restored, "reason": reason},
    )
    return epoch, restored


def cancel_planned(session: Session, *, experiment_id: int, reason: str) -> int:
    """Cancel what is not yet committed to go out; returns the number of messages.

    What is in flight already goes on to its end.
    """
    return repository.cancel_waiting(session, experiment_id=experiment_id, reason=reason)


def _plan_experiment(
    database: Database, clock: Clock, experiment: Experiment, settings: Settings, batch: int
) -> tuple[int, int]:
    work = _Work(_id(experiment), service.design_of(experiment), batch, settings.message_ttl)
    assigned = messages = 0
    while True:
        if work.recurs:
            with database.transaction() as session:
                if not occasions.begin(session, clock, experiment_id=work.experiment_id, ttl=work.ttl):
                    return assigned, messages
        with database.transaction() as session:
            step = enrolment.enrol_batch(
                session,
                clock,
                experiment=experiment,
                limit=batch,
                ineligible=ineligible(work.design, now=clock.now(), policy=current(session, settings)),
                global_holdout=settings.global_holdout,
            )
        with database.transaction() as session:
            looked_at, planned = _plan_batch(session, clock, work)
        if work.recurs:
            with database.transaction() as session:
                seen_again, planned_again = _plan_again(session, clock, work)
            looked_at, planned = max(looked_at, seen_again), planned + planned_again
        assigned += step.assigned
        messages += planned
        if step.finished and looked_at < batch:
            return assigned, messages


@dataclass(frozen=True, slots=True)
class _Work:
    """One experiment that is being planned, `batch` assignments at a time."""

    experiment_id: int
    design: ExperimentDesign
    batch: int
    ttl: timedelta

    @property
    def recurs(self) -> bool:
        return isinstance(self.design.trigger, RecurringTrigger)


def _plan_batch(session: Session, clock: Clock, work: _Work) -> tuple[int, int]:
    """Give messages to the next assignments; returns how many assignments and how many messages."""
    # Under the experiment's lock: it cannot be stopped, and nobody else can plan it, until this is committed.
    if not enrolment.lock_running(session, experiment_id=work.experiment_id):
        return 0, 0
    assignments = enrolment.unplanned(session, experiment_id=work.experiment_id, limit=work.batch)
    occasion_at = occasions.occasion_of(session, experiment_id=work.experiment_id) if work.recurs else None
    messages = _plan(session, clock, work, assignments, occasion_at)
    return len(assignments), messages


def _plan_again(session: Session, clock: Clock, work: _Work) -> tuple[int, int]:
    """Give the messages of one more occasion to the next of those assigned before; returns the same."""
    if not enrolment.lock_running(session, experiment_id=work.experiment_id):
        return 0, 0
    occasion_at, assignments = occasions.to_plan_again(
        session, experiment_id=work.experiment_id, limit=work.batch
    )
    if occasion_at is None:
        return 0, 0
    busy = repository.in_hand(
        session,
        experiment_id=work.experiment_id,
        user_pks=[assignment.user_pk for assignment in assignments],
        since=occasion_at,
    )
    free = [assignment for assignment in assignments if assignment.user_pk not in busy]
    messages = _plan(session, clock, work, free, occasion_at)
    sitting_out = [assignment.id for assignment in assignments if assignment.user_pk in busy]
    enrolment.mark_planned(session, ids=sitting_out, at=max(clock.now(), occasion_at), occasions=0)
    is_done = len(assignments) < work.batch
    occasions.note_planned_again(
        session, experiment_id=work.experiment_id, upto_pk=None if is_done else assignments[-1].user_pk
    )
    return len(assignments), messages


def _plan(
    session: Session,
    clock: Clock,
    work: _Work,
    assignments: Sequence[Unplanned],
    occasion_at: datetime | None,
) -> int:
    """Store the messages of one occasion, and that these assignments have them; returns how many messages."""
    now = clock.now()
    # Read again under the lock: a variant may have been added, or silenced, since the tick began.
    experiment = experiment_repository.reread(session, work.experiment_id)
    design = service.design_of(experiment)
    rows = rows_of(
        design,
        assignments,
        experiment_id=work.experiment_id,
        ttl=work.ttl,
        occasion_at=occasion_at,
        learned=_learned(session, design, assignments, now),
    )
    repository.insert_messages(
        session,
        rows,
        experiment_id=work.experiment_id,
        category=work.design.category,
        priority=work.design.priority,
    )
    silenced = {assignment.variant for assignment in assignments} & {*(experiment.silenced or ())}
    if silenced:
        # They are in the books like all others: planned, and cancelled at once.
        _cancel_silenced(session, experiment, sorted(silenced))
    # Another machine's clock, ahead of ours, may have begun the occasion.
    planned_at = now if occasion_at is None else max(now, occasion_at)
    enrolment.mark_planned(session, ids=[assignment.id for assignment in assignments], at=planned_at)
    return len(rows)


def _cancel_silenced(session: Session, experiment: Experiment, variants: Sequence[str]) -> int:
    return sum(
        repository.cancel_waiting(session, experiment_id=_id(experiment), reason=reason, variants=[variant])
        for variant, reason in why_silenced(experiment.silenced, experiment.stopped_arms).items()
        if variant in variants
    )


def _learned(
    session: Session, design: ExperimentDesign, assignments: Sequence[Unplanned], now: datetime
) -> dict[int, Hours]:
    """What is known of the hours of those whose variant asks for it."""
    asking = {variant.key for variant in design.variants if is_drawn(variant)}
    zones = {each.user_pk: zone_of(each.time_zone) for each in assignments if each.variant in asking}
    return learned_hours(session, list(zones), zones=zones, now=now) if zones else {}


def ineligible(
    design: ExperimentDesign, *, policy: DeliveryPolicy, now: datetime
) -> dict[str, ColumnElement[bool]]:
    """What delivery has against enrolling a user: reason -> condition on rows of `users`."""
    return {"cap": at_cap(policy, category=design.category, now=now)}


def _has_work(session: Session, experiment: Experiment, *, ttl: timedelta, now: datetime) -> bool:
    experiment_id, design = _id(experiment), service.design_of(experiment)
    opens = None if experiment.started_at is None else opens_at(design.trigger, experiment.started_at)
    if opens is None or opens > now:
        return False
    if isinstance(design.trigger, RecurringTrigger):
        return occasions.has_work(session, experiment, experiment_id=experiment_id, ttl=ttl, now=now)
    walking = enrolment.walks(design) and not enrolment.is_finished(session, experiment_id=experiment_id)
    return walking or bool(enrolment.unplanned(session, experiment_id=experiment_id, limit=1))


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
