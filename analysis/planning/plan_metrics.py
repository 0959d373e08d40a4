"""One metric of a plan: from what a user is like today to the power, the users and the days that the campaign needs. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, TypeVar

from analysis.planning.plan_findings import Base, EffectPoint, Looking, MetricPlan, Point
from analysis.planning.plan_pictures import power_by_effect, price_of_looking
from analysis.planning.plan_ways import Formula, Way, for_picture, found_by, way_for
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares
from analysis.stats.proportions import SMALL_CELL
from analysis.stats.quantiles import Quantile
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction, Method, MetricRole

FEW_EVENTS: Final = 20
"""Conversions below which a rate from history is a guess."""
BRACKET_Z: Final = 1.96
POINTS: Final = 30
MOST_DO: Final = 0.99
"""The share of users that an effect raises the best base to."""
_DAY: Final = timedelta(days=1)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all metrics of a campaign share. method: the effective one; monitoring: for one comparison; families: comparisons by role; shares: of the
    control and of the smallest variant; effect: relative, above 0; available: users who count by the end, None when nobody knows;
    day_of: by which day so many have come. control_sends: whether users of the control get a message too.
    """

    method: Method
    monitoring: Monitoring
    families: Mapping[MetricRole, int]
    power: float
    effect: float | None
    shares: Shares
    reach: float
    half_life: timedelta | None
    available: int | None
    day_of: Callable[[int], int | None]
    control_sends: bool = False

    def reached(self, window: timedelta) -> float:
        """The share of the effect on those who are reached that is seen in the whole arm within a window."""
        return self.reach * self.caught(window)

    def caught(self, window: timedelta) -> float:
        """The share of an effect that comes within a window."""
        return 1.0 if self.half_life is None else 1 - 2 ** (-(window / self.half_life))

    def watched(self, comparisons: int) -> Monitoring:
        """How one of so many comparisons is judged."""
        return replace(self.monitoring, comparisons=comparisons)


def base_from(
    aggregate: Aggregate | Quantile,
    definition: MetricDefinition,
    *,
    source: str = "history",
    since: str = "",
) -> Base:
    """What one user is like, from the past of many; raises InsufficientData with the reason why that says nothing.

    source: `history` of users of this audience, or `campaigns`, earlier ones. since: from when on they were looked at, in words, such as
    `after 'Signed Up'`; empty: until now.

    A quantile has the sd that its mean would need to be as uncertain: the standard error of its order statistics times sqrt(n), which
    estimates sqrt(p (1 - p)) / f, f the density there (so that no density has to be estimated).
    """
    if aggregate.n < 2:
        raise InsufficientData(
            "fewer than two users of the past would have taken part, so nothing can be measured"
        )
    if not aggregate.is_finite and not (isinstance(aggregate, Quantile) and aggregate.z is None):
        raise InsufficientData("the past holds a value that is not a finite number")
    if isinstance(aggregate, Quantile):
        return _base_of_quantile(aggregate, source)
    seen = linearise_ratio(aggregate) if aggregate.has_denominator else aggregate
    if not aggregate.mean > 0 or not seen.variance > 0:
        raise InsufficientData(
            _nobody_did(aggregate.n, definition, source, since)
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
        source=source,
    )


def _base_of_quantile(found: Quantile, source: str) -> Base:
    sd = found.standard_error * math.sqrt(found.units)
    if not (found.value or 0.0) > 0 or not sd > 0:
        raise InsufficientData(
            f"the {found.level:g} quantile of the past is not above 0, or most users are tied at it, so no effect is relative to it"
        )
    return Base(mean=found.value or 0.0, sd=sd, rho=0.0, users=found.units, source=source)


def _about_spacing(users: int, level: float) -> str:
    # The bracket of order statistics holds about so many rows, and the width of k spacings is known to 1/sqrt(k).
    rows = 2 * BRACKET_Z * math.sqrt(users * level * (1 - level))
    off = 2 / math.sqrt(rows)
    return f"how dense users are around the quantile is known from {users:,} of them, so the users needed only to about {off:.0%}"


