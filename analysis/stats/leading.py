"""Is one arm ahead of all others, whatever was done with the traffic and however often it was asked?

P(best) moves traffic; it does not end experiments: looked at every day it "wins" far too often.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.stats.drift import epoch_weighted
from analysis.stats.sequential import tightest_at

Floats = NDArray[np.float64]

LEAST_CONVERSIONS = 10
"""Users with a number above 0 that each arm needs before it is compared: below, its statistic is far from normal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """winner: the arm that is ahead of every other active arm, (..), -1 for none. p_values: (.., K, K), of arm i against arm j, symmetric,
    valid at every look; 1 where they cannot be compared.
    """  # fmt: skip

    winner: NDArray[np.intp]
    p_values: Floats


def ahead(
    n: ArrayLike,
    total: ArrayLike,
    total_squares: ArrayLike,
    *,
    converters: ArrayLike | None = None,
    alpha: float = 0.05,
    planned_n: int | None = None,
    active: ArrayLike | None = None,
    amounts: bool = False,
    maximise: bool = True,
) -> Ahead:
    """The arm that is ahead of each other one at level alpha / (K - 1), at this look and at every other one together.

        S = N (mean_i - mean_j) = sum_t N_t (ybar_ti - ybar_tj),     V = N^2 (s2_i a_i + s2_j a_j),     z = S/sqrt(V)
        p = min(1, sqrt(x + 1) exp( -z^2 x / (2 (x + 1)) )),         x = rho^2 V / (2 (s2_i + s2_j)),   a_k = se_k^2 / s2_k = sum_t w_t^2 / n_tk

    S is a sum over epochs whose terms have mean 0 when the arms are alike, whatever the earlier epochs made of the traffic, as N_t and the
    propensities of an epoch are fixed when it begins: the mixture martingale of Waudby-Smith et al. (arXiv 2103.06476, theorem 2.2) in its
    variance V. V / (2 (s2_i + s2_j)) is the number of users that an even split of one epoch would have needed for it, so that for such
    data p is that of `sequential.AlwaysValid`. An arm is declared best only when it is ahead of all others; with all K alike some arm must be ahead
    of one certain other, at most K/2 pairs, so that all looks and arms together err with a chance of at most alpha K / (2 (K - 1)) <= alpha.

    amounts: not numbers that are 0 or 1. The s2 are then those of the arms themselves, or for both that of the two pooled, whichever makes V larger: a bandit leaves one arm few users, among
    whom a large amount is seldom met, and until it is, their mean and their variance are both too low (decision 0063).

    n, total, total_squares: (.., T, K), of mature users only, epochs in the order of time. converters: users with a number above 0, as these; None: `total`. planned_n: users of two arms at the planned end; like alpha it
    must not change from look to look. Asymptotic: arms with fewer than `LEAST_CONVERSIONS` are not compared.

    >>> n = [[5000, 5000]]
    >>> ahead(n, [[250, 340]], [[250, 340]]).winner.tolist(), ahead(n, [[250, 300]], [[250, 300]]).winner.tolist()
    (1, -1)
    """
    users, sums, squares = (np.asarray(each, dtype=np.float64) for each in (n, total, total_squares))
    sold = sums if converters is None else np.asarray(converters, dtype=np.float64)
    mask = np.ones(users.shape[-1], dtype=bool) if active is None else np.asarray(active, dtype=bool)
    mask = np.broadcast_to(mask, (*users.shape[:-2], users.shape[-1]))
    found = epoch_weighted(users, sums, squares, active=mask)
    traffic = np.where(found.used[..., None] & mask[..., None, :], users, 0.0).sum(axis=(-2, -1))
    freedom = np.maximum(users - 1, 0.0).sum(axis=-2)
    within = np.maximum(squares - sums**2 / np.maximum(users, 1.0), 0.0).sum(axis=-2)
    s2 = within / np.maximum(freedom, 1.0)
    enough = mask & (sold.sum(axis=-2) >= LEAST_CONVERSIONS) & (s2 > 0)
    se2, spread = _pairs(found.se**2), 2 * _pairs(s2)
    if amounts:
        se2, spread = _larger(found.se**2, s2, within, freedom)
    delta = found.mean[..., :, None] - found.mean[..., None, :]
    pairs = enough[..., :, None] & enough[..., None, :] & (se2 > 0) & ~np.eye(users.shape[-1], dtype=bool)
    x = (
        tightest_at(planned_n, alpha) ** 2
        * traffic[..., None, None] ** 2
        * np.where(pairs, se2 / np.where(spread > 0, spread, 1.0), 0.0)
    )
    z2 = np.where(pairs, delta**2 / np.where(se2 > 0, se2, 1.0), 0.0)
    p = np.exp(np.minimum(0.0, 0.5 * np.log1p(x) - z2 * x / (2 * (x + 1))))
    arms = mask.sum(axis=-1)
    better = (p < alpha / np.maximum(arms - 1, 1)[..., None, None]) & (delta > 0 if maximise else delta < 0)
    over_all = (
        mask
        & (arms > 1)[..., None]
        & np.all(better | ~mask[..., None, :] | np.eye(users.shape[-1], dtype=bool), axis=-1)
    )
    return Ahead(winner=np.where(over_all.any(axis=-1), over_all.argmax(axis=-1), -1), p_values=p)


def _pairs(each: Floats) -> Floats:
    return np.asarray(each[..., :, None] + each[..., None, :])


def _larger(se2: Floats, s2: Floats, within: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Of each pair, (.., K, K): the squared error of its difference and 2 (s2_i + s2_j), by the arms' own variances or by one of both."""
    own, common = _pairs(se2), _pairs(within) / np.maximum(_pairs(freedom), 1.0)
    pooled = common * _pairs(np.where(s2 > 0, se2 / np.where(s2 > 0, s2, 1.0), 0.0))
    return np.maximum(own, pooled), np.where(pooled > own, 4 * common, 2 * _pairs(s2))
