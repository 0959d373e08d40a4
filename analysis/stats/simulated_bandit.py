"""A campaign with a bandit, run thousands of times in worlds whose truth is known: what it costs, and how often it is wrong.

The policy that is run is `allocation.weights` itself, on what it would have been told at that moment: conversions that have happened, of users as old as
they are. Nothing of the truth reaches it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.stats.allocation import AllocationAnswer, AllocationPolicy, weights
from analysis.stats.estimates import AllocationEvidence
from analysis.stats.leading import ahead

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Progress = Callable[[int, int], None]

AT_A_TIME = 250
"""Worlds that are run together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true. K arms, T intervals in which users come; an epoch is an interval.

    rates: conversions per assigned user within the window, (K,). delays: when they happen, (K, B): chances of the intervals after the assignment, B of them
    make the window; each row sums to 1. B = 0: all happen at once, and are known at the end of the interval. arrivals: users of an interval, (T,). drift: what the rates are multiplied with in each interval, (T,).
    maximise: whether a conversion is good.
    """

    rates: Floats
    delays: Floats
    arrivals: Counts
    drift: Floats
    maximise: bool = True

    def __post_init__(self) -> None:
        arms, intervals = len(self.rates), len(self.arrivals)
        if arms < 2 or intervals < 1 or self.drift.shape != (intervals,):
            raise ValueError("a world has at least two arms and one interval, and a drift for each interval")
        if self.delays.ndim != 2 or len(self.delays) != arms or np.any(self.delays < 0):
            raise ValueError("delays are chances, one row for each arm")
        if self.delays.shape[1] and not np.allclose(self.delays.sum(axis=1), 1):
            raise ValueError("the delays of each arm sum to 1")
        if (
            np.any(self.rates < 0)
            or np.any(np.outer(self.drift, self.rates) > 1)
            or np.any(self.arrivals < 0)
        ):
            raise ValueError("rates, also after drift, lie between 0 and 1; arrivals are at least 0")

    @property
    def best(self) -> NDArray[np.bool_]:
        """The best arms; several when they tie."""
        top = self.rates.max() if self.maximise else self.rates.min()
        return np.asarray(np.isclose(self.rates, top, rtol=1e-12, atol=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditRuns:
    """What came of each of R worlds.

    sends: users by arm, (R, K). regret: expected conversions that were missed (or suffered) against the best arm for everybody, (R,).
    winner: the arm declared the best, -1 for none; decided: after which interval, 0 for never, (R,). favourite: the arm that is most likely
    the best once all windows have closed, -1 where even that cannot be told. moved: the first interval with weights of the policy, 0 for never.
    shares: mean share of the traffic by interval and arm, (T, K).
    """

    sends: Counts
    regret: Floats
    winner: NDArray[np.intp]
    decided: NDArray[np.intp]
    favourite: NDArray[np.intp]
    moved: NDArray[np.intp]
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
    progress: Progress | None = None,
) -> BanditRuns:
    """Run the world `runs` times. In each interval users are drawn into arms; then the policy is asked for the weights of the next.

    shares: of the arms until the policy has something to say (and for good with `fixed`), summing to 1. alpha, planned_n: of `leading.ahead`, which is
    asked after every interval and until the last window has closed. delays_known: False takes "not yet" for "did not", and epochs_apart: False
    adds the epochs up before the policy is asked, to show what that does.
    """
    found = []
    for start in range(0, runs, AT_A_TIME):
        some = min(AT_A_TIME, runs - start)
        found.append(_run(world, policy, shares, some, rng, alpha, planned_n, delays_known, epochs_apart))
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


@dataclass(slots=True)
class _Seen:
    """users: (R, T, K). converted: by delay, (R, T, K, B). at_once: B is 1, and that bin is over when the interval is."""

    users: Floats
    converted: Floats
    at_once: bool

    def mature(self, now: int) -> int:
        """How many intervals, from the first, have users whose windows have closed at the end of interval `now`."""
        return int(min(max(now + self.at_once - self.converted.shape[-1] + 1, 0), self.users.shape[1]))

    def pooled(self, now: int, *, delays_known: bool) -> AllocationEvidence:
        """As `evidence`, with all epochs taken for one."""
        found = self.evidence(now, delays_known=delays_known)
        return replace(
            found,
            **{
                name: getattr(found, name).sum(axis=1, keepdims=True)
                for name in ("users", "total", "total_squares")
            },
        )

    def evidence(self, now: int, *, delays_known: bool) -> AllocationEvidence:
        """As of the end of interval `now` (0 the first): users of interval s have been watched for now - s whole intervals."""
        worlds, _, arms, bins = self.converted.shape
        last = min(now + 1, self.users.shape[1])
        ages = np.minimum(now + self.at_once - np.arange(last), bins)
        visible = np.arange(bins) < ages[:, None]
        so_far = np.where(visible[:, None, :], self.converted[:, :last], 0.0).sum(axis=-1)
        active = np.ones((worlds, arms), dtype=bool)
        if self.at_once or not delays_known:
            return AllocationEvidence(
                users=self.users[:, :last, :, None],
                total=so_far[..., None],
                total_squares=so_far[..., None],
                delays=None,
                active=active,
            )
        users, total = np.zeros((2, worlds, last, arms, bins + 1))
        users[:, np.arange(last), :, ages] = self.users[:, :last].transpose(1, 0, 2)
        total[:, np.arange(last), :, ages] = so_far.transpose(1, 0, 2)
        delays = np.zeros((worlds, arms, bins + 1, bins))
        for age in range(1, bins + 1):
            delays[:, :, age, :age] = self.converted[:, :last][:, ages == age, :, :age].sum(axis=1)
        return AllocationEvidence(users=users, total=total, total_squares=total, delays=delays, active=active)


def _run(
    world: World, policy: AllocationPolicy, shares: Floats, worlds: int, rng: np.random.Generator, alpha: float, planned_n: int | None,
    delays_known: bool, epochs_apart: bool,
) -> BanditRuns:  # fmt: skip
    intervals, arms, at_once = len(world.arrivals), len(world.rates), world.delays.shape[1] == 0
    delays = np.ones((arms, 1)) if at_once else world.delays
    bins = delays.shape[1]
    seen = _Seen(
        users=np.zeros((worlds, intervals, arms)),
        converted=np.zeros((worlds, intervals, arms, bins)),
        at_once=at_once,
    )
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
            seen.users[:, now], seen.converted[:, now] = _interval(world, delays, now, current, rng)
        _judge(seen, now, winner, decided, world, alpha, planned_n)
        if now < intervals - 1 and policy.policy != "fixed":
            told = (seen.evidence if epochs_apart else seen.pooled)(now, delays_known=delays_known)
            answer = weights(told, policy)
            moved = np.where((moved == 0) & answer.told, now + 2, moved)
            current = np.where(answer.told[:, None], answer.weights, current)
    return BanditRuns(
        sends=seen.users.sum(axis=1).astype(np.int64),
        regret=_regret(world, seen.users),
        winner=winner,
        decided=decided,
        favourite=_favourite(
            weights(seen.evidence(intervals + bins, delays_known=True), _to_the_end(policy, world))
        ),
        moved=moved,
        shares=given,
    )


def _interval(
    world: World, delays: Floats, now: int, current: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    users = rng.multinomial(int(world.arrivals[now]), current)
    chances = delays * (world.rates * world.drift[now])[:, None]
    never = np.maximum(1 - chances.sum(axis=1, keepdims=True), 0.0)
    drawn = rng.multinomial(users, np.concatenate([chances, never], axis=1))
    return users.astype(np.float64), drawn[..., :-1].astype(np.float64)


def _judge(
    seen: _Seen,
    now: int,
    winner: NDArray[np.intp],
    decided: NDArray[np.intp],
    world: World,
    alpha: float,
    planned_n: int | None,
) -> None:
    mature = seen.mature(now)
    open_ = winner < 0
    if mature == 0 or not open_.any():
        return
    sold = seen.converted[open_, :mature].sum(axis=-1)
    found = ahead(
        seen.users[open_, :mature], sold, sold, alpha=alpha, planned_n=planned_n, maximise=world.maximise
    ).winner
    winner[open_] = found
    decided[open_] = np.where(found >= 0, now + 1, 0)


def _regret(world: World, users: Floats) -> Floats:
    gap = np.abs(world.rates - world.rates[world.best.argmax()])
    return np.asarray((users * world.drift[:, None] * gap).sum(axis=(1, 2)))


def _to_the_end(policy: AllocationPolicy, world: World) -> AllocationPolicy:
    return AllocationPolicy(
        policy="thompson",
        floor=0.0,
        burn_in_users=0,
        burn_in_conversions=0,
        maximise=world.maximise,
        leader=policy.leader,
    )


def _favourite(answer: AllocationAnswer) -> NDArray[np.intp]:
    return np.where(answer.told, answer.p_best.argmax(axis=-1), -1)
