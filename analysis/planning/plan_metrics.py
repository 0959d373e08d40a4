"""One metric of a plan: from what a user is like today to the power, the users and the days that the campaign needs. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, TypeVar

from analysis.planning.plan_findings import Base, MetricPlan, Point
from analysis.stats import power as sizing
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

FEW_EVENTS: Final = 20
"""Conversions below which a rate from history is a guess."""
POINTS: Final = 30
EXACT_WORDS: Final = "the report judges it by an e-process, which has no formula: planned with always_valid, it may need more users"
_DAY: Final = timedelta(days=1)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all metrics of a campaign share. monitoring: for one comparison; families: comparisons by role; shares: of the
    control and of the smallest variant; effect: relative, above 0; available: users who count by the end, None when nobody knows;
    day_of: by which day so many have come.
    """

    monitoring: Monitoring
    families: Mapping[MetricRole, int]
    power: float
    effect: float | None
    shares: Shares
    reach: float
    half_life: timedelta | None
    available: int | None
    day_of: Callable[[int], int | None]

    def reached(self, window: timedelta) -> float:
        """The share of the effect on those who are reached that is seen in the whole arm within a window."""
        caught = 1.0 if self.half_life is None else 1 - 2 ** (-(window / self.half_life))
        return self.reach * caught

    def watched(self, comparisons: int) -> Monitoring:
        """How one of so many comparisons is judged."""
        return replace(self.monitoring, comparisons=comparisons)


def base_from(aggregate: object, definition: MetricDefinition) -> Base:
    """What one user is like, from the past of many; raises InsufficientData with the reason why that says nothing."""
    if not isinstance(aggregate, Aggregate):
        raise InsufficientData(
            f"there is no formula for a {definition.kind}; simulate it, or plan with its mean"
        )
    if aggregate.n < 2:
        raise InsufficientData(
            "fewer than two users of the past would have taken part, so nothing can be measured"
        )
    if not aggregate.is_finite:
        raise InsufficientData("the past holds a value that is not a finite number")
    seen = linearise_ratio(aggregate) if aggregate.has_denominator else aggregate
    if not aggregate.mean > 0 or not seen.variance > 0:
        raise InsufficientData(
            f"none of {aggregate.n:,} users of this audience did {definition.event or 'what it counts'!r} in a window of the past"
            " (an audience that is chosen by what it did not do looks like this)"
            if aggregate.mean == 0
            else "what these users did in the past does not vary, or does not add up to more than 0"
        )
    rho = 0.0
    if seen.covariance_xy is not None and seen.variance_x:
        rho = seen.covariance_xy / math.sqrt(seen.variance_x * seen.variance)
    return Base(
        mean=seen.mean,
        sd=math.sqrt(seen.variance),
        rho=min(max(rho, -0.999), 0.999),
        users=aggregate.n,
        source="history",
    )


def plan_metric(
    key: str,
    role: MetricRole,
    definition: MetricDefinition,
    *,
    margin: float | None,
    base: Base | None,
    reasons: Sequence[str],
    frame: Frame,
) -> MetricPlan:
    """What the plan says of one metric; never raises for data: what cannot be told is None with a reason."""
    keeps = role == MetricRole.GUARDRAIL and margin is not None
    # A report compares a margin with the plain interval; all else is shared out over its family.
    comparisons = 1 if keeps else frame.families[role]
    good = 1.0 if definition.direction == Direction.INCREASE else -1.0
    effect = None if frame.effect is None or keeps else frame.effect * good
    if effect is not None and role == MetricRole.GUARDRAIL:
        effect = -effect
    unknown = MetricPlan(
        metric=key,
        kind=definition.kind,
        role=role,
        direction=definition.direction,
        effect=effect,
        margin=margin,
        comparisons=comparisons,
        reasons=tuple(reasons),
    )
    if base is None:
        return unknown
    said = list(reasons)
    outcome, watched = outcome_of(base, definition, frame), frame.watched(comparisons)
    if role == MetricRole.GUARDRAIL:
        watched = watched.one_sided()
        if definition.kind == MetricKind.PROPORTION and watched.method != Method.FIXED:
            watched = replace(watched, method=str(Method.ALWAYS_VALID))
            said.append(EXACT_WORDS)
    if definition.kind == MetricKind.PROPORTION and (base.users or math.inf) * base.mean < FEW_EVENTS:
        said.append(f"the rate rests on fewer than {FEW_EVENTS} users who did it, so it is a guess")
    if effect is None and not keeps:
        said.append("the plan names no `mde`, so there is no effect to find")
    needed = _users_needed(outcome, watched, frame, effect, margin if keeps else None, said)
    day = None if needed is None else frame.day_of(needed)
    power = _power(outcome, watched, frame, effect, margin if keeps else None, said)
    smallest = None if keeps else _smallest(outcome, watched, frame, effect, good, said)
    return replace(
        unknown,
        base=base,
        assigned_effect=None if effect is None else outcome.effect_of(effect),
        power=power,
        minimum_effect=smallest,
        users_needed=needed,
        days_needed=None if day is None else day + math.ceil(definition.window / _DAY),
        reasons=tuple(dict.fromkeys(said)),
    )


