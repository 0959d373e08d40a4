"""The plan in words that somebody can act on: whether it is enough, what keeps it from more, what it rests on. Pure."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from analysis.planning.plan_findings import AudienceFigures, Entry, GuardPlan, MetricPlan, Sending
from analysis.planning.plan_metrics import Frame, best_base, days
from experiments.design import ExperimentDesign
from experiments.triggers import EventTrigger, OnceTrigger
from experiments.vocabulary import Method, MetricRole

WORTH_SAYING: Final = 0.05
"""Share of the audience from which on a reason for leaving users out is a limit."""
_DAY: Final = timedelta(days=1)
_ADVICE: Final = {
    "phone": "have no phone number",
    "consent": "have not agreed to such messages",
    "prerequisite": "do not have the variant of the other experiment that is asked for",
    "layer": "belong to other experiments of the layer",
    "cap": "are at their cap now; later, or with a higher cap, they could take part",
    "no_unit": "lack the attribute by which users are drawn",
    "global_holdout": "are kept out of all marketing experiments",
    "holdout": "are the holdout of this campaign",
    "coverage": "are outside of the coverage; raising it lets them join",
}


def verdict_of(metrics: Sequence[MetricPlan], frame: Frame) -> tuple[str, ...]:
    """One line for each primary metric and each guardrail with a margin."""
    decisive = [
        metric
        for metric in metrics
        if metric.role == MetricRole.PRIMARY
        or (metric.role == MetricRole.GUARDRAIL and metric.margin is not None)
    ]
    return tuple(f"{metric.metric}: {_verdict(metric, frame)}" for metric in decisive)


def _verdict(metric: MetricPlan, frame: Frame) -> str:
    if metric.base is None:
        return _without_base(metric, frame.available)
    goal = (
        f"to show that the harm stays below {metric.margin:g}"
        if metric.effect is None and metric.margin is not None
        else f"to find {percent(metric.effect)}"
    )
    there, needed = frame.available, metric.users_needed
    if needed is None:
        smallest = metric.minimum_effect
        found = (
            "" if smallest is None else f"; the {there or 0:,} users there are would find {percent(smallest)}"
        )
        return f"cannot tell how many users are needed: {'; '.join(metric.reasons)}{found}"
    if there is None:
        return f"{needed:,} users are needed {goal}; how many will come, nobody knows"
    sure = "" if metric.power is None else f" (power {metric.power:.0%})"
    if there >= needed:
        when = "" if metric.days_needed is None else f" after {days(metric.days_needed)}"
        return f"enough: {needed:,} users are needed {goal}, and {there:,} take part{sure}; the result stands{when}"
    smallest = metric.minimum_effect
    instead = "" if smallest is None else f"; they would find {percent(smallest)}"
    later = (
        f"; {needed:,} would be there after {days(metric.days_needed)}"
        if metric.days_needed is not None
        else ""
    )
    return f"too few: {needed:,} users are needed {goal}, and {there:,} take part{sure}{instead}{later}"


def guard_words(guard: GuardPlan) -> str:
    """How soon a guard stops a variant that does harm, in one sentence, and what there is to say about it."""
    over = {
        "assumed": f"{_share(guard.base)} in the control (assumed: nobody knows)",
        "silent": "a silent control",
    }
    base = over.get(guard.base_source, f"{_share(guard.base)} in the control")
    said = f"{guard.guard}: against {base}, a variant with {_share(guard.harmful)}"
    parts = []
    if guard.stopped_early is not None:
        parts.append(
            f"is stopped by the time {guard.early:.0%} of {guard.people:,} people are messaged in {guard.stopped_early:.0%} of campaigns"
        )
    if guard.people_needed is not None:
        parts.append(f"{guard.people_needed:,} people would make it {guard.wanted:.0%}")
    said = f"{said} {'; '.join(parts)}" if parts else said
    return "; ".join([said, *guard.reasons])


def _without_base(metric: MetricPlan, there: int | None) -> str:
    reasons = "; ".join(metric.reasons)
    if metric.least_users is None or metric.effect is None or not there or there >= metric.least_users:
        return f"cannot tell: {reasons}"
    best = best_base(metric.effect)
    return (
        f"too few, whatever users are like: even if {best:.0%} of them did it without the campaign, {metric.least_users:,} users would be "
        f"needed to find {percent(metric.effect)}, and more the fewer do it; {there:,} take part. What it would take, nobody can tell: {reasons}"
    )


def limits_of(
    design: ExperimentDesign,
    audience: AudienceFigures,
    sending: Sending | None,
    frame: Frame,
    *,
    window: timedelta,
) -> tuple[str, ...]:
    """What keeps the plan from more, in the order in which it bites."""
    return tuple(_limits(design, audience, sending, frame, window))


def _limits(
    design: ExperimentDesign,
    audience: AudienceFigures,
    sending: Sending | None,
    frame: Frame,
    window: timedelta,
) -> Iterator[str]:
    for reason, users in audience.left_out.items():
        if users >= WORTH_SAYING * audience.matched:
            yield f"{users:,} of {audience.matched:,} users {_ADVICE.get(reason, f'are left out ({reason})')}"
    comparisons = frame.families[MetricRole.PRIMARY]
    if comparisons > 1:
        yield (
            f"{comparisons} primary comparisons share alpha: each is planned at {frame.monitoring.alpha / comparisons:.4g} "
            "(Bonferroni; the report's Holm finds at least as much)"
        )
    method = frame.method
    if method != Method.FIXED:
        has_one = frame.monitoring.tuned_to is None and method != Method.EXACT
        factor = frame.monitoring.inflation(frame.power) if has_one else None
        looks = len(frame.monitoring.looks)
        times = "" if factor is None else f", for {factor:.2f} times the users of one fixed look"
        if looks > 1 or method in (Method.ALWAYS_VALID, Method.EXACT):
            yield f"{method} stays valid at {'its one look' if looks == 1 else f'{looks} looks'}{times}"
    if sending is not None and sending.days > 1:
        yield f"{sending.messages:,} messages take {sending.days:.1f} days to go out: {sending.limited_by}"
    reached = frame.reached(window)
    if reached < 1 - 1e-9 and design.plan.mde is not None:
        yield (
            f"{percent(design.plan.mde)} on those who are reached in time is {percent(design.plan.mde * reached)} in the whole arm "
            f"({reached:.0%} of the effect is seen)"
        )


def assumptions_of(
    design: ExperimentDesign,
    entry: Entry,
    reach: tuple[float, str],
    metrics: Sequence[MetricPlan],
    frame: Frame,
) -> tuple[str, ...]:
    """What the plan rests on."""
    said = [f"users: {entry.source}", f"reach {reach[0]:.1%}: {reach[1]}"]
    measured = sorted(
        {
            each.base.users
            for each in metrics
            if each.base and each.base.users and each.base.source == "history"
        }
    )
    if measured:
        event = design.trigger.event if isinstance(design.trigger, EventTrigger) else None
        when = "as in the last window" if event is None else f"as they did in the window after {event!r}"
        said.append(
            f"users go on {when}: base and spread of {measured[0]:,} of them, all arms alike without the campaign"
        )
    said += [
        f"{metric.metric}: as {metric.base.users:,} users of earlier {design.category} campaigns, at the reach of this one"
        for metric in metrics
        if metric.base and metric.base.source == "campaigns"
    ]
    said += [
        f"{metric.metric}: given, not measured"
        for metric in metrics
        if metric.base and metric.base.source == "given"
    ]
    if not isinstance(design.trigger, OnceTrigger) and design.plan.method == Method.SPENDING:
        said.append(
            "users come by and by and nobody knows how many, so the report uses always_valid instead of spending"
        )
    if frame.half_life is not None:
        said.append(f"half of an effect has come in after {frame.half_life / _DAY:g} days")
    return tuple(said)


def warnings_of(design: ExperimentDesign, sending: Sending | None, *, window: timedelta) -> tuple[str, ...]:
    """What should be changed before the start."""
    said = []
    ends_after = design.plan.ends_after
    if ends_after is not None and ends_after < window:
        said.append(
            f"`plan.ends_after` ({days(ends_after / _DAY)}) is shorter than the window of the primary metric "
            f"({days(window / _DAY)}), so nobody counts by then"
        )
    if sending is not None and isinstance(design.trigger, OnceTrigger) and sending.days > window / _DAY:
        said.append(
            f"the last messages go out {sending.days:.1f} days after the assignment, when the window of "
            f"{days(window / _DAY)} has closed: widen it, lower the coverage, or send in waves"
        )
    return tuple(said)


def _share(share: float) -> str:
    return f"{100 * share:.3g}%"


def hopeless(design: ExperimentDesign, entry: Entry) -> tuple[str, ...]:
    """That the smallest arm will never have the users without which the report decides nothing."""
    least, there = design.plan.rules.min_users, entry.by_the_end
    share = min(design.shares.values())
    if there is None or there * share >= least:
        return ()
    return (
        (
            f"the {there:,} users who take part make {math.floor(there * share):,} in the smallest of {len(design.shares)} arms, and below {least:,} in "
            "every arm (`plan.rules.min_users`) the report decides nothing but harm: widen the audience, or compare fewer variants"
        ),
    )


def percent(share: float | None) -> str:
    """A relative effect, with its sign.

    >>> percent(0.1), percent(-0.034), percent(12.5)
    ('+10%', '-3.4%', '+1,250%')
    """
    if share is None:
        return "cannot tell"
    return f"{share:+,.0%}" if abs(share) >= 1 else f"{share * 100:+.3g}%"
