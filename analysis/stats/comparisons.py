"""Many comparisons of two arms at once: `difference.py` for arrays, several hundred thousand a second.

The formulas are those of `welch.py`, so each comparison gets the numbers that `difference.py` gives it. Answers are
masked arrays (`numpy.ma`): what cannot be told is masked, with its `reason` beside it (`reasons.Reason`), so that counts and means over
the answers leave it out by themselves. There is never a NaN, and never p = 1 for want of data.
Sign convention: treatment - control.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.stats import reasons, welch
from analysis.stats.aggregates import MOMENTS, Aggregate
from analysis.stats.reasons import Codes
from analysis.stats.welch import Arms, Effects, Floats

Told = np.ma.MaskedArray
"""A number for each comparison, masked where it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Treatment minus control in k comparisons: the fields of `Difference` as masked arrays of length k.

    degrees_of_freedom: infinite where the statistic is normal. reason: why a comparison is masked, 0 where it is not.
    """

    estimate: Told
    standard_error: Told
    degrees_of_freedom: Told
    n: Told
    control_mean: Told
    control_variance: Told
    covariance: Told
    variance_reduction: Told
    reason: Codes

    def __len__(self) -> int:
        return len(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """k estimates with their confidence limits, lower <= estimate <= upper, masked where there is a `reason`."""

    estimate: Told
    lower: Told
    upper: Told
    reason: Codes

    def contain(self, value: float) -> Told:
        """Whether each interval holds `value`; masked where there is no interval."""
        inside: Told = np.ma.logical_and(self.lower <= value, self.upper >= value)
        return inside


def arms_of(aggregates: Sequence[Aggregate]) -> Arms:
    """The aggregates of one arm in k comparisons as arrays of length k. All must have the same parts (ValueError otherwise).

    >>> arms_of([Aggregate(n=2, mean=0.5, variance=0.5), Aggregate.from_counts(10, 3)]).mean.tolist()
    [0.5, 0.3]
    """
    shapes = {tuple(aggregate.moments()) for aggregate in aggregates}
    if len(shapes) > 1:
        raise ValueError("the aggregates of many comparisons must all have the same parts")
    columns: dict[str, Any] = {
        name: np.array([getattr(aggregate, name) for aggregate in aggregates], dtype=np.float64)
        for name in (next(iter(shapes)) if shapes else MOMENTS[:2])
    }
    return Arms(n=np.array([aggregate.n for aggregate in aggregates], dtype=np.float64), **columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over the units of one arm in k comparisons: their number n, Y, Y^2 and the products with D and X.

    The letters are those of `Aggregate.from_sums`; values must be deviations from a number near the mean of all arms
    (`shift_y` ..), for here nothing but double precision keeps the digits of a variance.
    """

    n: Floats
    y: Floats
    yy: Floats
    d: Floats | None = None
    dd: Floats | None = None
    yd: Floats | None = None
    x: Floats | None = None
    xx: Floats | None = None
    xy: Floats | None = None
    dx: Floats | None = None
    shift_y: float = 0.0
    shift_d: float = 0.0
    shift_x: float = 0.0

    def arms(self) -> Arms:
        """Mean = shift + y/n, variance = (yy - y^2/n) / (n - 1), and so on; 0 where n is too small for it."""
        n, less = np.maximum(self.n, 1.0), np.maximum(self.n - 1, 1.0)

        def mean(total: Floats | None, shift: float) -> Floats | None:
            return None if total is None else np.where(self.n > 0, shift + total / n, 0.0)

        def moment(product: Floats | None, left: Floats | None, right: Floats | None) -> Floats | None:
            if product is None or left is None or right is None:
                return None
            return np.where(self.n > 1, (product - left * right / n) / less, 0.0)

        def square(product: Floats | None, total: Floats | None) -> Floats | None:
            found = moment(product, total, total)
            return None if found is None else np.maximum(found, 0.0)

        mean_y, variance = mean(self.y, self.shift_y), square(self.yy, self.y)
        assert mean_y is not None  # noqa: S101  # y is always there
        assert variance is not None  # noqa: S101
        return Arms(
            n=self.n,
            mean=mean_y,
            variance=variance,
            mean_d=mean(self.d, self.shift_d),
            variance_d=square(self.dd, self.d),
            covariance_yd=moment(self.yd, self.y, self.d),
            mean_x=mean(self.x, self.shift_x),
            variance_x=square(self.xx, self.x),
            covariance_xy=moment(self.xy, self.x, self.y),
            covariance_dx=moment(self.dx, self.d, self.x),
        )


def differences(control: Arms, treatment: Arms) -> Differences:
    """`difference.difference` for each pair; arms of length k, or one of them a single arm for all.

    Not for a handful of successes (`proportions`), nor for quantiles. Never raises for data.

    >>> control = arms_of([Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=1, mean=1.0, variance=0.0)])
    >>> found = differences(control, arms_of([Aggregate(n=100, mean=1.5, variance=5.0)]))
    >>> found.estimate.tolist(), found.standard_error.tolist()
    ([0.5, None], [0.3, None])
    >>> reasons.words(found.reason[1])
    'an arm has only one user'
    """
    found, reason = welch.effects(control, treatment)
    k = max(np.size(control.n), np.size(treatment.n))
    codes: Codes = np.broadcast_to(np.asarray(reason, dtype=np.int8), (k,)).copy()
    columns: dict[str, Any] = {
        field.name: _told(getattr(found, field.name), codes) for field in fields(Effects)
    }
    return Differences(**columns, reason=codes)


def p_values(found: Differences, *, null: ArrayLike = 0.0) -> Told:
    """`difference.p_value` for each: two-sided p of H0: difference = `null` (a number, or one for each comparison).

    >>> control, treatment = Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=100, mean=1.5, variance=5.0)
    >>> p_values(differences(arms_of([control]), arms_of([treatment]))).round(6).tolist()
    [0.097181]
    """
    return _told(welch.two_sided(_effects(found), np.asarray(null, dtype=np.float64)), found.reason)


def absolute(found: Differences, level: ArrayLike) -> Intervals:
    """`difference.absolute` for each, in units of the metric. level: a number in (0, 1), or one for each comparison."""
    lower, upper, reason = welch.absolute_limits(_effects(found), _levels(level))
    return _intervals(found, found.estimate.data, lower, upper, reason)


def relative(found: Differences, level: ArrayLike) -> Intervals:
    """`difference.relative` for each, as shares of the control mean: delta method or Fieller, comparison by comparison."""
    lift, lower, upper, reason = welch.relative_limits(_effects(found), _levels(level))
    return _intervals(found, lift, lower, upper, reason)


def _levels(level: ArrayLike) -> Floats:
    levels = np.asarray(level, dtype=np.float64)
    if not np.all((levels > 0) & (levels < 1)):
        raise ValueError("level lies strictly between 0 and 1")
    return levels


def _effects(found: Differences) -> Effects:
    columns: dict[str, Any] = {field.name: getattr(found, field.name).data for field in fields(Effects)}
    return Effects(**columns)


def _intervals(
    found: Differences, estimate: Floats, lower: Floats, upper: Floats, reason: Codes
) -> Intervals:
    codes: Codes = np.where(found.reason != reasons.Reason.TOLD, found.reason, reason)
    return Intervals(
        estimate=_told(estimate, codes), lower=_told(lower, codes), upper=_told(upper, codes), reason=codes
    )


def _told(values: Floats, reason: Codes) -> Told:
    unknown = reason != reasons.Reason.TOLD
    told: Told = np.ma.array(np.where(unknown, 0.0, values), mask=unknown)
    return told
