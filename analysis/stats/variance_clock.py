"""The clock of alpha spending: how much two looks have in common is a matter of variance, not of users.

What is tested at look k is the sum S_k of what users (or epochs, weighted by the users who came) have shown so far. It grows by independent
parts, so that

    Cov(S_j, S_k) = V_j = Var(S_j)        corr(Z_j, Z_k) = sqrt(V_j / V_k)        (j <= k)

and Z_k is a Brownian motion in the time V, whatever the base rate does. V_j / V_k is the share of *users* only while a user's variance stays what
it is. When a share doubles while everybody looks, late users vary more, early looks are less alike to the last than their users say, and
bounds drawn for the share of users are crossed too often. (1 / se^2, the information of a mean, turns it the wrong way round: S_k is N_k times
a mean, and Var(S_k) = N_k^2 se_k^2.) Which share of alpha is spent by when is free, as long as it does not follow the effect (Lan and
DeMets 1983), so that stays a matter of users, whose planned number is known. docs/decisions/0051.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

import numpy as np

CLOSEST: Final = 1e-4
"""Looks nearer to each other than this share of the variance are one: nothing to speak of has come in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceClock:
    """Var(S) after each of some shares of the planned users, in any unit; linear between them and from 0 on.

    fractions: increasing, above 0. variances: of the same length, not falling.
    """

    fractions: tuple[float, ...]
    variances: tuple[float, ...]

    @classmethod
    def of_looks(cls, fractions: Sequence[float], variance: Sequence[float]) -> Self | None:
        """From the variance s2_j of one user's outcome among all who had come by each fraction f_j:  V_j = f_j s2_j.

        Fractions ascending. None where nothing is known that varies.

        >>> VarianceClock.of_looks([0.5, 1.0], [0.04, 0.06])
        VarianceClock(fractions=(0.5, 1.0), variances=(0.02, 0.06))
        """
        return cls._of(fractions, [f * s2 for f, s2 in zip(fractions, variance, strict=True)])

    @classmethod
    def of_epochs(cls, users: Sequence[float], variance: Sequence[float], now: float) -> Self | None:
        """From the users N_t and the variance s2_t of one user's outcome in each epoch so far:  V = sum_t N_t s2_t.

        That is the variance of sum_t b_t d_t (`adaptive.stabilised`), however the users of an epoch were split. now: the fraction that all
        these users are. None where nothing is known that varies.

        >>> VarianceClock.of_epochs([100, 300], [0.04, 0.06], 0.8)
        VarianceClock(fractions=(0.2, 0.8), variances=(4.0, 22.0))
        """
        total = sum(users)
        if not total > 0:
            return None
        kept = [(n, s2) for n, s2 in zip(users, variance, strict=True) if n > 0]
        fractions = [now * came / total for came in accumulate(n for n, _ in kept)]
        return cls._of(fractions, list(accumulate(n * s2 for n, s2 in kept)))

    @classmethod
    def _of(cls, fractions: Sequence[float], variances: Sequence[float]) -> Self | None:
        if not variances or not np.isfinite(variances).all() or not variances[-1] > 0:
            return None
        # An early look may, by chance, have seen more variance than all users since. It has no more than they have.
        return cls(
            fractions=tuple(fractions),
            variances=tuple(accumulate((min(each, variances[-1]) for each in variances), max)),
        )

    def times(self, fractions: Sequence[float]) -> tuple[float, ...]:
        """V at each fraction as a share of V at the last of them: shape (k,), the last 1."""
        at = np.interp(fractions, (0.0, *self.fractions), (0.0, *self.variances))
        return tuple((at / at[-1]).tolist()) if at[-1] > 0 else tuple(f / fractions[-1] for f in fractions)


def looks_that_count(times: Sequence[float]) -> list[int]:
    """Of looks at these times, the last of them 1: those at least `CLOSEST` apart from 0, from each other and from the last, and the last."""
    kept: list[int] = []
    for k, time in enumerate(times[:-1]):
        if time - (times[kept[-1]] if kept else 0.0) >= CLOSEST and time <= times[-1] - CLOSEST:
            kept.append(k)
    return [*kept, len(times) - 1]
