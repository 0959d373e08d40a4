"""Means that a base rate which changes from day to day cannot bend: every arm is averaged over the same days with the same weights.

The pooled mean of an arm is dominated by the days on which the arm was large. When the base rate doubles while traffic moves to an arm, that arm
looks better than it is (Simpson's paradox), and a bandit that believes it moves more traffic there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochWeighted:
    """mean and se of each arm, (.., K), in units of the metric; both 0 where `used` is nowhere true.

    weights: w_t of each epoch, (.., T), summing to 1 (or all 0). used: the epochs that count, (.., T): those in which every active arm has users.
    """

    mean: Floats
    se: Floats
    weights: Floats
    used: NDArray[np.bool_]


def comparable(size: ArrayLike, active: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Epochs in which every active arm has users: (.., T) from sizes (.., T, K).

    An epoch without users of one arm says nothing about that arm against the others, and to take it into the means of the others alone is
    the very thing that is avoided here. So an arm that was added later is compared over the epochs since then.
    """
    n = np.asarray(size, dtype=np.float64)
    mask = np.ones(n.shape[-1], dtype=bool) if active is None else np.asarray(active, dtype=bool)
    return np.asarray(np.all((n > 0) | ~mask[..., None, :], axis=-1) & np.any(mask, axis=-1)[..., None])


def epoch_weights(traffic: ArrayLike, used: ArrayLike) -> Floats:
    """w_t = N_t / N over the epochs that count, 0 for the others: (.., T)."""
    kept = np.where(used, np.asarray(traffic, dtype=np.float64), 0.0)
    total = kept.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(total > 0, kept / np.where(total > 0, total, 1.0), 0.0))


def epoch_weighted(
    n: ArrayLike, total: ArrayLike, total_squares: ArrayLike, *, active: ArrayLike | None = None
) -> EpochWeighted:
    """Means of mature users by epoch, weighted by the traffic of all active arms.

        mean_k = sum_t w_t ybar_tk,    w_t = N_t / N,    se_k^2 = sum_t w_t^2 s2_k / n_tk,    s2_k = sum_t SS_tk / sum_t (n_tk - 1)

    SS_tk: squares around the mean of the cell; s2_k is pooled over the epochs, so that a cell of one user needs no variance of its own.
    n, total, total_squares: users, sum and sum of squares, (.., T, K). active: (.., K); epochs in which an active arm has nobody are left out
    (`comparable`). Arms that are not active get a mean over those epochs in which they have users, for information only.
    An arm with at most one user in every epoch has se = 0: nothing tells its variance.

    >>> found = epoch_weighted([[90, 10], [10, 90]], [[9, 1], [2, 18]], [[9, 1], [2, 18]])
    >>> found.mean.tolist(), found.weights.tolist()                  # both arms alike; pooled: 0.11 and 0.19
    ([0.15000000000000002, 0.15000000000000002], [0.5, 0.5])
    """
    users, sums, squares = (np.asarray(each, dtype=np.float64) for each in (n, total, total_squares))
    if not (np.all(users >= 0) and np.all(squares >= 0)):
        raise ValueError("users and sums of squares are at least 0")
    mask = np.ones(users.shape[-1], dtype=bool) if active is None else np.asarray(active, dtype=bool)
    used = comparable(users, mask)
    traffic = np.where(mask[..., None, :], users, 0.0).sum(axis=-1)
    weights = epoch_weights(traffic, used)
    safe = np.maximum(users, 1.0)
    counted = (users > 0) & used[..., None]
    within = np.maximum(squares - sums**2 / safe, 0.0).sum(axis=-2)
    freedom = np.maximum(users - 1, 0.0).sum(axis=-2)
    variance = np.where(freedom > 0, within / np.maximum(freedom, 1.0), 0.0)
    share = np.where(counted, weights[..., None], 0.0)
    share = share / np.where(share.sum(axis=-2, keepdims=True) > 0, share.sum(axis=-2, keepdims=True), 1.0)
    mean = (share * sums / safe).sum(axis=-2)
    se = np.sqrt(variance * (share**2 / safe).sum(axis=-2))
    return EpochWeighted(mean=mean, se=se, weights=weights, used=used)
