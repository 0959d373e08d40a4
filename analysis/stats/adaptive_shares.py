"""Shares (of users with an event) where the weights of the arms followed the data: score intervals over the epochs.

The weights are those of `adaptive.stabilised`. A bandit leaves arms of 5 % beside arms of 90 %, and the estimated variance of a few events
in the small one goes with their number: Wald intervals of such data err in 6 to 7 of 100 cases at 5 % (docs/decisions/0042). Here the
variance is that of the hypothesis which is tested, and the interval is what is not rejected (Miettinen and Nurminen 1985,
"Comparative analysis of two rates", sections on stratified analysis).
Arrays as in `adaptive.py`: epochs on the last axis, worlds before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats.reasons import Codes, Reason, blame

Floats = NDArray[np.float64]
_STEPS: Final = 60
_LARGEST_LIFT: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Two arms by epoch: users of the epoch in any arm, and users n and successes x of control and treatment, (..., T) each."""

    users: Floats
    n_c: Floats
    x_c: Floats
    n_t: Floats
    x_t: Floats

    @property
    def usable(self) -> NDArray[np.bool_]:
        return (self.n_c > 0) & (self.n_t > 0) & (self.users > 0)

    @property
    def weights(self) -> Floats:
        """b_t of `adaptive.stabilised`, with sum 1; 0 for an epoch without both arms."""
        n = np.maximum(self.n_c + self.n_t, 1)
        b = np.where(self.usable, np.sqrt(self.users * self.n_c * self.n_t / n), 0.0)
        total = b.sum(axis=-1, keepdims=True)
        return np.asarray(b / np.where(total > 0, total, 1.0))

    @property
    def rates(self) -> tuple[Floats, Floats]:
        """Of control and treatment over all epochs with both arms, weighted by b_t."""
        b = self.weights
        control = (b * self.x_c / np.maximum(self.n_c, 1)).sum(axis=-1)
        treatment = (b * self.x_t / np.maximum(self.n_t, 1)).sum(axis=-1)
        return control, treatment

    @property
    def estimate(self) -> Floats:
        control, treatment = self.rates
        return treatment - control

    def reason(self) -> Codes:
        """Why there is no test: no epoch has both arms, or all outcomes in those that have are the same."""
        usable = self.usable
        successes = np.where(usable, self.x_c + self.x_t, 0).sum(axis=-1)
        n = np.where(usable, self.n_c + self.n_t, 0).sum(axis=-1)
        reason = blame(np.zeros(n.shape, dtype=np.int8), n == 0, Reason.NO_EPOCH)
        return blame(reason, (successes == 0) | (successes == n), Reason.NO_SPREAD)


def score(arms: Shares, delta: Floats) -> Floats:
    """The z statistic of H0: p_tT - p_tC = delta in every epoch.

        z = (d - delta) / sqrt( sum_t b_t^2 ( q_t (1 - q_t) / n_tC + (q_t + delta) (1 - q_t - delta) / n_tT ) )

    d = sum_t b_t (p_tT - p_tC), and q_t = (x_tC + x_tT - n_tT delta) / n_t, the control's rate under H0, kept where both rates are in
    [0, 1]. Users of the larger arm say most about q_t. The variance of a rate that must be 0 or 1 is 0: z is then infinite.
    """
    b, gap = arms.weights, np.asarray(delta)[..., None]
    n = np.maximum(arms.n_c + arms.n_t, 1)
    q = np.clip((arms.x_c + arms.x_t - arms.n_t * gap) / n, np.maximum(0, -gap), np.minimum(1, 1 - gap))
    other = q + gap
    return _z(arms.estimate - delta, arms, b, q * (1 - q), other * (1 - other))


def score_of_lift(arms: Shares, lift: Floats) -> Floats:
    """The z statistic of H0: p_tT = (1 + lift) p_tC in every epoch; for lift = 0 that of `score` for delta = 0.

        z = (P_T - (1 + lift) P_C) / sqrt( sum_t b_t^2 ( (1 + lift)^2 q_t (1 - q_t) / n_tC + r_t (1 - r_t) / n_tT ) )

    P: rates weighted by b_t; q_t = (x_tC + x_tT) / (n_tC + (1 + lift) n_tT), at most 1 and 1 / (1 + lift); r_t = (1 + lift) q_t.
    """
    b, times = arms.weights, 1 + np.asarray(lift)[..., None]
    most = np.minimum(1, 1 / np.maximum(times, 1e-300))
    q = np.clip((arms.x_c + arms.x_t) / np.maximum(arms.n_c + times * arms.n_t, 1e-300), 0, most)
    r = times * q
    control, treatment = arms.rates
    return _z(treatment - times[..., 0] * control, arms, b, times**2 * q * (1 - q), r * (1 - r))


def p_values(arms: Shares) -> Floats:
    """Two-sided p of no effect in any epoch; where `Shares.reason` is set it means nothing."""
    return np.asarray(2 * special.ndtr(-np.abs(score(arms, np.zeros(arms.users.shape[:-1])))))


def limits(arms: Shares, level: float) -> tuple[Floats, Floats]:
    """The differences that `score` does not reject at a two-sided level: lower, upper, around `Shares.estimate`."""
    estimate, critical = arms.estimate, -special.ndtri(level / 2)
    ones = np.ones_like(estimate)
    lower = _last_inside(lambda d: score(arms, d) <= critical, estimate, -ones)
    upper = _last_inside(lambda d: score(arms, d) >= -critical, estimate, ones)
    return lower, upper


def limits_of_lift(arms: Shares, level: float) -> tuple[Floats, Floats, Floats]:
    """The lifts that `score_of_lift` does not reject: lower, estimate, upper. Not for a control without any event.

    A limit beyond a lift of a million is infinite.
    """
    control, treatment = arms.rates
    estimate = treatment / np.where(control > 0, control, 1.0) - 1
    critical = -special.ndtri(level / 2)
    lower = _last_inside(
        lambda lift: score_of_lift(arms, lift) <= critical, estimate, -np.ones_like(estimate)
    )
    # On the scale of 1 / (1 + lift), where the far end is near: the z statistic of a lift falls slowly.
    start = 1 / np.maximum(1 + estimate, 1 / _LARGEST_LIFT)
    end = np.zeros_like(estimate) + 1 / _LARGEST_LIFT
    inverse = _last_inside(lambda s: score_of_lift(arms, 1 / s - 1) >= -critical, start, end)
    return lower, estimate, np.where(inverse <= end * (1 + 1e-6), np.inf, 1 / inverse - 1)


def _z(difference: Floats, arms: Shares, b: Floats, variance_c: Floats, variance_t: Floats) -> Floats:
    parts = variance_c / np.maximum(arms.n_c, 1) + variance_t / np.maximum(arms.n_t, 1)
    square = np.maximum(np.where(b > 0, b**2 * parts, 0.0).sum(axis=-1), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = difference / np.sqrt(square)
    return np.asarray(np.where(np.isnan(z), 0.0, z))


def _last_inside(inside: Callable[[Floats], NDArray[np.bool_]], near: Floats, far: Floats) -> Floats:
    """By halving: between `near`, which is inside, and `far`, the last value that is inside; `far` where that is inside too."""
    whole = inside(far)
    kept, out = np.array(near, dtype=np.float64), np.array(far, dtype=np.float64)
    for _ in range(_STEPS):
        middle = (kept + out) / 2
        ok = inside(middle)
        kept, out = np.where(ok, middle, kept), np.where(ok, out, middle)
    return np.where(whole, far, kept)
