"""What each arm is worth while base rates drift and conversions are late, from counts by epoch, arm and age.

Both questions are answered at once, and must not be answered one after the other: users of a later epoch met another base rate *and* are
younger. See `estimate` for the one formula.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.stats.delays import DelayCurve, curve_variance, delay_curve

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

VARIANCE_PRIOR: Final = 50.0
"""Users that the spread of all arms together counts for in the spread of one arm: few conversions are no proof of little spread."""
MOST_CERTAIN: Final = 1 - 1e-6
"""How much of an epoch's effect is taken out at most; with all of it the level (not the differences) would be undetermined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationEvidence:
    """What was counted of T epochs, K arms and A ages; leading axes are experiments (simulated worlds), or absent.

    users, total, total_squares: (.., T, K, A): assigned users by the age bin they are in now, and sum and sum of squares of their numbers so far
    (both the conversions for a proportion). delays: (.., K, A, B), conversions by age and delay of their users, weighted by what the metric
    counts; None when users count only once their window has closed: A is then 1. Bins and what counts in them: `delays.py`.
    active: (.., K), arms that are to get traffic. conversions: (.., K), users with a number above 0, for the burn-in; None: `total`.
    messages: delivered messages per user, (.., K), for an objective with cost; None: none.
    proportion: whether a user's number is 0 or 1.
    """

    users: Floats
    total: Floats
    total_squares: Floats
    delays: Floats | None
    active: Flags
    conversions: Floats | None = None
    messages: Floats | None = None
    proportion: bool = True

    def __post_init__(self) -> None:
        shape = self.users.shape
        if len(shape) < 3 or self.total.shape != shape or self.total_squares.shape != shape:
            raise ValueError("users, total and total_squares have one shape: (.., epochs, arms, ages)")
        arms, ages = shape[-2:]
        if self.delays is None and ages != 1:
            raise ValueError("without delays there is one age: the window has closed")
        if self.delays is not None and self.delays.shape != (*shape[:-3], arms, ages, ages - 1):
            raise ValueError("delays have the shape (.., arms, ages, ages - 1)")
        if any(
            each is not None and each.shape != (*shape[:-3], arms)
            for each in (self.active, self.conversions, self.messages)
        ):
            raise ValueError("active, conversions and messages have the shape (.., arms)")
        if not (np.all(self.users >= 0) and np.all(self.total_squares >= 0)):
            raise ValueError("users and sums of squares are at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """mean and sd of each arm in units of the metric, effective_n behind them: (.., K). Differences of independent N(mean, sd^2) have the right
    variance; the level that all arms share is not in sd. drift: standard deviation of the epochs' effects, (..). curve: of the delays, if any.
    connected: whether every active arm was watched in an epoch together with another one, (..).
    """  # fmt: skip

    mean: Floats
    sd: Floats
    effective_n: Floats
    drift: Floats
    connected: Flags
    curve: DelayCurve | None


def estimate(evidence: AllocationEvidence) -> Estimate:
    """What each arm makes of a user by the end of the window: arms are compared within epochs, young users count for what they can tell.

        E_tk = sum_a n_tka F_k(e_a)                        users' worth of watching in a cell (`delays.py`)
        r_tk = C_tk / E_tk = mean_k + b_t + error          b_t ~ N(0, tau^2): what the epoch does to all arms
        b_t  = s_t sum_k E_tk (r_tk - mean_k) / E_t,       s_t = E_t / (E_t + sigma^2/tau^2),   E_t = sum_k E_tk
        mean_k = sum_t E_tk (r_tk - b_t) / sum_t E_tk

    solved together: generalised least squares with the epochs as blocks and recovery of the information between them (Yates 1940, Annals of Eugenics
    10). With a strong drift s_t is 1, arms are only compared within epochs, and a base rate common to all arms cancels in every difference; without any
    s_t is 0, and these are the pooled means, which know most. tau^2 comes from the data: residuals of the epochs around the means within epochs, less
    what chance makes of them (DerSimonian and Laird 1986). Cells without users have E_tk = 0 and count nothing; no epoch is lost for
    the arms that were in it. F_k is learned from converters only, so that the b_t do not bend it; given F_k, E[C_tk] = p_tk E_tk at any ages.
    sd: from the cells' own variances (v_tk E_tk - u_tk^2 Q_tk)/E_tk^2, Q_tk = sum_a n_tka F_k(e_a)^2, v_tk and u_tk mean square and mean of one user's
    number (of all arms in the epoch, times the arm's own multiple, shrunk to 1), plus tau^2 where it is not taken out, plus the curve's part.
    """
    users = evidence.users
    curve = None if evidence.delays is None else delay_curve(evidence.delays)
    developed = (
        np.ones((*users.shape[:-3], 1, *users.shape[-2:]))
        if curve is None
        else curve.developed[..., None, :, :]
    )
    watched = users * developed
    effective = watched.sum(axis=-1)
    cells = effective > 0
    safe = np.where(cells, effective, 1.0)
    total, squares = evidence.total.sum(axis=-1), evidence.total_squares.sum(axis=-1)
    rate = np.where(cells, total / safe, 0.0)
    variance = _cell_variances(total, squares, effective, (watched * developed).sum(axis=-1), cells)
    by_epoch = effective.sum(axis=-1)
    of_one = (variance * effective**2).sum(axis=(-2, -1)) / np.maximum(by_epoch.sum(axis=-1), 1e-300)
    within = _solve(effective, np.where(by_epoch > 0, MOST_CERTAIN, 0.0))
    tau2 = _between(effective, rate, _applied(within, rate), of_one)
    taken_out = np.minimum(
        by_epoch * tau2[..., None] / np.maximum(by_epoch * tau2[..., None] + of_one[..., None], 1e-300),
        MOST_CERTAIN,
    )
    solution = _solve(effective, taken_out)
    mean = _applied(solution, rate)
    # Cov = A diag(variances) A' + tau^2 (A 1)(A 1)', the last for the effects that were not taken out.
    reach = solution.sum(axis=-1)
    covariance = np.einsum("...itj,...tj,...ktj->...ik", solution, variance, solution, optimize=True)
    covariance += tau2[..., None, None] * np.einsum("...it,...kt->...ik", reach, reach)
    own = np.einsum("...iti->...it", solution).swapaxes(-1, -2)
    sd2 = _apart(covariance, evidence.active, variance, effective)
    if curve is not None:
        parts = ((own * rate / safe)[..., None] * watched).sum(axis=-3)
        level = np.where(np.abs(mean) > 0, mean, 1.0)
        sd2 = sd2 + mean**2 * curve_variance(parts / level[..., None], curve)
    return Estimate(
        mean=mean,
        sd=np.sqrt(sd2),
        effective_n=effective.sum(axis=-2),
        drift=np.sqrt(tau2),
        connected=_connected(cells, evidence.active),
        curve=curve,
    )


def _solve(effective: Floats, taken_out: Floats) -> Floats:
    """A, (.., K, T, K), in mean_i = sum_tj A_itj r_tj:  A_itj = E_tj (M^-1_ij - s_t (M^-1 E_t)_i / E_t),  M = diag(E_k) - sum_t s_t E_t E_t' / E_t."""
    by_epoch = np.maximum(effective.sum(axis=-1), 1e-300)
    part = taken_out / by_epoch
    arms = effective.shape[-1]
    of_arm = effective.sum(axis=-2)
    matrix = -np.einsum("...t,...ti,...tj->...ij", part, effective, effective, optimize=True)
    # An arm that nobody has been watched in stays out of the way of the others.
    matrix += np.eye(arms) * np.where(of_arm > 0, of_arm, 1.0)[..., None, :]
    inverse = np.linalg.inv(matrix)
    spread = np.einsum("...ik,...tk->...it", inverse, effective)
    return np.asarray(
        effective[..., None, :, :] * (inverse[..., :, None, :] - (spread * part[..., None, :])[..., None])
    )


def _applied(solution: Floats, rate: Floats) -> Floats:
    return np.asarray(np.einsum("...itj,...tj->...i", solution, rate))


def _between(effective: Floats, rate: Floats, mean: Floats, of_one: Floats) -> Floats:
    """tau^2 = max(0, (sum_t E_t (e_t - e)^2 - (T - 1) sigma^2) / (E - sum_t E_t^2 / E)),  e_t = sum_k E_tk (r_tk - mean_k) / E_t: (..)."""
    by_epoch = effective.sum(axis=-1)
    residual = (effective * (rate - mean[..., None, :])).sum(axis=-1) / np.maximum(by_epoch, 1e-300)
    everything = np.maximum(by_epoch.sum(axis=-1), 1e-300)
    centre = (by_epoch * residual).sum(axis=-1) / everything
    squares = (by_epoch * (residual - centre[..., None]) ** 2).sum(axis=-1)
    epochs = (by_epoch > 0).sum(axis=-1)
    size = everything - (by_epoch**2).sum(axis=-1) / everything
    found = (squares - np.maximum(epochs - 1, 0) * of_one) / np.where(size > 0, size, 1.0)
    return np.asarray(np.where((epochs > 1) & (size > 0), np.maximum(found, 0.0), 0.0))


def _apart(covariance: Floats, active: Flags, variance: Floats, effective: Floats) -> Floats:
    """Variances of independent arms with (for two arms exactly, for more nearly) the variances that the differences have."""
    arms = covariance.shape[-1]
    pairs = active[..., :, None] & active[..., None, :] & ~np.eye(arms, dtype=bool)
    shared = np.where(pairs, covariance, 0.0).sum(axis=(-2, -1)) / np.maximum(pairs.sum(axis=(-2, -1)), 1)
    # No arm is known better than by the pooled mean of its own users.
    pooled = (effective**2 * variance).sum(axis=-2) / np.maximum(effective.sum(axis=-2), 1e-100) ** 2
    return np.asarray(np.maximum(np.einsum("...ii->...i", covariance) - shared[..., None], pooled / 2))


def _connected(cells: Flags, active: Flags) -> Flags:
    watched = cells & active[..., None, :]
    together = watched & (watched.sum(axis=-1, keepdims=True) > 1)
    return np.asarray(np.all(np.any(together, axis=-2) | ~active, axis=-1) | (active.sum(axis=-1) <= 1))


def _cell_variances(
    total: Floats, squares: Floats, effective: Floats, curved: Floats, cells: Flags
) -> Floats:
    e = np.where(cells, effective, 0.0)

    def of_one(sums: Floats) -> Floats:
        kept = np.where(cells, sums, 0.0)
        by_epoch = kept.sum(axis=-1, keepdims=True) / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)
        everywhere = kept.sum(axis=(-2, -1), keepdims=True) / np.maximum(
            e.sum(axis=(-2, -1), keepdims=True), 1e-300
        )
        expected = (by_epoch * e).sum(axis=-2, keepdims=True)
        prior = VARIANCE_PRIOR * everywhere
        # All arms of one epoch without a conversion still have the spread of the other epochs.
        own = np.where(
            expected + prior > 0,
            (kept.sum(axis=-2, keepdims=True) + prior) / np.maximum(expected + prior, 1e-300),
            0.0,
        )
        smooth = (kept.sum(axis=-1, keepdims=True) + prior) / (e.sum(axis=-1, keepdims=True) + VARIANCE_PRIOR)
        return np.asarray(smooth * own)

    square, one = of_one(squares), of_one(total)
    safe = np.where(cells, effective, 1.0)
    return np.where(cells, np.maximum(square * e - np.minimum(one**2, square) * curved, 0.0) / safe**2, 0.0)
