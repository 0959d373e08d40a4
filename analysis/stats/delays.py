"""How long conversions take, learned while most users are still young, and rates that do not take "not yet" for "no".

Users and conversions are counted in bins. The edges 0 = e_0 < e_1 < .. < e_B are the same for delays and for ages; e_B is the end of the
metric's window. Delay bin b, of B: from e_b to e_(b+1). Age bin a, of B + 1: the user was assigned between e_a and e_(a+1) ago; the last holds
all whose window has closed. An age is rounded down: of a user in bin a, only conversions with a delay below e_a are counted, so that
what has been watched is known exactly.

The curve is the product-limit estimator for right-truncated data, which is Kaplan-Meier in reversed time (Lagakos, Barraj and De Gruttola
1988, Biometrika 75; Kalbfleisch and Lawless 1989, JASA 84). It looks at converters only, each compared with those who were watched as
long, so it stays right when the base rate changes from day to day. The usual Kaplan-Meier estimator, which counts those who have not converted as
censored, takes a rate that rose lately for a conversion that got faster. It is also the maximum likelihood of
counts D_tb ~ Poisson(p_t n_t f_b), in which p_t = conversions_t / sum over users of F(age): the corrected rate itself (Renshaw and
Verrall 1998; known to actuaries as the chain ladder).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

POOLING: Final = 1.0
"""Conversions that the pooled curve counts for in the curve of an arm, at each step of it. With 5, an arm four epochs slower than the others was a quarter of
a standard error too low on average; with 1 a twenty-fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayCurve:
    """F: the share of a window's conversions that have happened by an age.

    developed: F at the B + 1 edges, (.., K, B + 1); 0 at the first, 1 at the last. hazard: g_b, the share of the conversions before e_(b+1) that
    fall into bin b, (.., K, B). at_risk: conversions that g_b was learned from, (.., K, B), with what the pooled curve counted for.
    tail: conversions of users whose window has closed, all arms together, (..). Where it is 0, nobody can know how F ends.
    """

    developed: Floats
    hazard: Floats
    at_risk: Floats
    tail: Floats


def delay_curve(conversions: ArrayLike, *, pooling: float = POOLING) -> DelayCurve:
    """The curve of each arm from conversions by the age and the delay of their users.

        g_b = d_b / n_b,     d_b = sum_{a > b} D_ab,     n_b = sum_{a > b} sum_{b' <= b} D_ab',     F(e_a) = prod_{b >= a} (1 - g_b)

    shrunk towards the pooled curve:  g_kb = (d_kb + m g_b) / (n_kb + m), m = `pooling`. conversions: D, (.., K, A, B) with A = B + 1, in which
    D_ab is only counted for b < a (others are ignored). Repeated events count each.
    pooling: 0 keeps the arms apart. ValueError for other shapes and negative counts.

    >>> d = [[[0, 0], [30, 0], [20, 20]]]     # one arm; 30 of users watched for one bin, 40 of users watched for both
    >>> delay_curve(d).developed.tolist()
    [[0.0, 0.5, 1.0]]
    """
    counts = np.asarray(conversions, dtype=np.float64)
    if counts.ndim < 3 or counts.shape[-2] != counts.shape[-1] + 1 or counts.shape[-1] == 0:
        raise ValueError("conversions have the shape (.., arms, bins + 1, bins)")
    if not np.all(counts >= 0) or not 0 <= pooling < np.inf:
        raise ValueError("counts and pooling are at least 0")
    bins = counts.shape[-1]
    # Sums over older ages, and over shorter delays; below, only those of b < a are taken out of them.
    older = counts[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :]
    sooner = older.cumsum(axis=-1)
    step = np.arange(bins)
    events, at_risk = older[..., step + 1, step], sooner[..., step + 1, step]
    pooled_events, pooled_at_risk = events.sum(axis=-2, keepdims=True), at_risk.sum(axis=-2, keepdims=True)
    pooled = np.where(pooled_at_risk > 0, pooled_events / np.maximum(pooled_at_risk, 1e-300), 0.0)
    known = np.where(pooled_at_risk > 0, at_risk + pooling, 0.0)
    hazard = np.where(known > 0, (events + pooling * pooled) / np.maximum(known, 1e-300), 0.0)
    survived = np.cumprod((1 - hazard)[..., ::-1], axis=-1)[..., ::-1]
    # Nothing has happened at age 0, also when no conversion has been seen that says so.
    developed = np.concatenate(
        [np.zeros((*survived.shape[:-1], 1)), survived[..., 1:], np.ones((*survived.shape[:-1], 1))], axis=-1
    )
    return DelayCurve(developed=developed, hazard=hazard, at_risk=known, tail=pooled_at_risk[..., 0, -1])


def curve_variance(shares: Floats, curve: DelayCurve) -> Floats:
    """The variance of log sum_a s_a F(e_a), s_a F(e_a) = shares, that comes from the estimated curve alone: (.., K) from (.., K, B + 1).

        sum_b ( sum_{a <= b} shares_a )^2 g_b / ((1 - g_b) m_b)

    as d log F(e_a) / d g_b = -1/(1 - g_b) for b >= a (delta method); the g_b are uncorrelated. Shares sum to 1 (or to 0).
    """
    reached = shares[..., :-1].cumsum(axis=-1)
    g = np.minimum(curve.hazard, 1 - 1e-9)
    spread = np.where(curve.at_risk > 0, g / ((1 - g) * np.maximum(curve.at_risk, 1e-300)), 0.0)
    # Where F is 0 nothing rests on its end: 0 shares, however uncertain.
    return np.asarray(np.where(reached > 0, reached**2 * spread, 0.0).sum(axis=-1))