def _nobody_did(users: int, definition: MetricDefinition, source: str, since: str) -> str:
    length = days(definition.window / _DAY)
    if source == "campaigns":
        return (
            f"none of the {users:,} users of earlier campaigns of this category did {_counted(definition)} within {length} of "
            "their messages, so it is rare, and how rare nobody knows: give its baseline"
        )
    when = f"within {length} {since}" if since else f"in the last {length}"
    return (
        f"none of the {users:,} users of this audience who could take part (before coverage and holdouts) did {_counted(definition)} "
        f"{when}, which is the metric's window. So few users can miss what is rare, and an audience that is chosen by not having done it "
        "looks like this too: give its baseline"
    )


def _counted(definition: MetricDefinition) -> str:
    return repr(str(definition.event or definition.message or "what it counts"))


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
        return replace(unknown, least_users=least_users(definition, frame, effect, comparisons=comparisons))
    said = list(reasons)
    outcome = outcome_of(base, definition, frame)
    way = way_of(definition, frame, role=role, comparisons=comparisons)
    if definition.is_share and (base.users or math.inf) * base.mean < FEW_EVENTS:
        said.append(f"the rate rests on fewer than {FEW_EVENTS} users who did it, so it is a guess")
    if definition.level is not None and base.users:
        said.append(_about_spacing(base.users, definition.level))
    if effect is None and not keeps:
        said.append("the plan names no `mde`, so there is no effect to find")
    needed = _users_needed(outcome, way, frame, effect, margin if keeps else None, said)
    day = None if needed is None else frame.day_of(needed)
    power = _power(outcome, way, frame, effect, margin if keeps else None, said)
    smallest = None if keeps else _smallest(outcome, way, frame, effect, good, said)
    said += _how_found(outcome, way, frame, needed, is_share=definition.is_share, keeps=keeps)
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


def best_base(effect: float) -> float:
    """The share at which a relative effect needs the fewest users, of all at which it is possible.

    The users needed rise with (1 - p)/p + (1 + e)(1 - (1 + e) p)/p, which falls in p up to where everybody does it; MOST_DO of them, that the
    variance of a share stays one.

    >>> round(best_base(0.1), 3), best_base(-0.1)
    (0.9, 0.99)
    """
    return MOST_DO / (1 + max(effect, 0.0))


def least_users(
    definition: MetricDefinition, frame: Frame, effect: float | None, *, comparisons: int
) -> int | None:
    """Of a share whose base nobody knows: the users needed at `best_base`; at any other base it takes more. None: that is not known."""
    if not definition.is_share or not effect:
        return None
    outcome = outcome_of(
        Base(mean=best_base(effect), sd=0.0, rho=0.0, users=None, source="given"), definition, frame
    )
    formula = Formula(monitoring=frame.watched(comparisons))
    return _told(
        lambda: formula.sample_size(outcome, effect=effect, power=frame.power, shares=frame.shares), []
    )


def counts_messages(definition: MetricDefinition) -> bool:
    """Whether a metric counts the messages of the campaign itself."""
    return any(part.message is not None for part in definition.quantities.values())


def outcome_of(base: Base, definition: MetricDefinition, frame: Frame) -> Outcome:
    """One user of the control, and how much of an effect is seen in the arm.

    What counts messages of a control that sends some is reached in its base already: an effect on those reached is then, relatively,
    the same in the whole arm.
    """
    reach = frame.reached(definition.window)
    if counts_messages(definition) and frame.control_sends:
        reach = frame.caught(definition.window)
    if definition.is_share:
        return Outcome.rate(base.mean, rho=base.rho, reach=reach)
    return Outcome(mean=base.mean, sd=base.sd, rho=base.rho, reach=reach)


def way_of(definition: MetricDefinition, frame: Frame, *, role: MetricRole, comparisons: int) -> Way:
    """How the power of one of so many comparisons is found. Guardrails are asked about one side, with all of alpha."""
    watched, guards = frame.watched(comparisons), role == MetricRole.GUARDRAIL
    return way_for(
        watched.one_sided() if guards else watched,
        method=frame.method,
        is_share=definition.is_share,
        guards=guards,
    )


