"""Crossed factors: main effects and two-way interactions as contrasts of cell means.

A cell is one combination of levels, one level a factor, in the order of the factors. The first level of a factor is the one
that the others are compared with. Cells are averaged with equal weights, whatever their traffic, so that an effect of one
factor is not mixed with the shares of another.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, linearise_ratio
from analysis.stats.errors import InsufficientData

Cell = tuple[str, ...]
Weights = Mapping[Cell, float]


def cells_of(levels: Sequence[Sequence[str]]) -> list[Cell]:
    """All combinations, the last factor running fastest.

    >>> cells_of([["plain", "coupon"], ["am", "pm"]])
    [('plain', 'am'), ('plain', 'pm'), ('coupon', 'am'), ('coupon', 'pm')]
    """
    return list(product(*levels))


def main_effect(levels: Sequence[Sequence[str]], factor: int, level: str) -> Weights:
    """The weights of "this level against the first", averaged evenly over all levels of the other factors.

    In the saturated regression with effect coding (each factor's columns sum to 0 over its levels) this is b_level - b_first,
    b of the omitted level being minus the sum of the others; with two levels, twice the coefficient.

    >>> main_effect([["plain", "coupon"], ["am", "pm"]], 0, "coupon")[("coupon", "pm")]
    0.5
    """
    first = levels[factor][0]
    share = len(levels[factor]) / math.prod(len(each) for each in levels)
    sign = {level: share, first: -share}
    return {cell: sign[cell[factor]] for cell in cells_of(levels) if cell[factor] in sign}


def interaction(
    levels: Sequence[Sequence[str]], factors: tuple[int, int], chosen: tuple[str, str]
) -> Weights:
    """The weights of "how much the effect of one level changes with a level of another factor": a difference of differences.

        (m_ab - m_1b) - (m_a1 - m_11), each m averaged evenly over the levels of all other factors

    Symmetric in the two factors. In the effect-coded regression g_ab - g_1b - g_a1 + g_11; with two levels each, four times
    the coefficient.

    >>> weights = interaction([["plain", "coupon"], ["am", "pm"]], (0, 1), ("coupon", "pm"))
    >>> weights[("coupon", "pm")], weights[("coupon", "am")]
    (1.0, -1.0)
    """
    i, j = factors
    share = len(levels[i]) * len(levels[j]) / math.prod(len(each) for each in levels)
    signs = [{chosen[k]: 1.0, levels[factor][0]: -1.0} for k, factor in enumerate(factors)]
    return {
        cell: share * signs[0][cell[i]] * signs[1][cell[j]]
        for cell in cells_of(levels)
        if cell[i] in signs[0] and cell[j] in signs[1]
    }


def contrast(cells: Mapping[Cell, Aggregate], weights: Weights) -> Difference:
    """A weighted sum of cell means, ready to be tested like a difference of two means.

        estimate = sum c m        se^2 = sum c^2 s2 / n        dof = se^4 / sum( (c^2 s2 / n)^2 / (n - 1) )

    This is the same contrast of the saturated OLS fit, with its HC2 standard error (MacKinnon and White 1985: with one
    parameter a cell, the leverage of each unit is 1/n, and HC2 becomes s2/n); degrees of freedom by Satterthwaite 1946.
    Ratios are linearised; with a covariate in every cell, m - theta (m_X - pooled m_X) stands for m (CUPED, theta pooled over
    all cells of the crossing). control_mean is the average over the cells with negative weight, the base of a lift.
    cells: of the whole crossing; weights must sum to 0. Not for quantiles.
    Raises InsufficientData when a cell that counts has fewer than two units, when values are not finite or nothing varies.

    >>> cells = {("a",): Aggregate(n=100, mean=1.0, variance=4.0), ("b",): Aggregate(n=100, mean=1.5, variance=5.0)}
    >>> effect = contrast(cells, main_effect([["a", "b"]], 0, "b"))
    >>> effect.estimate, effect.standard_error, round(effect.degrees_of_freedom, 2)
    (0.5, 0.3, 195.59)
    """
    for cell in weights:
        if cell not in cells:
            raise InsufficientData(f"there is no variant with {', '.join(cell)}")
        if cells[cell].n < 2:
            users = "only one user" if cells[cell].n else "no users"
            raise InsufficientData(f"the variant with {', '.join(cell)} has {users}")
    if not all(arm.is_finite for arm in cells.values() if arm.n):
        raise InsufficientData("the data contain a value that is not a finite number")
    try:
        return _contrast(
            {
                cell: linearise_ratio(arm) if arm.has_denominator else arm
                for cell, arm in cells.items()
                if arm.n
            },
            weights,
        )
    except OverflowError as error:
        raise InsufficientData("the values are too large to compute with") from error


def _contrast(cells: Mapping[Cell, Aggregate], weights: Weights) -> Difference:
    theta = _pooled_theta(list(cells.values()))
    base = sum(weight for weight in weights.values() if weight < 0)
    estimate = plain = control_mean = control_variance = covariance = 0.0
    parts: list[tuple[float, int]] = []
    for cell, weight in weights.items():
        arm = cells[cell]
        estimate += weight * (arm.mean - theta * (arm.mean_x or 0.0))
        parts.append((weight * weight * _adjusted(arm, theta) / arm.n, arm.n))
        plain += weight * weight * arm.variance / arm.n
        if weight < 0:
            share = weight / base
            control_mean += share * arm.mean
            control_variance += share * share * arm.variance / arm.n
            covariance += weight * share * (arm.variance - theta * (arm.covariance_xy or 0.0)) / arm.n
    variance = sum(part for part, _ in parts)
    return Difference(
        estimate=estimate,
        standard_error=math.sqrt(variance) if variance > 0 else variance,
        degrees_of_freedom=_satterthwaite(parts, variance),
        n=sum(n for _, n in parts),
        control_mean=control_mean,
        control_variance=control_variance,
        covariance=covariance,
        variance_reduction=1 - variance / plain if plain > 0 else 0.0,
    )


def _pooled_theta(arms: Sequence[Aggregate]) -> float:
    if not all(arm.has_covariate for arm in arms):
        return 0.0
    variance = sum((arm.n - 1) * float(arm.variance_x or 0) for arm in arms)
    covariance = sum((arm.n - 1) * float(arm.covariance_xy or 0) for arm in arms)
    return covariance / variance if variance > 0 else 0.0


def _adjusted(arm: Aggregate, theta: float) -> float:
    if not theta:
        return arm.variance
    x, xy = float(arm.variance_x or 0), float(arm.covariance_xy or 0)
    return max(arm.variance + theta * theta * x - 2 * theta * xy, 0.0)


def _satterthwaite(parts: Sequence[tuple[float, int]], total: float) -> float | None:
    if not total > 0 or not math.isfinite(total):
        return None
    return 1 / sum((part / total) ** 2 / (n - 1) for part, n in parts)
