"""The planned end of a campaign whose users come by and by: from when on nobody enters, so that everybody counts by then."""

from datetime import datetime, timedelta

from experiments.design import ExperimentDesign
from experiments.models import Experiment
from experiments.timing import opens_at
from experiments.triggers import OnceTrigger, RecurringTrigger, Trigger, has_closed


def longest_window(design: ExperimentDesign) -> timedelta:
    """From an assignment until the user counts in every metric of a resolved design."""
    return max(metric.window for metric in design.metric_definitions().values())


def measured_until(experiment: Experiment, design: ExperimentDesign) -> datetime | None:
    """When the last window of a stopped experiment closes, after which nothing that happens counts; None: it was not started, or not stopped.

    Whoever entered did so by the stop, or by the shipping before it.
    """
    if experiment.started_at is None or experiment.stopped_at is None:
        return None
    return min(experiment.shipped_at or experiment.stopped_at, experiment.stopped_at) + longest_window(design)


def closes_at(design: ExperimentDesign, started: datetime) -> datetime | None:
    """From when on nobody enters a campaign that was started at `started`; None: no moment is known.

        min( trigger.until, opening + plan.ends_after - longest window )

    A recurring trigger has occasions until the planned end itself, for its messages are not for new users alone; who joins at the last ones
    counts later. A trigger that is walked once needs no closing.
    """
    trigger, ends_after = design.trigger, design.plan.ends_after
    if isinstance(trigger, OnceTrigger):
        return None
    if ends_after is None:
        return trigger.until
    before = timedelta(0) if isinstance(trigger, RecurringTrigger) else longest_window(design)
    planned = (opens_at(trigger, started) or started) + ends_after - before
    return planned if trigger.until is None else min(planned, trigger.until)


def lived(design: ExperimentDesign, started: datetime) -> Trigger:
    """The trigger as it is lived by an experiment that was started at `started`: its `until` is when it closes."""
    if isinstance(design.trigger, OnceTrigger):
        return design.trigger
    return design.trigger.model_copy(update={"until": closes_at(design, started)})


def is_closed(design: ExperimentDesign, started: datetime | None, now: datetime) -> bool:
    """Whether nobody enters any more, as `triggers.has_closed`; started: None for a draft."""
    return has_closed(design.trigger if started is None else lived(design, started), now)
