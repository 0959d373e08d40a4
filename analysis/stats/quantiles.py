"""Quantiles, compared through order statistics: no density has to be estimated."""

import math
from collections.abc import Sequence
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
    quantile; lower, upper: the order statistics of the ranks that `order_statistic_ranks` gave; z: the normal quantile
    that this bracket stands for.
    """

    n: int
    units: int
    level: float
    value: float
    lower: float
    upper: float
    z: float

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, (self.value, self.lower, self.upper, self.z)))

    @property
    def standard_error(self) -> float:
        """(upper - lower) / (2 z), in units of the data."""
        return (self.upper - self.lower) / (2 * self.z)

    @classmethod
    def from_values(cls, values: Sequence[float] | np.ndarray, level: float = 0.5) -> "Quantile":
        """From all values of one arm, each an independent unit; for small data and for checking.

        >>> Quantile.from_values(range(1, 102)).value
        51.0
        """
        ordered = np.sort(np.asarray(values, dtype=float))
        low, high, z = order_statistic_ranks(ordered.size, level)
        return cls(
            n=int(ordered.size),
            units=int(ordered.size),
            level=level,
            value=float(np.quantile(ordered, level)),
            lower=float(ordered[low - 1]),
            upper=float(ordered[high - 1]),
            z=z,
        )


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
        raise InsufficientData(f"{n} rows are too few for an interval of the {level:g} quantile")
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
    if not (control.is_finite and treatment.is_finite and min(control.z, treatment.z) > 0):
        raise InsufficientData("the data contain a value that is not a finite number")
    error = control.standard_error
    return Difference(
        estimate=treatment.value - control.value,
        standard_error=math.hypot(treatment.standard_error, error),
        degrees_of_freedom=None,
        n=control.units + treatment.units,
        control_mean=control.value,
        control_variance=error * error,
        covariance=-error * error,
    )
