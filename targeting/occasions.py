"""Occasions of a recurring experiment: which one is being walked and planned, and who still has to get it.

`enrolments.occasion_at` is the newest occasion that was begun. Its audience is walked like any other (`enrolment`), and
those who were assigned before are planned once more, in the order of internal user ids: `planned_to_pk` is how far that
has come, null when it is done. Whoever was planned at or after `occasion_at` has had their turn. All of it is written under
the experiment's lock, in the transaction of what it describes, so that a crash or a second planner changes nothing.
"""

from datetime import datetime, timedelta

from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import MICROSECOND, Clock
from experiments.cron import last_time
from experiments.design import ExperimentDesign
from experiments.ending import closes_at
from experiments.models import Experiment
from experiments.triggers import RecurringTrigger
from targeting import repository
from targeting.models import Enrolment
from targeting.repository import Unplanned


def begin(session: Session, clock: Clock, *, experiment_id: int, ttl: timedelta) -> bool:
    """Begin the newest occasion of a recurring experiment, if one has come; returns whether an occasion is under way.

    While one is, the next one waits until everybody has been planned for the first. Of occasions that were missed only the
    newest counts, and only while messages that were due then may still go out (`ttl` where the design does not say).
    """
    if not repository.lock_for_enrolment(session, experiment_id=experiment_id):
        return False
    experiment, now = experiment_repository.reread(session, experiment_id), clock.now()
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    design = service.design_of(experiment)
    live = is_live(design, progress, ttl=ttl, now=now)
    if live and progress is not None and (progress.finished_at is None or progress.planned_to_pk is not None):
        return True
    begun = progress.occasion_at if progress else None
    newest = _newest(experiment, begun=begun, ttl=ttl, now=now)
    if newest is None:
        return live
    progress = progress or repository.enrolment_of(session, experiment_id=experiment_id, now=now)
    progress.occasion_at = newest
    progress.last_user_pk, progress.planned_to_pk, progress.finished_at = 0, 0, None
    # Whoever is assigned stays counted; everybody else is looked at, and counted, anew.
    progress.counts = {**progress.counts, "excluded": {}} if progress.counts else {}
    session.flush()
    return True


def is_live(design: ExperimentDesign, progress: Enrolment | None, *, ttl: timedelta, now: datetime) -> bool:
    """Whether messages that were due at the newest occasion may still go out."""
    begun = progress.occasion_at if progress else None
    return begun is not None and now < design.expires.of(begun, ttl=ttl)


def has_work(
    session: Session, experiment: Experiment, *, experiment_id: int, ttl: timedelta, now: datetime
) -> bool:
    """Whether an occasion has come that was not begun, or one is under way and not everybody has been planned for it."""
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    if progress is not None and is_live(service.design_of(experiment), progress, ttl=ttl, now=now):
        if progress.finished_at is None or progress.planned_to_pk is not None:
            return True
        if repository.unplanned(session, experiment_id=experiment_id, limit=1):
            return True
    return _newest(experiment, begun=progress.occasion_at if progress else None, ttl=ttl, now=now) is not None


def occasion_of(session: Session, *, experiment_id: int) -> datetime | None:
    """The newest occasion that was begun."""
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    return progress.occasion_at if progress else None


def to_plan_again(
    session: Session, *, experiment_id: int, limit: int
) -> tuple[datetime | None, list[Unplanned]]:
    """The occasion under way, and the next of those planned for earlier ones who have yet to be planned for it.

    The occasion is None when everybody has been.
    """
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    if progress is None or progress.occasion_at is None or progress.planned_to_pk is None:
        return None, []
    return progress.occasion_at, repository.planned_before(
        session,
        experiment_id=experiment_id,
        before=progress.occasion_at,
        after_pk=progress.planned_to_pk,
        limit=limit,
    )


def note_planned_again(session: Session, *, experiment_id: int, upto_pk: int | None) -> None:
    """Note how far planning once more has come; None: everybody has had it."""
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    if progress is not None:
        progress.planned_to_pk = upto_pk
        session.flush()


def _newest(
    experiment: Experiment, *, begun: datetime | None, ttl: timedelta, now: datetime
) -> datetime | None:
    """The newest occasion up to `now` that was not begun; None without one, or when its messages would have expired."""
    design = service.design_of(experiment)
    if not isinstance(design.trigger, RecurringTrigger) or experiment.started_at is None:
        return None
    trigger, since = design.trigger, experiment.started_at - MICROSECOND
    closes = closes_at(design, experiment.started_at)
    after = max(since, now - (design.expires.after or ttl), begun or since)
    upto = now if closes is None else min(now, closes - MICROSECOND)
    newest = last_time(trigger.cron, time_zone=trigger.time_zone, after=after, upto=upto)
    return newest if newest is not None and now < design.expires.of(newest, ttl=ttl) else None
