"""Bucketing: which share of the number line a user falls on, and which variant owns that share.

The hash, the ranges and their tolerance of bad input are those of the GrowthBook SDK specification, so that a user gets
the same variant from us and from any GrowthBook SDK. `hash_units` and `choose_variants` are the same functions over
many users and agree with the scalar ones bit for bit.

Text enters the hash as UTF-16 units, as JavaScript strings do: a character beyond U+FFFF counts as two.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.errors import Invalid
from targeting.conditions.values import text_of

_OFFSET_BASIS: Final = 0x811C9DC5
_PRIME: Final = 0x01000193
_MASK: Final = 0xFFFFFFFF
_BUCKETS: Final = {1: 1_000, 2: 10_000}
_SHORT: Final = 40  # characters
_BLOCK: Final = 32_768  # users hashed at a time: their characters and states stay in the processor's cache

_BEYOND_16_BITS: Final = re.compile("[\U00010000-\U0010ffff]")

BucketRange = tuple[float, float]
"""A stretch of [0, 1]: from the first number (included) to the second (excluded)."""


def hash_unit(seed: str, value: str | float, version: int) -> float | None:
    """Where `value` falls on [0, 1); None for a hash version that does not exist. A number is hashed as JavaScript writes it; raises
    Invalid for null, a list or an object.

    Version 1 hashes value + seed into 1,000 steps (kept for old experiments: its buckets are biased); version 2 hashes
    seed + value, then the decimal digits of that hash, into 10,000 steps.

    >>> hash_unit("seed", "b", 2)
    0.2696
    """
    text = value if isinstance(value, str) else text_of(value)
    if text is None:
        raise Invalid("only text and numbers are hashed", field="value")
    unit_of = hasher(seed, version)
    return None if unit_of is None else unit_of(text)


def hasher(seed: str, version: int) -> Callable[[str], float] | None:
    """`hash_unit` for one seed, which is read only once; None for a hash version that does not exist."""
    if version == 2:
        # The loops are _fnv1a written out, as each call counts here. High bits never reach low ones, so that short texts
        # can do without the mask at each step; in long ones the number would grow and grow.
        seeded = _fnv1a(seed)

        def unit(value: str) -> float:
            if len(value) <= _SHORT and value.isascii():
                state = seeded
                for character in value.encode():
                    state = (state ^ character) * _PRIME
            else:
                state = _fnv1a(value, seeded)
            digits = str(state & _MASK).encode()
            state = _OFFSET_BASIS
            for character in digits:
                state = (state ^ character) * _PRIME
            return (state & _MASK) % 10_000 / 10_000

        return unit
    if version == 1:
        return lambda value: _fnv1a(seed, _fnv1a(value)) % 1_000 / 1_000
    return None


def hash_units(seed: str, values: Sequence[str] | NDArray[np.str_], version: int) -> NDArray[np.float64]:
    """`hash_unit` of each of `values`: float64 of shape (len(values),).

    Raises Invalid for a hash version that does not exist.

    >>> hash_units("seed", ["b"], 2).tolist()
    [0.2696]
    """
    if version not in _BUCKETS:
        raise Invalid(f"there is no hash version {version}; use 1 or 2", field="hash_version")
    units = np.empty(len(values), dtype=np.float64)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        if version == 2:
            states = _absorb_digits(_absorb_texts(block, _fnv1a(seed)))
        else:
            states = _absorb_texts(block, _OFFSET_BASIS)
            for unit in _units_of(seed):
                _absorb(states, np.uint32(unit))
        units[start : start + _BLOCK] = states % np.uint32(_BUCKETS[version])
    units /= _BUCKETS[version]
    return units


def equal_weights(n: int) -> list[float]:
    """`n` equal shares of 1; an empty list when `n` is not positive."""
    return [1 / n] * n if n > 0 else []


def bucket_ranges(n: int, coverage: float | None, weights: Sequence[float] | None) -> list[BucketRange]:
    """The range of each of `n` variants.

    Each variant owns a stretch as wide as its weight and takes the first `coverage` of it, so that raising the
    coverage adds users and moves none. Coverage is clamped to [0, 1] (None is 1); weights that are missing, of the
    wrong number, or that do not sum to 1 within 0.01 give way to equal ones.

    >>> bucket_ranges(2, 0.5, None)
    [(0.0, 0.25), (0.5, 0.75)]
    """
    covered = 1.0 if coverage is None else min(1.0, max(0.0, coverage))
    shares = equal_weights(n) if weights is None or len(weights) != n else list(weights)
    if not 0.99 <= sum(shares) <= 1.01:
        shares = equal_weights(n)
    ranges: list[BucketRange] = []
    start = 0.0
    for share in shares:
        ranges.append((start, start + covered * share))
        start += share
    return ranges


def choose_variant(n: float, ranges: Sequence[BucketRange]) -> int:
    """The index of the first range that holds `n`; -1 when none does."""
    for index, (start, end) in enumerate(ranges):
        if start <= n < end:
            return index
    return -1


def choose_variants(units: NDArray[np.float64], ranges: Sequence[BucketRange]) -> NDArray[np.int64]:
    """`choose_variant` of each of `units`: int64 of the same shape.

    >>> choose_variants(np.array([0.1, 0.3, 0.6]), [(0.0, 0.25), (0.5, 0.75)]).tolist()
    [0, -1, 1]
    """
    chosen = np.full(units.shape, -1, dtype=np.int64)
    # The first range that holds a unit wins, so it is written last.
    for index in range(len(ranges) - 1, -1, -1):
        start, end = ranges[index]
        chosen[(units >= start) & (units < end)] = index
    return chosen


def in_namespace(unit: str, namespace: tuple[str, float, float]) -> bool:
    """Whether `unit` falls into the stretch [from, to) of a namespace given as (name, from, to).

    Experiments on disjoint stretches of one namespace never share a user.
    """
    name, start, end = namespace
    place = hash_unit("__" + name, unit, 1)
    return place is not None and start <= place < end


def _fnv1a(text: str, state: int = _OFFSET_BASIS) -> int:
    for unit in _units_of(text):
        state = (state ^ unit) * _PRIME & _MASK
    return state


def _units_of(text: str) -> list[int]:
    """The UTF-16 units of a text; a lone half of a pair stands for itself."""
    return list(map(ord, text if text.isascii() else _in_pairs(text)))


def _in_pairs(text: str) -> str:
    """The text with each character beyond U+FFFF as the two halves of its UTF-16 pair."""
    return _BEYOND_16_BITS.sub(
        lambda found: chr(0xD7C0 + (ord(found[0]) >> 10)) + chr(0xDC00 + (ord(found[0]) & 0x3FF)), text
    )


def _absorb(states: NDArray[np.uint32], characters: NDArray[np.uint32] | np.uint32) -> None:
    """One FNV-1a step in place; uint32 wraps around by itself."""
    np.bitwise_xor(states, characters, out=states)
    np.multiply(states, np.uint32(_PRIME), out=states)


def _absorb_texts(texts: Sequence[str] | NDArray[np.str_], state: int) -> NDArray[np.uint32]:
    """FNV-1a states after each text, starting from `state`.

    Longest texts first: those that still have a k-th character are then a prefix, and no text needs padding.
    """
    characters = _code_points("".join(texts))
    if int(characters.max(initial=0)) > 0xFFFF:
        texts = list(map(_in_pairs, texts))
        characters = _code_points("".join(texts))
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(-lengths, kind="stable")
    starts = starts[order]
    active = np.searchsorted(-lengths[order], -np.arange(int(lengths.max(initial=0))), side="left")
    states = np.full(len(texts), state, dtype=np.uint32)
    for count in active.tolist():
        _absorb(states[:count], characters[starts[:count]])
        starts[:count] += 1
    result = np.empty_like(states)
    result[order] = states
    return result


def _code_points(text: str) -> NDArray[np.uint32]:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


def _absorb_digits(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """FNV-1a of the decimal text of each number."""
    states = np.full(len(numbers), _OFFSET_BASIS, dtype=np.uint32)
    for power in range(9, -1, -1):
        leading = numbers // np.uint32(10**power)
        following = states.copy()
        _absorb(following, leading % np.uint32(10) + np.uint32(ord("0")))
        # A leading zero is not written; the last digit always is.
        states = following if power == 0 else np.where(leading > 0, following, states)
    return states
