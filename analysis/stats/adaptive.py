"""Effects where the weights of the arms followed the data: estimates from sums per epoch that stay honest under a bandit.

Within an epoch everybody is drawn with the same chances, fixed before its first user came. So each epoch is an experiment of its own,
and what one of them says is, given the past, independent of why it was weighted as it was. Pooled over epochs that is lost:
the good days of an arm call for more traffic on the days that follow (bias), and arms hold users of different days (Simpson).
Three ways to put the epochs together again; all take sums, so their cost does not depend on the number of users:

`bols`        the test of Zhang, Janson, Murphy 2020: every epoch counts alike
`stabilised`  the same with epochs counted by their users, turned into an estimate with its interval: what reports show
`aw_aipw`     Hadad, Hirshberg, Zhan, Wager, Athey 2021: scores weighed by logged chances

Arrays have the epochs on their last axis, (..., T); leading axes are worlds of a simulation. Nothing raises for data; where there
is no answer a code says why (`reasons.py`). Which one reports use, and why: docs/decisions/0042.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats.reasons import Codes, Reason, blame
from analysis.stats.welch import Arms, Effects, untestable

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched:
    """z: (..., T), one for each epoch, 0 where it says nothing. combined: (...), standard normal without an effect; p_value: two-sided."""

    z: Floats
    combined: Floats
    p_value: Floats
    reason: Codes


def bols(control: Arms, treatment: Arms) -> Batched:
    """Batched OLS: is there no effect in any epoch?

        Z_t = sqrt(n_C n_T / n) (m_T - m_C) / sigma_t        Z = sum_t Z_t / sqrt(T)

    Zhang, Janson, Murphy 2020, "Inference for batched bandits", the batched OLS estimator (their Theorem 3: the Z_t are asymptotically
    independent standard normals whatever chose the propensities, and whatever the base rate does). sigma_t: pooled over the two
    arms of the epoch, divisor n - 2. Epochs without both arms, or in which nothing varies, are not among the T.
    arms: fields (..., T).
    """
    with np.errstate(all="ignore"):
        n = control.n + treatment.n
        pooled = ((control.n - 1) * control.variance + (treatment.n - 1) * treatment.variance) / (n - 2)
        usable = (control.n > 0) & (treatment.n > 0) & (n > 2) & (pooled > 0)
        z = (treatment.mean - control.mean) * np.sqrt(control.n * treatment.n / n / pooled)
        z = np.where(usable, z, 0.0)
        epochs = usable.sum(axis=-1)
        combined = z.sum(axis=-1) / np.sqrt(np.maximum(epochs, 1))
        reason = blame(np.zeros(epochs.shape, dtype=np.int8), epochs == 0, Reason.NO_EPOCH)
        reason = blame(reason, ~np.isfinite(combined), Reason.NOT_FINITE)
        return Batched(z=z, combined=combined, p_value=2 * special.ndtr(-np.abs(combined)), reason=reason)


def stabilised(users: Floats, control: Arms, treatment: Arms) -> tuple[Effects, Codes]:
    """Treatment - control over the epochs, whatever made the weights of each.

        d = sum_t b_t d_t / sum_t b_t        d_t = m_tT - m_tC        b_t = sqrt(N_t) / sqrt(1/n_tT + 1/n_tC)
        se^2 = the larger of   sum_t b_t^2 (s2_tT/n_tT + s2_tC/n_tC) / (sum_t b_t)^2
                        and    sum_t b_t^2 s2_t (1/n_tT + 1/n_tC) / (sum_t b_t)^2      (s2_t: pooled over both arms)

    b_t d_t is sqrt(N_t) times the batched OLS statistic of an epoch, up to sigma: given the past its mean is 0 without an effect, and
    its variance N_t sigma_t^2, however the users were split. So the sum is a martingale whose variance follows the number of users that
    came, on which the bandit has no say: it is normal (no mixture of normals), and it may be looked at on the scale of users, like
    the sum of a fixed split. Turned round: d is the value of the effect at which the test with these weights gives 0 (inversion).
    The same weights come out of Hadad et al. 2021 for the scores of a difference with the epoch's own means as the model of the
    outcome and `constant allocation` (variance of a score 1/e_T + 1/e_C), with the shares that came out for the chances.
    An effect that changes is averaged with weights b_t. The first variance needs no assumption but errs for skewed amounts in small cells:
    a cell without its largest buyers has a low mean *and* a low variance. The second, that of batched OLS, does not.

    users: N_t, all users of the epoch in any arm, (..., T). arms: fields (..., T), with a covariate for CUPED: theta is
    pooled within arms and epochs. Epochs without both arms say nothing and count nothing. A cell of one user has the variance of its
    arm's other cells. Degrees of freedom: Satterthwaite over the cells. Results have the leading shape; `control_mean` is the mean of
    the control with the weights b_t, unadjusted. Reasons: NO_EPOCH, and those of `welch.effects`.
    """
    with np.errstate(all="ignore"):
        usable = (control.n > 0) & (treatment.n > 0) & (users > 0)
        b = np.where(usable, np.sqrt(users * control.n * treatment.n / (control.n + treatment.n)), 0.0)
        total = b.sum(axis=-1)
        b = b / np.where(total > 0, total, 1.0)[..., None]
        delta, variance_c, variance_t = treatment.mean - control.mean, control.variance, treatment.variance
        reason = blame(np.zeros(total.shape, dtype=np.int8), ~(total > 0), Reason.NO_EPOCH)
        covariance_c = variance_c
        plain_t, plain_c = (_part(b, each.n, each.variance) for each in (treatment, control))
        if control.has_covariate and treatment.has_covariate:
            theta = _slope(control, treatment, usable)[..., None]
            delta = delta - theta * (_known(treatment.mean_x) - _known(control.mean_x))
            covariance_c = variance_c - theta * _known(control.covariance_xy)
            variance_c, variance_t = _adjusted(control, theta), _adjusted(treatment, theta)
        part_t, part_c = _part(b, treatment.n, variance_t), _part(b, control.n, variance_c)
        # A cell of one user has no spread of its own; without any other there is none to borrow.
        for each in (control, treatment):
            reason = blame(reason, ~(np.where(usable, each.n, 0).max(axis=-1) > 1), Reason.ONE_USER)
        estimate = _sum(b, delta)
        own = part_t.sum(axis=-1) + part_c.sum(axis=-1)
        square = np.maximum(own, _pooled(b, control.n, variance_c, treatment.n, variance_t))
        spread = (part_t**2 / np.maximum(treatment.n - 1, 1) + part_c**2 / np.maximum(control.n - 1, 1)).sum(
            -1
        )
        plain = plain_t.sum(axis=-1) + plain_c.sum(axis=-1)
        found = Effects(
            estimate=estimate,
            standard_error=np.sqrt(square),
            degrees_of_freedom=np.where(spread > 0, own**2 / spread, np.inf),
            n=np.where(usable, control.n + treatment.n, 0).sum(axis=-1),
            control_mean=_sum(b, control.mean),
            control_variance=plain_c.sum(axis=-1),
            covariance=-_part(b, control.n, covariance_c).sum(axis=-1),
            variance_reduction=np.where(plain > 0, 1 - own / plain, 0.0),
        )
        return found, untestable(found, reason)


def worth(users: Floats, control: Arms, treatment: Arms) -> tuple[Floats, Floats]:
    """How many users of each arm (control, treatment) the weights of `stabilised` leave: (sum b)^2 / sum(b^2 / n), at most n."""
    with np.errstate(all="ignore"):
        usable = (control.n > 0) & (treatment.n > 0) & (users > 0)
        b = np.where(usable, np.sqrt(users * control.n * treatment.n / (control.n + treatment.n)), 0.0)
        total = b.sum(axis=-1) ** 2
        left = [
            np.where(total > 0, total / np.where(usable, b**2 / each.n, 0.0).sum(axis=-1), 0.0)
            for each in (control, treatment)
        ]
        return left[0], left[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """estimate, standard_error: (..., K), of each arm; effect, effect_error: (..., K), of each arm against arm 0 (0 for itself).

    NaN never: where `reason` is set, numbers mean nothing.
    """

    estimate: Floats
    standard_error: Floats
    effect: Floats
    effect_error: Floats
    reason: Codes


def aw_aipw(
    users: Floats, n: Floats, mean: Floats, variance: Floats, propensity: Floats, *, constant: bool = True
) -> Weighted:
    """Adaptively weighted AIPW from sums per epoch, with the chances that users were really drawn with.

        score of user i for arm k:   G_i(k) = m_tk + 1{W_i = k} / e_tk (Y_i - m_tk)
        Q(k) = sum_i h_t G_i(k) / sum_i h_t        V(k) = sum_i h_t^2 (G_i(k) - Q(k))^2 / (sum_i h_t)^2

    Hadad, Hirshberg, Zhan, Wager, Athey 2021, "Confidence intervals for policy evaluation in adaptive experiments" (PNAS 118(15)), the
    AIPW score, the adaptively weighted estimator and its variance. m_tk: the mean of the arm over earlier epochs, 0 before there
    is one, so that it knows nothing of the epoch it is used in. h_t: `constant` allocation, sqrt(e_tk) for an arm and
    1 / sqrt(1/e_tk + 1/e_t0) for the scores G(k) - G(0) of a difference, which get *one* weight: with a weight for each arm (the
    paper's other form) a base rate that changes would pass for an effect. constant=False: h_t = 1, plain AIPW.
    Their two-point allocation is for chances that decay to 0; here a floor keeps them up.

    users: (..., T); the others (..., T, K), arm 0 the control; chances as shares of all `users`. An epoch in which an arm has chance 0
    has no weight in what concerns that arm. Under drift V contains the drift, so it is too large rather than too small.
    """
    with np.errstate(all="ignore"):
        seen, total = np.cumsum(n, axis=-2), np.cumsum(n * mean, axis=-2)
        before, sums = seen - n, total - n * mean
        model = np.where(before > 0, sums / np.maximum(before, 1), 0.0)
        e, big = propensity, users[..., None]
        open_ = (e > 0) & (big > 0)
        inverse = np.where(open_, 1 / np.where(open_, e, 1.0), 0.0)
        h = np.where(open_, np.sqrt(e) if constant else 1.0, 0.0)
        gap = np.where(n > 0, mean - model, 0.0)
        # Of the deviations of an arm's own users from the model: their sum, and that of their squares.
        first = n * gap
        second = np.maximum(n - 1, 0) * variance + n * gap**2
        score = big * model + first * inverse
        weight = (h * big).sum(axis=-2)
        estimate = (h * score).sum(axis=-2) / np.where(weight > 0, weight, 1.0)
        off = model - estimate[..., None, :]
        squares = big * off**2 + 2 * off * inverse * first + inverse**2 * second
        error = np.sqrt((h**2 * squares).sum(axis=-2)) / np.where(weight > 0, weight, 1.0)

        both = open_ & open_[..., :1]
        h = np.where(both, 1 / np.sqrt(inverse + inverse[..., :1]) if constant else 1.0, 0.0)
        weight_both = (h * big).sum(axis=-2)
        divisor = np.where(weight_both > 0, weight_both, 1.0)
        effect = (h * (score - score[..., :1])).sum(axis=-2) / divisor
        off = model - model[..., :1] - effect[..., None, :]
        squares = (
            big * off**2
            + 2 * off * (inverse * first - (inverse * first)[..., :1])
            + inverse**2 * second
            + (inverse**2 * second)[..., :1]
        )
        effect_error = np.sqrt((h**2 * squares).sum(axis=-2)) / divisor
        own = np.arange(n.shape[-1]) == 0
        effect, effect_error = np.where(own, 0.0, effect), np.where(own, 0.0, effect_error)
        reason = blame(np.zeros(weight.shape, dtype=np.int8), ~(weight_both > 0), Reason.NO_EPOCH)
        lost = ~(np.isfinite(estimate) & np.isfinite(error) & np.isfinite(effect) & np.isfinite(effect_error))
        return Weighted(
            estimate=estimate, standard_error=error, effect=effect, effect_error=effect_error,
            reason=blame(reason, lost, Reason.NOT_FINITE),
        )  # fmt: skip


def _known(values: Floats | None) -> Floats:
    assert values is not None  # noqa: S101  # asked only of arms that have the part
    return values


def _sum(b: Floats, values: Floats) -> Floats:
    return np.asarray(np.where(b > 0, b * values, 0.0).sum(axis=-1))


def _part(b: Floats, n: Floats, variance: Floats) -> Floats:
    """b^2 s^2 / n for each epoch; the variance of a cell of one user is that of the arm's other cells, pooled."""
    free = np.where(b > 0, np.maximum(n - 1, 0), 0.0)
    own = np.where(free > 0, free * variance, 0.0).sum(axis=-1) / np.maximum(free.sum(axis=-1), 1)
    return np.where(b > 0, b**2 * np.where(n > 1, variance, own[..., None]) / np.maximum(n, 1), 0.0)


def _pooled(b: Floats, n_c: Floats, variance_c: Floats, n_t: Floats, variance_t: Floats) -> Floats:
    """The variance if both arms had one variance in each epoch: that of batched OLS."""
    free_c, free_t = np.maximum(n_c - 1, 0), np.maximum(n_t - 1, 0)
    shared = (free_c * variance_c + free_t * variance_t) / np.maximum(free_c + free_t, 1)
    parts = b**2 * shared * (1 / np.maximum(n_c, 1) + 1 / np.maximum(n_t, 1))
    return np.asarray(np.where(b > 0, parts, 0.0).sum(axis=-1))


def _slope(control: Arms, treatment: Arms, usable: NDArray[np.bool_]) -> Floats:
    moments: list[Any] = []
    for name in ("covariance_xy", "variance_x"):
        parts = [
            np.where(usable & (arm.n > 1), (arm.n - 1) * _known(getattr(arm, name)), 0.0)
            for arm in (control, treatment)
        ]
        moments.append((parts[0] + parts[1]).sum(axis=-1))
    return np.where(moments[1] > 0, moments[0] / np.where(moments[1] > 0, moments[1], 1.0), 0.0)


def _adjusted(arm: Arms, theta: Floats) -> Floats:
    variance_x, covariance = _known(arm.variance_x), _known(arm.covariance_xy)
    return np.maximum(arm.variance + theta * theta * variance_x - 2 * theta * covariance, 0.0)
