"""Who would take part in a campaign that has not begun, and how users would come in: from a draw of real users.

Everybody of the draw goes through the very decisions of enrolment (phone, consent, prerequisites, layer, caps, unit, holdouts,
coverage), so that a plan and the walk that follows it agree; where the draw is everybody, exactly.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement
from sqlmodel import Session

from analysis.planning import planning_facts
from analysis.planning.plan_findings import AudienceFigures, Entry
from analysis.planning.plan_inputs import MOST_DAYS, Assumptions
from analysis.planning.planning_facts import within_days
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.ending import longest_window
from experiments.models import Experiment
from experiments.triggers import EventTrigger, InactivityTrigger, OnceTrigger, RecurringTrigger
from targeting.eligibility import decide, needs_attributes, reasons_against
from targeting.relations import peers_of
from targeting.repository import Candidate
from targeting.segments.attribute_repository import id_range
from targeting.segments.audience_repository import audience_of
from targeting.segments.preview import preview

MEMBERS: Final = 10_000
"""Members of the audience whose past is read; a rate of 5 % is then known to 0.4 points."""
IDS: Final = 200_000
LOOK_SECONDS: Final = 3.0
LOOKBACK: Final = 90
"""Days of the past from which it is learned how users come in."""
RECENT: Final = 28
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look at the audience found. eligible: those of the draw whom nothing but chance would keep out; each of them stands for
    `weight` users who take part.
    """

    figures: AudienceFigures
    eligible: tuple[int, ...]
    weight: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflow:
    """How users come in. by_day: how many have come by the end of day 0, 1, ..; empty when nobody knows."""

    entry: Entry
    by_day: tuple[float, ...]

    def day_of(self, users: int) -> int | None:
        """The day by which so many have come; None when that is not within a year."""
        return next((day for day, there in enumerate(self.by_day) if there >= users), None)


def look_at(
    session: Session,
    clock: Clock,
    *,
    design: ExperimentDesign,
    ineligible: Mapping[str, ColumnElement[bool]],
    global_holdout: float,
    rng: np.random.Generator,
    field: str,
    monotonic: Callable[[], float] = time.monotonic,
) -> Looked:
    """Count the audience of a design and send a draw of it through enrolment's decisions, storing nothing.

    `ineligible` and `global_holdout` as in `enrolment.enrol_batch`; `field` is the path of the condition, for errors.
    """
    condition = design.audience.condition
    seen = preview(session, clock, condition=condition, rng=rng, sample=0, field=field)
    looked_at, members, all_seen = _drawn(session, clock, design, ineligible, rng, field, monotonic)
    decisions = decide(
        design,
        members,
        weights={variant.key: variant.weight for variant in design.variants},
        global_holdout=global_holdout,
    )
    reasons = Counter(decision.reason for decision in decisions if decision.reason is not None)
    taking_part = sum(decision.variant is not None and not decision.forced for decision in decisions)
    eligible = tuple(
        member.id
        for member, decision in zip(members, decisions, strict=True)
        if member.reason is None and not decision.forced and decision.reason != "no_unit"
    )
    count = seen.count
    matched = len(members) if all_seen else count.value
    scale = matched / len(members) if members else 0.0
    return Looked(
        figures=AudienceFigures(
            matched=matched,
            exact=all_seen or count.exact,
            lower=matched if all_seen else count.lower,
            upper=matched if all_seen else count.upper,
            left_out={reason: round(users * scale) for reason, users in reasons.most_common()},
            taking_part=round(taking_part * scale),
            looked_at=looked_at,
        ),
        eligible=eligible,
        weight=taking_part * scale / len(eligible) if eligible else 0.0,
        warnings=seen.warnings,
    )


def inflow_of(
    session: Session,
    *,
    design: ExperimentDesign,
    looked: Looked,
    assumptions: Assumptions,
    window: timedelta,
    now: datetime,
) -> Inflow:
    """How users would come in: all at once, or by and by as the trigger's past says."""
    days = _days(design, assumptions, window=window, now=now)
    at_once, daily, source = _measured(session, design, looked, now)
    if assumptions.users is not None:
        at_once, source = assumptions.users, "given"
    if assumptions.per_day is not None:
        daily = [assumptions.per_day * day for day in range(MOST_DAYS + 1)]
        source = "given"
    if daily is None:
        entry = Entry(at_once=round(at_once), per_day=None, days=days, by_the_end=None, source=source)
        return Inflow(entry=entry, by_day=())
    by_day = tuple(at_once + come for come in daily)
    entry = Entry(
        at_once=round(at_once),
        per_day=(by_day[days] - by_day[0]) / days if days else 0.0,
        days=days,
        by_the_end=round(by_day[days]),
        source=source,
    )
    return Inflow(entry=entry, by_day=by_day)


