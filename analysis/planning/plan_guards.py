"""How soon a guard would stop a variant whose opt-outs are doubled: told before anybody is messaged. Pure but for its drawing."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from typing import Final

from analysis.planning.plan_findings import Base, Entry, GuardPlan, Sending
from analysis.planning.wave_plan import sizes_of
from analysis.stats.harm_power import Harm, rounded_up
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.guards import Guard, guarded_arms, guards_of
from experiments.metrics import BUILT_IN, MetricDefinition
from experiments.triggers import OnceTrigger

OPTED_OUT: Final = "opted_out"
TIMES: Final = 2.0
EARLY: Final = 0.25
"""Of the planned sends, by which a harmful variant should be stopped; and in how many campaigns:"""
WANTED: Final = 0.9
ASSUMED: Final = 0.01
"""Opt-outs of users whom a message meets, where nobody knows them."""
MOST: Final = 10**8
SEARCHED: Final = 500
"""Campaigns that are drawn for each number of people on the way to the one that is enough, which is then known to three percent or so."""
_DAY: Final = timedelta(days=1)


def with_opt_outs(
    design: ExperimentDesign, definitions: Mapping[str, MetricDefinition]
) -> Mapping[str, MetricDefinition]:
    """The metrics whose past a plan asks for: those of the campaign, and opt-outs where messages guard against messages."""
    if OPTED_OUT in definitions or design.control.message is None or _guard(design) is None:
        return definitions
    return {**definitions, OPTED_OUT: BUILT_IN[OPTED_OUT]}


def plan_guards(
    design: ExperimentDesign, *, base: Base | None, sending: Sending | None, entry: Entry
) -> tuple[GuardPlan, ...]:
    """One entry where opt-outs may stop a variant, none where they may not. base: opt-outs of the control; None: nobody knows."""
    guard, arms = _guard(design), guarded_arms(design)
    if guard is None or not arms:
        return ()
    silent = design.control.message is None
    # Of a silent control nobody opts out, so what counts is twice what is tolerated.
    rate = 0.0 if silent else ASSUMED if base is None else base.mean
    source = "silent" if silent else "assumed" if base is None else base.source
    harmful = TIMES * (guard.margin or ASSUMED) if silent else TIMES * rate
    people = None if sending is None else sending.people
    told = GuardPlan(
        guard=guard.key,
        base=rate,
        base_source=source,
        harmful=harmful,
        margin=guard.margin,
        early=EARLY,
        wanted=WANTED,
        people=people,
    )
    if harmful > 1:
        return (replace(told, reasons=(f"a share of {rate:.0%} cannot be doubled",)),)
    shares = design.shares
    smallest = min(shares[arm] for arm in arms)
    control = shares[design.control.key]
    if not smallest or not control:
        return (
            replace(told, reasons=("a variant or the control gets nobody, so there is nothing to compare",)),
        )
    test = Harm(
        control=rate,
        variant=harmful,
        margin=guard.margin,
        share=smallest / (smallest + control),
        level=design.plan.alpha / (len(guards_of(design)) * len(arms)),
        control_at_once=silent and isinstance(design.trigger, OnceTrigger),
    )
    if test.is_tolerated:
        within = (
            f"so much more is within the margin of {guard.margin:g}, so no number of people would stop it"
        )
        return (replace(told, reasons=(within,)),)
    sent_to = sum(shares[each.key] for each in design.variants if each.message is not None)
    known_of = _known(design, sending, entry)

    def stopped(of: int, by: Harm = test) -> float:
        known = of * known_of(of)
        both = 0.0 if test.control_at_once else control
        return by.stopped(
            math.floor(known * (smallest + both) / sent_to), of_control=math.floor(of * control / sent_to)
        )

    early = None if people is None else stopped(people)
    roughly = replace(test, runs=SEARCHED)
    needed = _needed(lambda of: stopped(of, roughly), people or 1_000)
    reasons = []
    if people is None:
        reasons.append("nobody knows how many people will be messaged")
    elif known_of(people) <= 0:
        reasons.append(
            f"a quarter of the {people:,} people is messaged before the harm of any is known, {format_duration(design.plan.rules.harm_within)} after their "
            "message: send more slowly, or in waves"
        )
    if needed is None:
        reasons.append(f"{MOST:,} people would not be enough, either")
    error = None if early is None else math.sqrt(early * (1 - early) / test.runs)
    return (
        replace(
            told, stopped_early=early, standard_error=error, people_needed=needed, reasons=tuple(reasons)
        ),
    )


def _guard(design: ExperimentDesign) -> Guard | None:
    return next((guard for guard in guards_of(design) if guard.key == OPTED_OUT), None)


def _known(design: ExperimentDesign, sending: Sending | None, entry: Entry) -> Callable[[int], float]:
    """Of so many people who are messaged in all, the share whose harm is known when a quarter of them has been messaged."""
    lag = design.plan.rules.harm_within
    if sending is None:
        # Nobody knows how many there will be; whoever comes by and by is messaged by and by.
        return lambda _people: _even(lag, float(entry.days)) if entry.days else EARLY
    if not isinstance(design.trigger, OnceTrigger):
        # They come evenly over the days of the entry; sending may take longer than that.
        lasts = max(float(entry.days), sending.days)
        return lambda _people: _even(lag, lasts)
    if design.bandit is not None and design.bandit.waves is not None:
        every = design.bandit.interval
        return lambda people: _in_waves(design, people, behind=max(math.ceil(lag / every), 1))
    rate = sending.days / sending.people if sending.people else 0.0
    return lambda people: _even(lag, rate * people)


def _even(lag: timedelta, lasts: float) -> float:
    return max(EARLY - lag / _DAY / lasts, 0.0) if lasts > 0 else 0.0


def _in_waves(design: ExperimentDesign, people: int, *, behind: int) -> float:
    """A wave goes out at once, an interval after the one before. behind: how many waves go out before the harm of one is known."""
    sizes = sizes_of(design, people) or [people]
    out = [0, *accumulate(sizes)]
    last = bisect_right(out, EARLY * people + 1e-9) - 1
    return out[max(last - behind + 1, 0)] / people


def _needed(stopped: Callable[[int], float], start: int) -> int | None:
    """About the fewest people with whom a harmful variant is stopped as often as wanted, to two digits."""
    high = start
    while stopped(high) < WANTED:
        high *= 2
        if high > MOST:
            return None
    low = high // 2 if high > start else 0
    while high - low > max(high // 50, 1):
        middle = (low + high) // 2
        low, high = (low, middle) if stopped(middle) >= WANTED else (middle, high)
    return rounded_up(high)
