"""Amounts and numbers of events of many made-up users at once: only their sums and sums of squares, which is all that anybody is told."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ONE_BY_ONE: Final = 2_000
"""Users of a cell up to which each is drawn. Beyond, their sum is drawn as normal, with the exact moments."""
AT_A_TIME: Final = 4_000_000
"""Users that are drawn together."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """The number of a user who has one: mean above 0 and sd.

    Amounts of money are log-normal: many small ones, a few large. whole: numbers of events instead, 1 + Poisson, or where the sd asks for it
    1 + negative binomial (a Poisson whose rate is gamma); then mean >= 1 and sd^2 >= mean - 1.
    """

    mean: float
    sd: float
    whole: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.sd) and self.mean > 0 and self.sd >= 0):
            raise ValueError("an amount has a mean above 0 and an sd of at least 0")
        if self.whole and (self.mean < 1 or self.sd**2 < (self.mean - 1) * (1 - 1e-9)):
            raise ValueError("who has an event has at least one, and sd^2 is at least mean - 1")

    @property
    def moments(self) -> tuple[float, float, float]:
        """E X, E X^2, E X^3.

        Log-normal: E X^j = mean^j (1 + sd^2/mean^2)^(j (j - 1)/2). Events: of X = 1 + G, from the factorial moments of the gamma-Poisson,
        E G (G - 1) .. (G - j + 1) = prod_{i < j} (m + i v/m), m = mean - 1, v = sd^2 - m.

        >>> Amounts(2.0, 1.0, whole=True).moments      # 1 + Poisson(1): 1 + 1, 1 + 2 + 2, 1 + 3 + 6 + 5
        (2.0, 5.0, 15.0)
        """
        if not self.whole:
            spread = 1 + (self.sd / self.mean) ** 2
            return self.mean, self.mean**2 * spread, self.mean**3 * spread**3
        m = self.mean - 1
        step = max(self.sd**2 - m, 0.0) / m if m > 0 else 0.0
        f1, f2 = m, m * (m + step)
        f3 = f2 * (m + 2 * step)
        g2, g3 = f2 + f1, f3 + 3 * f2 + f1
        return 1 + f1, 1 + 2 * f1 + g2, 1 + 3 * f1 + 3 * g2 + g3

    def sums(self, users: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Sum and sum of squares of so many users, for each cell of `users` (any shape).

        Above `ONE_BY_ONE` users n the sum S is normal and the sum of squares what is expected beside it,
        n E X^2 + Cov(X, X^2)/Var X (S - n E X), never below S^2/n.
        """
        counts = np.asarray(users, dtype=np.int64)
        flat = counts.ravel()
        total, squares = np.zeros(flat.shape), np.zeros(flat.shape)
        few = np.flatnonzero((flat > 0) & (flat <= ONE_BY_ONE))
        ends = np.cumsum(flat[few])
        pieces = np.searchsorted(ends, np.arange(AT_A_TIME, int(ends[-1]) if len(ends) else 0, AT_A_TIME))
        for piece in np.split(few, pieces):
            self._one_by_one(flat, piece, total, squares, rng)
        many = np.flatnonzero(flat > ONE_BY_ONE)
        if len(many):
            total[many], squares[many] = self._as_normal(flat[many].astype(np.float64), rng)
        return total.reshape(counts.shape), squares.reshape(counts.shape)

    def _one_by_one(
        self,
        counts: NDArray[np.int64],
        cells: NDArray[np.intp],
        total: Floats,
        squares: Floats,
        rng: np.random.Generator,
    ) -> None:
        if not len(cells):
            return
        drawn = self._draw(int(counts[cells].sum()), rng)
        starts = np.concatenate([[0], np.cumsum(counts[cells])[:-1]])
        total[cells], squares[cells] = np.add.reduceat(drawn, starts), np.add.reduceat(drawn**2, starts)

    def _draw(self, users: int, rng: np.random.Generator) -> Floats:
        if not self.whole:
            variance = np.log1p((self.sd / self.mean) ** 2)
            return rng.lognormal(np.log(self.mean) - variance / 2, np.sqrt(variance), users)
        m = self.mean - 1
        beyond = self.sd**2 - m
        if m > 0 and beyond > 1e-9 * m:
            return np.asarray(
                1.0 + rng.poisson(rng.gamma(m**2 / beyond, beyond / m, users)), dtype=np.float64
            )
        return np.asarray(1.0 + rng.poisson(m, users), dtype=np.float64)

    def _as_normal(self, n: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        one, two, three = self.moments
        variance = max(two - one**2, 0.0)
        total = np.maximum(n * one + np.sqrt(n * variance) * rng.standard_normal(len(n)), 0.0)
        if self.whole:
            total = np.rint(np.maximum(total, n))
        slope = (three - one * two) / variance if variance > 0 else 0.0
        return total, np.maximum(n * two + slope * (total - n * one), total**2 / n)
