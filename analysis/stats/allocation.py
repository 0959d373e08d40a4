"""From what was counted to the weights of the next epoch: one pure function, the same for one experiment and for thousands of simulated ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.stats.best_arm import beta_best, gaussian_best, top_two, with_floor
from analysis.stats.estimates import AllocationEvidence, Estimate, estimate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TAIL: Final = 10
"""Conversions of users who were watched for the whole window, before anything is said about how long conversions take."""


class Reason(IntEnum):
    """Why no weights are given."""

    TOLD = 0
    FEW_USERS = 1
    FEW_CONVERSIONS = 2
    TAIL_UNKNOWN = 3
    NEVER_TOGETHER = 4
    NO_ARMS = 5
    FEW_WATCHED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPolicy:
    """How weights follow from estimates; the fields of `allocation` in a campaign.

    fixed: even weights. burn_in_users: also of watched users (`estimates.watched_users`): a thousand of a moment ago tell nothing, and an arm that nothing is
    known of would get weight for its doubt alone. conversion, message: worth of one unit of the metric and price of one delivered message; with a price the objective is
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
    p_best, objective, spread = _best(evidence, policy, found)
    active = np.where(evidence.active.any(axis=-1, keepdims=True), evidence.active, True)
    even = active / active.sum(axis=-1, keepdims=True)
    safe = np.where(told[..., None], p_best, even)
    shares = even
    if policy.policy == "thompson":
        shares = safe
    elif policy.policy == "top_two":
        shares = _top_two(safe, active, policy.leader)
    return AllocationAnswer(
        weights=np.where(told[..., None], with_floor(shares, policy.floor, active), 0.0),
        p_best=np.where(told[..., None], p_best, 0.0),
        mean=objective,
        sd=spread,
        effective_n=found.effective_n,
        reason=reason,
        arm=arm,
    )


def _best(
    evidence: AllocationEvidence, policy: AllocationPolicy, found: Estimate
) -> tuple[Floats, Floats, Floats]:
    """P(best) among the active arms, and mean and sd of what they are compared by."""
    if policy.message == 0:
        if evidence.proportion:
            p_best = _best_rate(evidence, found, maximise=policy.maximise)
        else:
            sign = 1.0 if policy.maximise else -1.0
            p_best = gaussian_best(*_without(evidence.active, sign * found.mean, found.sd))
        return _among(evidence.active, p_best), found.mean, found.sd
    sign = policy.conversion if policy.maximise else -policy.conversion
    messages = np.zeros_like(found.mean) if evidence.messages is None else evidence.messages
    objective, spread = sign * found.mean - policy.message * messages, policy.conversion * found.sd
    p_best = gaussian_best(*_without(evidence.active, objective, spread))
    return _among(evidence.active, p_best), objective, spread


def _best_rate(evidence: AllocationEvidence, found: Estimate, *, maximise: bool) -> Floats:
    """P(best) of proportions: Beta posteriors with as many users as the standard deviation is worth, and before them one user at the common rate who
    converted, or where most do, one who did not: the rarer of the two tells arms apart.
    """
    active = evidence.active
    effective, mean = np.where(active, found.effective_n, 0.0), np.clip(found.mean, 0.0, 1.0)
    all_of_it = effective.sum(axis=-1, keepdims=True)
    common = np.clip(((effective * mean).sum(axis=-1, keepdims=True) + 0.5) / (all_of_it + 1), 1e-9, 1 - 1e-9)
    rarer = np.minimum(common, 1 - common)
    before = common / rarer, (1 - common) / rarer
    smooth = (mean * effective + before[0]) / (effective + 1 / rarer)
    worth = np.where(found.sd > 0, smooth * (1 - smooth) / np.maximum(found.sd, 1e-12) ** 2, effective)
    # An arm that gets no traffic is out of the comparison: certain to be the worst.
    best = (mean * worth, (1 - mean) * worth)
    out = (
        (np.zeros_like(mean), np.full_like(mean, 1e9))
        if maximise
        else (np.full_like(mean, 1e9), np.zeros_like(mean))
    )
    successes, failures = (
        np.where(active, inside, outside) for inside, outside in zip(best, out, strict=True)
    )
    return beta_best(successes, failures, prior=before, maximise=maximise)


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


def _doubts(
    evidence: AllocationEvidence, policy: AllocationPolicy, found: Estimate
) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    active = evidence.active
    users = evidence.users.sum(axis=(-3, -1))
    converted = evidence.total.sum(axis=(-3, -1)) if evidence.conversions is None else evidence.conversions
    few, rare = active & (users < policy.burn_in_users), active & (converted < policy.burn_in_conversions)
    young = active & (found.effective_n < policy.burn_in_users)
    reason = np.zeros(active.shape[:-1], dtype=np.int8)
    arm = np.full(active.shape[:-1], -1, dtype=np.intp)
    doubts = [
        (~active.any(axis=-1), Reason.NO_ARMS, None),
        (few.any(axis=-1), Reason.FEW_USERS, few),
        (rare.any(axis=-1), Reason.FEW_CONVERSIONS, rare),
        (
            np.zeros_like(reason, dtype=bool) if found.curve is None else found.curve.tail < TAIL,
            Reason.TAIL_UNKNOWN,
            None,
        ),
        # After the tail, without which nobody knows what a user who was watched for an hour is worth.
        (young.any(axis=-1), Reason.FEW_WATCHED, young),
        (~found.connected, Reason.NEVER_TOGETHER, None),
    ]
    for doubtful, code, which in reversed(doubts):
        reason = np.where(doubtful, np.int8(code), reason)
        arm = np.where(doubtful, -1 if which is None else which.argmax(axis=-1), arm)
    return reason, arm


def why(
    answer: AllocationAnswer, evidence: AllocationEvidence, policy: AllocationPolicy, names: Sequence[str]
) -> str | None:
    """In words, why one experiment gets no new weights; None when it gets them. ValueError for several experiments at once."""
    if answer.reason.ndim:
        raise ValueError("words are for one experiment")
    code, arm = Reason(int(answer.reason)), int(answer.arm)
    if code == Reason.TOLD:
        return None
    users, counted = evidence.users.sum(axis=(-3, -1)), evidence.conversions
    converted = evidence.total.sum(axis=(-3, -1)) if counted is None else counted
    curve = estimate(evidence).curve
    tail = 0.0 if curve is None else float(curve.tail)
    # Where a doubt is about all arms, those about one are not looked up.
    name, has, sold, worth = (
        (names[arm], users[arm], converted[arm], answer.effective_n[arm]) if arm >= 0 else ("", 0.0, 0.0, 0.0)
    )
    return {
        Reason.FEW_USERS: f"too thin: arm {name} has {has:.0f} of {policy.burn_in_users:g} users",
        Reason.FEW_CONVERSIONS: f"too thin: arm {name} has {sold:.0f} of {policy.burn_in_conversions:g} conversions, of {has:.0f} users",
        Reason.TAIL_UNKNOWN: f"too early: {tail:.0f} of {TAIL} conversions are of users whose whole window has passed, "
        "so nobody can know yet how many come late",
        Reason.FEW_WATCHED: f"too early: the {has:.0f} users of arm {name} are so young that they are worth {worth:.0f} of "
        f"{policy.burn_in_users:g} watched ones",
        Reason.NEVER_TOGETHER: "the active arms have had no users in one and the same epoch, so that nothing compares them",
        Reason.NO_ARMS: "no arm is active",
    }[code]
