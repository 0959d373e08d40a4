"""Which arm is the best, as probabilities, and what they make of the traffic: no seeds, so the same data get the same weights.

P(best) is an integral over one variable, done by Gauss-Legendre on panels whose ends are quantiles of every arm: where one arm is
a thousand times as precise as another, panels are a thousand times as narrow there. Everything is batched over leading axes.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

_STEPS: Final = np.array([-8.5, -6.5, -5.0, -3.75, -2.5, -1.25, 0.0, 1.25, 2.5, 3.75, 5.0, 6.5, 8.5])
"""Ends of the panels of a normal, in standard deviations; beyond the last is less than 1e-16."""
_TAILS: Final = np.array([1e-14, 1e-8, 1e-4, 0.01, 0.1])
"""Ends of the panels of a beta, as probabilities from either side, and the median."""
_NODES, _WEIGHTS = special.roots_legendre(8)
_NARROWEST: Final = 1e-9
"""A standard error smaller than this share of the whole scale is taken for a point, and as this large."""
_FARTHEST: Final = 690.0
"""Logits beyond it cannot be told from 0 and 1."""
_AT_A_TIME: Final = 2_000_000
"""Values of the integrand that are held at once."""


def gaussian_best(mean: ArrayLike, se: ArrayLike, *, maximise: bool = True) -> Floats:
    """P(arm k has the largest true value), for independent normal posteriors N(mean_k, se_k^2).

        P_k = integral phi((x - mean_k)/se_k)/se_k  prod_{j != k} Phi((x - mean_j)/se_j) dx

    (Russo 2020, Simple Bayesian algorithms for best-arm identification, section 3.) mean, se: shape (.., K), in units of the
    metric; maximise: False when the smallest is the best. Shape (.., K), sums to 1 within 1e-12.
    An arm with se = 0 is a point; points that tie share. Accurate to 1e-9 (beside points: 1e-6).
    Not for arms without data: there is no standard error. ValueError when something is not finite, or se is negative.

    >>> gaussian_best([0.05, 0.06], [0.005, 0.005]).round(4).tolist()
    [0.0786, 0.9214]
    """
    means, ses = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), np.asarray(se, dtype=np.float64))
    if means.ndim == 0 or not (np.all(np.isfinite(means)) and np.all(np.isfinite(ses)) and np.all(ses >= 0)):
        raise ValueError(
            "means and standard errors are finite, one for each arm, and no standard error is negative"
        )
    signed = means if maximise else -means
    top = signed.max(axis=-1, keepdims=True)
    scale = np.maximum(ses.max(axis=-1, keepdims=True), top - signed.min(axis=-1, keepdims=True))
    scale = np.where(scale > 0, scale, 1.0)
    return _in_parts(_gaussian, (signed - top) / scale, np.maximum(ses / scale, _NARROWEST), len(_STEPS))


def beta_best(
    successes: ArrayLike,
    failures: ArrayLike,
    *,
    prior: tuple[ArrayLike, ArrayLike] = (1.0, 1.0),
    maximise: bool = True,
) -> Floats:
    """P(arm k has the largest rate), for independent posteriors Beta(a + successes_k, b + failures_k).

        P_k = integral f_k(x) prod_{j != k} F_j(x) dx,   x = 1/(1 + exp(-t)), integrated over t

    successes, failures: shape (.., K), at least 0, not necessarily whole (effective counts). prior: a and b, numbers
    or arrays that broadcast against the counts. Shape (.., K), sums to 1 within 1e-12; accurate to 1e-9 up to 1e7 counts, to 1e-3
    where a parameter of a posterior is below 0.5.
    ValueError when a count is negative or a parameter of the posterior is not positive and finite.

    >>> beta_best([50, 65], [950, 935]).round(4).tolist()
    [0.0755, 0.9245]
    """
    s, f = np.asarray(successes, dtype=np.float64), np.asarray(failures, dtype=np.float64)
    if not (np.all(s >= 0) and np.all(f >= 0)):
        raise ValueError("successes and failures are at least 0")
    a, b = np.broadcast_arrays(s + np.asarray(prior[0]), f + np.asarray(prior[1]))
    if a.ndim == 0 or not (
        np.all(a > 0) and np.all(b > 0) and np.all(np.isfinite(a)) and np.all(np.isfinite(b))
    ):
        raise ValueError("the parameters of every posterior are positive and finite, one pair for each arm")
    # The smallest rate is the largest share of failures.
    first, second = (a, b) if maximise else (b, a)
    return _in_parts(_beta, first, second, 2 * len(_TAILS) + 1)


def top_two(p_best: ArrayLike, *, leader: float = 0.5) -> Floats:
    """Shares of the traffic that find the best arm soonest, from P(best).

        psi_i = P_i [ b + (1 - b) sum_{j != i} P_j/(1 - P_j) ]                  (Russo 2020, top-two probability sampling)

    The leader is drawn with P; with chance 1 - b it is drawn again until it is another. p_best: (.., K), sums to 1.
    leader: b in [0, 1]; with 1 this is Thompson sampling. As P_i -> 1, psi_i -> b and the others share 1 - b by P_j/(1 - P_i), which
    is taken as a limit: where even that cannot be told (all others 0), they share evenly.

    >>> top_two([0.5, 0.3, 0.2]).round(4).tolist()
    [0.4196, 0.3375, 0.2429]
    >>> top_two([1.0, 0.0, 0.0]).tolist()
    [0.5, 0.25, 0.25]
    """
    p = np.asarray(p_best, dtype=np.float64)
    if not 0 <= leader <= 1:
        raise ValueError("leader lies between 0 and 1")
    if p.ndim == 0 or not (np.all(p >= 0) and np.allclose(p.sum(axis=-1), 1, rtol=0, atol=1e-9)):
        raise ValueError("probabilities are at least 0 and sum to 1")
    arms = p.shape[-1]
    if arms == 1:
        return np.ones_like(p)
    # 1 - P_j as the sum of the others keeps its digits where P_j is nearly 1. others[.., j, i] = P_i where i != j.
    others = p[..., None, :] * (1 - np.eye(arms))
    rest = others.sum(axis=-1, keepdims=True)
    even = (1 - np.eye(arms)) / (arms - 1)
    second = np.where(rest > 0, others / np.where(rest > 0, rest, 1.0), even)
    psi = leader * p + (1 - leader) * (p[..., :, None] * second).sum(axis=-2)
    return np.asarray(psi / psi.sum(axis=-1, keepdims=True))


def with_floor(weights: ArrayLike, floor: float, active: ArrayLike | None = None) -> Floats:
    """Shares of traffic in which every active arm keeps `floor`:  p_i = floor + (1 - K floor) w_i, K active arms.

    weights: (.., K), not negative; those of inactive arms are given to the others in proportion (evenly when these have none).
    active: a mask of shape (.., K); None: all are. Inactive arms get 0. ValueError when floor K > 1 or no arm is active.

    >>> with_floor([0.9, 0.1, 0.0], 0.05).round(4).tolist()
    [0.815, 0.135, 0.05]
    >>> with_floor([0.9, 0.1, 0.0], 0.05, [True, True, False]).round(4).tolist()
    [0.86, 0.14, 0.0]
    """
    w = np.asarray(weights, dtype=np.float64)
    mask = (
        np.ones(w.shape, dtype=bool)
        if active is None
        else np.broadcast_to(np.asarray(active, dtype=bool), w.shape)
    )
    arms = mask.sum(axis=-1, keepdims=True)
    if not np.all(w >= 0) or not np.all(arms > 0):
        raise ValueError("weights are at least 0, and one arm at least is active")
    if floor < 0 or np.any(floor * arms > 1 + 1e-12):
        raise ValueError("a floor is at least 0, and the floors of all active arms fit into the traffic")
    kept = np.where(mask, w, 0.0)
    total = kept.sum(axis=-1, keepdims=True)
    kept = np.where(total > 0, kept / np.where(total > 0, total, 1.0), mask / arms)
    return np.asarray(np.where(mask, floor + (1 - arms * floor) * kept, 0.0))


def _in_parts(integrate: Callable[[Floats, Floats], Floats], a: Floats, b: Floats, ends: int) -> Floats:
    # A million worlds are done some at a time: the nodes of all of them at once would not fit into memory.
    arms = a.shape[-1]
    flat_a, flat_b = a.reshape(-1, arms), b.reshape(-1, arms)
    step = max(1, _AT_A_TIME // (arms * arms * ends * len(_NODES)))
    parts = [integrate(flat_a[i : i + step], flat_b[i : i + step]) for i in range(0, len(flat_a), step)]
    found = np.concatenate(parts) if parts else np.empty((0, arms))
    # What is left of 1 after the tails and rounding (1e-10) belongs to nobody in particular.
    return np.asarray((found / found.sum(axis=-1, keepdims=True)).reshape(a.shape))


def _nodes(ends: Floats, lowest: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights, (worlds, nodes), of the panels between `ends`. Below `lowest` the largest value almost never lies."""
    edges = np.maximum(np.sort(ends, axis=-1), lowest[:, None])
    half = np.diff(edges, axis=-1)[..., None] / 2
    x = (edges[:, :-1, None] + half) + half * _NODES
    return x.reshape(len(edges), -1), (half * _WEIGHTS).reshape(len(edges), -1)


