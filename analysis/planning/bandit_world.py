"""From what somebody says about a made-up world to the world that is simulated. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import numpy as np

from analysis.planning.bandit_arms import delivered, read_arms
from analysis.planning.bandit_inputs import Assumed, Written
from analysis.stats.allocation import AllocationPolicy
from analysis.stats.sequential import DEFAULT_PLANNED_N
from analysis.stats.simulated_amounts import ONE_BY_ONE
from analysis.stats.simulated_reports import Judged
from analysis.stats.simulated_world import World
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.errors import Invalid
from experiments.metrics import MetricDefinition
from experiments.triggers import OnceTrigger
from experiments.vocabulary import Direction, Method

Floats = np.ndarray
Policy = Literal["fixed", "thompson", "top_two"]
MOST_BINS: Final = 60
"""Intervals in a window: more would make the life of a user longer than anybody wants to wait for a simulation."""
MOST_CELLS: Final = 20_000
"""Intervals x arms x intervals of a window: what one world keeps in memory, and a policy looks at every time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The world, and in the order of the design its rates (users with a number per assigned user) and values (mean number of those; None for shares) by arm."""

    world: World
    rates: Mapping[str, float]
    values: Mapping[str, float] | None


def world_of(
    design: ExperimentDesign,
    definition: MetricDefinition,
    assumed: Assumed,
    *,
    interval: timedelta,
    written: Written,
) -> Made:
    """The world of a design. Raises Invalid when what is assumed is missing, unknown, impossible or too much."""
    bins = len(edges_within(definition.window, interval)) - 1
    arms = len(design.variants)
    if bins > MOST_BINS or bins * arms * assumed.intervals > MOST_CELLS:
        raise Invalid(
            f"{assumed.intervals} intervals of {format_duration(interval)}, {arms} arms and a window of {format_duration(definition.window)} are too "
            "much to simulate; take a longer allocation.interval, a shorter window or fewer intervals",
            field=written.name("intervals"),
        )
    found, problems = read_arms(design, definition, assumed, written)
    if problems:
        raise Invalid.of(problems)
    own = delivered(design, found, assumed)
    rates = {key: each.rate for key, each in own.items()}
    highest = max(rates.values()) * max(1.0, assumed.drift)
    if not highest <= 1:
        raise Invalid(f"with this drift a rate becomes {highest:.0%}", field=written.name("drift"))
    amounts = [each.amounts for each in own.values() if each.amounts is not None]
    edges = edges_within(definition.window, interval)
    cost = getattr(design.allocation, "cost", None)
    return Made(
        world=World(
            rates=np.array(list(rates.values())),
            delays=np.stack([_delays(assumed.delay.get(name), interval, edges) for name in rates]),
            arrivals=np.full(assumed.intervals, assumed.users_per_interval, dtype=np.int64),
            drift=np.linspace(1, assumed.drift, assumed.intervals),
            maximise=definition.direction == Direction.INCREASE,
            amounts=amounts or None,
            conversion=1.0 if cost is None or cost.conversion is None else cost.conversion,
            price=0.0 if cost is None else cost.message,
            messages=np.array([variant.steps for variant in design.variants], dtype=np.int64),
            arriving=np.array([1 - assumed.non_delivery.get(key, 0.0) for key in rates]),
        ),
        rates=rates,
        values={key: each.amounts.mean for key, each in own.items() if each.amounts is not None} or None,
    )


def policy_of(design: ExperimentDesign, policy: Policy, world: World) -> AllocationPolicy:
    """The policy as the design would run it, or by its defaults where the design has another one."""
    # A design with policy fixed has no such fields; the others are then run as they would be by default.
    said, usual = design.allocation, AllocationPolicy()
    burn_in = getattr(said, "burn_in", None)
    floor = getattr(said, "floor", usual.floor)
    return AllocationPolicy(
        policy=policy,
        floor=min(floor, 1 / len(design.variants)),
        burn_in_users=getattr(burn_in, "users", usual.burn_in_users),
        burn_in_conversions=getattr(burn_in, "conversions", usual.burn_in_conversions),
        leader=getattr(said, "leader", None) or usual.leader,
        maximise=world.maximise,
        conversion=world.conversion,
        message=world.price,
    )


def judged_of(design: ExperimentDesign, *, expected: int, is_share: bool) -> Judged:
    """How reports of a design judge, when so many users will come. Only of an audience that is met at one moment is it known how many that are."""
    at_once, method = isinstance(design.trigger, OnceTrigger), design.plan.method
    if method == Method.SPENDING and not at_once:
        method = Method.ALWAYS_VALID
    return Judged(
        method=str(method),
        alpha=design.plan.alpha,
        expected=expected,
        least_users=design.plan.rules.min_users,
        is_share=is_share,
        planned=expected if at_once else DEFAULT_PLANNED_N,
    )


def seconds_of_a_run(world: World, waves: int = 0) -> float:
    """About how much processor time one campaign takes under all policies, of a usual machine: a number that depends on the world alone, so that the
    same question is always affordable or never. Most of it is P(best), which compares each arm with each other one in every interval; and amounts are drawn one by one.
    waves: that are played as well, of which some wait.
    """
    (arms, bins), intervals = world.delays.shape, len(world.arrivals)
    of_an_interval = 1.5e-4 + 2.6e-5 * arms**2 + 4e-8 * intervals * arms * (bins + 1)
    numbers = 0.0
    if world.amounts is not None:
        most = ONE_BY_ONE * intervals * arms * max(bins, 1)
        numbers = min(float(world.arrivals @ world.drift * world.rates.max()), most)
    return float(2 * (intervals + 1.5 * waves) * of_an_interval + 1.5e-7 * (2 if waves else 1) * numbers)


def edges_within(window: timedelta, interval: timedelta) -> Floats:
    """Where the intervals after an assignment begin and end, in intervals: 0, 1, .. and the end of the window, within which all happens.

    >>> edges_within(timedelta(days=10), timedelta(days=4)).tolist()
    [0.0, 1.0, 2.0, 2.5]
    """
    whole = window / interval
    return np.asarray(np.minimum(np.arange(max(math.ceil(whole - 1e-9), 1) + 1.0), whole))


def _delays(mean: timedelta | None, interval: timedelta, edges: Floats) -> Floats:
    """Exponential within the window; all in the first interval where nothing is said."""
    if mean is None:
        return np.asarray(np.eye(1, len(edges) - 1)[0])
    grown = -np.expm1(-edges * (interval / mean))
    return np.asarray(np.diff(grown) / grown[-1])
