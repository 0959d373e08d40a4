"""Where an experiment stands for somebody who takes no part in it and whom nothing keeps out: entered not yet, or not any more."""

from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from sqlmodel import Session

from delivery.watch.why_words import moment, of_trigger
from experiments.cron import next_time
from experiments.design import ExperimentDesign
from experiments.ending import closes_at, is_closed
from experiments.models import Experiment
from experiments.timing import opens_at
from experiments.triggers import RecurringTrigger
from experiments.vocabulary import ExperimentStatus
from experiments.waves import is_waiting
from targeting import enrolment, repository

EXCLUDED: Final = "excluded"
ENTERING: Final = frozenset(
    {"paused", "waiting_for_trigger", "waiting_for_enrolment", "waiting_for_wave", "came_too_late"}
)
"""Outcomes that matter less than that somebody is left out."""
_OVER: Final = "Nobody enters this experiment any more."


class Entry(NamedTuple):
    """Outcome, words, and the next moment at which something may happen."""

    outcome: str
    because: str
    next_at: datetime | None = None


def entry(
    session: Session, experiment: Experiment, design: ExperimentDesign, *, now: datetime, zone: tzinfo
) -> Entry:
    """Why the user has not entered, as far as it lies with the experiment."""
    if experiment.started_at is None:
        return Entry("not_started", "The experiment has not been started.")
    if experiment.status == ExperimentStatus.STOPPED:
        how = "" if experiment.shipped is None else f", and {experiment.shipped!r} was shipped"
        return Entry("ended", f"The experiment is over{how}; this user did not take part.")
    opens = opens_at(design.trigger, experiment.started_at)
    if opens is None or is_closed(design, experiment.started_at, now):
        return Entry("closed", _OVER)
    if opens > now:
        return Entry("not_open_yet", f"Nobody enters before {moment(opens, zone)}.", opens)
    if experiment.status == ExperimentStatus.PAUSED:
        return Entry("paused", "The experiment is paused; nobody enters until it is resumed.")
    return _while_open(session, experiment, design, now, zone)


def _while_open(
    session: Session, experiment: Experiment, design: ExperimentDesign, now: datetime, zone: tzinfo
) -> Entry:
    if not enrolment.walks(design):
        return Entry("waiting_for_trigger", of_trigger(design.trigger))
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    progress = repository.find_enrolment(session, experiment_id=experiment.id)
    if progress is None or progress.finished_at is None:
        said = "The audience is being gone through; this user's turn comes at one of the next ticks."
        return Entry("waiting_for_enrolment", said, now)
    if isinstance(design.trigger, RecurringTrigger):
        occasion = next_occasion(experiment, design, now=now)
        if occasion is None:
            return Entry("closed", _OVER)
        said = f"They came to match after the last occasion; the next one is on {moment(occasion, zone)}."
        return Entry("waiting_for_trigger", said, occasion)
    if is_waiting(experiment):
        # What keeps them out by now (`came_too_late` matters less) is said first: mostly that theirs is a later wave.
        said = (
            "They came to match after the last wave; they are drawn among those who wait, in one of the next."
        )
        return Entry("waiting_for_wave", said)
    done = moment(progress.finished_at, zone)
    said = f"The audience was gone through by {done}; whoever comes to match later is not enrolled, unless the coverage is raised."
    return Entry("came_too_late", said)


def next_occasion(experiment: Experiment, design: ExperimentDesign, *, now: datetime) -> datetime | None:
    """The next occasion of a recurring trigger after `now`; None when there is none before its end, and for other triggers."""
    trigger = design.trigger
    if not isinstance(trigger, RecurringTrigger):
        return None
    found = next_time(trigger.cron, time_zone=trigger.time_zone, after=now)
    closes = closes_at(design, experiment.started_at or now)
    return None if found is None or (closes is not None and found >= closes) else found
