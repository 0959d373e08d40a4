"""From facts to what `stats/allocation.py` takes: who is compared, by which counts, and by which policy. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.facts.allocation_facts import AllocationFacts
from analysis.stats.allocation import AllocationAnswer, AllocationPolicy
from analysis.stats.estimates import AllocationEvidence, Estimate, watched_users
from experiments.allocation import BanditAllocation, BurnIn
from experiments.arms import active_arms
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.timing import last_send_offset
from experiments.vocabulary import Direction

_PARTS: Final = ("users", "converters", "total", "total_squares", "delivered", "delays")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """Who gets traffic, by variant in the order of the facts. active: has weight in the open epoch. pinned: was added while the
    experiment ran and has not had its burn-in, so it keeps its share and is not compared yet. weights: those of the open epoch.
    """

    variants: tuple[str, ...]
    active: NDArray[np.bool_]
    pinned: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @property
    def compared(self) -> NDArray[np.bool_]:
        return self.active & ~self.pinned


def arms_of(facts: AllocationFacts, *, history: Sequence[Mapping[str, float]], burn_in: BurnIn) -> Arms:
    """history: the weights of all epochs, in order; the last is open.

    An arm that was there from the start is never pinned: nothing is moved before all of them have had their burn-in.
    """
    weights = np.array([history[-1].get(variant, 0.0) for variant in facts.variants])
    active = weights > 0
    from_the_start = np.isin(facts.variants, active_arms(history[0]))
    # Watched users, who are never more than the users: of those who came an hour ago nothing is known, and doubt is no reason for more traffic.
    watched = watched_users(facts.users, facts.delays)
    thin = (watched < burn_in.users) | (facts.converters.sum(axis=(0, 2)) < burn_in.conversions)
    pinned = active & ~from_the_start & thin
    # One arm alone has nobody to be compared with: then all wait for the new ones.
    if (active & ~pinned).sum() < 2:
        pinned = np.zeros_like(active)
    return Arms(variants=facts.variants, active=active, pinned=pinned, weights=weights)


def policy_of(bandit: BanditAllocation, metric: MetricDefinition, arms: Arms) -> AllocationPolicy:
    """The policy among the arms that are compared: a floor is a share of all traffic, pinned arms included."""
    cost, free = bandit.cost, 1 - float(arms.weights[arms.pinned].sum())
    return AllocationPolicy(
        policy=bandit.policy,
        floor=min(bandit.floor / free, 1 / max(int(arms.compared.sum()), 1)),
        burn_in_users=bandit.burn_in.users,
        burn_in_conversions=bandit.burn_in.conversions,
        **({} if bandit.leader is None else {"leader": bandit.leader}),
        maximise=metric.direction == Direction.INCREASE,
        conversion=1.0 if cost is None or cost.conversion is None else cost.conversion,
        message=0.0 if cost is None else cost.message,
    )


def evidence_of(
    facts: AllocationFacts, design: ExperimentDesign, metric: MetricDefinition, arms: Arms
) -> AllocationEvidence:
    """The counts, in the shapes of `stats/allocation.py`: without leading axes, one experiment."""
    return AllocationEvidence(
        users=facts.users,
        total=facts.total,
        total_squares=facts.total_squares,
        delays=facts.delays,
        active=arms.compared,
        conversions=facts.converters.sum(axis=(0, 2)),
        messages=messages_per_user(facts, design),
        proportion=metric.is_share,
    )


def messages_per_user(facts: AllocationFacts, design: ExperimentDesign) -> NDArray[np.float64]:
    """Messages delivered per user of each arm, among users for whom the last planned send of every arm is past.

    Younger users have had fewer of theirs, so an arm that has just grown would look cheap. Before an arm has any such user, all
    users of that arm count. 0 for an arm without users.
    """
    last = max(last_send_offset(variant, design.trigger) for variant in design.variants)
    done = np.array([edge > last for edge in facts.edges])
    users, delivered = facts.users.sum(axis=0), facts.delivered.sum(axis=0)
    told = np.where((users[:, done].sum(axis=1) > 0)[:, None], done, True)
    n = (users * told).sum(axis=1)
    return np.asarray((delivered * told).sum(axis=1) / np.maximum(n, 1.0))


def weights_of(answer: AllocationAnswer, arms: Arms) -> dict[str, float]:
    """Shares of all traffic by variant: pinned arms keep theirs, the others divide the rest as the answer says."""
    free = 1 - float(arms.weights[arms.pinned].sum())
    shares = np.where(arms.pinned, arms.weights, free * answer.weights)
    return {variant: float(share) for variant, share in zip(arms.variants, shares, strict=True)}


def fingerprint(facts: AllocationFacts) -> str:
    """SHA-256 of all counts: what has the same one gets the same weights."""
    digest = hashlib.sha256(repr((facts.epochs, facts.variants, facts.edges)).encode())
    for name in _PARTS:
        digest.update(np.ascontiguousarray(getattr(facts, name), dtype="<f8").tobytes())
    return digest.hexdigest()


def numbers_of(
    facts: AllocationFacts,
    arms: Arms,
    evidence: AllocationEvidence,
    estimated: Estimate,
    answer: AllocationAnswer,
) -> dict[str, Any]:
    """What the weights were computed from, as plain JSON: `arms` (`new_weight` is for the caller to fill in), `epochs` that were
    looked at, `delays`, `data` (see `fingerprint`).
    """
    users, conversions = facts.users.sum(axis=(0, 2)), facts.converters.sum(axis=(0, 2))
    told, curve = bool(answer.told), estimated.curve
    assert curve is not None  # noqa: S101  # the facts have delays
    described = {}
    for i, variant in enumerate(facts.variants):
        known = bool(answer.effective_n[i] > 0)
        described[variant] = {
            "active": bool(arms.active[i]),
            "pinned": bool(arms.pinned[i]),
            "weight": float(arms.weights[i]),
            "new_weight": None,
            "users": int(users[i]),
            "conversions": int(conversions[i]),
            "messages": float(0.0 if evidence.messages is None else evidence.messages[i]),
            "effective_n": float(answer.effective_n[i]),
            "mean": float(answer.mean[i]) if known else None,
            "sd": float(answer.sd[i]) if known else None,
            "p_best": float(answer.p_best[i]) if told and arms.compared[i] else None,
        }
    return {
        "arms": described,
        "epochs": list(facts.epochs),
        "delays": {
            "edges_seconds": [edge.total_seconds() for edge in facts.edges],
            "developed": dict(zip(facts.variants, curve.developed.round(6).tolist(), strict=True)),
        },
        "data": fingerprint(facts),
    }
