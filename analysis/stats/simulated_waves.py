"""A broadcast that goes out in waves, played thousands of times in a world whose truth is known: who gets what, and how often the end is a wrong one.

In each slot the rules of `bandits/waves.py` in their order, for all worlds at once: the rest gets a variant that the report calls better than the
control; or the control, when it calls all others worse; or nobody knows enough and windows are open, and the wave waits; or this would be the last one and the control
is most probably the best, and the rest gets the control; else the wave goes out. Weights are those of `allocation.weights`, reports those of `simulated_reports`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.stats.allocation import AllocationAnswer, AllocationPolicy, weights
from analysis.stats.simulated_reports import Judged, Sums, Verdicts, found_by_reports
from analysis.stats.simulated_world import Seen, World

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Progress = Callable[[int, int], None]

AT_A_TIME: Final = 100
"""Worlds that are played together."""


class End(IntEnum):
    """How a broadcast ended: all waves are out; the rest got a winner; the rest got the control by the report, or by the rule before the last wave."""

    ALL_OUT = 0
    SHIPPED = 1
    WORSE = 2
    NOTHING_BETTER = 3


GOES_ON: Final = -1


def ends(*, ships: Flags, keeps: Flags, waits: Flags, last: Flags, leads: Flags) -> NDArray[np.int64]:
    """How broadcasts end in a slot, or `GOES_ON`; the rules of `bandits/waves.py` for a running experiment in nobody's hands.

    ships, keeps: the report's decision. waits: what keeps the weights may pass. last: one wave is left; leads: the control is most probably the best.
    """
    ended = np.where(~waits & last & leads, End.NOTHING_BETTER, GOES_ON)
    return np.where(ships, End.SHIPPED, np.where(keeps, End.WORSE, ended)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRuns:
    """What came of each of R broadcasts. users: who got which arm, the rest included, (R, K). drawn: of these, by a draw, (R, K). end: an `End`; shipped: the arm that the rest got as a
    winner, -1 for none; slots: intervals from the first wave to the last, or to the decision; waves: that went out; regret: `World.lost`, the rest included; got_best: users who got the best arm
    of their moment, (R,).
    """

    users: Whole
    drawn: Whole
    end: NDArray[np.int8]
    shipped: NDArray[np.intp]
    slots: NDArray[np.intp]
    waves: NDArray[np.intp]
    got_best: Whole
    regret: Floats


def horizon(waves: int, bins: int) -> int:
    """The slots after which every wave is out, however often it had to wait: each at most until all windows are closed."""
    return waves * max(bins, 1) + 1


def simulate_waves(
    world: World,
    policy: AllocationPolicy,
    *,
    shares: Floats,
    control: int,
    judged: Judged,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> WaveRuns:
    """Play the broadcast `runs` times.

    world: its arrivals are the users of each wave, and its drift is that of the slots in which waves go out when none has to wait; later it stays as it is by then.
    shares: of the first wave, summing to 1; control: which arm it is.
    """
    slots = horizon(len(world.arrivals), world.delays.shape[1])
    drift = np.concatenate([world.drift, np.full(slots + 1 - len(world.drift), world.drift[-1])])
    played = replace(world, drift=drift, arrivals=np.zeros(slots + 1, dtype=np.int64))
    sizes = world.arrivals
    found = []
    for start in range(0, runs, AT_A_TIME):
        some = min(AT_A_TIME, runs - start)
        found.append(_Play(played, policy, sizes, shares, control, judged, some).all_of_it(rng))
        if progress is not None:
            progress(start + some, runs)
    return WaveRuns(
        **{each.name: np.concatenate([getattr(one, each.name) for one in found]) for each in fields(WaveRuns)}
    )


class _Play:
    """Some worlds, those that go on at the front of everything; whoever has ended is written down and left out."""

    def __init__(
        self,
        world: World,
        policy: AllocationPolicy,
        sizes: Whole,
        shares: Floats,
        control: int,
        judged: Judged,
        worlds: int,
    ) -> None:
        self.world, self.policy, self.sizes = world, policy, sizes
        self.control, self.judged = control, judged
        arms = len(world.rates)
        self.order = [control, *(k for k in range(arms) if k != control)]
        self.going = np.arange(worlds)
        self.seen = Seen.nobody(world, worlds, early=True)
        self.chances = np.zeros((worlds, len(world.arrivals), arms))
        self.current = np.tile(np.asarray(shares, dtype=np.float64), (worlds, 1))
        self.out = np.zeros(worlds, dtype=np.intp)
        self.looks = np.zeros((worlds, 0))
        self.made = WaveRuns(
            users=np.zeros((worlds, arms), dtype=np.int64),
            drawn=np.zeros((worlds, arms), dtype=np.int64),
            end=np.zeros(worlds, dtype=np.int8),
            shipped=np.full(worlds, -1),
            slots=np.zeros(worlds, dtype=np.intp),
            waves=np.zeros(worlds, dtype=np.intp),
            got_best=np.zeros(worlds, dtype=np.int64),
            regret=np.zeros(worlds),
        )

    def all_of_it(self, rng: np.random.Generator) -> WaveRuns:
        released = np.ones(len(self.going), dtype=bool)
        for now in range(len(self.world.arrivals) - 1):
            self._release(now, released, rng)
            self._leave(now, self.out == len(self.sizes), np.full(len(self.going), End.ALL_OUT))
            if not len(self.going):
                break
            released = self._decide(now)
        return self.made

    def _release(self, now: int, released: Flags, rng: np.random.Generator) -> None:
        upcoming = self.sizes[np.minimum(self.out, len(self.sizes) - 1)]
        self.seen.draw(now, self.current, rng, arrivals=np.where(released, upcoming, 0))
        self.chances[:, now] = self.current
        self.out = self.out + released

    def _decide(self, now: int) -> Flags:
        """Ends what ends at the end of interval `now`; of the worlds that go on, which release a wave next."""
        verdict = self._report(now)
        answer = self._weights(now)
        # Better is better for people: verdicts are about numbers, which are good when small if less is better.
        chosen = verdict.chosen(good=1 if self.world.maximise else -1)
        ships, keeps = chosen > 0, chosen == 0
        winner = np.array(self.order, dtype=np.intp)[chosen]
        young = self.seen.users[:, self.seen.mature(now) : now + 1].any(axis=(1, 2))
        waits = ~answer.told & young
        leads = answer.told & (answer.p_best.argmax(axis=-1) == self.control)
        last = self.out == len(self.sizes) - 1
        end = ends(ships=ships, keeps=keeps, waits=waits, last=last, leads=leads)
        ending = end != GOES_ON
        self.current = np.where(answer.told[:, None], answer.weights, self.current)
        self._rest(now, ending, np.where(ships, winner, self.control), np.asarray(ships))
        self._leave(now + 1, ending, end)
        return np.asarray(~waits[~ending])

    def _report(self, now: int) -> Verdicts:
        sums = Sums.of(self.seen, self.chances, now, self.order)
        fraction = sums.users.sum(axis=(1, 2)) / self.judged.expected
        self.looks = np.concatenate([self.looks, fraction[:, None]], axis=1)
        return found_by_reports(sums, self.judged, looks=self.looks)

    def _weights(self, now: int) -> AllocationAnswer:
        told = self.seen.evidence(now, delays_known=True)
        # An epoch in which no world let anybody in says nothing and costs time.
        came = told.users.any(axis=(0, 2, 3))
        parts = {name: getattr(told, name)[:, came] for name in ("users", "total", "total_squares")}
        return weights(replace(told, **parts), self.policy)

    def _rest(self, now: int, ending: Flags, arm: NDArray[np.intp], ships: Flags) -> None:
        left = self.sizes.sum() - np.concatenate([[0], np.cumsum(self.sizes)])[self.out]
        worth, best = self.world.worth[now + 1], self.world.best_of_moment[now + 1]
        for i in np.flatnonzero(ending):
            at = self.going[i]
            self.made.users[at, arm[i]] += left[i]
            self.made.regret[at] += left[i] * (worth.max() - worth[arm[i]])
            self.made.got_best[at] += left[i] * best[arm[i]]
            self.made.shipped[at] = arm[i] if ships[i] else -1

    def _leave(self, slot: int, ended: Flags, end: NDArray[np.int64]) -> None:
        if not ended.any():
            return
        at, drawn = self.going[ended], self.seen.users[ended]
        self.made.drawn[at] = drawn.sum(axis=1)
        self.made.users[at] += self.made.drawn[at]
        self.made.end[at] = end[ended]
        self.made.slots[at], self.made.waves[at] = slot, self.out[ended]
        self.made.regret[at] += self.world.lost(drawn)
        self.made.got_best[at] += (drawn * self.world.best_of_moment).sum(axis=(1, 2)).astype(np.int64)
        self._keep(~ended)

    def _keep(self, kept: Flags) -> None:
        self.going, self.out, self.looks = self.going[kept], self.out[kept], self.looks[kept]
        self.chances, self.current = self.chances[kept], self.current[kept]
        self.seen = self.seen.only(kept)
