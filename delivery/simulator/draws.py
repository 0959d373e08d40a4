"""Chance by key: the same seed, person and purpose give the same number, whatever came before.

A stream of random numbers would hand out fates in the order in which messages arrive, and no two runs of a concurrent
sender would agree. So each number here is a hash of what it is for, as in bucketing.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Uniforms = NDArray[np.float64]

DRAWS = 8
"""Uniform numbers per key: a 64-byte BLAKE2b digest holds eight of 64 bits."""

_TWO_TO_MINUS_53 = 2.0**-53
DELAY_SPAN = 6.0
"""The longest delay, in multiples of the scale of its exponential distribution."""


def uniforms(seed: int, purpose: str, keys: Sequence[str]) -> Uniforms:
    """Independent uniform numbers in [0, 1), shape (len(keys), DRAWS); row i depends on seed, purpose and keys[i] only."""
    start = hashlib.blake2b(f"{seed}\0{purpose}\0".encode())
    digests = bytearray()
    for key in keys:
        state = start.copy()
        state.update(key.encode())
        digests += state.digest()
    words = np.frombuffer(bytes(digests), dtype="<u8").reshape(len(keys), DRAWS)
    return (words >> np.uint64(11)).astype(np.float64) * _TWO_TO_MINUS_53


def uniform(seed: int, purpose: str, key: str) -> float:
    """One uniform number in [0, 1)."""
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * _TWO_TO_MINUS_53


def delays(draw: Uniforms, scale: float) -> Uniforms:
    """Delays in the unit of `scale`: exponential, cut off at DELAY_SPAN scales, so that a world surely comes to rest."""
    reach = 1.0 - math.exp(-DELAY_SPAN)
    return -scale * np.log1p(-draw * reach)


def amounts(draw: Uniforms, mean: Uniforms, sigma: Uniforms) -> Uniforms:
    """Lognormal amounts with the given means; `sigma` is the standard deviation of the logarithm."""
    safe = np.clip(draw, 2.0**-53, 1.0 - 2.0**-53)
    location = np.log(np.where(mean > 0, mean, 1.0)) - sigma**2 / 2
    return np.where(mean > 0, np.exp(location + sigma * ndtri(safe)), 0.0)
