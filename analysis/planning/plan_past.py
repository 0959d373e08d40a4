"""What users are like today, and how many of them messages get to: from the past, unless it is given. Or why nobody knows."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from analysis.facts import facts
from analysis.planning import plan_campaigns, planning_facts
from analysis.planning.plan_audience import LOOKBACK, Looked
from analysis.planning.plan_findings import Base
from analysis.planning.plan_inputs import Assumptions
from analysis.planning.plan_metrics import base_from, counts_messages
from analysis.planning.planning_facts import PastAssignments
from analysis.stats.errors import InsufficientData
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.triggers import EventTrigger, InactivityTrigger

FEWEST_MESSAGES: Final = 100
"""Messages of the last month from which it is learned how many arrive."""
_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=30)
Known = tuple[Base | None, tuple[str, ...]]
"""What one user is like, and what there is to say about it: without a base, why there is none."""


def reach_of(
    session: Session, design: ExperimentDesign, assumptions: Assumptions, now: datetime
) -> tuple[float, str]:
    """The share of messages that arrive, and where that is known from."""
    if assumptions.reach is not None:
        return assumptions.reach, "given"
    # Yesterday's messages may still arrive.
    sent, arrived = planning_facts.deliveries(
        session, category=design.category, since=now - _MONTH, until=now - _DAY
    )
    if sent < FEWEST_MESSAGES or not arrived:
        recent, _ = planning_facts.deliveries(
            session, category=design.category, since=now - _DAY, until=now + timedelta(microseconds=1)
        )
        said = f"assumed: {sent:,} {design.category} messages of the last month, without its last day, are too few to tell"
        return 1.0, said + (f"; the {recent:,} of the last day may still arrive" if recent else "")
    said = f"of all campaigns that went out in the last month, without its last day, {arrived:,} arrived"
    return arrived / sent, f"of {sent:,} {design.category} messages {said}"


def bases_of(
    session: Session,
    design: ExperimentDesign,
    looked: Looked,
    definitions: Mapping[str, MetricDefinition],
    assumptions: Assumptions,
    now: datetime,
    *,
    reach: float,
) -> dict[str, Known]:
    """What a user is like, for each metric, or why nobody knows: measured in a window of the past.

    Users are taken as if they had been assigned when the last window began. Where an event lets them in: when they first did it, of the 90
    days before that (whatever its properties); where silence on an event does: those who had been silent long enough by then.
    What no user does without a campaign is learned from earlier ones. reach: the share of messages that will arrive in time.
    """
    found: dict[str, Known] = {}
    entered = design.trigger.event if isinstance(design.trigger, EventTrigger) else None
    since = "" if entered is None else f"after {entered!r}"
    campaigns = plan_campaigns.earlier(session, design, definitions, now=now)
    for window in {definition.window for definition in definitions.values()}:
        some = {key: each for key, each in definitions.items() if each.window == window}
        engine = _past(session, design, looked, at=now - window)
        past = facts.gather(engine, experiment_id=engine.experiment_id, definitions=some, as_of=now).metrics
        for key, definition in some.items():
            aggregate = past.get(key, {}).get(planning_facts.PAST, facts.NOBODY)
            measured: Base | None = None
            reasons: tuple[str, ...] = ()
            try:
                if plan_campaigns.needs_campaigns(definition):
                    _check_control(design, definition)
                    measured = campaigns.base(key, definition, reach=reach)
                else:
                    _check_past(session, definition, now)
                    measured = base_from(aggregate, definition, since=since)
            except InsufficientData as cannot:
                reasons = (cannot.reason,)
            found[key] = _given(key, definition, measured, reasons, assumptions)
    return found


def _check_control(design: ExperimentDesign, definition: MetricDefinition) -> None:
    if counts_messages(definition) and design.control.message is None:
        raise InsufficientData(
            f"the control {design.control.key!r} gets no message, so it has none to count, and no effect is relative to it"
        )


def _check_past(session: Session, definition: MetricDefinition, now: datetime) -> None:
    if definition.event is None:
        # A ratio has an event above and one below; whether there are any, its base says.
        return
    first = planning_facts.first_event(session, definition.event)
    if first is None:
        raise InsufficientData(f"{definition.event!r} has never happened")
    if first > now - definition.window:
        days = (now - first) / _DAY
        raise InsufficientData(
            f"{definition.event!r} has been recorded for {days:.1f} days only, and the window is {definition.window / _DAY:g}"
        )


def _given(
    key: str,
    definition: MetricDefinition,
    measured: Base | None,
    reasons: tuple[str, ...],
    assumptions: Assumptions,
) -> Known:
    """The base with what the caller knows better."""
    mean, sd, rho = (each.get(key) for each in (assumptions.baseline, assumptions.sd, assumptions.rho))
    if mean is None and sd is None and rho is None:
        return measured, reasons
    if mean is None and measured is None:
        return None, (*reasons, "give its baseline too")
    mean = mean if mean is not None or measured is None else measured.mean
    assert mean is not None  # noqa: S101  # one of the two is there
    if definition.is_share:
        sd = math.sqrt(mean * (1 - mean))
    elif sd is None and measured is not None:
        sd = measured.sd
    if sd is None:
        return None, (*reasons, "give its sd too")
    known = rho if rho is not None else (measured.rho if measured is not None else 0.0)
    return Base(mean=mean, sd=sd, rho=known, users=None, source="given"), ()


def _past(session: Session, design: ExperimentDesign, looked: Looked, *, at: datetime) -> PastAssignments:
    trigger, users = design.trigger, looked.eligible
    if isinstance(trigger, EventTrigger):
        return PastAssignments(session, users, at=at, event=trigger.event, since=at - LOOKBACK * _DAY)
    if isinstance(trigger, InactivityTrigger) and trigger.event is not None:
        last = planning_facts.last_times(session, users, event=trigger.event, since=None, until=at)
        users = tuple(pk for pk, moment in last.items() if moment <= at - trigger.after)
    return PastAssignments(session, users, at=at)
