"""How the variance of each metric has grown up to this look, so that looks are as alike as they are (`stats/variance_clock.py`). Pure.

While weights do not change, from what earlier reports kept; once they have, from the epochs themselves. A variance is that within the arms, all arms
together: it is the times that are asked about, not the arms. A covariate is left aside: while it explains the same part of it, shares stay what they are.
Quantiles keep the users' clock: what they are tested by is not a variance of outcomes.
"""

from collections.abc import Sequence
from typing import Any

from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.variance_clock import CLOSEST, VarianceClock


def clocks_of(
    plan: AnalysisPlan, metrics: Sequence[MetricSpec], arms: Sequence[ArmFacts], now: float
) -> dict[str, VarianceClock]:
    """The clock of each metric at information fraction `now`; none for a metric whose past is not known."""
    if plan.variances is None:
        return {}
    clocks: dict[str, VarianceClock] = {}
    for spec in metrics:
        clock = (
            _of_epochs(spec, arms, now)
            if plan.weights_changed
            else _of_looks(plan.variances.get(spec.key, ()), spec, arms, now)
        )
        if clock is not None:
            clocks[spec.key] = clock
    return clocks


def within_arms(arms: Sequence[tuple[int, float | None]]) -> float | None:
    """The variance within the arms, sum n_a s2_a / sum n_a, over the arms (users, variance of a user's outcome); None where no arm says its variance."""
    told = [(n, variance) for n, variance in arms if n and variance is not None]
    users = sum(n for n, _ in told)
    return sum(n * variance for n, variance in told) / users if users else None


def _of_looks(
    known: Sequence[tuple[float, float]], spec: MetricSpec, arms: Sequence[ArmFacts], now: float
) -> VarianceClock | None:
    earlier = [(fraction, variance) for fraction, variance in known if 0 < fraction <= now - CLOSEST]
    variance = within_arms([_spread(arm.aggregates.get(spec.key)) for arm in arms])
    if not earlier or variance is None:
        return None
    fractions, variances = zip(*earlier, (now, variance), strict=True)
    return VarianceClock.of_looks(fractions, variances)


def _spread(value: Any) -> tuple[int, float | None]:
    if not isinstance(value, Aggregate) or value.n < 2:
        return 0, None
    try:
        return value.n, (linearise_ratio(value) if value.has_denominator else value).variance
    except (InsufficientData, OverflowError):
        return 0, None


def _of_epochs(spec: MetricSpec, arms: Sequence[ArmFacts], now: float) -> VarianceClock | None:
    told = [arm.epochs[spec.key] for arm in arms if spec.key in arm.epochs]
    if not told:
        return None
    steps = list(zip(*told, strict=True))
    # Of an epoch in which no arm has two users, the spread is taken to be that of the others.
    parts = [
        [(cell.outcome.n - 1, cell.outcome.variance) for cell in step if cell.outcome.n > 1] for step in steps
    ]
    usual = within_arms([part for step in parts for part in step])
    if usual is None:
        return None
    variances = [usual if (own := within_arms(step)) is None else own for step in parts]
    return VarianceClock.of_epochs([step[0].users for step in steps], variances, now)
