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
TAKEN_OUT: Final = 1 - 1e-6
"""s: how much of an epoch's effect is taken out; with all of it the level (not the differences) would be undetermined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationEvidence:
    """What was counted of T epochs, K arms and A ages; leading axes are experiments (simulated worlds), or absent.

    users, total, total_squares: (.., T, K, A): assigned users by the age bin they are in now, and sum and sum of squares of their numbers so far
    (both the conversions for a proportion). delays: (.., K, A, B), conversions by the age of their users and by delay: a user's first one for a
    proportion, else every one alike, however much it amounts to (late ones are taken to be as large as early ones); None when users count only
    once their window has closed: A is then 1. Bins and what counts in them: `delays.py`.
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
    variance; the level that all arms share is not in sd. curve: of the delays, if any.
    connected: whether all active arms can be compared, each pair within epochs that it shares or by way of other arms, (..).
    """  # fmt: skip

    mean: Floats
    sd: Floats
    effective_n: Floats
    connected: Flags
    curve: DelayCurve | None


def estimate(evidence: AllocationEvidence) -> Estimate:
    """What each arm makes of a user by the end of the window: arms are compared within epochs, young users count for what they can tell.

        E_tk = sum_a n_tka F_k(e_a)                            users' worth of watching in a cell (`delays.py`)
        r_tk = C_tk / E_tk = mean_k + b_t + error              b_t: what the epoch does to all arms, sum_t E_t b_t = 0
        b_t  = sum_k E_tk (r_tk - mean_k) / E_t                E_t = sum_k E_tk
        mean_k = sum_t E_tk (r_tk - b_t) / sum_t E_tk

    solved together: least squares with the epochs as blocks, so that a base rate common to all arms cancels in every difference. For two arms
    mean_1 - mean_0 = sum_t w_t (r_t1 - r_t0) with one weight for both, w_t = E_t0 E_t1/E_t over its sum: N_t / N while shares stay as they are and users are mature,
    less where one arm is small or young and its cell knows little. Cells without users have E_tk = 0 and count nothing; no epoch is lost for
    the arms that were in it, and an arm that came later is compared over the epochs since then. F_k is learned from converters only, so that the
    b_t do not bend it; given F_k, E[C_tk] = p_tk E_tk at any ages. Effects of epochs are not shrunk: a shrunk one leaves part of a
    drift that goes with the shares in the difference.
    sd: from the cells' own variances (v_tk E_tk - u_tk^2 Q_tk)/E_tk^2, Q_tk = sum_a n_tka F_k(e_a)^2, v_tk and u_tk mean square and mean of one user's
    number (of all arms in the epoch, times the arm's own multiple, shrunk to 1; where amounts have both signs, plus the arm's own
    distance, shrunk to 0), plus the curve's part.
    """
    curve = None if evidence.delays is None else delay_curve(evidence.delays)
    developed = _developed(evidence.users, curve)
    watched = evidence.users * developed
    effective = watched.sum(axis=-1)
    cells = effective > 0
    safe = np.where(cells, effective, 1.0)
    total, squares = evidence.total.sum(axis=-1), evidence.total_squares.sum(axis=-1)
    rate = np.where(cells, total / safe, 0.0)
    variance = _cell_variances(total, squares, effective, (watched * developed).sum(axis=-1), cells)
    solution = _solve(effective)
    mean = np.asarray(np.einsum("...itj,...tj->...i", solution, rate))
    covariance = np.einsum("...itj,...tj,...ktj->...ik", solution, variance, solution, optimize=True)
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
        connected=_connected(cells, evidence.active),
        curve=curve,
    )


def watched_users(users: Floats, delays: Floats | None) -> Floats:
    """sum_t E_tk of `estimate`: users' worth of watching of each arm, (.., K), from users and delays as in `AllocationEvidence`. At most its users."""
    curve = None if delays is None else delay_curve(delays)
    return np.asarray((users * _developed(users, curve)).sum(axis=(-3, -1)))


def _developed(users: Floats, curve: DelayCurve | None) -> Floats:
    if curve is None:
        return np.ones((*users.shape[:-3], 1, *users.shape[-2:]))
    return np.asarray(curve.developed[..., None, :, :])


def _solve(effective: Floats) -> Floats:
    """A, (.., K, T, K), in mean_i = sum_tj A_itj r_tj:  A_itj = E_tj (M^-1_ij - s (M^-1 E_t)_i / E_t),  M = diag(E_k) - s sum_t E_t E_t' / E_t."""
    part = TAKEN_OUT / np.maximum(effective.sum(axis=-1), 1e-300)
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


def _apart(covariance: Floats, active: Flags, variance: Floats, effective: Floats) -> Floats:
    """Variances of independent arms with (for two arms exactly, for more nearly) the variances that the differences have."""
    arms = covariance.shape[-1]
    pairs = active[..., :, None] & active[..., None, :] & ~np.eye(arms, dtype=bool)
    shared = np.where(pairs, covariance, 0.0).sum(axis=(-2, -1)) / np.maximum(pairs.sum(axis=(-2, -1)), 1)
    # No arm is known better than by the pooled mean of its own users.
    pooled = (effective**2 * variance).sum(axis=-2) / np.maximum(effective.sum(axis=-2), 1e-100) ** 2
    return np.asarray(np.maximum(np.einsum("...ii->...i", covariance) - shared[..., None], pooled / 2))


def _connected(cells: Flags, active: Flags) -> Flags:
    # Two pairs of arms that never met would be compared by their epochs, and so by the drift.
    watched = cells.astype(np.float64)
    reach = np.einsum("...ti,...tj->...ij", watched, watched) > 0
    for _ in range((cells.shape[-1] - 1).bit_length()):
        reach = np.matmul(reach.astype(np.float64), reach.astype(np.float64)) > 0
    wanted = active[..., :, None] & active[..., None, :]
    return np.asarray(np.all(reach | ~wanted, axis=(-2, -1)) | (active.sum(axis=-1) <= 1))


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
        smooth = (kept.sum(axis=-1, keepdims=True) + prior) / (e.sum(axis=-1, keepdims=True) + VARIANCE_PRIOR)
        of_arm = kept.sum(axis=-2, keepdims=True)
        positive = expected + prior > 0
        own = np.where(positive, (of_arm + prior) / np.where(positive, expected + prior, 1.0), 0.0)
        # A multiple of what may be near 0, or below it, says nothing: means with a sign are so far apart, and not so many times.
        apart = (of_arm - expected) / (e.sum(axis=-2, keepdims=True) + VARIANCE_PRIOR)
        signed = (kept < 0).any(axis=(-2, -1), keepdims=True)
        return np.asarray(np.where(signed, smooth + apart, smooth * own))

    square, one = of_one(squares), of_one(total)
    safe = np.where(cells, effective, 1.0)
    return np.where(cells, np.maximum(square * e - np.minimum(one**2, square) * curved, 0.0) / safe**2, 0.0)