def outcome_of(base: Base, definition: MetricDefinition, frame: Frame) -> Outcome:
    """One user of the control, and how much of an effect is seen in the arm."""
    reach = frame.reached(definition.window)
    if definition.kind == MetricKind.PROPORTION:
        return Outcome.rate(base.mean, rho=base.rho, reach=reach)
    return Outcome(mean=base.mean, sd=base.sd, rho=base.rho, reach=reach)


def curve_of(plan: MetricPlan, definition: MetricDefinition, frame: Frame) -> tuple[Point, ...]:
    """Power against users, from a few to beyond what is needed and what there is; empty when there is nothing to show."""
    if plan.base is None or plan.effect is None or plan.users_needed is None:
        return ()
    outcome, watched = outcome_of(plan.base, definition, frame), frame.watched(plan.comparisons)
    last = max(plan.users_needed * 1.6, min(frame.available or 0, plan.users_needed * 3) * 1.1)
    points = []
    for step in range(1, POINTS + 1):
        users = max(round(last * step / POINTS), 2)
        found = sizing.power(outcome, watched, effect=plan.effect, n=users, shares=frame.shares)
        points.append(Point(users=users, power=found))
    return tuple(points)


def _power(
    outcome: Outcome,
    watched: Monitoring,
    frame: Frame,
    effect: float | None,
    margin: float | None,
    said: list[str],
) -> float | None:
    n = frame.available
    if n is None or (effect is None and margin is None):
        return None
    if margin is not None:
        return _told(
            lambda: sizing.non_inferiority_power(outcome, watched, margin=margin, n=n, shares=frame.shares),
            said,
        )
    wanted = effect or 0.0
    return _told(lambda: sizing.power(outcome, watched, effect=wanted, n=n, shares=frame.shares), said)


def _users_needed(
    outcome: Outcome,
    watched: Monitoring,
    frame: Frame,
    effect: float | None,
    margin: float | None,
    said: list[str],
) -> int | None:
    if effect is None and margin is None:
        return None
    if margin is not None:
        return _told(
            lambda: sizing.non_inferiority_size(
                outcome, watched, margin=margin, power=frame.power, shares=frame.shares
            ),
            said,
        )
    wanted = effect or 0.0
    return _told(
        lambda: sizing.sample_size(outcome, watched, effect=wanted, power=frame.power, shares=frame.shares),
        said,
    )


def _smallest(
    outcome: Outcome,
    watched: Monitoring,
    frame: Frame,
    effect: float | None,
    good: float,
    said: list[str],
) -> float | None:
    n = frame.available
    if n is None:
        return None
    if n < 2:
        said.append("nobody counts by the end")
        return None
    falls = (good if effect is None else effect) < 0
    return _told(
        lambda: sizing.minimum_detectable_effect(
            outcome, watched, n=n, power=frame.power, shares=frame.shares, falls=falls
        ),
        said,
    )


def _told(ask: Callable[[], Value], said: list[str]) -> Value | None:
    try:
        return ask()
    except InsufficientData as cannot:
        said.append(cannot.reason)
        return None
