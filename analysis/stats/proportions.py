"""Proportions at small counts: exact p-values and an interval that stays inside [-1, 1].

Where every expected cell is at least 10, a proportion is compared as a mean (`difference.difference`, sample variance).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Interval
from analysis.stats.errors import InsufficientData

Floats = NDArray[np.float64]
SMALL_CELL = 10
BOSCHLOO_LIMIT = 20_000
"""Largest n_C * n_T for which Boschloo's test is affordable (about 0.1 s); larger tables get Fisher's."""


def successes(arm: Aggregate) -> int:
    """The number of units with outcome 1, from n and the mean; InsufficientData when the mean is no proportion.

    >>> successes(Aggregate.from_counts(10, 3))
    3
    """
    if not (arm.is_finite and -1e-9 <= arm.mean <= 1 + 1e-9):
        raise InsufficientData("a proportion must lie between 0 and 1")
    return min(max(round(arm.n * arm.mean), 0), arm.n)


def is_small(control: Aggregate, treatment: Aggregate) -> bool:
    """Whether any cell of the 2 x 2 table has an expected count below 10 under equal proportions.

    Expected cells: n_a p and n_a (1 - p), p = pooled proportion.

    >>> is_small(Aggregate.from_counts(1000, 8), Aggregate.from_counts(1000, 9))
    True
    """
    n = control.n + treatment.n
    if n == 0:
        return True
    total = successes(control) + successes(treatment)
    return min(control.n, treatment.n) * min(total, n - total) < SMALL_CELL * n


def exact_p_value(control: Aggregate, treatment: Aggregate) -> float:
    """Two-sided exact p of equal proportions: Boschloo 1970 for small tables, Fisher 1935 for large ones.

    Boschloo's test is uniformly more powerful than Fisher's and as valid, but its cost grows with n_C * n_T.
    Raises InsufficientData when an arm is empty or when all outcomes of both arms are the same (no test exists).

    >>> round(exact_p_value(Aggregate.from_counts(1000, 1), Aggregate.from_counts(1000, 9)), 5)
    0.02118
    """
    x_c, x_t = successes(control), successes(treatment)
    if min(control.n, treatment.n) == 0:
        raise InsufficientData("an arm has no users")
    if x_c + x_t in (0, control.n + treatment.n):
        raise InsufficientData("every outcome is the same in both arms")
    table = [[x_t, x_c], [treatment.n - x_t, control.n - x_c]]
    if control.n * treatment.n <= BOSCHLOO_LIMIT:
        p = float(stats.boschloo_exact(table).pvalue)
        if math.isfinite(p):
            return min(1.0, p)
    return min(1.0, float(stats.fisher_exact(table).pvalue))


def newcombe_interval(control: Aggregate, treatment: Aggregate, level: float) -> Interval:
    """p_T - p_C with Newcombe's hybrid score interval (Newcombe 1998, Statistics in Medicine 17:873, method 10).

        delta - sqrt((p_T - l_T)^2 + (u_C - p_C)^2),  delta + sqrt((u_T - p_T)^2 + (p_C - l_C)^2)

    with [l_a, u_a] the Wilson score interval of arm a at the same two-sided `level`. Holds also with no success at all.
    Raises InsufficientData when an arm is empty.

    >>> i = newcombe_interval(Aggregate.from_counts(80, 48), Aggregate.from_counts(70, 56), 0.05)
    >>> round(i.lower, 4), round(i.upper, 4)
    (0.0524, 0.3339)
    """
    if min(control.n, treatment.n) == 0:
        raise InsufficientData("an arm has no users")
    z = float(stats.norm.isf(level / 2))
    p_c, p_t = successes(control) / control.n, successes(treatment) / treatment.n
    lower, upper = wilson_interval(
        np.array([p_c, p_t]), np.array([control.n, treatment.n], float), np.array(z)
    )
    (l_c, l_t), (u_c, u_t) = lower.tolist(), upper.tolist()
    estimate = p_t - p_c
    return Interval(
        estimate, estimate - math.hypot(p_t - l_t, u_c - p_c), estimate + math.hypot(u_t - p_t, p_c - l_c)
    )


def wilson_interval(p: Floats, n: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Wilson 1927: the roots theta of |p - theta| = z sqrt(theta (1 - theta) / n). p: seen in n units. Broadcast."""
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.maximum(0.0, np.minimum(p, centre - half)), np.minimum(1.0, np.maximum(p, centre + half))
