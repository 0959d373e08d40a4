"""Effects with their multiplicity: every metric, every variant against the control, adjusted within its family.

Families: Holm over all primary comparisons (every primary metric times every variant), Benjamini-Hochberg over the
secondary ones, Holm over the guardrails, whose verdicts compare intervals with their margins.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analysis.findings import Effect, GuardrailVerdict, MetricArm, MetricFinding
from analysis.inputs import ArmFacts, MetricSpec, share_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Interval, linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.multiplicity import agreeing_alpha, benjamini_hochberg, holm
from analysis.stats.quantiles import Quantile
from analysis.stats.reasons import Reason, words
from analysis.stats.sequential import Rule
from analysis.verdicts.by_epoch import about_the_estimates, compare_by_epoch, mean_over_epochs
from analysis.verdicts.compare import Comparison, Look, compare, dominated_by_one_user
from experiments.vocabulary import SHARE_KINDS, Direction, Method, MetricRole

_WIDEST = 0.99


@dataclass(frozen=True, slots=True)
class Row:
    """One variant against the control on one metric, before its family is known."""

    spec: MetricSpec
    variant: str
    comparison: Comparison


def findings_of(
    metrics: Sequence[MetricSpec], arms: Sequence[ArmFacts], look: Look, said: list[str], notes: list[str]
) -> tuple[MetricFinding, ...]:
    """Every metric compared between every variant and the control; reasons for what is None are appended to `said`."""
    control = next(arm for arm in arms if arm.control)
    rows = [
        Row(spec, arm.variant, compared(spec, control, arm, look=look, share=share_of(arms, arm)))
        for spec in metrics
        for arm in arms
        if not arm.control
    ]
    if look.method == Method.EXACT:
        said += [
            f"{spec.key} is a {spec.kind}, and exact is for proportions: the always_valid method stands in for it"
            for spec in metrics
            if spec.kind not in SHARE_KINDS
        ]
    for row in rows:
        said += [
            f"{row.spec.key}, {row.variant} against {control.variant}: {_of_whom(reason, row.variant, control, arms)}"
            for reason in row.comparison.reasons
        ]
    if look.by_epoch:
        notes += about_the_estimates(metrics, arms, look)
    adjusted = _adjusted(rows)
    guards = sum(row.spec.role == MetricRole.GUARDRAIL for row in rows)
    return tuple(
        MetricFinding(
            metric=spec.key,
            kind=spec.kind,
            role=spec.role,
            direction=spec.direction,
            arms=tuple(_metric_arm(spec, arm, look, said) for arm in arms),
            effects=tuple(
                effect_of(row, control.variant, adjusted[i], look.alpha, guards, said)
                for i, row in enumerate(rows)
                if row.spec is spec
            ),
        )
        for spec in metrics
    )


def compared(
    spec: MetricSpec, control: ArmFacts, treatment: ArmFacts, *, look: Look, share: float
) -> Comparison:
    """The comparison of a pair: as one pool, or epoch by epoch where weights have changed."""
    if look.by_epoch:
        return compare_by_epoch(spec, control, treatment, look=look)
    return compare(spec, control, treatment, look=look, share=share)


def _of_whom(reason: str, variant: str, control: ArmFacts, arms: Sequence[ArmFacts]) -> str:
    """The reason; an arm without users in this metric may well have users, whose window is open."""
    pair = [control, *(arm for arm in arms if arm.variant == variant)]
    if reason == words(Reason.NO_USERS) and all(arm.assigned > 0 for arm in pair):
        return "an arm has no users yet whose window has closed"
    return reason


def _adjusted(rows: Sequence[Row]) -> list[float | None]:
    result: list[float | None] = [None] * len(rows)
    for role, adjust in (
        (MetricRole.PRIMARY, holm),
        (MetricRole.SECONDARY, benjamini_hochberg),
        (MetricRole.GUARDRAIL, holm),
    ):
        family = [i for i, row in enumerate(rows) if row.spec.role == role]
        for i, value in zip(family, adjust([rows[i].comparison.p_value for i in family]), strict=True):
            result[i] = value
    return result


def effect_of(
    row: Row, control: str, adjusted: float | None, alpha: float, guards: int, said: list[str]
) -> Effect:
    """The effect of a row whose family gave it the p-value `adjusted`. guards: guardrail comparisons that share alpha."""
    comparison = row.comparison
    absolute = _at(comparison.rule, comparison.interval, alpha)
    if comparison.interval is not None and absolute is None:
        said.append(
            f"{row.spec.key}, {row.variant} against {control}: the interval is too wide to be written down"
        )
    p = comparison.p_value
    significant = adjusted < alpha if adjusted is not None else None
    widened = None
    if p is not None and adjusted is not None:
        widened = _agree(
            _at(comparison.rule, comparison.interval, agreeing_alpha(p, adjusted, alpha)), bool(significant)
        )
    return Effect(
        variant=row.variant,
        control=control,
        absolute=absolute,
        relative=_at(comparison.rule, comparison.lift, alpha),
        p_value=p,
        adjusted_p_value=adjusted,
        significant=significant,
        interval_adjusted=widened,
        variance_reduction=comparison.variance_reduction,
        bayes=comparison.posterior,
        guardrail=_verdict(row, alpha, guards) if row.spec.role == MetricRole.GUARDRAIL else None,
        test=comparison.test,
    )


def _at(rule: Rule, interval: Callable[[float], Interval] | None, alpha: float) -> Interval | None:
    if interval is None:
        return None
    try:
        return interval(rule.level(alpha))
    except InsufficientData:
        return None


def _agree(interval: Interval | None, significant: bool) -> Interval | None:
    # An exact p-value and a score interval can differ at the border: the decision is the p-value's, so the interval yields.
    if interval is None or significant or interval.lower <= 0 <= interval.upper:
        return interval
    return Interval(interval.estimate, min(interval.lower, 0.0), max(interval.upper, 0.0))


def _verdict(row: Row, alpha: float, guards: int) -> GuardrailVerdict:
    # Each verdict asks about one side, and one end of an interval at 2 alpha errs with alpha: non_inferior at the alpha of the
    # plan, breached at an alpha that all guardrails share.
    margin = row.spec.margin
    rule, interval, clears = row.comparison.rule, row.comparison.interval, row.comparison.clears
    plain, split = (_at(rule, interval, min(2 * each, _WIDEST)) for each in (alpha, alpha / max(guards, 1)))
    if plain is None or split is None:
        return GuardrailVerdict(margin=margin, non_inferior=None, breached=None)
    falls = row.spec.direction == Direction.INCREASE
    most_harm = -plain.lower if falls else plain.upper
    least_harm = -split.upper if falls else split.lower
    non_inferior = None
    if margin is not None:
        non_inferior = most_harm < margin if clears is None else clears(margin, min(alpha, _WIDEST / 2))
    return GuardrailVerdict(margin=margin, non_inferior=non_inferior, breached=least_harm > (margin or 0.0))


def _metric_arm(spec: MetricSpec, arm: ArmFacts, look: Look, said: list[str]) -> MetricArm:
    value = arm.aggregates.get(spec.key)
    if value is None:
        return MetricArm(variant=arm.variant, n=0, mean=None, sd=None)
    if isinstance(value, Quantile):
        known = value.value is not None and math.isfinite(value.value)
        return MetricArm(variant=arm.variant, n=value.n, mean=value.value if known else None, sd=None)
    if value.n and not value.is_finite:
        said.append(f"{spec.key}, {arm.variant}: the data contain a value that is not a finite number")
    if value.n == 0 or not value.is_finite:
        return MetricArm(variant=arm.variant, n=value.n, mean=None, sd=None)
    said += _about_one_user(spec, arm.variant, value)
    found = _described(arm.variant, value, said, spec)
    steady = mean_over_epochs(spec, arm) if look.by_epoch else None
    return found if steady is None else replace(found, mean=steady)


def _about_one_user(spec: MetricSpec, variant: str, value: Aggregate) -> list[str]:
    share = dominated_by_one_user(value) if spec.kind not in SHARE_KINDS else None
    if share is None:
        return []
    return [
        f"{spec.key}, {variant}: one user holds {share:.0%} of the total, so the mean says little; consider a cap"
    ]


def _described(variant: str, value: Aggregate, said: list[str], spec: MetricSpec) -> MetricArm:
    try:
        shown = linearise_ratio(value) if value.has_denominator else value
    except (InsufficientData, OverflowError) as cannot:
        said.append(f"{spec.key}, {variant}: {cannot}")
        return MetricArm(variant=variant, n=value.n, mean=None, sd=None)
    sd = max(shown.variance, 0.0) ** 0.5 if shown.n > 1 else None
    return MetricArm(variant=variant, n=shown.n, mean=shown.mean, sd=sd)
