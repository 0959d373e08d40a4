"""Crossed variants analysed by factor: main effects and interactions of every metric, with their own multiplicity.

Families: the main effects of all primary metrics (Holm), their interactions (Benjamini-Hochberg); of the secondary metrics,
both Benjamini-Hochberg; of the guardrails, main effects Holm and interactions Benjamini-Hochberg. None of them decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from analysis.findings import FactorEffect, MetricFinding
from analysis.inputs import ArmFacts, FactorSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, Interval, absolute, p_value, relative, relative_by_mapping
from analysis.stats.errors import InsufficientData
from analysis.stats.factorial import Cell, Weights, cells_of, contrast, interaction, main_effect
from analysis.stats.multiplicity import agreeing_alpha, benjamini_hochberg, holm
from analysis.stats.sequential import Rule
from analysis.verdicts.compare import Look, as_judged
from experiments.vocabulary import SHARE_KINDS, Method, MetricRole

MAIN: Final = "main"
INTERACTION: Final = "interaction"
FEWEST: Final = 10
"""Users with the event, and without it, that each side of a contrast of shares must have."""


@dataclass(frozen=True, slots=True)
class _Row:
    metric: str
    role: MetricRole
    effect: FactorEffect
    difference: Difference | None = None
    p: float | None = None


def with_factor_effects(
    findings: Sequence[MetricFinding],
    factors: Sequence[FactorSpec],
    arms: Sequence[ArmFacts],
    look: Look,
    said: list[str],
    notes: list[str],
) -> tuple[MetricFinding, ...]:
    """The findings with `factors` filled in, where the variants are a whole crossing; reasons go to `said`."""
    if not factors:
        return tuple(findings)
    if look.by_epoch:
        said.append(
            "the factors cannot be analysed: weights have changed while it ran, and by factor arms are compared as one pool"
        )
        return tuple(findings)
    levels = [factor.levels for factor in factors]
    by_cell = {_cell(arm, factors): arm for arm in arms if arm.levels}
    missing = [cell for cell in cells_of(levels) if cell not in by_cell]
    if missing:
        said.append(
            f"the factors cannot be analysed: there is no variant with {', '.join(missing[0])}, so the levels of one factor cannot "
            "be averaged over all levels of the others"
        )
        return tuple(findings)
    crossing = {cell: by_cell[cell] for cell in cells_of(levels)}
    weights = sum(arm.weight for arm in arms)
    share = sum(arm.weight for arm in crossing.values()) / weights if weights > 0 else 1.0
    terms = _terms(factors)
    rows = [
        _row(finding, term, weighting, crossing, look, share, said)
        for finding in findings
        for term, weighting in terms
    ]
    adjusted = _adjusted(rows)
    users = sum(arm.mature for arm in crossing.values())
    made = [
        (row, _whole(row, p, look.rule(users, share, row.metric), look))
        for row, p in zip(rows, adjusted, strict=True)
    ]
    notes += _caution(made)
    return tuple(
        replace(finding, factors=tuple(effect for row, effect in made if row.metric == finding.metric))
        for finding in findings
    )


def _cell(arm: ArmFacts, factors: Sequence[FactorSpec]) -> Cell:
    return tuple(arm.levels.get(factor.key, "") for factor in factors)


def _terms(factors: Sequence[FactorSpec]) -> list[tuple[FactorEffect, Weights]]:
    levels = [factor.levels for factor in factors]
    terms = [
        (
            FactorEffect(kind=MAIN, factors=(factor.key,), levels=(level,), against=(factor.levels[0],)),
            main_effect(levels, i, level),
        )
        for i, factor in enumerate(factors)
        for level in factor.levels[1:]
    ]
    terms += [
        (
            FactorEffect(
                kind=INTERACTION,
                factors=(factors[i].key, factors[j].key),
                levels=(a, b),
                against=(factors[i].levels[0], factors[j].levels[0]),
            ),
            interaction(levels, (i, j), (a, b)),
        )
        for i, j in combinations(range(len(factors)), 2)
        for a in factors[i].levels[1:]
        for b in factors[j].levels[1:]
    ]
    return terms


def _row(
    finding: MetricFinding,
    term: FactorEffect,
    weights: Weights,
    crossing: dict[Cell, ArmFacts],
    look: Look,
    share: float,
    said: list[str],
) -> _Row:
    bare = _Row(finding.metric, finding.role, term)
    try:
        cells: dict[Cell, Aggregate] = {}
        for cell, arm in crossing.items():
            value = arm.aggregates.get(finding.metric)
            if not isinstance(value, Aggregate):
                raise InsufficientData(
                    "only means are compared by factor, and every variant of the crossing must have one"
                )
            cells[cell] = value
        if finding.kind in SHARE_KINDS:
            _enough(cells, weights)
        found = contrast(cells, weights)
    except InsufficientData as cannot:
        # One reason a metric: what its other terms miss is much the same.
        start = f"{finding.metric}: no effects by factor: "
        if not any(each.startswith(start) for each in said):
            said.append(f"{start}{cannot.reason}")
        return bare
    rule = look.rule(sum(arm.mature for arm in crossing.values()), share, finding.metric)
    found = as_judged(found, rule)
    return replace(bare, difference=found, p=rule.overall_p(p_value(found)))


def _enough(cells: dict[Cell, Aggregate], weights: Weights) -> None:
    for side in (1, -1):
        own = [cells[cell] for cell, weight in weights.items() if weight * side > 0]
        successes = sum(arm.n * arm.mean for arm in own)
        if min(successes, sum(arm.n for arm in own) - successes) < FEWEST:
            raise InsufficientData("there are too few users with the event, or without it")


def _adjusted(rows: Sequence[_Row]) -> list[float | None]:
    result: list[float | None] = [None] * len(rows)
    for role in MetricRole:
        for kind in (MAIN, INTERACTION):
            family = [i for i, row in enumerate(rows) if row.role == role and row.effect.kind == kind]
            adjust = holm if kind == MAIN and role != MetricRole.SECONDARY else benjamini_hochberg
            for i, value in zip(family, adjust([rows[i].p for i in family]), strict=True):
                result[i] = value
    return result


def _whole(row: _Row, adjusted: float | None, rule: Rule, look: Look) -> FactorEffect:
    found = row.difference
    if found is None or row.p is None or adjusted is None:
        return row.effect
    return replace(
        row.effect,
        absolute=_at(found, rule.level(look.alpha)),
        relative=_lift(found, rule.level(look.alpha), look) if row.effect.kind == MAIN else None,
        p_value=row.p,
        adjusted_p_value=adjusted,
        significant=adjusted < look.alpha,
        interval_adjusted=_at(found, rule.level(agreeing_alpha(row.p, adjusted, look.alpha))),
        variance_reduction=found.variance_reduction,
    )


def _at(found: Difference, level: float) -> Interval | None:
    try:
        return absolute(found, level)
    except InsufficientData:
        return None


def _lift(found: Difference, level: float, look: Look) -> Interval | None:
    try:
        # A delta-method variance fails at low counts under peeking without an end.
        if look.method in (Method.FIXED, Method.SPENDING):
            return relative(found, level)
        return relative_by_mapping(found, absolute(found, level))
    except InsufficientData:
        return None


def _caution(made: Sequence[tuple[_Row, FactorEffect]]) -> list[str]:
    return [
        f"{row.metric}: {' and '.join(effect.factors)} change each other's effect, so the effect of one factor is an average over "
        "the levels of the other that need not hold for any of them; compare the variants one by one"
        for row, effect in made
        if effect.kind == INTERACTION and effect.significant
    ]