def _drawn(
    session: Session,
    clock: Clock,
    design: ExperimentDesign,
    ineligible: Mapping[str, ColumnElement[bool]],
    rng: np.random.Generator,
    field: str,
    monotonic: Callable[[], float],
) -> tuple[int, list[Candidate], bool]:
    """How many ids were looked at, the members of the audience among them, and whether those are all there are."""
    ids = id_range(session)
    if ids is None:
        return 0, [], True
    low, high = ids
    everyone = high - low + 1 <= IDS
    drawn = np.arange(low, high + 1) if everyone else np.unique(rng.integers(low, high + 1, size=IDS))
    order = rng.permutation(drawn).tolist()
    audience = audience_of(session, design.audience.condition, now=clock.now(), field=field)
    asked = Experiment(
        key=design.key,
        name=design.name,
        definition=design.model_dump(mode="json"),
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    peers = [other.id for other, _ in peers_of(session, asked) if other.key != design.key]
    reasons = reasons_against(
        session, design, peers=[pk for pk in peers if pk is not None], ineligible=ineligible
    )
    deadline, looked_at, members = monotonic() + LOOK_SECONDS, 0, list[Candidate]()
    for some, found in planning_facts.members_among(
        session, audience, order, reasons=reasons, with_attributes=needs_attributes(design)
    ):
        looked_at += some
        members += [each for each in found if each.user_id not in design.audience.forced]
        if len(members) >= MEMBERS or monotonic() > deadline:
            break
    return looked_at, members, everyone and looked_at == len(order)


def _days(design: ExperimentDesign, assumptions: Assumptions, *, window: timedelta, now: datetime) -> int:
    """For how many days users join."""
    if isinstance(design.trigger, OnceTrigger):
        return assumptions.days or 0
    if assumptions.days is not None:
        return assumptions.days
    left = []
    if design.plan.ends_after is not None:
        # Whoever does not count by the planned end does not enter any more (`experiments.ending`).
        left.append(design.plan.ends_after - max(window, longest_window(design)))
    if design.trigger.until is not None:
        left.append(design.trigger.until - now)
    days = min(left) / _DAY if left else float(RECENT)
    return min(max(math.floor(days), 0), MOST_DAYS)


def _measured(
    session: Session, design: ExperimentDesign, looked: Looked, now: datetime
) -> tuple[float, Sequence[float] | None, str]:
    """Users at the start, how many have come after so many days (None: nobody knows), and where that is from."""
    trigger, there = design.trigger, float(looked.figures.taking_part)
    if isinstance(trigger, OnceTrigger):
        return there, [0.0] * (MOST_DAYS + 1), "everybody of the audience, at once"
    if isinstance(trigger, EventTrigger):
        first = planning_facts.first_event(session, trigger.event)
        if first is None or first > now - 2 * _DAY:
            return (
                0.0,
                None,
                f"{trigger.event!r} has not happened for two days yet, so nobody knows how often it does",
            )
        last = planning_facts.last_times(
            session,
            looked.eligible,
            event=trigger.event,
            since=now - LOOKBACK * _DAY,
            until=now,
            properties=trigger.properties,
        )
        known = min(LOOKBACK, (now - first) // _DAY)
        counts = within_days(list(last.values()), now=now, days=known)
        source = f"users who did {trigger.event!r} in the last {known} days"
        return 0.0, _continued([0, *counts], looked.weight), source
    if isinstance(trigger, InactivityTrigger):
        return _falling_silent(session, trigger, looked, now)
    if isinstance(trigger, RecurringTrigger):
        since = planning_facts.moments_of(session, looked.eligible, column="created_at")
        counts = within_days(list(since.values()), now=now, days=RECENT)
        source = f"the audience now, and users who were new in the last {RECENT} days"
        return there, _steadily(counts[-1] / RECENT, looked.weight), source
    return 0.0, None, "users come as rules enrol them, so nobody knows how many"


def _falling_silent(
    session: Session, trigger: InactivityTrigger, looked: Looked, now: datetime
) -> tuple[float, Sequence[float], str]:
    if trigger.event is not None:
        last = planning_facts.last_times(session, looked.eligible, event=trigger.event, since=None, until=now)
    else:
        last = planning_facts.moments_of(session, looked.eligible, column="last_seen_at")
    border = now - trigger.after
    silent = sum(moment <= border for moment in last.values())
    # Those who fell silent lately say how many will.
    counts = within_days([moment for moment in last.values() if moment <= border], now=border, days=RECENT)
    source = f"users who are silent now, and those who fell silent in the last {RECENT} days"
    return silent * looked.weight, _steadily(counts[-1] / RECENT, looked.weight), source


def _steadily(per_day: float, weight: float) -> list[float]:
    return [per_day * weight * day for day in range(MOST_DAYS + 1)]


def _continued(counts: Sequence[int], weight: float) -> list[float]:
    """Counts by day 0, 1, .., known so far, and on as their last third went."""
    known = len(counts) - 1
    start = known * 2 // 3
    slope = (counts[known] - counts[start]) / max(known - start, 1)
    return [
        weight * (counts[day] if day <= known else counts[known] + slope * (day - known))
        for day in range(MOST_DAYS + 1)
    ]
