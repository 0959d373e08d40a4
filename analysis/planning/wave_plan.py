"""A broadcast in a made-up world, in waves under each bandit and at once without one: who gets what, and how often the end is a wrong one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from analysis.planning.bandit_world import judged_of
from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_waves import End, WaveRuns, horizon, simulate_waves
from analysis.stats.simulated_world import World
from experiments.allocation import DEFAULT_WAVE, Waves
from experiments.design import ExperimentDesign
from experiments.triggers import OnceTrigger
from experiments.waves import next_bound

Progress = Callable[[int, int], None]
MOST_CELLS: Final = 60_000
"""Slots x arms x intervals of a window of one broadcast, when every wave has to wait."""
AT_ONCE: Final = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveOutcome:
    """One audience met at one moment; `policy` fixed is everybody at once by the weights of the design (expected values), the others go out in waves. Means over the runs: `users` by arm, the rest of the audience
    included, `got_best` share of them who got the best arm of their moment, `messaged` users in arms that send, `regret` with its Monte-Carlo error.

    Shares of the runs: `shipped`, the rest got a variant that the report calls better than the control (`wrong_shipped` one that is not the best, `shipped_no_better` one that is no better than the control); `ended`, the rest
    got the control (`ended_by_report` because all others are worse, `ended_before_last` by the rule before the last wave; `wrongly_ended` although a variant is better); `all_out`, every wave went out.
    `intervals`: median, until the decision or the last wave.
    """

    policy: Literal["fixed", "thompson", "top_two"]
    regret: float
    regret_error: float
    users: Mapping[str, float]
    got_best: float
    messaged: float
    shipped: float
    wrong_shipped: float
    shipped_no_better: float
    ended: float
    ended_by_report: float
    ended_before_last: float
    wrongly_ended: float
    all_out: float
    intervals: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSimulation:
    """`waves`: how many there are, of `users` in all."""

    waves: int
    users: int
    outcomes: Sequence[WaveOutcome]


def sizes_of(design: ExperimentDesign, audience: int) -> list[int] | None:
    """The users of each wave; None where the audience is not met at one moment. Shares of a hash are taken to be shares of users."""
    if not isinstance(design.trigger, OnceTrigger):
        return None
    waves = getattr(design.allocation, "waves", None) or Waves(share=DEFAULT_WAVE)
    bounds = [0.0]
    while bounds[-1] < 1:
        waiting = round(audience * (1 - bounds[-1]))
        bounds.append(next_bound(waves, released=bounds[-1], waiting=max(waiting, 1)))
    ends = [round(audience * bound) for bound in bounds]
    return [after - before for before, after in pairwise(ends)]


def further(progress: Progress, before: int, total: int) -> Progress:
    """The progress of a part that begins with so many runs done, of `total`."""
    return lambda done, _some: progress(before + done, total)


def is_too_much(world: World, waves: int) -> bool:
    """Whether so many waves are more than can be kept in memory."""
    arms, bins = world.delays.shape
    return bool(horizon(waves, bins) * arms * bins > MOST_CELLS)


def no_better_than(control: int, world: World) -> np.ndarray:
    """Which arms are no better than the control for everybody, (K,)."""
    best, worth = world.best, world.arrivals @ world.worth
    return np.asarray((worth <= worth[control]) | (best & best[control]))


def simulate_broadcast(
    design: ExperimentDesign,
    world: World,
    policies: Sequence[AllocationPolicy],
    sizes: Sequence[int],
    *,
    is_share: bool,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> WaveSimulation:
    """Play the waves under each policy; all of them begin with the same random numbers.

    world: of a campaign in which users come by and by; its drift is stretched over the waves. progress: called with (runs done, of all policies together).
    """
    drift = np.linspace(world.drift[0], world.drift[-1], len(sizes))
    played = replace(world, arrivals=np.array(sizes, dtype=np.int64), drift=drift)
    names = [variant.key for variant in design.variants]
    sends = np.array([variant.message is not None for variant in design.variants])
    shares = np.array([design.shares[name] for name in names])
    seed, made = rng.integers(2**63), [_at_once(design, played, shares)]
    judged = judged_of(design, expected=sum(sizes), is_share=is_share)
    for number, policy in enumerate(policies):
        found = simulate_waves(
            played,
            policy,
            shares=shares,
            control=names.index(design.control.key),
            judged=judged,
            runs=runs,
            rng=np.random.default_rng(seed),
            progress=None if progress is None else further(progress, number * runs, len(policies) * runs),
        )
        made.append(_outcome(policy, found, played, names, sends, names.index(design.control.key)))
    return WaveSimulation(waves=len(sizes), users=sum(sizes), outcomes=made)


def _at_once(design: ExperimentDesign, world: World, shares: np.ndarray) -> WaveOutcome:
    """Expected values: nothing is drawn, for nothing depends on what is seen. The base rate is that of the first moment."""
    audience, best = int(world.arrivals.sum()), world.best_of_moment[0]
    first = np.zeros_like(world.worth)
    first[0] = audience * shares
    return WaveOutcome(
        policy=AT_ONCE,
        regret=float(world.lost(first)),
        regret_error=0.0,
        users={each.key: float(audience * shares[i]) for i, each in enumerate(design.variants)},
        got_best=float(shares[best].sum()),
        messaged=float(audience * sum(shares[i] for i, each in enumerate(design.variants) if each.message)),
        shipped=0.0,
        wrong_shipped=0.0,
        shipped_no_better=0.0,
        ended=0.0,
        ended_by_report=0.0,
        ended_before_last=0.0,
        wrongly_ended=0.0,
        all_out=1.0,
        intervals=0.0,
    )


def _outcome(
    policy: AllocationPolicy,
    found: WaveRuns,
    world: World,
    names: Sequence[str],
    sends: np.ndarray,
    control: int,
) -> WaveOutcome:
    best, no_better = world.best, no_better_than(control, world)
    shipped, ended = found.end == End.SHIPPED, np.isin(found.end, [End.WORSE, End.NOTHING_BETTER])
    return WaveOutcome(
        policy=policy.policy,
        regret=float(found.regret.mean()),
        regret_error=float(found.regret.std() / math.sqrt(len(found.regret))),
        users=dict(zip(names, found.users.mean(axis=0).tolist(), strict=True)),
        got_best=float(found.got_best.sum() / max(found.users.sum(), 1)),
        messaged=float(found.users[:, sends].sum(axis=1).mean()),
        shipped=float(shipped.mean()),
        wrong_shipped=float((shipped & (~best | no_better)[found.shipped]).mean()),
        shipped_no_better=float((shipped & no_better[found.shipped]).mean()),
        ended=float(ended.mean()),
        ended_by_report=float((found.end == End.WORSE).mean()),
        ended_before_last=float((found.end == End.NOTHING_BETTER).mean()),
        wrongly_ended=float((ended & (not best[control])).mean()),
        all_out=float((found.end == End.ALL_OUT).mean()),
        intervals=float(np.median(found.slots)),
    )
