"""Whether a comparison keeps its promise where nothing is to be found: from p-values and intervals to words. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import stats

from analysis.stats.comparisons import Told

ALPHAS: Final = (0.01, 0.05, 0.1)
BINS: Final = 20
TOLERANCE: Final = 0.2
"""An error rate may be off by this share of itself: 95 % intervals then cover between 94 and 96 %."""
SURE: Final = 3.0
"""Standard errors of the simulation beyond the tolerance from which on it is no accident."""
FEWEST_RUNS: Final = 100
NEARLY_ALL: Final = 0.95


class Verdict(StrEnum):
    """Of one comparison. TOO_NARROW: effects are found where there are none. TOO_WIDE: safe, but effects are missed."""

    HOLDS = "holds"
    TOO_NARROW = "too_narrow"
    TOO_WIDE = "too_wide"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of the runs, with the standard error of the simulation (Monte-Carlo)."""

    share: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One comparison in many runs without an effect.

    runs: those that could be told. untold: those that could not. below: alpha -> share of p < alpha, which should be alpha.
    distance: of the p-values from the uniform distribution (Kolmogorov-Smirnov). histogram: runs by p, in 20 equal steps.
    covers, lift_covers: share of the 95 % intervals, absolute and relative, that hold 0; the latter None where more than one run
    in twenty has no lift, for chance has then chosen which have one. scatter: spread of the estimates over their standard error, which should be 1.
    """

    runs: int
    untold: int
    below: dict[str, Share]
    distance: float
    histogram: tuple[int, ...]
    covers: Share
    lift_covers: Share | None
    scatter: float
    verdict: Verdict


def share_of(told: Told) -> Share:
    """The share of True, of what could be told."""
    n = int(told.count())
    share = float(told.sum()) / n if n else 0.0
    return Share(share=share, error=math.sqrt(share * (1 - share) / n) if n else 0.0)


def calibrate(*, p: Told, covers: Told, lift_covers: Told, estimate: Told, error: Told) -> Calibration | None:
    """What the runs say, masked where they say nothing; None with fewer than 100 that say something.

    p: two-sided p-values; covers, lift_covers: whether the interval holds 0; estimate, error: effect and its standard error.
    """
    values = np.asarray(p.compressed(), dtype=np.float64)
    n = len(values)
    if n < FEWEST_RUNS:
        return None
    below = {
        f"{alpha:g}": Share(share=float(share), error=math.sqrt(alpha * (1 - alpha) / n))
        for alpha in ALPHAS
        for share in [np.mean(values < alpha)]
    }
    histogram, _ = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    typical = float(np.mean(error.compressed() ** 2)) if error.count() else 0.0
    return Calibration(
        runs=n,
        untold=int(p.size) - n,
        below=below,
        distance=float(stats.kstest(values, "uniform", method="asymp").statistic),
        histogram=tuple(histogram.tolist()),
        covers=share_of(covers),
        lift_covers=share_of(lift_covers) if lift_covers.count() >= NEARLY_ALL * n else None,
        scatter=math.sqrt(float(np.var(estimate.compressed())) / typical) if typical > 0 else 0.0,
        verdict=judged([(alpha, below[f"{alpha:g}"].share) for alpha in ALPHAS], n),
    )


def judged(below: Sequence[tuple[float, float]], runs: int) -> Verdict:
    """The verdict on shares of p < alpha: (alpha, share) pairs from so many runs.

    >>> judged([(0.05, 0.052)], 10_000), judged([(0.05, 0.09)], 10_000), judged([(0.05, 0.09)], 100)
    (<Verdict.HOLDS: 'holds'>, <Verdict.TOO_NARROW: 'too_narrow'>, <Verdict.HOLDS: 'holds'>)
    """

    def beyond(share: float, bound: float) -> float:
        return (share - bound) / math.sqrt(bound * (1 - bound) / runs)

    if any(beyond(share, alpha * (1 + TOLERANCE)) > SURE for alpha, share in below):
        return Verdict.TOO_NARROW
    if any(beyond(share, alpha * (1 - TOLERANCE)) < -SURE for alpha, share in below):
        return Verdict.TOO_WIDE
    return Verdict.HOLDS
