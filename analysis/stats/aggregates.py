"""Sufficient statistics of one arm for one metric: all that the comparisons need, whatever the number of users.

Rows become an `Aggregate` where they live (in the database, in DuckDB); from there on the mathematics is the same.
Moments are central, because sums of squares lose the variance of data whose mean is large compared with its spread.
"""

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

MOMENTS: Final = (
    "mean", "variance", "mean_d", "variance_d", "covariance_yd",
    "mean_x", "variance_x", "covariance_xy", "covariance_dx",
)  # fmt: skip


class Parts:
    """What `Aggregate` and its many-at-once sister `welch.Arms` have in common: which of the optional parts are there."""

    __slots__ = ()

    @property
    def has_denominator(self) -> bool:
        return not _lacks(self, "mean_d", "variance_d", "covariance_yd")

    @property
    def has_covariate(self) -> bool:
        if _lacks(self, "mean_x", "variance_x", "covariance_xy"):
            return False
        return not (self.has_denominator and _lacks(self, "covariance_dx"))

    def moments(self) -> dict[str, Any]:
        """Means, variances and covariances by name, those that are there."""
        return {name: value for name in MOMENTS if (value := getattr(self, name)) is not None}


def _lacks(parts: Parts, *names: str) -> bool:
    return any(getattr(parts, name) is None for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Parts):
    """n units with outcome Y; optionally a denominator D (ratio of means) and a covariate X (CUPED).

    mean, mean_d, mean_x: sample means. variance, variance_d, variance_x: sample variances (divisor n - 1; 0 when
    n < 2). covariance_yd, covariance_xy, covariance_dx: sample covariances. All in the units of the data.
    `maximum` is the largest Y, where known: it tells whether one user holds most of the total.
    Values are taken as they come, also NaN from a broken source; the comparisons refuse those with a reason.
    """

    n: int
    mean: float
    variance: float
    mean_d: float | None = None
    variance_d: float | None = None
    covariance_yd: float | None = None
    mean_x: float | None = None
    variance_x: float | None = None
    covariance_xy: float | None = None
    covariance_dx: float | None = None
    maximum: float | None = None

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, self.moments().values()))

    @classmethod
    def from_sums(
        cls,
        n: int,
        y: float,
        yy: float,
        *,
        d: float | None = None,
        dd: float | None = None,
        yd: float | None = None,
        x: float | None = None,
        xx: float | None = None,
        xy: float | None = None,
        dx: float | None = None,
        shift_y: float = 0.0,
        shift_d: float = 0.0,
        shift_x: float = 0.0,
        maximum: float | None = None,
    ) -> Self:
        """From sums over the units of (Y - shift_y), its square and the products with (D - shift_d), (X - shift_x).

            mean = shift_y + y/n        variance = (yy - y^2/n) / (n - 1)        covariance_yd = (yd - y d/n) / (n - 1)

        The subtraction is exact (rational arithmetic), so the only rounding left is that of the sums themselves. A
        variance below what n rounded additions can produce (n * 2^-52 * yy) is rounding, not spread, and becomes 0;
        pass a shift near the mean when the spread is less than about 1e-4 of it.
        Empty data (n = 0) has mean 0 and variance 0. Raises ValueError when n is negative.

        >>> four = Aggregate.from_sums(4, 10.0, 30.0)
        >>> four.mean, four.variance
        (2.5, 1.6666666666666667)
        """
        if n < 0:
            raise ValueError("n must not be negative")
        first = {"y": (y, shift_y), "d": (d, shift_d), "x": (x, shift_x)}
        second = {"yy": yy, "dd": dd, "yd": yd, "xx": xx, "xy": xy, "dx": dx}
        names = {
            "yy": "variance", "dd": "variance_d", "xx": "variance_x",
            "yd": "covariance_yd", "xy": "covariance_xy", "dx": "covariance_dx",
        }  # fmt: skip
        fields: dict[str, Any] = {"n": int(n), "maximum": maximum}
        for letter, field in (("y", "mean"), ("d", "mean_d"), ("x", "mean_x")):
            total, shift = first[letter]
            if total is not None:
                fields[field] = _mean(n, total, shift)
        for pair, field in names.items():
            product, left, right = second[pair], first[pair[0]][0], first[pair[1]][0]
            if product is not None and left is not None and right is not None:
                fields[field] = _co_moment(n, product, left, right, is_square=pair[0] == pair[1])
        return cls(**fields)

    @classmethod
    def from_counts(cls, n: int, successes: int) -> Self:
        """Of a proportion: n units, `successes` of them with outcome 1, the others 0.

        >>> Aggregate.from_counts(10, 3).mean
        0.3
        """
        if not 0 <= successes <= n:
            raise ValueError("successes must lie between 0 and n")
        return cls.from_sums(n, successes, successes, maximum=float(successes > 0))

    def merge(self, other: Self) -> Self:
        """The aggregate of both sets of units together (Chan, Golub, LeVeque 1983, eq 1.5a-b):

            T_ab = T_a + T_b        S_ab = S_a + S_b + n_a n_b / (n_a + n_b) * (mean_b - mean_a)^2

        and the same with a product of differences for co-moments. A part that only one side has is dropped.
        """
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        fields: dict[str, Any] = {"n": n}
        for name in ("mean", "mean_d", "mean_x"):
            a, b = getattr(self, name), getattr(other, name)
            if a is not None and b is not None:
                fields[name] = a + (b - a) * (other.n / n)
        for name, left, right in (
            ("variance", "mean", "mean"), ("variance_d", "mean_d", "mean_d"), ("variance_x", "mean_x", "mean_x"),
            ("covariance_yd", "mean", "mean_d"), ("covariance_xy", "mean", "mean_x"), ("covariance_dx", "mean_d", "mean_x"),
        ):  # fmt: skip
            a, b = getattr(self, name), getattr(other, name)
            if a is not None and b is not None:
                between = (getattr(other, left) - getattr(self, left)) * (
                    getattr(other, right) - getattr(self, right)
                )
                moment = a * (self.n - 1) + b * (other.n - 1) + between * (self.n / n) * other.n
                fields[name] = moment / (n - 1)
        if self.maximum is not None and other.maximum is not None:
            fields["maximum"] = max(self.maximum, other.maximum)
        return type(self)(**fields)


def _mean(n: int, total: float, shift: float) -> float:
    if n == 0:
        return 0.0
    if not (math.isfinite(total) and math.isfinite(shift)):
        return math.nan
    return _to_float(Fraction(shift) + Fraction(total) / n)


def _co_moment(n: int, product: float, left: float, right: float, *, is_square: bool) -> float:
    if n < 2:
        return 0.0
    if not all(map(math.isfinite, (product, left, right))):
        return math.nan
    moment = Fraction(product) - Fraction(left) * Fraction(right) / n
    if is_square and moment <= n * Fraction(sys.float_info.epsilon) * abs(Fraction(product)):
        return 0.0
    return _to_float(moment / (n - 1))


def _to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan
