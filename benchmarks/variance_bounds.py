"""The bounds of `spending` where every simulated experiment has a clock of its own (`analysis.stats.variance_clock`).

To draw bounds takes milliseconds, and there are millions of looks. So the bound of what is typical is drawn once, and that of an experiment only
where it decides: where the statistic lies so near to the typical bound that its own might lie on the other side.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.stats.sequential import spending_rule
from analysis.stats.spending import spending_boundaries
from analysis.stats.variance_clock import VarianceClock
from benchmarks.claims import ALPHA
from benchmarks.simulation import Floats

NEAR: Final = 0.06
Hits = NDArray[np.bool_]


def own_bound(fractions: Sequence[float], clock: VarianceClock | None, level: float) -> float:
    """The bound on |z| at the last of these looks, from the production rule and its clock."""
    rule = spending_rule(fractions[:-1], fractions[-1], ALPHA)
    rule = rule if clock is None else rule.on(clock)
    return float(spending_boundaries(rule.fractions, level, times=rule.times)[-1])


def typical_bounds(fractions: Sequence[float], variance: Floats, level: float) -> Floats:
    """The bounds at all looks where V has grown by `variance` up to each of them, exactly: (looks,) from (looks,)."""
    grown = np.cumsum(variance)
    return spending_boundaries(fractions, level, times=(grown / grown[-1]).tolist())


def beyond(
    crosses: Callable[[Floats], Hits], typical: float, own: Callable[[int], float], asked: Hits
) -> Hits:
    """Which of the experiments that are `asked` cross their own bounds at one look: (experiments,).

    crosses: which do at these bounds, one for each; of a higher bound never more. own: the bound of one experiment. The range around `typical` in which they are
    drawn is widened until all that were drawn lie in its inner half.
    """
    bounds: dict[int, float] = {}
    band, count = NEAR, len(asked)
    while True:
        sure, perhaps = (crosses(np.full(count, typical + side)) for side in (band, -band))
        for one in np.flatnonzero(asked & perhaps & ~sure).tolist():
            if one not in bounds:
                bounds[one] = own(one)
        if not bounds or 2 * max(abs(bound - typical) for bound in bounds.values()) <= band:
            break
        band *= 2
    at = np.full(count, typical)
    at[list(bounds)] = list(bounds.values())
    return asked & crosses(at)
