"""Several covariates: one regression an arm, from means and covariances alone, as an aggregate that everything else takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats.aggregates import Aggregate

_DEPENDENT = 1e-10
"""Eigenvalues of the correlation matrix below this share of the largest one are covariates that repeat each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """n units of one arm with outcome Y and covariates X_1 .. X_k.

    mean: (k + 1,), Y first. covariance: (k + 1, k + 1) sample covariances (divisor n - 1) in the same order. Units of the data.
    """

    n: int
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    maximum: float | None = None

    @classmethod
    def from_sums(
        cls,
        n: int,
        sums: Sequence[float],
        products: Sequence[Sequence[float]],
        *,
        shift: Sequence[float],
        maximum: float | None = None,
    ) -> "Moments":
        """From sums of deviations from `shift` and of their products; the shift should be near the means.

        >>> Moments.from_sums(2, [0.0, 2.0], [[2.0, 0.0], [0.0, 4.0]], shift=[1.0, 0.0]).covariance
        ((2.0, 0.0), (0.0, 2.0))
        """
        total = np.asarray(sums, dtype=np.float64)
        # Values near the largest float overflow; `with_covariates` looks at what comes out.
        with np.errstate(over="ignore", invalid="ignore"):
            moment = np.asarray(products, dtype=np.float64) - np.outer(total, total) / max(n, 1)
        return cls(
            n=n,
            mean=tuple((np.asarray(shift) + total / max(n, 1)).tolist()),
            covariance=tuple(map(tuple, (moment / max(n - 1, 1)).tolist())),
            maximum=maximum,
        )


def with_covariates(arms: Sequence[Moments]) -> list[Aggregate]:
    """Aggregates whose comparison is the regression-adjusted one of Lin (2013): own slopes in each arm.

        a_arm = mean(Y) - b_arm' (mean(X) - pooled mean(X)),   b_arm = Cov(X)^-1 Cov(X, Y) of that arm
        Var(a_arm) = s2 (1/n + d' S^-1 d),   d = mean(X) - pooled mean(X),  S = (n - 1) Cov(X)

    Lin 2013, "Agnostic notes on regression adjustments to experimental data", Annals of Applied Statistics 7, eq 4: OLS of Y on
    the arm, X and their interaction, X centred at its mean over all `arms`. s2: residual variance with n - 1 - k degrees of
    freedom, so that Var is that of the arm's own OLS prediction at the pooled mean. Lin's HC2 weighs each unit's residual by its
    leverage, which means and covariances do not hold; both are E(e^2)/n to first order, also where the spread depends on X.
    The covariate of the returned aggregates is the index b_arm'(X - pooled mean), of the arm's own slopes, so that
    `difference` finds theta = 1. An arm with fewer than k + 3 units, or one in which X tells nothing, is left unadjusted.
    Covariates must be measured before the assignment. Those that repeat others are counted once.

    >>> cov = ((2.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    >>> control = Moments(n=1000, mean=(5.0, 1.0, 0.0), covariance=cov)
    >>> treatment = Moments(n=1000, mean=(5.5, 1.2, 0.0), covariance=cov)
    >>> [round(arm.mean - arm.mean_x, 6) for arm in with_covariates([control, treatment])]
    [5.1, 5.4]
    """
    usable = [arm for arm in arms if arm.n and all(map(math.isfinite, arm.mean))]
    if not usable:
        return [_unadjusted(arm) for arm in arms]
    # Values near the largest float overflow on the way; what comes out is checked.
    with np.errstate(all="ignore"):
        centre = np.average([arm.mean[1:] for arm in usable], axis=0, weights=[arm.n for arm in usable])
        return [_adjusted(arm, centre) for arm in arms]


def _adjusted(arm: Moments, centre: np.ndarray) -> Aggregate:
    cov = np.array(arm.covariance)
    if arm.n < 2 or not (np.isfinite(cov).all() and np.isfinite(arm.mean).all()):
        return _unadjusted(arm)
    spread = np.sqrt(np.diag(cov)[1:].clip(min=0.0))
    kept = np.flatnonzero(spread > 0) + 1
    scale = spread[kept - 1]
    correlation = cov[np.ix_(kept, kept)] / np.outer(scale, scale)
    if not (kept.size and np.isfinite(correlation).all()):
        return _unadjusted(arm)
    values, vectors = np.linalg.eigh(correlation)
    counted = values > _DEPENDENT * values.max(initial=0.0)
    freedom = arm.n - 1 - int(counted.sum())
    if not counted.any() or freedom < 2:
        return _unadjusted(arm)
    # Of the standardised covariates, in the directions that are not mere repetitions.
    inverse = vectors[:, counted] / values[counted] @ vectors[:, counted].T
    slopes = inverse @ (cov[0, kept] / scale)
    away = (np.array(arm.mean)[kept] - centre[kept - 1]) / scale
    explained = float(slopes @ correlation @ slopes)
    residual = max(cov[0, 0] - explained, 0.0) * (arm.n - 1) / freedom
    residual *= 1 + arm.n / (arm.n - 1) * float(away @ inverse @ away)
    removed, index = float(cov[0, 0]) - residual, float(slopes @ away)
    if not (removed > 0 and math.isfinite(removed) and math.isfinite(index)):
        return _unadjusted(arm)
    return Aggregate(
        n=arm.n,
        mean=arm.mean[0],
        variance=float(cov[0, 0]),
        # Covariance = variance makes theta 1 and leaves `residual` as the adjusted variance.
        mean_x=index,
        variance_x=removed,
        covariance_xy=removed,
        maximum=arm.maximum,
    )


def _unadjusted(arm: Moments) -> Aggregate:
    return Aggregate(
        n=arm.n, mean=arm.mean[0], variance=arm.covariance[0][0], mean_x=0.0, variance_x=0.0, covariance_xy=0.0,
        maximum=arm.maximum,
    )  # fmt: skip
