"""The same users, drawn again: what every arm would have summed up to if chance had dealt otherwise. Pure.

Chance deals *units of the draw*: users, or clusters of users who were drawn together (a household). Units that are alike
are kept as one row with their number, so that a million users of whom nine in ten did nothing take no more work than the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.stats.comparisons import Sums
from analysis.stats.welch import Floats

SUMS: Final = ("n", "y", "yy", "d", "dd", "yd", "x", "xx", "xy", "dx")
"""Sums over the users of a unit, with the letters of `Aggregate.from_sums`."""
DEALT_ONE_BY_ONE: Final = 32
"""More units alike than this are dealt by one multinomial draw, which costs as much as dealing so many one by one."""
BLOCK: Final = 128
TILE: Final = 1024
"""Runs and units that are dealt at once: as many as stay in the processor's cache."""
_STEPS: Final = 1 << 16
"""One of so many steps is drawn for each unit, so a weight is off by at most 1/131,072."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All units of the draw, whatever their arm was.

    sums: by letter (`SUMS`, those that are needed; n, y and yy always), the sums over the users of a unit of deviations from
    `shifts` (y, d, x). times: how many units are alike.
    """

    sums: Mapping[str, Floats]
    times: NDArray[np.int64]
    shifts: Mapping[str, float]

    @property
    def units(self) -> int:
        return int(self.times.sum())

    @property
    def users(self) -> int:
        return round(float((self.sums["n"] * self.times).sum()))

    @property
    def totals(self) -> Floats:
        """The outcome Y of each unit, summed over its users."""
        totals: Floats = self.sums["y"] + self.sums["n"] * self.shifts["y"]
        return totals

    def thinned(self, share: float, rng: np.random.Generator) -> "Pool":
        """A sample in which every unit is with probability `share`."""
        times = rng.binomial(self.times, share)
        kept = times > 0
        return Pool(
            sums={letter: values[kept] for letter, values in self.sums.items()},
            times=times[kept],
            shifts=self.shifts,
        )

    def work(self) -> int:
        """What one run costs, in units that are dealt one by one."""
        return int(np.minimum(self.times, DEALT_ONE_BY_ONE).sum())


def pool_of_users(times: ArrayLike, **values: ArrayLike) -> Pool:
    """Users who were drawn one by one. values: y, and d or x where the metric has them, one for each kind of user.

    >>> pool = pool_of_users([3, 1], y=[0.0, 8.0])
    >>> pool.users, pool.shifts["y"], pool.sums["y"].tolist()
    (4, 2.0, [-2.0, 6.0])
    """
    number = np.asarray(times, dtype=np.int64)
    columns = {letter: np.asarray(column, dtype=np.float64) for letter, column in values.items()}
    shifts = {letter: float(np.average(column, weights=number)) for letter, column in columns.items()}
    centred = {letter: column - shifts[letter] for letter, column in columns.items()}
    sums = {"n": np.ones(len(number)), **centred}
    for left, right in combinations_with_replacement([letter for letter in "ydx" if letter in centred], 2):
        name = f"{left}{right}"
        sums[name if name in SUMS else name[::-1]] = centred[left] * centred[right]
    return Pool(sums=sums, times=number, shifts=shifts)


def rerandomise(
    pool: Pool,
    weights: Sequence[float],
    *,
    runs: int,
    rng: np.random.Generator,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Sums]:
    """Deal the pool to the arms `runs` times, every unit by itself with the weights (> 0, on any scale).

    Returns the sums of each arm, arrays of length `runs`. `advance` is told how many runs were done.
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    letters = [letter for letter in SUMS if letter in pool.sums]
    columns = np.column_stack([pool.sums[letter] for letter in letters])
    alike = pool.times > DEALT_ONE_BY_ONE
    one_by_one = np.repeat(columns[~alike], pool.times[~alike], axis=0)
    in_lots, lots = columns[alike], pool.times[alike]
    arms = np.zeros((len(shares), runs, len(letters)))
    for start in range(0, runs, BLOCK):
        block = slice(start, min(start + BLOCK, runs))
        size = block.stop - start
        # Up to arm a, so that the difference of neighbours is one arm and the last needs no draw of its own.
        up_to = _deal(one_by_one, np.round(np.cumsum(shares)[:-1] * _STEPS), size, rng)
        up_to.append(np.broadcast_to(one_by_one.sum(axis=0), (size, len(letters))))
        arms[:, block] = np.diff(np.stack(up_to), axis=0, prepend=0.0)
        if len(lots):
            dealt = rng.multinomial(lots, shares, size=(size, len(lots)))
            arms[:, block] += np.einsum("rga,gk->ark", dealt, in_lots, optimize=True)
        advance(size)
    return [_sums(arm, letters, pool.shifts) for arm in arms]


def _deal(columns: Floats, cuts: Floats, runs: int, rng: np.random.Generator) -> list[Floats]:
    """For each cut, in each run, the sums over the units whose random step lies below it."""
    sums = [np.zeros((runs, columns.shape[1])) for _ in cuts]
    chosen = np.empty((runs, TILE))
    for start in range(0, len(columns), TILE):
        tile = columns[start : start + TILE]
        steps = rng.integers(0, 2**64 - 1, size=runs * TILE // 4, dtype=np.uint64, endpoint=True)
        step = steps.view(np.uint16).reshape(runs, TILE)[:, : len(tile)]
        below = chosen[:, : len(tile)]
        for number, cut in enumerate(cuts.tolist()):
            np.less(step, cut, out=below)
            sums[number] += below @ tile
    return sums


def _sums(arm: Floats, letters: Sequence[str], shifts: Mapping[str, float]) -> Sums:
    parts: dict[str, Any] = {letter: arm[:, i] for i, letter in enumerate(letters)}
    return Sums(**parts | {f"shift_{letter}": value for letter, value in shifts.items()})
