"""From what somebody says about a made-up world to the world that is simulated. Pure."""

import math
from datetime import timedelta
from typing import Final

import numpy as np

from analysis.planning.bandit_inputs import Assumed, Written
from analysis.stats.simulated_bandit import World
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, Problem
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction

Floats = np.ndarray
MOST_BINS: Final = 60
"""Intervals in a window: more would make the life of a user longer than anybody wants to wait for a simulation."""
MOST_CELLS: Final = 20_000
"""Intervals x arms x intervals of a window: what one world keeps in memory, and a policy looks at every time."""


def world_of(
    design: ExperimentDesign,
    definition: MetricDefinition,
    assumed: Assumed,
    *,
    interval: timedelta,
    written: Written,
) -> tuple[World, dict[str, float]]:
    """The world, and its conversions per assigned user by arm, in the order of the design. Raises Invalid when what is assumed is
    missing, unknown, impossible or too much.
    """
    bins = math.ceil(definition.window / interval)
    arms = len(design.variants)
    if bins > MOST_BINS or bins * arms * assumed.intervals > MOST_CELLS:
        raise Invalid(
            f"{assumed.intervals} intervals of {format_duration(interval)}, {arms} arms and a window of {format_duration(definition.window)} are too "
            "much to simulate; take a longer allocation.interval, a shorter window or fewer intervals",
            field=written.name("intervals"),
        )
    rates = _rates(design, assumed, written)
    drift = np.linspace(1, assumed.drift, assumed.intervals)
    highest = max(rates.values()) * max(1.0, assumed.drift)
    if not highest <= 1:
        raise Invalid(f"with this drift a rate becomes {highest:.0%}", field=written.name("drift"))
    return World(
        rates=np.array(list(rates.values())),
        delays=np.stack([_delays(assumed.delay.get(name), interval, bins) for name in rates]),
        arrivals=np.full(assumed.intervals, assumed.users_per_interval, dtype=np.int64),
        drift=drift,
        maximise=definition.direction == Direction.INCREASE,
    ), rates


def _delays(mean: timedelta | None, interval: timedelta, bins: int) -> Floats:
    """Exponential within the window; all in the first interval where nothing is said."""
    if mean is None:
        return np.asarray(np.eye(1, bins)[0])
    grown = -np.expm1(-np.arange(bins + 1) * (interval / mean))
    return np.asarray(np.diff(grown) / grown[-1])


def _rates(design: ExperimentDesign, assumed: Assumed, written: Written) -> dict[str, float]:
    """Conversions per assigned user, by arm in the order of the design."""
    arms, control = [variant.key for variant in design.variants], design.control
    problems = _of_no_arm(arms, assumed, written)
    reached: dict[str, float] = {}
    for key in arms:
        if key in assumed.rates:
            reached[key] = assumed.rates[key]
        elif key in assumed.lift and control.key in assumed.rates:
            reached[key] = assumed.rates[control.key] * (1 + assumed.lift[key])
    missing = [key for key in arms if key not in reached]
    if missing and not problems:
        every = written.by_arm("rates", {key: round(0.04 + 0.01 * i, 2) for i, key in enumerate(arms)})
        others = written.by_arm("lift", {key: 0.1 for key in arms if key != control.key})
        problems.append(
            Problem(
                written.name("rates"),
                f"say which share of users converts in {', '.join(missing)}, such as {every}; or give the control's, "
                f"{written.by_arm('rates', {control.key: 0.04})}, and what the others add to it: {others}",
            )
        )
    problems += [
        written.problem("rates" if key in assumed.rates else "lift", key, f"{rate:g} is not between 0 and 1")
        for key, rate in reached.items()
        if not 0 <= rate <= 1
    ]
    problems += [
        written.problem("non_delivery", key, f"{share:g} is not between 0 and 1")
        for key, share in assumed.non_delivery.items()
        if not 0 <= share <= 1
    ]
    if problems:
        raise Invalid.of(problems)
    otherwise = reached[control.key] if control.message is None else 0.0
    return {
        variant.key: reached[variant.key]
        if variant.message is None
        else reached[variant.key]
        + (otherwise - reached[variant.key]) * assumed.non_delivery.get(variant.key, 0.0)
        for variant in design.variants
    }


def _of_no_arm(arms: list[str], assumed: Assumed, written: Written) -> list[Problem]:
    given = {name: getattr(assumed, name) for name in Assumed.model_fields}
    return [
        Problem(written.name(name, key), f"there is no variant {key!r}; there are {', '.join(arms)}")
        for name, value in given.items()
        if isinstance(value, dict)
        for key in value
        if key not in arms
    ]
