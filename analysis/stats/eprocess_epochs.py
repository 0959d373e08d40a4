"""The e-process of two proportions (`eprocess.py`) where the chances of the arms changed with time: counts per epoch, any peeking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize

from analysis.stats.difference import Interval
from analysis.stats.eprocess import log_e_by_epoch
from analysis.stats.errors import InsufficientData

_FLOOR: Final = -1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactByEpoch:
    """Treatment against control at one look: users (n) and successes (x) of each epoch, in step.

    share: the chance, among users of these two arms, to be drawn into treatment in that epoch, strictly between 0 and 1.
    size: `eprocess.bet_size`, the same at every look. Raises InsufficientData when no epoch has both arms.
    """

    n_c: Sequence[int]
    x_c: Sequence[int]
    n_t: Sequence[int]
    x_t: Sequence[int]
    share: Sequence[float]
    size: float

    def __post_init__(self) -> None:
        if not all(0 < share < 1 for share in self.share):
            raise ValueError("a share must lie between 0 and 1")
        if not any(a and b for a, b in zip(self.n_c, self.n_t, strict=True)):
            raise InsufficientData(
                "there is no stretch of time with fixed weights in which both arms have users"
            )

    @property
    def estimate(self) -> float:
        """The difference at which bets gain nothing to first order: epochs weighted by sqrt(n_C n_T).

        >>> ExactByEpoch(n_c=[10], x_c=[2], n_t=[10], x_t=[4], share=[0.5], size=0.04).estimate
        0.2
        """
        n_c, x_c, n_t, x_t = (
            np.asarray(each, dtype=np.float64) for each in (self.n_c, self.x_c, self.n_t, self.x_t)
        )
        weight = np.sqrt(n_c * n_t)
        delta = x_t / np.maximum(n_t, 1) - x_c / np.maximum(n_c, 1)
        return float((weight * delta).sum() / weight.sum())

    def log_e(self, margin: float = 0.0) -> float:
        """The log of the evidence that p_T - p_C > margin; reject <= margin at level alpha when it is >= log(1 / alpha)."""
        counts = (np.asarray(each, dtype=np.float64) for each in (self.n_c, self.x_c, self.n_t, self.x_t))
        found = log_e_by_epoch(*counts, share=np.asarray(self.share), size=self.size, margin=margin)
        return max(float(found), _FLOOR)

    def swapped(self) -> "ExactByEpoch":
        """The same with the arms exchanged."""
        return ExactByEpoch(
            n_c=self.n_t, x_c=self.x_t, n_t=self.n_c, x_t=self.x_c,
            share=tuple(1 - share for share in self.share), size=self.size,
        )  # fmt: skip

    def p_value(self) -> float:
        """Two-sided, against no difference, valid at every look. Raises InsufficientData when all outcomes are the same."""
        successes = sum(self.x_c) + sum(self.x_t)
        if successes in (0, sum(self.n_c) + sum(self.n_t)):
            raise InsufficientData("every outcome is the same in both arms")
        most = max(self.log_e(), self.swapped().log_e())
        return min(1.0, 2 * math.exp(-max(most, 0.0)))

    def interval(self, level: float) -> Interval:
        """p_T - p_C, held at all looks together with a chance of at least 1 - level (level / 2 on each side)."""
        if not 0 < level < 2:
            raise ValueError("the level must lie between 0 and 2")
        needed = math.log(2 / level)
        return Interval(self.estimate, _lower(self, needed), -_lower(self.swapped(), needed))


def _lower(arms: ExactByEpoch, needed: float) -> float:
    estimate = arms.estimate
    if arms.log_e(-1.0) <= needed:
        return -1.0
    # Where stakes are cut at their largest, bets may gain at the estimate itself; the interval then ends there.
    if arms.log_e(estimate) >= needed:
        return estimate
    found = optimize.brentq(lambda d: arms.log_e(d) - needed, -1.0, estimate, xtol=1e-13, rtol=1e-12)
    return min(float(found), estimate)
