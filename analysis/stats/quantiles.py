"""Quantiles, compared through order statistics: no density has to be estimated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.stats.difference import Difference
from analysis.stats.errors import InsufficientData

BRACKET_LEVEL = 0.95
"""Level of the order-statistic interval from which the standard error is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """What a comparison of quantiles needs of one arm: three order statistics and the level they bracket.

    n: rows; units: independent units they come from; level: the quantile's level p in (0, 1); value: the sample
    quantile (None without rows); lower, upper: the order statistics of the ranks that `order_statistic_ranks` gave; z: the
    normal quantile that this bracket stands for. All three are None when there are too few rows for a bracket.
    """

    n: int
    units: int
    level: float
    value: float | None
    lower: float | None
    upper: float | None
    z: float | None

    @property
    def is_finite(self) -> bool:
        return all(
            each is not None and math.isfinite(each) for each in (self.value, self.lower, self.upper, self.z)
        )

    @property
    def standard_error(self) -> float:
        """(upper - lower) / (2 z), in units of the data; raises InsufficientData when there is no bracket."""
        if self.lower is None or self.upper is None or self.z is None:
            raise too_few(self.n, self.level)
        return (self.upper - self.lower) / (2 * self.z)

    @classmethod
    def from_values(cls, values: Sequence[float] | np.ndarray, level: float = 0.5) -> "Quantile":
        """From all values of one arm, each an independent unit; for small data and for checking.

        >>> Quantile.from_values(range(1, 102)).value
        51.0
        """
        ordered = np.sort(np.asarray(values, dtype=float))
        ranks = ranks_of(ordered.size, level)
        return cls.from_ranked(ranks, {rank: float(ordered[rank - 1]) for rank in ranks.wanted})

    @classmethod
    def from_ranked(cls, ranks: "Ranks", found: Mapping[int, float]) -> "Quantile":
        """From the order statistics that `ranks_of` asked for, by rank; each row an independent unit.

        value = x_(below) + share (x_(above) - x_(below)), which is type 7 of Hyndman and Fan 1996.
        """
        bracket = (None, None) if ranks.bracket is None else tuple(found[rank] for rank in ranks.bracket)
        value = None
        if ranks.n:
            below, above = found[ranks.below], found[ranks.above]
            value = below + ranks.share * (above - below)
        return cls(
            n=ranks.n, units=ranks.n, level=ranks.level, value=value, lower=bracket[0], upper=bracket[1], z=ranks.z
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which order statistics of n rows make up a `Quantile`; ranks count from 1. bracket, z: None with too few rows."""

    n: int
    level: float
    below: int
    above: int
    share: float
    bracket: tuple[int, int] | None
    z: float | None

    @property
    def wanted(self) -> tuple[int, ...]:
        """Every rank that is needed, once."""
        return tuple(sorted({self.below, self.above, *(self.bracket or ())})) if self.n else ()


def ranks_of(n: int, level: float) -> Ranks:
    """The order statistics that tell the quantile of n independent rows and its interval.

    Raises ValueError for a level outside (0, 1); never for a small n.

    >>> ranks_of(101, 0.5).wanted
    (41, 51, 52, 61)
    """
    place = (max(n, 1) - 1) * level
    below = math.floor(place) + 1
    bracket, z = None, None
    try:
        *low_and_high, z = order_statistic_ranks(n, level)
        bracket = (low_and_high[0], low_and_high[1])
    except InsufficientData:
        pass
    return Ranks(
        n=n,
        level=level,
        below=below,
        above=min(below + 1, max(n, 1)),
        share=place - (below - 1),
        bracket=bracket,
        z=z,
    )


def too_few(n: int, level: float) -> InsufficientData:
    """Why n rows have no interval."""
    if n == 0:
        return InsufficientData("an arm has no users")
    return InsufficientData(f"{n} rows are too few for an interval of the {level:g} quantile")


def order_statistic_ranks(n: int, level: float, *, design_effect: float = 1.0) -> tuple[int, int, float]:
    """Ranks (from 1) of two order statistics around the quantile, and the z that their bracket stands for.

    The interval [x_(l), x_(u)] covers the p-quantile with probability P(l <= B < u), B ~ Binomial(n, p) (density-free;
    Price & Bonett 2002). Ranks are n p -+ 1.96 sqrt(n p (1 - p) * design_effect), rounded outwards;
    z = Phi^-1((1 + coverage)/2), so that (x_(u) - x_(l)) / (2 z) is a standard error.
    design_effect: Var(share of rows below the quantile) over its value for independent rows; more than 1 when the rows
    of one unit resemble each other (Deng, Knoblich, Lu 2018, on quantiles). The binomial then has n / design_effect trials.
    Raises InsufficientData when n is too small for a bracket inside the sample; ValueError for a level outside (0, 1).

    >>> low, high, z = order_statistic_ranks(101, 0.5)
    >>> low, high
    (41, 61)
    """
    if not 0 < level < 1:
        raise ValueError("the level of a quantile lies strictly between 0 and 1")
    half = stats.norm.isf((1 - BRACKET_LEVEL) / 2) * math.sqrt(n * level * (1 - level) * design_effect)
    low, high = math.floor(n * level - half + 0.5), math.ceil(n * level + half + 0.5)
    if low < 1 or high > n:
        raise too_few(n, level)
    if design_effect == 1.0:
        coverage = float(stats.binom.cdf(high - 1, n, level) - stats.binom.cdf(low - 1, n, level))
        return low, high, float(stats.norm.isf((1 - coverage) / 2))
    spread = math.sqrt(n * level * (1 - level) * design_effect)
    return low, high, (high - low) / (2 * spread)


def quantile_difference(control: Quantile, treatment: Quantile) -> Difference:
    """Treatment quantile - control quantile, with standard errors from order statistics.

        estimate = q_T - q_C,  se^2 = se_T^2 + se_C^2,  se_a = (x_(u) - x_(l)) / (2 z)        (Price & Bonett 2002)

    Normal, so not for tails with few rows beyond the quantile. Raises InsufficientData when a value is not finite or
    when both brackets are points (most rows are tied at the quantile).

    >>> d = quantile_difference(Quantile.from_values(range(101)), Quantile.from_values(range(10, 111)))
    >>> d.estimate, round(d.standard_error, 3)
    (10.0, 7.089)
    """
    for arm in (control, treatment):
        if arm.n == 0 or arm.z is None:
            raise too_few(arm.n, arm.level)
        if not arm.is_finite or arm.z <= 0:
            raise InsufficientData("the data contain a value that is not a finite number")
    error, other = control.standard_error, treatment.standard_error
    known, value = control.value or 0.0, treatment.value or 0.0
    if error == other == 0:
        raise InsufficientData(f"most users are tied at the {control.level:g} quantile, so it has no spread")
    return Difference(
        estimate=value - known,
        standard_error=math.hypot(other, error),
        degrees_of_freedom=None,
        n=control.units + treatment.units,
        control_mean=known,
        control_variance=error * error,
        covariance=-error * error,
    )