def _gaussian(mean: Floats, se: Floats) -> Floats:
    ends = mean[..., None] + se[..., None] * _STEPS
    x, weight = _nodes(ends.reshape(len(mean), -1), ends[..., 0].max(axis=-1))
    z = (x[:, None, :] - mean[..., None]) / se[..., None]
    density = np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * se[..., None])
    return _integral(density, special.ndtr(z), weight)


def _beta(a: Floats, b: Floats) -> Floats:
    below = _quantiles(a, b, np.append(_TAILS, 0.5))
    above = -_quantiles(b, a, _TAILS)
    ends = np.clip(np.concatenate([below, above], axis=-1), -_FARTHEST, _FARTHEST)
    t, weight = _nodes(ends.reshape(len(a), -1), ends[..., 0].max(axis=-1))
    t, shape, other = t[:, None, :], a[..., None], b[..., None]
    log_density = shape * special.log_expit(t) + other * special.log_expit(-t) - special.betaln(shape, other)
    # From the side of 0 or of 1 on which it lies a share keeps its digits.
    low = t <= 0
    nearer = special.betainc(np.where(low, shape, other), np.where(low, other, shape), special.expit(-abs(t)))
    return _integral(np.exp(log_density), np.where(low, nearer, 1 - nearer), weight) + _beyond(a, b)