def _how_found(
    outcome: Outcome, way: Way, frame: Frame, needed: int | None, *, is_share: bool, keeps: bool
) -> list[str]:
    """What has to be said about how the numbers were found."""
    asked = [float(n) for n in (needed, frame.available) if n]
    found = (found_by(way, outcome, n=n, shares=frame.shares, keeps=keeps) for n in asked)
    said = [words for words in found if words is not None]
    least = min(asked, default=math.inf) * min(frame.shares.control, frame.shares.treatment)
    if not said and is_share and least * min(outcome.mean, 1 - outcome.mean) < SMALL_CELL:
        said.append(
            f"with fewer than {SMALL_CELL} conversions in an arm the report tests exactly, which finds a little less than planned here"
        )
    return said


def curve_of(plan: MetricPlan, definition: MetricDefinition, frame: Frame) -> tuple[Point, ...]:
    """Power against users, from a few to beyond what is needed and what there is; empty when there is nothing to show."""
    if plan.base is None or plan.effect is None or plan.users_needed is None:
        return ()
    outcome = outcome_of(plan.base, definition, frame)
    way = for_picture(way_of(definition, frame, role=plan.role, comparisons=plan.comparisons))
    last = max(plan.users_needed * 1.6, min(frame.available or 0, plan.users_needed * 3) * 1.1)
    points = []
    for step in range(1, POINTS + 1):
        users = max(round(last * step / POINTS), 2)
        found = way.power(outcome, effect=plan.effect, n=users, shares=frame.shares)
        points.append(Point(users=users, power=found))
    return tuple(points)


def effects_of(plan: MetricPlan, definition: MetricDefinition, frame: Frame) -> tuple[EffectPoint, ...]:
    """Power against the effect with the users there are, else with those that are needed; empty when there is nothing to show."""
    users = frame.available or plan.users_needed
    around = plan.effect or plan.minimum_effect
    if plan.base is None or users is None or around is None:
        return ()
    way = for_picture(way_of(definition, frame, role=plan.role, comparisons=plan.comparisons))
    return power_by_effect(
        way, outcome_of(plan.base, definition, frame), effect=around, n=users, shares=frame.shares
    )


def looking_of(plan: MetricPlan, definition: MetricDefinition, frame: Frame) -> tuple[Looking, ...]:
    """What looking at this metric costs; empty without an effect to find."""
    if plan.base is None or plan.effect is None:
        return ()
    return price_of_looking(
        outcome_of(plan.base, definition, frame),
        effect=plan.effect,
        power=frame.power,
        shares=frame.shares,
        alpha=frame.monitoring.alpha,
        comparisons=plan.comparisons,
        looks=len(frame.monitoring.looks),
    )


def _power(
    outcome: Outcome,
    way: Way,
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
            lambda: way.non_inferiority_power(outcome, margin=margin, n=n, shares=frame.shares),
            said,
        )
    wanted = effect or 0.0
    return _told(lambda: way.power(outcome, effect=wanted, n=n, shares=frame.shares), said)


def _users_needed(
    outcome: Outcome,
    way: Way,
    frame: Frame,
    effect: float | None,
    margin: float | None,
    said: list[str],
) -> int | None:
    if effect is None and margin is None:
        return None
    if margin is not None:
        return _told(
            lambda: way.non_inferiority_size(outcome, margin=margin, power=frame.power, shares=frame.shares),
            said,
        )
    wanted = effect or 0.0
    return _told(
        lambda: way.sample_size(outcome, effect=wanted, power=frame.power, shares=frame.shares),
        said,
    )


def _smallest(
    outcome: Outcome,
    way: Way,
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
        lambda: way.minimum_detectable_effect(
            outcome, n=n, power=frame.power, shares=frame.shares, falls=falls
        ),
        said,
    )


def _told(ask: Callable[[], Value], said: list[str]) -> Value | None:
    try:
        return ask()
    except InsufficientData as cannot:
        said.append(cannot.reason)
        return None


def days(number: float) -> str:
    """A number of days.

    >>> days(1), days(2.5)
    ('1 day', '2.5 days')
    """
    return f"{number:g} day{'' if number == 1 else 's'}"
