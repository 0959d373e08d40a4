"""A campaign with a bandit, run thousands of times in worlds whose truth is known: what it costs, and how often it is wrong.

The policy that is run is `allocation.weights` itself, on what it would have been told at that moment: conversions that have happened, of users as old as
they are. Nothing of the truth reaches it. What reports would decide meanwhile comes from `simulated_reports`, asked after every interval.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.stats.allocation import AllocationAnswer, AllocationPolicy, weights
from analysis.stats.leading import ahead
from analysis.stats.simulated_reports import Judged, Sums, found_by_reports
from analysis.stats.simulated_world import Seen, World

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Progress = Callable[[int, int], None]

AT_A_TIME = 250
"""Worlds that are run together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditRuns:
    """What came of each of R worlds.

    sends: users by arm, (R, K); got_best: those of them who got the best arm of their moment, (R,). regret: `World.lost`, in units of the world's worth, (R,).
    winner: the arm declared the best, -1 for none; decided: after which interval, 0 for never, (R,). favourite: the arm that is most likely
    the best once all windows have closed, -1 where even that cannot be told. moved: the first interval with weights of the policy, 0 for never.
    shipped: the arm that reports first decide for (the control where all others are worse), -1 for none; reported: after which interval, 0 for never, (R,).
    shares: mean share of the traffic by interval and arm, (T, K).
    """

    sends: Counts
    got_best: Counts
    regret: Floats
    winner: NDArray[np.intp]
    decided: NDArray[np.intp]
    favourite: NDArray[np.intp]
    moved: NDArray[np.intp]
    shipped: NDArray[np.intp]
    reported: NDArray[np.intp]
    shares: Floats


def simulate_bandit(
    world: World,
    policy: AllocationPolicy,
    *,
    shares: Floats,
    runs: int,
    rng: np.random.Generator,
    alpha: float = 0.05,
    planned_n: int | None = None,
    delays_known: bool = True,
    epochs_apart: bool = True,
    judged: Judged | None = None,
    control: int = 0,
    progress: Progress | None = None,
) -> BanditRuns:
    """Run the world `runs` times. In each interval users are drawn into arms; then the policy is asked for the weights of the next.

    shares: of the arms until the policy has something to say (and for good with `fixed`), summing to 1. alpha, planned_n: of `leading.ahead`, which is
    asked after every interval and until the last window has closed. delays_known: False takes "not yet" for "did not", and epochs_apart: False
    adds the epochs up before the policy is asked, to show what that does. judged: how reports judge, of arms against `control`; None: none is made.
    """
    found = []
    for start in range(0, runs, AT_A_TIME):
        some = min(AT_A_TIME, runs - start)
        reports = None if judged is None else _Reports(world, policy, judged, control, some)
        found.append(
            _run(world, policy, shares, some, rng, alpha, planned_n, delays_known, epochs_apart, reports)
        )
        if progress is not None:
            progress(start + some, runs)
    sizes = np.array([len(each.regret) for each in found], dtype=np.float64)
    return BanditRuns(
        **{
            name: np.concatenate([getattr(each, name) for each in found])
            for name in BanditRuns.__slots__
            if name != "shares"
        },
        shares=np.average([each.shares for each in found], axis=0, weights=sizes),
    )