def _beyond(a: Floats, b: Floats) -> Floats:
    """P(arm k is the best, and it is so close to 0 or 1 that no number says how close): there t has an exponential tail.

    Above, P(t_k > T + s) = q_k exp(-b_k s):   q_k integral_0^1 prod_{j != k} (1 - q_j v^(b_j / b_k)) dv.   Below, P(t_k < -T - s) =
    r_k exp(-a_k s), and the best is nearest to -T:   prod_j r_j  a_k / sum_j a_j.   Next to nothing unless a or b is far below 1.
    """
    end = np.exp(-_FARTHEST)
    q, r = special.betainc(b, a, end), special.betainc(a, b, end)
    # v = u^4, since a power of v is steep at 0.
    u = (_NODES + 1) / 2
    others = 1 - q[:, None, :, None] * u ** (4 * b[:, None, :] / b[:, :, None])[..., None]
    others = np.where(np.eye(a.shape[-1], dtype=bool)[..., None], 1.0, others).prod(axis=-2)
    above = q * (others * 2 * u**3 * _WEIGHTS).sum(axis=-1)
    return np.asarray(above + r.prod(axis=-1, keepdims=True) * a / a.sum(axis=-1, keepdims=True))


def _quantiles(a: Floats, b: Floats, p: Floats) -> Floats:
    """The logits of the quantiles of Beta(a, b), from x where it is small and from 1 - x where that is: each keeps its digits."""
    x, rest = (
        special.betaincinv(a[..., None], b[..., None], p),
        special.betainccinv(b[..., None], a[..., None], p),
    )
    return np.where(x < 0.5, _logit(x), -_logit(rest))


def _logit(x: Floats) -> Floats:
    return np.asarray(special.logit(np.clip(x, 1e-300, 0.5)))


def _integral(density: Floats, cdf: Floats, weight: Floats) -> Floats:
    """Integral f_k prod_{j != k} F_j; density and cdf: (worlds, arms, nodes)."""
    arms = density.shape[1]
    ones = np.ones_like(cdf[:, :1])
    # Products of all arms before and after k: no division by a cdf that is 0.
    before = np.cumprod(np.concatenate([ones, cdf[:, :-1]], axis=1), axis=1)
    after = np.cumprod(np.concatenate([ones, cdf[:, :0:-1]], axis=1), axis=1)[:, ::-1]
    assert before.shape[1] == arms  # noqa: S101  # one product for each arm
    return np.asarray((density * before * after * weight[:, None, :]).sum(axis=-1))
