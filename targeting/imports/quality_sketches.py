"""Small memories of large columns: numbers, distinct values, categories. Bounded, mergeable in order, no randomness. Pure."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ACCURACY: Final = 0.01
"""Relative error of a quantile."""
MAX_BUCKETS: Final = 2_000
MAX_CATEGORIES: Final = 50
DISTINCT_KEPT: Final = 1_024
"""So many smallest hashes are kept; beyond that the number of distinct values has a standard error of about 3 %."""
_GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA: Final = float(np.log(_GAMMA))
_SMALLEST: Final = 1e-9
_LARGEST: Final = 1e120


class Numbers:
    """Count, mean, standard deviation, range and quantiles of numbers that come in batches.

    Moments are merged by Chan, Golub and LeVeque (1979); quantiles come from a DDSketch (Masson, Rim and Lee, VLDB
    2019): buckets that grow by a constant factor, so that each quantile is right up to 1 % of its own size.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.low = np.inf
        self.high = -np.inf
        self.whole = True
        self._squares = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, values: Sequence[float]) -> None:
        """Take in numbers; those that are not finite, or too large to be squared, are passed over."""
        try:
            found = np.asarray(values, dtype=np.float64)
        except OverflowError:  # a whole number of hundreds of digits
            found = np.asarray([value for value in values if abs(value) <= _LARGEST], dtype=np.float64)
        found = found[np.abs(found) <= _LARGEST]
        if not len(found):
            return
        n, mean = len(found), float(found.mean())
        shift, total = mean - self.mean, self.count + n
        self._squares += float(((found - mean) ** 2).sum()) + shift * shift * self.count * n / total
        self.mean += shift * n / total
        self.count = total
        self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
        self.whole = self.whole and bool((found == np.floor(found)).all())
        indices, counts = np.unique(_bucket(found), return_counts=True)
        self._buckets.update(dict(zip(indices.tolist(), counts.tolist(), strict=True)))
        self._shrink()

    def _shrink(self) -> None:
        """Join the lowest buckets, as DDSketch does: their quantiles become coarse, the others stay exact."""
        extra = len(self._buckets) - MAX_BUCKETS
        if extra <= 0:
            return
        ordered = sorted(self._buckets)
        for index in ordered[:extra]:
            self._buckets[ordered[extra]] += self._buckets.pop(index)

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None for fewer than two numbers."""
        return float(np.sqrt(self._squares / (self.count - 1))) if self.count > 1 else None

    def quantile(self, share: float) -> float:
        """The value that `share` of the numbers do not exceed."""
        wanted, seen = share * (self.count - 1), 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen > wanted:
                return self._value(index)
        return self.high

    def _value(self, index: int) -> float:
        value = min(max(_middle(index), self.low), self.high)
        return float(round(value)) if self.whole else value

    def cells(self, parts: int = 10) -> list[tuple[int, float]]:
        """Up to `parts` cells that hold about as many numbers each: (last bucket of the cell, share of the numbers up to it)."""
        edges: list[tuple[int, float]] = []
        seen, wanted = 0, self.count / parts
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen >= wanted - 1e-9:
                edges.append((index, seen / self.count))
                wanted = (int(seen * parts / self.count + 1e-9) + 1) * self.count / parts
        return edges

    def shares(self, edges: Sequence[int]) -> list[float]:
        """The share of the numbers in each cell between the buckets `edges`, the open cell above them last."""
        counts = [0] * (len(edges) + 1)
        places = np.searchsorted(np.asarray(edges), np.asarray(list(self._buckets)))
        for place, amount in zip(places.tolist(), self._buckets.values(), strict=True):
            counts[place] += amount
        return [amount / self.count for amount in counts]


def _bucket(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which bucket a number is in: 0 for zero, its sign times the logarithm of its size for the rest."""
    size = np.maximum(np.abs(values), _SMALLEST)
    # Shifted so that the smallest size is bucket 1.
    steps = np.ceil(np.log(size / _SMALLEST) / _LOG_GAMMA).astype(np.int64) + 1
    return np.where(np.abs(values) < _SMALLEST, 0, np.sign(values).astype(np.int64) * steps)


def _middle(index: int) -> float:
    if index == 0:
        return 0.0
    size = _SMALLEST * _GAMMA ** (abs(index) - 1) * 2 / (1 + _GAMMA)
    return float(np.sign(index)) * float(size)


class Distinct:
    """How many different values: exact up to `DISTINCT_KEPT`, then estimated from the smallest hashes.

    The estimate is (k - 1) / (k-th smallest hash as a share of all): Bar-Yossef and others, RANDOM 2002, as improved by
    Beyer and others, SIGMOD 2007. Hashes of texts differ from process to process, so an estimate is not the same twice.
    """

    def __init__(self) -> None:
        self._smallest: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._full = False

    def add(self, hashes: NDArray[np.int64]) -> None:
        """Take in the hashes of values."""
        mixed = _mix(hashes)
        if self._full:
            mixed = mixed[mixed < self._smallest[-1]]
            if not len(mixed):
                return
        found = np.union1d(self._smallest, mixed)
        self._full = self._full or len(found) > DISTINCT_KEPT
        self._smallest = found[:DISTINCT_KEPT]

    @property
    def exact(self) -> bool:
        return not self._full

    @property
    def value(self) -> int:
        if not self._full:
            return len(self._smallest)
        return round((DISTINCT_KEPT - 1) / (float(self._smallest[-1]) / 2**64))


def _mix(hashes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): Python's hash of a small number is that number."""
    mixed = hashes.view(np.uint64).copy()
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Categories:
    """How often each value came, as long as there are few different ones; none at all when there are more."""

    def __init__(self) -> None:
        self.counts: Counter[str] | None = Counter()

    def add(self, counted: Mapping[Any, int]) -> None:
        """Take in how often each value came in a batch."""
        if self.counts is None:
            return
        if len(counted) > MAX_CATEGORIES:
            self.counts = None
            return
        for value, amount in counted.items():
            self.counts[value if isinstance(value, str) else json.dumps(value)] += amount
        if len(self.counts) > MAX_CATEGORIES:
            self.counts = None
