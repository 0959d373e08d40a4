"""How far the primary comparisons have come: what this look could have found, and what the last one may still find.

Only the decision's rules `stop_at_power` and `futility` read this; the numbers are shown in the report.
"""

import math
from collections.abc import Sequence
from typing import Final

from scipy import stats

from analysis.findings import MetricFinding, Progress
from analysis.inputs import AnalysisPlan, ArmFacts, share_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.conditional_power import conditional_power, power_of_look
from analysis.stats.difference import Difference, difference
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, quantile_difference
from analysis.stats.sequential import Spending, spending_rule
from analysis.verdicts.compare import Look
from experiments.vocabulary import Direction, Method, MetricRole

NORMAL: Final = (None, "welch", "order_statistics")
"""Tests whose bounds are on a normal (or Student) scale, and comparisons that could not be made, which say why."""


def progress_of(
    plan: AnalysisPlan,
    findings: Sequence[MetricFinding],
    arms: Sequence[ArmFacts],
    look: Look,
    information: float | None,
    said: list[str],
) -> tuple[Progress, ...]:
    """One value for each primary finding and variant; none without a smallest effect worth finding.

    The bounds are those of alpha / m for m comparisons (Holm's first step), so that power is not promised to one of them at
    the price of another. What is None has its reason in `said` when a rule asks for it.
    """
    if plan.minimum_effect is None:
        return ()
    control = next(arm for arm in arms if arm.control)
    pairs = [
        (finding, arm)
        for finding in findings
        if finding.role == MetricRole.PRIMARY
        for arm in arms
        if not arm.control
    ]
    alpha = plan.alpha / max(len(pairs), 1)
    last = _last_bound(plan, look, information, alpha)
    found = []
    for finding, arm in pairs:
        try:
            share = share_of(arms, arm)
            found.append(_one(plan, finding, control, arm, look, share, alpha, information, last))
        except InsufficientData as cannot:
            found.append(Progress(metric=finding.metric, variant=arm.variant))
            if plan.stop_at_power or plan.futility is not None:
                said.append(
                    f"{finding.metric}, {arm.variant} against {control.variant}: its power cannot be told: {cannot.reason}"
                )
    return tuple(found)


def _one(
    plan: AnalysisPlan,
    finding: MetricFinding,
    control: ArmFacts,
    arm: ArmFacts,
    look: Look,
    share: float,
    alpha: float,
    information: float | None,
    last: float | None,
) -> Progress:
    if look.by_epoch:
        raise InsufficientData(
            "weights have changed and may change again, so nobody knows how its errors go on"
        )
    shown = finding.effect_of(arm.variant)
    if shown is not None and shown.test not in NORMAL:
        raise InsufficientData(
            "so few users with the event (or without it) are compared exactly, not by a normal bound"
        )
    effect = _difference(finding.metric, control, arm)
    if not effect.control_mean > 0:
        raise InsufficientData("the control mean is not positive, so a relative effect has no size")
    wanted = (plan.minimum_effect or 0.0) * effect.control_mean
    rule = look.rule(effect.n, share, finding.metric)
    bound = float(stats.norm.isf(rule.level(alpha) / 2))
    conditional = None
    if last is not None and information is not None:
        z = effect.estimate / effect.standard_error * (1 if finding.direction == Direction.INCREASE else -1)
        drift = wanted / effect.standard_error / math.sqrt(information)
        conditional = conditional_power(z, information, drift, last)
    return Progress(
        metric=finding.metric,
        variant=arm.variant,
        power=power_of_look(wanted, effect.standard_error, bound),
        conditional_power=conditional,
    )


def _difference(metric: str, control: ArmFacts, arm: ArmFacts) -> Difference:
    a, b = control.aggregates.get(metric), arm.aggregates.get(metric)
    if isinstance(a, Aggregate) and isinstance(b, Aggregate):
        return difference(a, b)
    if isinstance(a, Quantile) and isinstance(b, Quantile):
        return quantile_difference(a, b)
    raise InsufficientData("the metric could not be computed for both arms")


def _last_bound(plan: AnalysisPlan, look: Look, information: float | None, alpha: float) -> float | None:
    """The bound of the look at the planned end when no other comes before it; None where nobody asks or knows."""
    if plan.futility is None or information is None or not 0 < information < 1 or plan.ended:
        return None
    if look.method != Method.SPENDING:
        return None
    last: Spending = spending_rule((*plan.looks, information), 1.0, plan.alpha, kind=plan.spending)
    return last.bound(alpha)
