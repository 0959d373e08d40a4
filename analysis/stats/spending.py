"""Group-sequential boundaries from an alpha-spending function, by recursive numerical integration.

Under H0 the statistic at information fraction t, times sqrt(t), is a Brownian motion B(t): increments are independent
and normal with variance t_k - t_{k-1} (Lan and Zucker 1993). The density of B(t_k) on the paths that have not crossed
yet is carried from look to look by Gauss-Legendre quadrature (Armitage, McPherson, Rowe 1969, with the nodes of a
smooth rule; as in Jennison and Turnbull 2000, chapter 19).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import optimize, special

SPENDING_KINDS = ("obrien_fleming", "pocock")
LARGEST_BOUND = 8.0
"""A look at which so little alpha is spent that the bound would be larger gets this one; it costs 1e-15 of alpha."""
_NODES_PER_STEP = 2.5
_FEWEST_NODES, _MOST_NODES = 48, 2000


def alpha_spent(fraction: float, alpha: float, *, kind: str = "obrien_fleming") -> float:
    """The two-sided alpha spent by information fraction t in (0, 1].

        obrien_fleming: alpha(t) = 2 - 2 Phi(z_{1 - alpha/2} / sqrt(t))        (Lan and DeMets 1983, alpha*_1)
        pocock:         alpha(t) = alpha log(1 + (e - 1) t)                     (Lan and DeMets 1983, alpha*_2)

    The first is hard to cross early and costs almost nothing at the end. ValueError for an unknown kind or t outside (0, 1].

    >>> round(alpha_spent(0.5, 0.05), 6), alpha_spent(1.0, 0.05, kind="pocock")
    (0.005575, 0.05)
    """
    if not 0 < fraction <= 1:
        raise ValueError("an information fraction lies in (0, 1]")
    if fraction == 1:
        return alpha
    if kind == "obrien_fleming":
        return _beyond(_quantile(alpha / 2) / math.sqrt(fraction))
    if kind == "pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    raise ValueError(f"unknown spending function {kind!r}; use one of {', '.join(SPENDING_KINDS)}")


def spending_boundaries(
    fractions: Sequence[float],
    alpha: float,
    *,
    kind: str = "obrien_fleming",
    final: bool = False,
    times: Sequence[float] | None = None,
) -> np.ndarray:
    """Two-sided bounds on |z| at each look, given the information fractions of all looks so far.

    Bound b_k solves P(no crossing before k, |Z_k| >= b_k) = alpha(t_k) - alpha(t_{k-1}) under H0 (Lan and DeMets 1983). The looks need not have been planned, but must not have been chosen after seeing the effect.
    fractions: strictly increasing, in (0, 1], at least 1e-4 apart. final: no look will follow, so the last one spends
    all alpha that is left although its fraction is below 1. times: of the Brownian motion at the looks, in (0, 1], where they are not
    the fractions by which alpha is spent (`variance_clock`). Returns float array, shape (len(fractions),).
    Not for an adaptive change of the maximum. ValueError for fractions out of order.

    >>> spending_boundaries([0.5, 1.0], 0.05).round(4)
    array([2.7718, 1.9793])
    """
    spent = [alpha_spent(fraction, alpha, kind=kind) for fraction in fractions]
    if final and spent:
        spent[-1] = alpha
    return boundaries_of(fractions if times is None else times, spent)


def boundaries_of(fractions: Sequence[float], spent: Sequence[float]) -> np.ndarray:
    """The bounds on |z| that spend exactly these cumulative two-sided alphas (any spending function).

    Shapes: both (k,), increasing; returns (k,).
    """
    _check(fractions)
    bounds: list[float] = []
    density: _Density | None = None
    before = 0.0
    for k, fraction in enumerate(fractions):
        bound = _solve(density, fraction, spent[k] - before)
        before = spent[k]
        bounds.append(bound)
        if k + 1 < len(fractions):
            density = _advance(density, fraction, bound, fractions[k + 1])
    return np.array(bounds)


def crossing_probability(fractions: Sequence[float], bounds: Sequence[float]) -> float:
    """P(|Z_k| >= b_k at some look k) under H0: the false-positive rate of these bounds.

    Five looks at 1.96 (Armitage, McPherson, Rowe 1969, table 2):

    >>> round(crossing_probability([0.2, 0.4, 0.6, 0.8, 1.0], [1.96] * 5), 3)
    0.142
    """
    _check(fractions)
    total = 0.0
    density: _Density | None = None
    for k, (fraction, bound) in enumerate(zip(fractions, bounds, strict=True)):
        total += _exit(density, fraction, bound)
        if k + 1 < len(fractions):
            density = _advance(density, fraction, bound, fractions[k + 1])
    return total


def exit_probabilities(
    fractions: Sequence[float], bounds: Sequence[float], drift: float
) -> tuple[tuple[float, float], ...]:
    """P(first crossing at look k) downwards and upwards, when Z_k has the mean drift sqrt(t_k): the power of these bounds.

    drift is E(Z) at information fraction 1. The paths that have not crossed are those under H0, whose density at x weighs

        exp( drift x - drift^2 t / 2 )          (likelihood ratio of a Brownian motion with drift; Girsanov)

    so that one integration serves every drift. Sums over all looks are 1 - P(no crossing).
    Not for drifts above some 12, where all is 1 anyway. ValueError for fractions out of order.

    Five looks of O'Brien and Fleming, power 0.9 (Jennison and Turnbull 2000, table 2.4: 1.026 times the fixed sample):

    >>> bounds = [2.040 * (5 / k) ** 0.5 for k in range(1, 6)]
    >>> drift = (1.959964 + 1.281552) * 1.026 ** 0.5
    >>> round(sum(up for _, up in exit_probabilities([0.2, 0.4, 0.6, 0.8, 1.0], bounds, drift)), 3)
    0.9
    """
    found: list[tuple[float, float]] = []
    for density, fraction, bound in zip(
        _survivors(tuple(fractions), tuple(bounds)), fractions, bounds, strict=True
    ):
        at, nodes, mass = (0.0, np.zeros(1), np.ones(1)) if density is None else density.parts
        weighted = mass * np.exp(drift * nodes - 0.5 * drift * drift * at)
        step, edge = math.sqrt(fraction - at), bound * math.sqrt(fraction)
        mean = nodes + drift * (fraction - at)
        found.append(
            (
                float(weighted @ special.ndtr((-edge - mean) / step)),
                float(weighted @ special.ndtr((mean - edge) / step)),
            )
        )
    return tuple(found)


@lru_cache(maxsize=64)
def _survivors(fractions: tuple[float, ...], bounds: tuple[float, ...]) -> tuple["_Density | None", ...]:
    """Of the paths under H0 that reach look k: what `_advance` says; None before the first."""
    _check(fractions)
    found: list[_Density | None] = [None]
    for k in range(len(fractions) - 1):
        found.append(_advance(found[-1], fractions[k], bounds[k], fractions[k + 1]))
    return tuple(found)


class _Density:
    """Of B(t) on the paths that have not crossed yet: nodes, and density times quadrature weight at the nodes."""

    __slots__ = ("at", "mass", "nodes")

    def __init__(self, at: float, nodes: np.ndarray, mass: np.ndarray) -> None:
        self.at, self.nodes, self.mass = at, nodes, mass

    @property
    def parts(self) -> tuple[float, np.ndarray, np.ndarray]:
        return self.at, self.nodes, self.mass


def _exit(density: _Density | None, fraction: float, bound: float) -> float:
    if density is None:
        return _beyond(bound)
    step = math.sqrt(fraction - density.at)
    # By symmetry the lower exit has the same probability as the upper one.
    return float(2 * density.mass @ special.ndtr((density.nodes - bound * math.sqrt(fraction)) / step))


def _solve(density: _Density | None, fraction: float, alpha: float) -> float:
    if alpha <= _exit(density, fraction, LARGEST_BOUND):
        return LARGEST_BOUND
    if density is None:
        return _quantile(alpha / 2)
    root = optimize.brentq(
        lambda bound: _exit(density, fraction, bound) - alpha, 0.0, LARGEST_BOUND, xtol=1e-10
    )
    return float(root)


def _advance(density: _Density | None, fraction: float, bound: float, following: float) -> _Density:
    edge = bound * math.sqrt(fraction)
    step = math.sqrt(fraction - (density.at if density else 0.0))
    # The density varies on the scale of the step behind it, the next kernel on that of the step ahead.
    scale = min(step, math.sqrt(following - fraction))
    wanted = math.ceil(_NODES_PER_STEP * 2 * edge / scale)
    unit, weights = _rule(min(max(-(-wanted // 16) * 16, _FEWEST_NODES), _MOST_NODES))
    nodes = edge * unit
    if density is None:
        values = np.exp(-0.5 * (nodes / step) ** 2)
    else:
        values = np.exp(-0.5 * ((nodes[:, None] - density.nodes[None, :]) / step) ** 2) @ density.mass
    return _Density(fraction, nodes, edge * weights * values / (step * math.sqrt(2 * math.pi)))


@lru_cache(maxsize=256)
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    unit, weights = special.roots_legendre(count)
    return unit, weights


# What `stats.norm` answers as well, to the last digit, in a hundredth of the time: a curve over a hundred looks asks two thousand times.
def _beyond(z: float) -> float:
    """P(|Z| >= z)."""
    return float(2 * special.ndtr(-z))


def _quantile(p: float) -> float:
    """The z with P(Z >= z) = p."""
    return float(-special.ndtri(p))


def _check(fractions: Sequence[float]) -> None:
    if not all(0 < fraction <= 1 for fraction in fractions):
        raise ValueError("an information fraction lies in (0, 1]")
    if any(later - earlier < 1e-4 for earlier, later in pairwise(fractions)):
        raise ValueError("information fractions must increase by at least 1e-4 from look to look")
