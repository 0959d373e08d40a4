"""Sample ratio mismatch: are the arms as large, relative to each other, as they were meant to be?"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from analysis.stats.errors import InsufficientData

ALARM_P = 0.001
ALARM_E = 1000.0
CONCENTRATIONS = (100.0, 1000.0)
"""Total weights c of the Dirichlet alternative: small finds a gross skew early, large a small skew later."""
SMALLEST_EXPECTED = 5.0
SMALLEST_SHARE = 1e-100
"""Smaller ones are none that anybody means, and their powers have no logarithm."""


def chi_square(
    counts: Sequence[int], weights: Sequence[float], *, totals: Sequence[int] | None = None
) -> float:
    """The p-value of Pearson's chi-square of the counts against the weights (Pearson 1900):

        X^2 = sum_i (S_i - n theta_i)^2 / (n theta_i),  dof = arms with weight > 0, minus 1

    counts, weights: one per arm; weights on any positive scale, as really drawn. For a later stage of a funnel pass
    `totals`, the users that each arm started with, as the weights too: those who got there are drawn from them without
    replacement, so X^2 is divided by 1 - (all who got there) / (all who started), which makes it the test of equal shares.
    Valid at one look. Raises InsufficientData with fewer than two arms or an expected count below 5, ValueError when an
    arm of weight 0 has users (an error of its own, not a matter of chance).

    >>> round(chi_square([5100, 4900], [1, 1]), 5)
    0.0455
    """
    kept, theta = _shares([counts], weights)
    n = kept.sum()
    if n * theta.min() < SMALLEST_EXPECTED:
        raise InsufficientData("too few users to compare the sizes of the arms")
    statistic = float(_pearson(kept, theta)[0])
    if totals is not None:
        remaining = 1 - float(n) / sum(totals)
        if statistic < 1e-12:
            return 1.0
        if remaining <= 0:
            raise InsufficientData("everybody got this far, so there is nothing to compare")
        statistic /= remaining
    return float(special.chdtrc(len(theta) - 1, statistic))


def chi_squares(counts: ArrayLike, weights: Sequence[float]) -> np.ndarray:
    """`chi_square` of each row of counts, shape (k, arms); all rows must be large enough for it.

    >>> chi_squares([[5100, 4900], [5000, 5000]], [1, 1]).round(5).tolist()
    [0.0455, 1.0]
    """
    kept, theta = _shares(counts, weights)
    if len(kept) and kept.sum(axis=1).min() * theta.min() < SMALLEST_EXPECTED:
        raise InsufficientData("too few users to compare the sizes of the arms")
    return np.asarray(special.chdtrc(len(theta) - 1, _pearson(kept, theta)))


def _pearson(kept: np.ndarray, theta: np.ndarray) -> np.ndarray:
    expected = kept.sum(axis=1, keepdims=True) * theta
    return np.asarray(((kept - expected) ** 2 / expected).sum(axis=1))


def log_e_value(
    counts: Sequence[int], weights: Sequence[float], *, concentrations: Sequence[float] = CONCENTRATIONS
) -> float:
    """Natural logarithm of the sequential e-value of a mismatch, valid however often it is looked at:

        E = [B(a + S) / B(a)] / prod_i theta_i^{S_i},  a = c theta,  B(a) = prod Gamma(a_i) / Gamma(sum a_i)

    Lindon and Malek 2022 ("Anytime-valid inference for multinomial count data"), averaged over the concentrations
    c; an average of test martingales is one. E >= 1000 happens in at most 0.1 % of sound experiments, at any look.
    1/E is a p-value valid at every look. 0.0 without users. Raises as `chi_square` does, but needs no expected counts.

    >>> log_e_value([5000, 5000], [1, 1]) < 0 < log_e_value([5400, 4600], [1, 1])
    True
    """
    return float(log_e_values([counts], weights, concentrations=concentrations)[0])


def log_e_values(
    counts: ArrayLike, weights: Sequence[float], *, concentrations: Sequence[float] = CONCENTRATIONS
) -> np.ndarray:
    """`log_e_value` of each row of counts, shape (k, arms)."""
    kept, theta = _shares(counts, weights)
    n = kept.sum(axis=1)
    logs = []
    for c in concentrations:
        a = c * theta
        dirichlet = special.gammaln(a + kept).sum(axis=1) - special.gammaln(a.sum() + n)
        prior = special.gammaln(a).sum() - special.gammaln(a.sum())
        logs.append(dirichlet - prior - (kept * np.log(theta)).sum(axis=1))
    return np.asarray(np.logaddexp.reduce(logs, axis=0)) - math.log(len(logs))


def chi_square_over_epochs(counts: ArrayLike, weights: ArrayLike) -> float:
    """`chi_square` where the weights change from epoch to epoch, over all epochs together (Pearson's score statistic):

        X^2 = D' V^- D,  D = sum_t (S_t - n_t theta_t),  V = sum_t n_t (diag(theta_t) - theta_t theta_t'),  dof = arms - 1

    counts, weights: shape (T, arms); weights of each epoch on any positive scale, 0 for an arm that got nobody then. With one
    epoch this is `chi_square`. Raises as it does; an expected count is that of all epochs together.

    >>> round(chi_square_over_epochs([[5100, 4900]], [[1, 1]]), 5)
    0.0455
    """
    kept, theta = _shares_over_epochs(counts, weights)
    n = kept.sum(axis=1)
    expected = n @ theta
    if expected.min() < SMALLEST_EXPECTED:
        raise InsufficientData("too few users to compare the sizes of the arms")
    apart = kept.sum(axis=0) - expected
    covariance = np.diag(expected) - (theta * n[:, None]).T @ theta
    # What one arm has too much the others lack, so the rank is one less than the arms; less where arms were never together.
    statistic = float(apart @ np.linalg.pinv(covariance, hermitian=True) @ apart)
    return float(special.chdtrc(int(np.linalg.matrix_rank(covariance, hermitian=True)), statistic))


def log_e_value_over_epochs(
    counts: ArrayLike, weights: ArrayLike, *, concentrations: Sequence[float] = CONCENTRATIONS
) -> float:
    """`log_e_value` where the weights change from epoch to epoch, also because of what was seen before.

        E = prod_t [B(a_t + S_t) / B(a_t)] / prod_i theta_ti^{S_ti},  a_t = (c + n_<t) q_t,  q_ti ~ theta_ti r_ti,
        r_ti = (c theta_ti + S_<t,i) / (c theta_ti + M_<t,i)

    S_<t, n_<t: counts and users of the epochs before; M_<t,i = sum_{s<t} n_s theta_si what the weights promised. r is by how much an
    arm has been too large so far, and the alternative of the next epoch is that it goes on so. It is fixed before the epoch begins,
    so E is a test martingale whatever chose the weights; with the same weights in all epochs it is `log_e_value` exactly.
    Shapes and errors as `chi_square_over_epochs`, without the expected counts.

    >>> bool(np.isclose(log_e_value_over_epochs([[40, 60], [70, 30]], [[1, 1], [1, 1]]), log_e_value([110, 90], [1, 1])))
    True
    """
    kept, theta = _shares_over_epochs(counts, weights)
    n = kept.sum(axis=1)
    before = np.cumsum(kept, axis=0) - kept
    promised = np.cumsum(n[:, None] * theta, axis=0) - n[:, None] * theta
    logs = []
    for c in concentrations:
        excess = np.ones_like(theta)
        np.divide(c * theta + before, c * theta + promised, out=excess, where=theta > 0)
        tilted = theta * excess
        a = (c + np.cumsum(n) - n)[:, None] * tilted / tilted.sum(axis=1, keepdims=True)
        there = theta > 0
        ones = np.where(there, a, 1.0)
        dirichlet = np.where(there, special.gammaln(ones + kept) - special.gammaln(ones), 0.0).sum(axis=1)
        dirichlet -= special.gammaln(a.sum(axis=1) + n) - special.gammaln(a.sum(axis=1))
        logs.append(float((dirichlet - special.xlogy(kept, np.where(there, theta, 1.0)).sum(axis=1)).sum()))
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def _shares_over_epochs(counts: ArrayLike, weights: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Counts and shares of the epochs that have users, (T, arms), without arms that never had any weight."""
    size, weight = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float)
    if size.ndim != 2 or size.shape != weight.shape:
        raise ValueError("counts and weights must have the same shape, epochs by arms")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and (size >= 0).all()):
        raise ValueError("counts and weights must be finite and not negative")
    if (size[weight == 0] > 0).any():
        raise ValueError("an arm of weight 0 has users")
    drawn = size.sum(axis=1) > 0
    size, weight = size[drawn], weight[drawn]
    active = (weight > 0).any(axis=0)
    if active.sum() < 2:
        raise InsufficientData("fewer than two arms to compare")
    theta = weight[:, active] / weight.sum(axis=1, keepdims=True)
    if theta[theta > 0].min() < SMALLEST_SHARE:
        raise InsufficientData("an arm has next to no weight, so its size cannot be judged")
    return size[:, active], theta


def _shares(counts: ArrayLike, weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    size, weight = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float)
    if size.shape[-1] != len(weight):
        raise ValueError("counts and weights must have the same length")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and (size >= 0).all()):
        raise ValueError("counts and weights must be finite and not negative")
    if (size[:, weight == 0] > 0).any():
        raise ValueError("an arm of weight 0 has users")
    active = weight > 0
    if active.sum() < 2:
        raise InsufficientData("fewer than two arms to compare")
    theta = weight[active] / weight[active].max()
    theta /= theta.sum()
    if theta.min() < SMALLEST_SHARE:
        raise InsufficientData("an arm has next to no weight, so its size cannot be judged")
    return size[:, active], theta
