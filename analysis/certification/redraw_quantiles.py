"""Quantiles of two arms when the same users are dealt again: only the users near the quantile have to be dealt one by one. Pure."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.certification.certify_pairs import LEVEL, Runs
from analysis.certification.rerandomise import Pool
from analysis.stats import comparisons
from analysis.stats.comparisons import Differences
from analysis.stats.quantiles import Ranks, ranks_of, too_few
from analysis.stats.reasons import Reason
from analysis.stats.welch import Floats

SURE: Final = 9.0
"""Half the width, in standard deviations of a place, of the stretch that is dealt one by one: 1.96 of them are the bracket, 7 chance."""
BLOCK: Final = 128
Counts = NDArray[np.int64]


def redraw_quantiles(
    pool: Pool,
    weights: Sequence[float],
    *,
    level: float,
    runs: int,
    rng: np.random.Generator,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Runs]:
    """Deal the users of the pool to the arms `runs` times and compare each arm with the first one, as `quantile_difference` does.

    weights: of the arms, the control first (> 0, on any scale). Users lie in order of their outcome. Of those before and after a
    stretch around the quantile only the numbers in each arm are drawn, which has the same distribution as dealing them one by one.
    A run that would need a user outside the stretch (by chance, once in many millions), or an arm that has too few rows for a
    bracket, says nothing. pool: of users who were drawn one by one.
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    values = _around(pool, level, float(shares.min()))
    arms = [np.full((5, runs), np.nan) for _ in shares]
    for start in range(0, runs, BLOCK):
        block = slice(start, min(start + BLOCK, runs))
        size = block.stop - start
        before, after = (rng.multinomial(n, shares, size=size) for n in (values.before, values.after))
        arm_of = np.searchsorted(np.cumsum(shares)[:-1], rng.random((size, len(values.near))), side="right")
        for number, arm in enumerate(arms):
            mine = np.cumsum(arm_of == number, axis=1, dtype=np.int32)
            n = before[:, number] + after[:, number] + mine[:, -1]
            arm[:, block] = _quantiles(values.near, mine, before[:, number], n, level)
        advance(size)
    few = str(too_few(round(pool.users * float(shares.min())), level).reason)
    return [_compared(arms[0], arm, few, level) for arm in arms[1:]]


class _Stretch:
    """The outcomes near the quantile in their order, and how many users lie before and after them."""

    __slots__ = ("after", "before", "near")

    def __init__(self, near: Floats, before: int, after: int) -> None:
        self.near, self.before, self.after = near, before, after


def _around(pool: Pool, level: float, smallest: float) -> _Stretch:
    order = np.argsort(pool.totals, kind="stable")
    totals, times = pool.totals[order], pool.times[order]
    n = pool.units
    half = SURE * np.sqrt(n * level * (1 - level) / smallest) + 5 / smallest
    first, last = max(0, int(n * level - half)), min(n, int(n * level + half) + 1)
    ends = np.cumsum(times)
    near = totals[np.searchsorted(ends, np.arange(first, last), side="right")]
    return _Stretch(near, first, n - last)


def _quantiles(near: Floats, mine: NDArray[np.int32], before: Counts, n: Counts, level: float) -> Floats:
    """Value, lower, upper, z and n of one arm in each run, (5, runs); NaN where it cannot be told."""
    ranks = [_ranks(int(each), level) for each in n]
    wanted = np.array([[*(each.bracket or (0, 0)), each.below, each.above] for each in ranks])
    # The user of rank r of this arm is the first at whose place so many of the arm have come.
    places = wanted - before[:, None]
    at = np.stack([(mine < place[:, None]).sum(axis=1) for place in places.T], axis=1)
    known = (places >= 1) & (at < len(near))
    found = np.where(known, near[np.minimum(at, len(near) - 1)], np.nan)
    share = np.array([each.share for each in ranks])
    value = found[:, 2] + share * (found[:, 3] - found[:, 2])
    z = np.array([np.nan if each.z is None else each.z for each in ranks])
    return np.stack([value, found[:, 0], found[:, 1], z, n.astype(np.float64)])


@cache
def _ranks(n: int, level: float) -> Ranks:
    return ranks_of(n, level)


def _compared(control: Floats, treatment: Floats, few: str, level: float) -> Runs:
    (known, low_c, high_c, z_c, n_c), (value, low_t, high_t, z_t, n_t) = control, treatment
    with np.errstate(invalid="ignore"):
        errors = [(high_c - low_c) / (2 * z_c), (high_t - low_t) / (2 * z_t)]
    error = np.hypot(*errors)
    untold = ~np.isfinite(known + value + error)
    tied = ~untold & (error == 0)
    reason = np.where(untold, Reason.NO_USERS, np.where(tied, Reason.NO_SPREAD, Reason.TOLD)).astype(np.int8)

    def told(values: Floats) -> np.ma.MaskedArray:
        return np.ma.array(np.where(reason > 0, 0.0, values), mask=reason > 0)

    found = Differences(
        estimate=told(value - known),
        standard_error=told(np.where(reason > 0, 1.0, error)),
        degrees_of_freedom=told(np.full(len(known), np.inf)),
        n=told(n_c + n_t),
        control_mean=told(known),
        control_variance=told(errors[0] ** 2),
        covariance=told(-(errors[0] ** 2)),
        variance_reduction=told(np.zeros(len(known))),
        reason=reason,
    )
    return Runs(
        p=comparisons.p_values(found),
        covers=comparisons.absolute(found, LEVEL).contain(0.0),
        lift_covers=comparisons.relative(found, LEVEL).contain(0.0),
        estimate=found.estimate,
        error=found.standard_error,
        why=few if untold.any() else f"most users are tied at the {level:g} quantile, so it has no spread",
    )
