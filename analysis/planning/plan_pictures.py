"""What a plan shows beside its numbers: power by the size of the effect, and what looking more than once costs. Pure."""

from collections.abc import Iterator
from typing import Final

from analysis.planning.plan_findings import EffectPoint, Looking
from analysis.planning.plan_ways import Way
from analysis.stats import power as formulas
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import Outcome, Shares
from experiments.vocabulary import Method

EFFECTS: Final = 25
FURTHEST: Final = 2.5
"""Times the effect in question where the picture ends."""
LOOKS: Final = (1, 2, 5, 14, 30, 90)
"""How often a plan is priced: at the end only, and up to daily for three months."""
PRICED: Final = (Method.SPENDING, Method.ALWAYS_VALID)


def power_by_effect(
    way: Way, outcome: Outcome, *, effect: float, n: float, shares: Shares
) -> tuple[EffectPoint, ...]:
    """P(significant by the planned end) with `n` units of all arms, for effects of the sign of `effect` up to `FURTHEST` times it.

    effect: relative, not 0. Effects that cannot be (a rate above 1) are left out.
    """
    return tuple(_points(way, outcome, effect, n, shares))


def _points(way: Way, outcome: Outcome, effect: float, n: float, shares: Shares) -> Iterator[EffectPoint]:
    for step in range(1, EFFECTS + 1):
        asked = effect * FURTHEST * step / EFFECTS
        try:
            yield EffectPoint(
                effect=asked, power=way.power(outcome, effect=asked, n=max(n, 2), shares=shares)
            )
        except InsufficientData:
            return  # a larger one is no more possible


def price_of_looking(
    outcome: Outcome,
    *,
    effect: float,
    power: float,
    shares: Shares,
    alpha: float,
    comparisons: int,
    looks: int,
) -> tuple[Looking, ...]:
    """Users needed under every method that has a formula, for the usual numbers of looks and `looks`; empty when the effect cannot be found.

    `fixed` stands first, its single look is what `times` refers to. A share with few conversions takes more under `always_valid` than
    its formula says (`plan_ways.UntilMany` draws that); this is the price of looking, not the plan.
    """

    def needed(method: Method, number: int) -> int:
        watched = Monitoring(
            method=str(method), alpha=alpha, comparisons=comparisons, fractions=evenly(number)
        )
        return formulas.sample_size(outcome, watched, effect=effect, power=power, shares=shares)

    try:
        once = needed(Method.FIXED, 1)
        asked = [
            (method, number, needed(method, number))
            for method in PRICED
            for number in sorted({*LOOKS, looks})
        ]
    except InsufficientData:
        return ()
    return tuple(
        Looking(method=str(method), looks=number, users_needed=users, times=users / once)
        for method, number, users in [(Method.FIXED, 1, once), *asked]
    )
