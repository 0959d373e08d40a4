"""From what was counted to the weights of the next epoch: one pure function, the same for one experiment and for thousands of simulated ones.

The estimate answers two questions at once, and must not answer them one after the other: users of a later epoch met another base rate *and* are
younger, so weights by epoch without regard to age would give most weight to the cells that know least. See `estimate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.stats.best_arm import beta_best, gaussian_best, top_two, with_floor
from analysis.stats.delays import DelayCurve, curve_variance, delay_curve
from analysis.stats.drift import comparable, epoch_weights

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TAIL: Final = 10
"""Conversions of users who were watched for the whole window, before anything is said about how long conversions take."""
VARIANCE_PRIOR: Final = 50.0
"""Users that the spread of all arms together counts for in the spread of one arm: few conversions are no proof of little spread."""


class Reason(IntEnum):
    """Why no weights are given."""

    TOLD = 0
    FEW_USERS = 1
    FEW_CONVERSIONS = 2
    TAIL_UNKNOWN = 3
    NEVER_TOGETHER = 4
    NO_ARMS = 5


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
        if any(each is not None and each.shape != (*shape[:-3], arms) for each in (self.active, self.conversions, self.messages)):
            raise ValueError("active, conversions and messages have the shape (.., arms)")
        if not (np.all(self.users >= 0) and np.all(self.total_squares >= 0)):
            raise ValueError("users and sums of squares are at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPolicy:
    """How weights follow from estimates; the fields of `allocation` in a campaign.

    fixed: even weights. conversion, message: worth of one unit of the metric and price of one delivered message; with a price the objective is
    conversion x outcome - message x messages per user (outcome negative where less is better).
    """

    policy: Literal["fixed", "thompson", "top_two"] = "top_two"
    floor: float = 0.05
    burn_in_users: float = 100
    burn_in_conversions: float = 10
    leader: float = 0.5
    maximise: bool = True
    conversion: float = 1.0
    message: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """mean and sd of each arm in units of the metric, effective_n behind them, (.., K); weights of the epochs, (.., T); the curve, if any."""

    mean: Floats
    sd: Floats
    effective_n: Floats
    epoch_weights: Floats
    curve: DelayCurve | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationAnswer:
    """weights: shares of the traffic, summing to 1; p_best, sums to 1; posterior mean and sd of the objective; effective_n: (.., K).

    reason: (..), a `Reason`; arm: (..), which arm it is about, -1 when about all. Where reason is not TOLD, weights and p_best are 0.
    """

    weights: Floats
    p_best: Floats
    mean: Floats
    sd: Floats
    effective_n: Floats
    reason: NDArray[np.int8]
    arm: NDArray[np.intp]

    @property
    def told(self) -> Flags:
        return np.asarray(self.reason == Reason.TOLD)


def weights(evidence: AllocationEvidence, policy: AllocationPolicy) -> AllocationAnswer:
    """The weights of the next epoch, or why the present ones should stay. The same evidence always gets the same answer.

    >>> users = np.array([[[1000.0], [1000.0]]])
    >>> sold = np.array([[[50.0], [65.0]]])
    >>> seen = AllocationEvidence(users=users, total=sold, total_squares=sold, delays=None, active=np.array([True, True]))
    >>> weights(seen, AllocationPolicy(policy="thompson")).weights.round(3).tolist()
    [0.118, 0.882]
    """
    found = estimate(evidence)
    reason, arm = _doubts(evidence, policy, found)
    told = reason == Reason.TOLD
    sign = 1.0 if policy.maximise else -1.0
    messages = np.zeros_like(found.mean) if evidence.messages is None else evidence.messages
    cost = policy.message * messages
    if policy.message == 0 and evidence.proportion:
        p_best = _best_rate(evidence, found, maximise=policy.maximise)
        objective, spread = found.mean, found.sd
    else:
        objective = sign * policy.conversion * found.mean - cost
        spread = policy.conversion * found.sd
        p_best = gaussian_best(*_without(evidence.active, objective, spread))
        if policy.message == 0:
            objective, spread = found.mean, found.sd
    p_best = _among(evidence.active, p_best)
    safe = np.where(told[..., None], p_best, evidence.active / np.maximum(evidence.active.sum(axis=-1, keepdims=True), 1))
    safe = np.where(safe.sum(axis=-1, keepdims=True) > 0, safe, 1 / safe.shape[-1])
    active = np.where(evidence.active.any(axis=-1, keepdims=True), evidence.active, True)
    shares = {
        "fixed": lambda: active / active.sum(axis=-1, keepdims=True),
        "thompson": lambda: safe,
        "top_two": lambda: _top_two(safe, active, policy.leader),
    }[policy.policy]()
    return AllocationAnswer(
        weights=np.where(told[..., None], with_floor(shares, policy.floor, active), 0.0),
        p_best=np.where(told[..., None], p_best, 0.0),
        mean=objective,
        sd=spread,
        effective_n=found.effective_n,
        reason=reason,
        arm=arm,
    )


def estimate(evidence: AllocationEvidence) -> Estimate:
    """What each arm makes of a user by the end of the window, compared over the same epochs, young users counted for what they can tell.

        E_tk = sum_a n_tka F_k(e_a)                    users' worth of watching in a cell
        r_tk = C_tk / E_tk                             rate of a cell by the end of the window
        w_t  = N_t m_t / sum,  m_t = min_k E_tk/n_tk   N_t: users of all active arms; m_t: how far the slowest of them is
        mean_k = sum_t w_t r_tk
        sd_k^2 = sum_t w_t^2 (v_tk E_tk - u_tk^2 Q_tk) / E_tk^2  +  mean_k^2 Var(log of the curve's part)

    Q_tk = sum_a n_tka F_k(e_a)^2; v_tk, u_tk: mean square and mean of one user's number. F_k is learned from converters only (`delays.py`), so the
    base rate of an epoch cancels in it; given F_k, E[C_tk] = p_tk E_tk whatever the ages; and the weights are those of the epoch, one for all
    arms, so that a base rate common to the arms cancels in every difference (added) and ratio (multiplied). Once all users are mature m_t = 1, and
    this is the mean of `drift.epoch_weighted`. m_t keeps the variance in bounds: without it an epoch of yesterday, of which
    one arm has shown nothing yet, would get as much weight as one that is done. Epochs without users of an active arm are left out.
    v_tk = v_t f_k, with v_t of all arms and f_k the arm's own multiple, shrunk to 1; u_tk the same way.
    """
    users, active = evidence.users, evidence.active
    curve = None if evidence.delays is None else delay_curve(evidence.delays)
    developed = np.ones((*users.shape[:-3], 1, *users.shape[-2:])) if curve is None else curve.developed[..., None, :, :]
    watched = users * developed
    n, effective = users.sum(axis=-1), watched.sum(axis=-1)
    total, squares = evidence.total.sum(axis=-1), evidence.total_squares.sum(axis=-1)
    used = comparable(effective, active)
    mature = np.where(active[..., None, :], effective / np.maximum(n, 1.0), 1.0).min(axis=-1)
    traffic = np.where(active[..., None, :], n, 0.0).sum(axis=-1) * mature
    by_epoch = epoch_weights(traffic, used)
    cells = used[..., None] & (effective > 0)
    safe = np.where(cells, effective, 1.0)
    share = np.where(cells, by_epoch[..., None], 0.0)
    rate = np.where(cells, total / safe, 0.0)
    mean = (share * rate).sum(axis=-2)
    variance = _cell_variances(total, squares, effective, (watched * developed).sum(axis=-1), cells)
    sd2 = (share**2 * variance).sum(axis=-2)
    if curve is not None:
        parts = ((share * rate / safe)[..., None] * watched).sum(axis=-3)
        sd2 = sd2 + mean**2 * curve_variance(parts / np.where(mean > 0, mean, 1.0)[..., None], curve)
    return Estimate(
        mean=mean,
        sd=np.sqrt(sd2),
        effective_n=np.where(cells, effective, 0.0).sum(axis=-2),
        epoch_weights=by_epoch,
        curve=curve,
    )


def _cell_variances(total: Floats, squares: Floats, effective: Floats, curved: Floats, cells: Flags) -> Floats:
    e = np.where(cells, effective, 0.0)

    def of_one(sums: Floats) -> Floats:
        kept = np.where(cells, sums, 0.0)
        by_epoch = kept.sum(axis=-1, keepdims=True) / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)
        everywhere = kept.sum(axis=(-2, -1), keepdims=True) / np.maximum(e.sum(axis=(-2, -1), keepdims=True), 1e-300)
        expected = (by_epoch * e).sum(axis=-2, keepdims=True)
        prior = VARIANCE_PRIOR * everywhere
        # All arms of one epoch without a conversion still have the spread of the other epochs.
        own = np.where(expected + prior > 0, (kept.sum(axis=-2, keepdims=True) + prior) / np.maximum(expected + prior, 1e-300), 0.0)
        smooth = (kept.sum(axis=-1, keepdims=True) + prior) / (e.sum(axis=-1, keepdims=True) + VARIANCE_PRIOR)
        return np.asarray(smooth * own)

    square, one = of_one(squares), of_one(total)
    safe = np.where(cells, effective, 1.0)
    return np.where(cells, np.maximum(square * e - np.minimum(one**2, square) * curved, 0.0) / safe**2, 0.0)


def _best_rate(evidence: AllocationEvidence, found: Estimate, *, maximise: bool) -> Floats:
    """P(best) of proportions: Beta posteriors with as many users as the standard deviation is worth, and one conversion at the common rate before."""
    active = evidence.active
    effective, mean = np.where(active, found.effective_n, 0.0), np.clip(found.mean, 0.0, 1.0)
    all_of_it = effective.sum(axis=-1, keepdims=True)
    common = np.clip(((effective * mean).sum(axis=-1, keepdims=True) + 0.5) / (all_of_it + 1), 1e-9, 1 - 1e-9)
    smooth = (mean * effective + 1) / (effective + 1 / common)
    worth = np.where(found.sd > 0, smooth * (1 - smooth) / np.maximum(found.sd, 1e-12) ** 2, effective)
    # An arm that gets no traffic is out of the comparison: certain to be the worst.
    best = (mean * worth, (1 - mean) * worth)
    out = (np.zeros_like(mean), np.full_like(mean, 1e9)) if maximise else (np.full_like(mean, 1e9), np.zeros_like(mean))
    successes, failures = (np.where(active, inside, outside) for inside, outside in zip(best, out, strict=True))
    return beta_best(successes, failures, prior=(np.ones_like(common), (1 - common) / common), maximise=maximise)


def _without(active: Flags, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    lowest = np.where(active, mean - 10 * sd, np.inf).min(axis=-1, keepdims=True)
    reach = np.where(active, sd, 0.0).max(axis=-1, keepdims=True)
    lowest = np.where(np.isfinite(lowest), lowest - 10 * reach - 1, 0.0)
    return np.where(active, mean, lowest), np.where(active, sd, 0.0)


def _among(active: Flags, p: Floats) -> Floats:
    kept = np.where(active, p, 0.0)
    return np.asarray(kept / np.maximum(kept.sum(axis=-1, keepdims=True), 1e-300))


def _top_two(p: Floats, active: Flags, leader: float) -> Floats:
    # One arm alone has nobody to share with.
    alone = active.sum(axis=-1, keepdims=True) == 1
    return np.where(alone, active, top_two(p, leader=leader))


def _doubts(evidence: AllocationEvidence, policy: AllocationPolicy, found: Estimate) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    active = evidence.active
    users = evidence.users.sum(axis=(-3, -1))
    converted = evidence.total.sum(axis=(-3, -1)) if evidence.conversions is None else evidence.conversions
    few, rare = active & (users < policy.burn_in_users), active & (converted < policy.burn_in_conversions)
    reason = np.zeros(active.shape[:-1], dtype=np.int8)
    arm = np.full(active.shape[:-1], -1, dtype=np.intp)
    doubts = [
        (~active.any(axis=-1), Reason.NO_ARMS, None),
        (few.any(axis=-1), Reason.FEW_USERS, few),
        (rare.any(axis=-1), Reason.FEW_CONVERSIONS, rare),
        (np.zeros_like(reason, dtype=bool) if found.curve is None else found.curve.tail < TAIL, Reason.TAIL_UNKNOWN, None),
        (~(found.epoch_weights > 0).any(axis=-1), Reason.NEVER_TOGETHER, None),
    ]
    for doubtful, code, which in reversed(doubts):
        reason = np.where(doubtful, np.int8(code), reason)
        arm = np.where(doubtful, -1 if which is None else which.argmax(axis=-1), arm)
    return reason, arm


def why(answer: AllocationAnswer, evidence: AllocationEvidence, policy: AllocationPolicy, names: Sequence[str]) -> str | None:
    """In words, why one experiment gets no new weights; None when it gets them. ValueError for several experiments at once."""
    if answer.reason.ndim:
        raise ValueError("words are for one experiment")
    code, arm = Reason(int(answer.reason)), int(answer.arm)
    users, counted = evidence.users.sum(axis=(-3, -1)), evidence.conversions
    converted = evidence.total.sum(axis=(-3, -1)) if counted is None else counted
    if code == Reason.TOLD:
        return None
    if code == Reason.FEW_USERS:
        return f"too thin: arm {names[arm]} has {users[arm]:.0f} of {policy.burn_in_users:g} users"
    if code == Reason.FEW_CONVERSIONS:
        return f"too thin: arm {names[arm]} has {converted[arm]:.0f} of {policy.burn_in_conversions:g} conversions"
    if code == Reason.TAIL_UNKNOWN:
        tail = 0.0 if evidence.delays is None else float(delay_curve(evidence.delays).tail)
        return (
            f"too early: {tail:.0f} of {TAIL} conversions are of users whose whole window has passed, "
            "so nobody can know yet how many come late"
        )
    if code == Reason.NEVER_TOGETHER:
        return "the active arms have had no users in one and the same epoch, so that nothing compares them"
    return "no arm is active"
