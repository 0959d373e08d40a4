"""Assignments become messages: who has been drawn gets one planned message for each step of the variant.

The planner pulls: it enrols the audience of every running experiment whose moment has come and gives each new
assignment its messages, a batch at a time. Each batch is a transaction of its own, so that others can write in between
and a crash costs one batch at most; running it again, or on two machines at once, plans nothing twice.

The messages of a batch are stored in the order of its assignments. The variants of neighbours are drawn by hash, so
sending by due time and then by id interleaves the variants, and throttling hits all arms alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from delivery import repository
from delivery.caps import is_capped
from delivery.schedule import due_times, zone_of
from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.timing import opens_at
from experiments.vocabulary import ExperimentStatus, MessageState
from targeting import enrolment
from targeting.repository import Unplanned

STOPPED: Final = "stopped"
"""The reason of messages that were cancelled because their experiment was stopped."""


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
            if _moment_has_come(experiment, clock.now()) and _has_work(session, experiment)
        ]
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
    experiment = service.move(session, clock, actor=actor, key=key, move=Move.STOP)
    cancel_planned(session, experiment_id=_id(experiment), reason=STOPPED)
    return experiment


def cancel_planned(session: Session, *, experiment_id: int, reason: str) -> int:
    """Cancel what is not yet committed to go out; returns the number of messages.

    What is in flight already goes on to its end.
    """
    return repository.cancel_waiting(session, experiment_id=experiment_id, reason=reason)


def _plan_experiment(
    database: Database, clock: Clock, experiment: Experiment, settings: Settings, batch: int
) -> tuple[int, int]:
    design = service.design_of(experiment)
    assigned = messages = 0
    while True:
        with database.transaction() as session:
            step = enrolment.enrol_batch(
                session,
                clock,
                experiment=experiment,
                limit=batch,
                ineligible=ineligible(design, settings=settings, now=clock.now()),
                global_holdout=settings.global_holdout,
            )
        with database.transaction() as session:
            looked_at, planned = _plan_batch(session, clock, experiment, design, batch, settings.message_ttl)
        assigned += step.assigned
        messages += planned
        if step.finished and looked_at < batch:
            return assigned, messages


def _plan_batch(
    session: Session,
    clock: Clock,
    experiment: Experiment,
    design: ExperimentDesign,
    batch: int,
    ttl: timedelta,
) -> tuple[int, int]:
    """Give messages to the next assignments; returns how many assignments and how many messages."""
    experiment_id = _id(experiment)
    # Under the experiment's lock: it cannot be stopped, and nobody else can plan it, until this is committed.
    if not enrolment.lock_running(session, experiment_id=experiment_id):
        return 0, 0
    assignments = enrolment.unplanned(session, experiment_id=experiment_id, limit=batch)
    rows = plan_messages(design, assignments, experiment_id=experiment_id, ttl=ttl)
    repository.insert_messages(session, rows=rows)
    enrolment.mark_planned(session, ids=[assignment.id for assignment in assignments], at=clock.now())
    return len(assignments), len(rows)


def plan_messages(
    design: ExperimentDesign, assignments: Sequence[Unplanned], *, experiment_id: int, ttl: timedelta
) -> list[dict[str, Any]]:
    """The rows of the outbox for some assignments; none for those of a silent arm."""
    variants = {variant.key: variant for variant in design.variants}

    @cache
    def schedule(variant: str, time_zone: str | None, assigned_at: datetime) -> tuple[datetime, ...]:
        return due_times(variants[variant], start=assigned_at, zone=zone_of(time_zone))

    return [
        {
            "experiment_id": experiment_id,
            "user_pk": assignment.user_pk,
            "variant": assignment.variant,
            "step": step,
            "category": design.category,
            "priority": design.priority,
            "state": MessageState.PLANNED,
            "first_due_at": due,
            "due_at": due,
            "expires_at": expires_at(design, due, ttl=ttl),
            "tries": 0,
        }
        for assignment in assignments
        for step, due in enumerate(schedule(assignment.variant, assignment.time_zone, assignment.assigned_at))
    ]


def expires_at(design: ExperimentDesign, due: datetime, *, ttl: timedelta) -> datetime:
    """From when on a message that was first due at `due` no longer goes out; `ttl` where the design says nothing."""
    last = due + (design.expires.after or ttl)
    return last if design.expires.at is None else min(last, design.expires.at)


def ineligible(
    design: ExperimentDesign, *, settings: Settings, now: datetime
) -> dict[str, ColumnElement[bool]]:
    """What delivery has against enrolling a user: reason -> condition on rows of `users`."""
    if not is_capped(design.category):
        return {}
    return {"cap": repository.at_cap(cap=settings.cap_messages, window=settings.cap_window, now=now)}


def _moment_has_come(experiment: Experiment, now: datetime) -> bool:
    design = service.design_of(experiment)
    opens = None if experiment.started_at is None else opens_at(design.trigger, experiment.started_at)
    return opens is not None and opens <= now


def _has_work(session: Session, experiment: Experiment) -> bool:
    experiment_id = _id(experiment)
    walking = enrolment.walks(service.design_of(experiment)) and not enrolment.is_finished(
        session, experiment_id=experiment_id
    )
    return walking or bool(enrolment.unplanned(session, experiment_id=experiment_id, limit=1))


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
