"""The effect per user reached, put beside the effect by assignment; where it cannot be told, why not."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.findings import MetricFinding
from analysis.inputs import ArmFacts, share_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Interval, critical_value
from analysis.stats.errors import InsufficientData
from analysis.stats.iv import ComplierEffect, complier_effect
from analysis.stats.proportions import is_small
from analysis.stats.quantiles import Quantile
from analysis.verdicts.compare import Look
from experiments.vocabulary import SHARE_KINDS

STRONG: Final = 4.0
"""Standard errors that the share reached must lie away from that of the control; below, the ratio is far from normal."""
SAME: Final = 1e-6
"""Relative difference up to which two queries count as having seen the same outcomes."""
ASSUMPTION: Final = (
    "the effect per user reached (CACE) takes for granted that a variant acts only through a message that arrived: being "
    "assigned and not reached changes nothing. It speaks of users who can be reached, and decides nothing"
)


def with_complier_effects(
    findings: Sequence[MetricFinding], arms: Sequence[ArmFacts], look: Look, notes: list[str]
) -> tuple[MetricFinding, ...]:
    """The findings with `cace` where facts about delivery came with them; the assumption and reasons go to `notes`."""
    if look.by_epoch:
        if any(arm.compliance for arm in arms):
            notes.append(
                "no effect per user reached: weights have changed while it ran, and it is not told by epoch"
            )
        return tuple(findings)
    control = next(arm for arm in arms if arm.control)
    treatments = {arm.variant: arm for arm in arms if not arm.control}
    told: list[str] = []
    result = []
    for finding in findings:
        effects = list(finding.effects)
        for i, effect in enumerate(effects):
            arm = treatments[effect.variant]
            if effect.absolute is None or finding.metric not in control.compliance:
                continue
            name = f"{finding.metric}, {effect.variant} against {effect.control}"
            try:
                share = share_of(arms, arm)
                interval, found = _complier_effect(finding, control, arm, look=look, share=share)
            except InsufficientData as cannot:
                notes.append(f"{name}: no effect per user reached: {cannot.reason}")
                continue
            effects[i] = replace(effect, cace=interval)
            told.append(f"{finding.metric}, {effect.variant} {found.compliance:.1%}")
        result.append(replace(finding, effects=tuple(effects)))
    if told:
        notes.append(f"{ASSUMPTION}. Share of users reached: {'; '.join(told)}")
    return tuple(result)


def _complier_effect(
    finding: MetricFinding, control: ArmFacts, arm: ArmFacts, *, look: Look, share: float
) -> tuple[Interval, ComplierEffect]:
    if finding.metric not in arm.compliance:
        raise InsufficientData("nothing is known about delivery")
    pair = control.compliance[finding.metric], arm.compliance[finding.metric]
    if not all(
        _same(own.aggregates.get(finding.metric), each)
        for own, each in zip((control, arm), pair, strict=True)
    ):
        raise InsufficientData("the data changed between two queries of this report")
    if pair[0].mean_d:
        raise InsufficientData(
            f"users of {control.variant} were sent messages too, so the arms differ in more than in who was reached"
        )
    if finding.kind in SHARE_KINDS and is_small(*pair):
        raise InsufficientData("there are too few users with the event, or without it")
    found = complier_effect(*pair)
    level = look.rule(pair[0].n + pair[1].n, share, finding.metric).level(look.alpha)
    needed = max(STRONG, critical_value(level, None))
    if found.first_stage < needed:
        raise InsufficientData(
            f"the share of users reached ({found.compliance:.2%}) is only {found.first_stage:.1f} standard errors away from "
            f"none, and {needed:.1f} are needed to divide by it (a weak instrument)"
        )
    return found.interval(level), found


def _same(own: Aggregate | Quantile | None, other: Aggregate) -> bool:
    if not isinstance(own, Aggregate) or own.n != other.n:
        return False
    scale = SAME * math.sqrt(max(own.variance, 0.0)) if own.is_finite else 0.0
    return math.isclose(own.mean, other.mean, rel_tol=SAME, abs_tol=scale)
