"""Effects by slice of the users, and whether they differ: for finding questions, not for deciding. Pure.

Each slice is compared as the report compares all users: the same tests, at the same look, by the same rule. Families: the
slices times the variants of one metric, Holm for primary metrics and guardrails, Benjamini-Hochberg for secondary ones.
Slices that are too small are left out before their outcomes are seen, so they do not count in the family.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from analysis.facts.slice_facts import DAY, MOST_SLICES, OTHERS, Slices
from analysis.findings import Effect
from analysis.inputs import ArmFacts, MetricSpec, share_of
from analysis.reports.evidence import ReportInputs
from analysis.reports.segment_findings import (
    ABOUT_LOOKS,
    ATTRIBUTES_OF_NOW,
    FOR_QUESTIONS,
    HOW_TOLD,
    NO_SLICE_DIFFERS,
    MetricSlices,
    SegmentReport,
    SliceEffect,
    SliceHeterogeneity,
)
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, difference
from analysis.stats.errors import InsufficientData
from analysis.stats.heterogeneity import cochran_q
from analysis.stats.multiplicity import benjamini_hochberg, holm
from analysis.stats.proportions import is_small
from analysis.verdicts.compare import Comparison, Look, effective_information
from analysis.verdicts.effects import Row, compared, effect_of
from analysis.verdicts.report import look_of
from experiments.vocabulary import SHARE_KINDS, MetricKind, MetricRole

MOST_SHOWN: Final = 20
FEWEST_USERS: Final = 100
"""Mature users that both arms of a slice must have to be compared."""
Adjust = Callable[[Sequence[float | None]], list[float | None]]


def segment_effects(
    inputs: ReportInputs,
    slices: Slices,
    *,
    by: str,
    report: int | None = None,
    warnings: Sequence[str] = (),
    caution: str = ATTRIBUTES_OF_NOW,
) -> SegmentReport:
    """Compare every variant with the control in every slice, for every metric that `slices` tells.

    inputs: of the report of all users at the same moment; its plan gives the rule, its arms the weights.
    caution: what to beware of in slices that are not days. A slice's share of the information is taken to be that of all users. Never raises for data.
    """
    said = list(warnings)
    information = effective_information(inputs.plan, sum(arm.mature for arm in inputs.arms))
    look = look_of(inputs.plan, information, said, metrics=inputs.metrics, arms=inputs.arms)
    names, shown = _shown(slices, said, days=by == DAY)
    if not names:
        said.append("nobody's window has closed yet, so there is nothing to tell by slice")
    said += [
        f"{spec.key}: quantiles do not add up over slices, and are not told by slice"
        for spec in inputs.metrics
        if spec.kind == MetricKind.QUANTILE
    ]
    control = next(arm for arm in inputs.arms if arm.control)
    return SegmentReport(
        experiment=inputs.experiment,
        by=by,
        report=report,
        as_of=inputs.as_of,
        method=look.method,
        alpha=look.alpha,
        information=information,
        control=control.variant,
        slices=names,
        metrics=tuple(
            _metric(spec, control, inputs.arms, names, shown[spec.key], look)
            for spec in inputs.metrics
            if spec.key in shown
        ),
        warnings=tuple(dict.fromkeys(said)),
        notes=(FOR_QUESTIONS, HOW_TOLD, ABOUT_LOOKS, *(() if by == DAY else (caution,))),
    )


def _shown(slices: Slices, said: list[str], *, days: bool) -> tuple[tuple[str, ...], Slices]:
    """The names in their order, and the statistics with all slices but the largest merged into one."""
    sizes: dict[str, int] = {}
    for by_slice in slices.values():
        for name, by_variant in by_slice.items():
            users = sum(value.n for value in by_variant.values())
            sizes[name] = max(sizes.get(name, 0), users)
    own = sorted((name for name in sizes if name != OTHERS), key=lambda name: (-sizes[name], name))
    shown, rest = own[:MOST_SHOWN], {*own[MOST_SHOWN:], *({OTHERS} & sizes.keys())}
    if rest:
        count = f"more than {MOST_SLICES}" if OTHERS in sizes else f"{len(own)}"
        said.append(
            f"there are {count} slices: the {MOST_SHOWN} largest are shown, all others together as {OTHERS}"
        )
    names = (*(sorted(shown) if days else shown), *([OTHERS] if rest else []))
    return names, {metric: _folded(by_slice, rest) for metric, by_slice in slices.items()}


def _folded(
    by_slice: Mapping[str, Mapping[str, Aggregate]], rest: set[str]
) -> Mapping[str, Mapping[str, Aggregate]]:
    together = [by_slice[name] for name in sorted(rest & by_slice.keys())]
    kept = {name: by_variant for name, by_variant in by_slice.items() if name not in rest}
    if not together:
        return kept
    variants = sorted({variant for by_variant in together for variant in by_variant})
    merged = {
        variant: reduce(Aggregate.merge, [part[variant] for part in together if variant in part])
        for variant in variants
    }
    return {**kept, OTHERS: merged}


@dataclass(frozen=True, slots=True)
class _Pair:
    slice: str
    arm: ArmFacts
    control: Aggregate
    treatment: Aggregate
    comparison: Comparison | None


def _metric(
    spec: MetricSpec,
    control: ArmFacts,
    arms: Sequence[ArmFacts],
    names: Sequence[str],
    by_slice: Mapping[str, Mapping[str, Aggregate]],
    look: Look,
) -> MetricSlices:
    pairs = [
        _pair(spec, name, control, arm, by_slice.get(name, {}), look, share_of(arms, arm))
        for name in names
        for arm in arms
        if not arm.control
    ]
    adjust: Adjust = benjamini_hochberg if spec.role == MetricRole.SECONDARY else holm
    compared = [i for i, pair in enumerate(pairs) if pair.comparison is not None]
    p_values = [comparison.p_value for pair in pairs if (comparison := pair.comparison) is not None]
    adjusted = dict(zip(compared, adjust(p_values), strict=True))
    return MetricSlices(
        metric=spec.key,
        kind=spec.kind,
        role=spec.role,
        direction=spec.direction,
        slices=tuple(
            _effect(spec, pair, control.variant, adjusted.get(i), look.alpha, len(compared))
            for i, pair in enumerate(pairs)
        ),
        heterogeneity=_judged(
            [_heterogeneity(spec, arm, pairs, look, share_of(arms, arm)) for arm in arms if not arm.control],
            adjust,
            look.alpha,
        ),
    )


def _pair(
    spec: MetricSpec,
    name: str,
    control: ArmFacts,
    arm: ArmFacts,
    by_variant: Mapping[str, Aggregate],
    look: Look,
    share: float,
) -> _Pair:
    nobody = Aggregate(n=0, mean=0.0, variance=0.0)
    a, b = (by_variant.get(each.variant, nobody) for each in (control, arm))
    comparison = None
    if min(a.n, b.n) >= FEWEST_USERS:
        comparison = compared(
            spec,
            replace(control, aggregates={spec.key: a}, epochs={}),
            replace(arm, aggregates={spec.key: b}, epochs={}),
            look=look,
            share=share,
        )
    return _Pair(name, arm, a, b, comparison)


def _effect(
    spec: MetricSpec, pair: _Pair, control: str, adjusted: float | None, alpha: float, family: int
) -> SliceEffect:
    effect = Effect(variant=pair.arm.variant, control=control)
    reasons = [f"an arm has fewer than {FEWEST_USERS} users in this slice"]
    if pair.comparison is not None:
        reasons = list(pair.comparison.reasons)
        row = Row(spec, pair.arm.variant, pair.comparison)
        effect = effect_of(row, control, adjusted, alpha, family, reasons)
    return SliceEffect(
        slice=pair.slice,
        n_control=pair.control.n,
        n=pair.treatment.n,
        effect=effect,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _heterogeneity(
    spec: MetricSpec, arm: ArmFacts, pairs: Sequence[_Pair], look: Look, share: float
) -> SliceHeterogeneity:
    effects = [effect for pair in pairs if pair.arm is arm and (effect := _normal(spec, pair)) is not None]
    try:
        found = cochran_q(
            [effect.estimate for effect in effects], [effect.standard_error for effect in effects]
        )
    except InsufficientData as cannot:
        says = f"cannot tell whether the effect differs between slices: {cannot.reason}"
        return SliceHeterogeneity(variant=arm.variant, says=says, slices=len(effects))
    rule = look.rule(sum(effect.n for effect in effects), share, spec.key)
    return SliceHeterogeneity(
        variant=arm.variant,
        says="",
        slices=len(effects),
        q=found.q,
        degrees_of_freedom=found.degrees_of_freedom,
        p_value_of_this_look=found.p_value,
        p_value=rule.overall_p(found.p_value),
    )


def _normal(spec: MetricSpec, pair: _Pair) -> Difference | None:
    """The difference in a slice where it is near enough to a normal for Q: not below 10 expected events."""
    if pair.comparison is None or pair.comparison.test is None:
        return None
    try:
        if spec.kind in SHARE_KINDS and is_small(pair.control, pair.treatment):
            return None
        return difference(pair.control, pair.treatment)
    except InsufficientData:
        return None


def _judged(
    found: Sequence[SliceHeterogeneity], adjust: Adjust, alpha: float
) -> tuple[SliceHeterogeneity, ...]:
    return tuple(
        each
        if adjusted is None
        else replace(
            each, adjusted_p_value=adjusted, differs=adjusted < alpha, says=_verdict(each, adjusted < alpha)
        )
        for each, adjusted in zip(found, adjust([each.p_value for each in found]), strict=True)
    )


def _verdict(found: SliceHeterogeneity, differs: bool) -> str:
    if not differs:
        return NO_SLICE_DIFFERS
    return f"the effect differs between the {found.slices} slices by more than chance: a question worth an experiment"
