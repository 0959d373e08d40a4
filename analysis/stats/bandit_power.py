"""How surely, and when, reports find what is true while a bandit moves the traffic: the whole campaign, drawn many times."""

from collections.abc import Callable, Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.stats.allocation import AllocationPolicy, weights
from analysis.stats.simulated_reports import Judged, Sums, found_by_reports
from analysis.stats.simulated_world import Seen, World

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

AT_A_TIME: Final = 100
"""Campaigns that are run together."""


def first_found(
    world: World,
    policy: AllocationPolicy,
    *,
    shares: Floats,
    judged: Judged,
    looks: Collection[int],
    early: bool,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> NDArray[np.intp]:
    """After which interval (1 the first) some report first calls each arm different from the first one, 0 for never: (runs, K - 1).

    world: the control is its first arm. shares: until the policy has something to say, summing to 1. looks: intervals (0 the first) at whose end a report is made. early: whether users come at the
    beginning of their interval, as with a wave. Nothing ends a campaign before its last window has closed.
    """
    found = []
    for start in range(0, runs, AT_A_TIME):
        some = min(AT_A_TIME, runs - start)
        found.append(_run(world, policy, shares, judged, looks, some, rng, early=early))
        if progress is not None:
            progress(start + some, runs)
    return np.concatenate(found)


def _run(
    world: World,
    policy: AllocationPolicy,
    shares: Floats,
    judged: Judged,
    looks: Collection[int],
    worlds: int,
    rng: np.random.Generator,
    *,
    early: bool,
) -> NDArray[np.intp]:
    intervals, arms = len(world.arrivals), len(world.rates)
    seen = Seen.nobody(world, worlds, early=early)
    current = np.tile(np.asarray(shares, dtype=np.float64), (worlds, 1))
    chances = np.zeros((worlds, intervals, arms))
    first = np.zeros((worlds, arms - 1), dtype=np.intp)
    fractions = np.zeros((worlds, 0))
    for now in range(max(looks) + 1):
        if now < intervals:
            chances[:, now] = current
            seen.draw(now, current, rng)
        if now in looks:
            sums = Sums.of(seen, chances, now, range(arms))
            in_by_now = sums.users.sum(axis=(1, 2)) / judged.expected
            fractions = np.concatenate([fractions, in_by_now[:, None]], axis=1)
            open_ = (first == 0).any(axis=1)
            told = found_by_reports(sums.only(open_), judged, looks=fractions[open_]).side != 0
            first[open_] = np.where((first[open_] == 0) & told, now + 1, first[open_])
        if now < intervals - 1:
            answer = weights(seen.evidence(now, delays_known=True), policy)
            current = np.where(answer.told[:, None], answer.weights, current)
    return first