def _run(
    world: World, policy: AllocationPolicy, shares: Floats, worlds: int, rng: np.random.Generator, alpha: float, planned_n: int | None,
    delays_known: bool, epochs_apart: bool, reports: "_Reports | None",
) -> BanditRuns:  # fmt: skip
    intervals, arms = len(world.arrivals), len(world.rates)
    seen = Seen.nobody(world, worlds)
    bins = seen.converted.shape[-1]
    current = np.tile(np.asarray(shares, dtype=np.float64), (worlds, 1))
    winner, decided, moved = (
        np.full(worlds, -1),
        np.zeros(worlds, dtype=np.intp),
        np.zeros(worlds, dtype=np.intp),
    )
    given = np.zeros((intervals, arms))
    for now in range(intervals + bins):
        if now < intervals:
            given[now] = current.mean(axis=0)
            seen.draw(now, current, rng)
        if reports is not None:
            reports.look(seen, now, current)
        _judge(seen, now, winner, decided, alpha, planned_n)
        if now < intervals - 1 and policy.policy != "fixed":
            told = (seen.evidence if epochs_apart else seen.pooled)(now, delays_known=delays_known)
            answer = weights(told, policy)
            moved = np.where((moved == 0) & answer.told, now + 2, moved)
            current = np.where(answer.told[:, None], answer.weights, current)
    return BanditRuns(
        sends=seen.users.sum(axis=1).astype(np.int64),
        got_best=(seen.users * world.best_of_moment).sum(axis=(1, 2)).astype(np.int64),
        regret=world.lost(seen.users),
        winner=winner,
        decided=decided,
        # All windows have closed, so that nobody has to know how long conversions take.
        favourite=_favourite(
            weights(seen.evidence(intervals + bins, delays_known=False), _to_the_end(policy))
        ),
        moved=moved,
        shipped=np.full(worlds, -1) if reports is None else reports.shipped,
        reported=np.zeros(worlds, dtype=np.intp) if reports is None else reports.reported,
        shares=given,
    )


class _Reports:
    """What the reports of some worlds decide first, one report at the end of each interval."""

    def __init__(
        self, world: World, policy: AllocationPolicy, judged: Judged, control: int, worlds: int
    ) -> None:
        arms, intervals = len(world.rates), len(world.arrivals)
        # A fixed plan has one look, at the end; spending all of alpha there is the same.
        self.first = intervals + max(world.delays.shape[1], 1) - 1 if judged.method == "fixed" else 0
        self.judged = replace(judged, method="spending") if judged.method == "fixed" else judged
        self.order = [control, *(k for k in range(arms) if k != control)]
        self.is_one_epoch, self.good = policy.policy == "fixed", 1 if world.maximise else -1
        self.chances = np.zeros((worlds, intervals, arms))
        self.fractions = np.zeros((worlds, 0))
        self.shipped, self.reported = np.full(worlds, -1), np.zeros(worlds, dtype=np.intp)

    def look(self, seen: Seen, now: int, current: Floats) -> None:
        """At the end of interval `now`, in which users were drawn by these chances."""
        if now < self.chances.shape[1]:
            self.chances[:, now] = current
        open_ = self.reported == 0
        if now < self.first or not seen.mature(now) or not open_.any():
            return
        sums = Sums.of(seen, self.chances, now, self.order)
        if self.is_one_epoch:
            sums = sums.together()
        in_by_now = sums.users.sum(axis=(1, 2)) / self.judged.expected
        self.fractions = np.concatenate([self.fractions, in_by_now[:, None]], axis=1)
        found = found_by_reports(sums.only(open_), self.judged, looks=self.fractions[open_])
        chosen = found.chosen(good=self.good)
        arm = np.where(chosen >= 0, np.array(self.order)[chosen], -1)
        self.shipped[open_] = arm
        self.reported[open_] = np.where(arm >= 0, now + 1, 0)


def _judge(
    seen: Seen,
    now: int,
    winner: NDArray[np.intp],
    decided: NDArray[np.intp],
    alpha: float,
    planned_n: int | None,
) -> None:
    mature, world = seen.mature(now), seen.world
    open_ = winner < 0
    if mature == 0 or not open_.any():
        return
    users = seen.users[open_, :mature]
    sold, total, squares = (
        each[open_, :mature].sum(axis=-1) for each in (seen.converted, seen.total, seen.squares)
    )
    if world.price:
        total, squares = world.worth_of(users, total, squares)
    found = ahead(
        users,
        total,
        squares,
        converters=sold,
        alpha=alpha,
        planned_n=planned_n,
        amounts=world.amounts is not None,
        maximise=world.maximise or world.price > 0,
    ).winner
    winner[open_] = found
    decided[open_] = np.where(found >= 0, now + 1, 0)


def _to_the_end(policy: AllocationPolicy) -> AllocationPolicy:
    return replace(policy, policy="thompson", floor=0.0, burn_in_users=0, burn_in_conversions=0)


def _favourite(answer: AllocationAnswer) -> NDArray[np.intp]:
    return np.where(answer.told, answer.p_best.argmax(axis=-1), -1)
