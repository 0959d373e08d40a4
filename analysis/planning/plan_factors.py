"""Crossed variants planned by factor: what a level against the first, and an interaction, need. Pure.

A contrast sum c m of cell means has the variance sum c^2 v/s over N users; with the cells of negative weight like the control and those of
positive weight moved by the effect that is v_C/s_C + v_T/s_T with

    1/s_C = sum over c < 0 of c^2/s        1/s_T = sum over c > 0 of c^2/s

so that two arms of these shares have the power of the contrast (`stats.factorial.contrast` is what the report tests).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from analysis.planning.plan_findings import FactorPlan, MetricPlan
from analysis.planning.plan_metrics import Frame, outcome_of
from analysis.planning.plan_ways import Formula, Way
from analysis.stats.errors import InsufficientData
from analysis.stats.factorial import Cell, Weights, interaction, main_effect
from analysis.stats.power import Shares
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MetricRole

MAIN, INTERACTION = "main", "interaction"


@dataclass(frozen=True, slots=True)
class _Term:
    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    weights: Weights


def plan_factors(
    design: ExperimentDesign, definition: MetricDefinition, plan: MetricPlan, frame: Frame
) -> tuple[FactorPlan, ...]:
    """Every main effect and two-way interaction of one metric, each of the planned size; none where there are no factors.

    Main effects of all primary metrics share alpha, and so do interactions (Bonferroni: Holm and Benjamini-Hochberg find as much or more).
    """
    if not design.factors:
        return ()
    terms = list(_terms(design))
    traffic = {
        tuple(each.levels[factor.key] for factor in design.factors): design.shares[each.key]
        for each in design.variants
        if each.levels
    }
    primaries = sum(use.role == MetricRole.PRIMARY for use in design.metrics)
    sizes = {kind: primaries * sum(term.kind == kind for term in terms) for kind in (MAIN, INTERACTION)}
    return tuple(_planned(term, traffic, sizes[term.kind], definition, plan, frame) for term in terms)


def _terms(design: ExperimentDesign) -> Iterator[_Term]:
    levels = [[level.key for level in factor.levels] for factor in design.factors]
    keys = [factor.key for factor in design.factors]
    for i, names in enumerate(levels):
        for name in names[1:]:
            yield _Term(MAIN, (keys[i],), (name,), main_effect(levels, i, name))
    for i, j in combinations(range(len(levels)), 2):
        for a in levels[i][1:]:
            for b in levels[j][1:]:
                yield _Term(INTERACTION, (keys[i], keys[j]), (a, b), interaction(levels, (i, j), (a, b)))


def shares_of(weights: Weights, traffic: Mapping[Cell, float]) -> Shares:
    """The shares of two arms that have the power of a contrast.

    >>> cells = dict.fromkeys([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")], 0.25)
    >>> shares_of(interaction([["a", "b"], ["x", "y"]], (0, 1), ("b", "y")), cells)
    Shares(control=0.125, treatment=0.125)
    """
    parts = [
        sum(weight * weight / traffic[cell] for cell, weight in weights.items() if (weight > 0) is positive)
        for positive in (False, True)
    ]
    return Shares(control=1 / parts[0], treatment=1 / parts[1])


def _planned(
    term: _Term,
    traffic: Mapping[Cell, float],
    comparisons: int,
    definition: MetricDefinition,
    plan: MetricPlan,
    frame: Frame,
) -> FactorPlan:
    unknown = FactorPlan(kind=term.kind, factors=term.factors, levels=term.levels, comparisons=comparisons)
    if plan.base is None or any(cell not in traffic or not traffic[cell] > 0 for cell in term.weights):
        return replace(unknown, reasons=plan.reasons or ("a cell of the crossing gets no users",))
    shares = shares_of(term.weights, traffic)
    monitoring = frame.watched(comparisons)
    if monitoring.tuned_to is not None:
        # A sequence counts the users of all cells, whatever a contrast makes of them.
        times = shares.both / sum(traffic.values())
        monitoring = replace(monitoring, tuned_to=max(round(monitoring.tuned_to * times), 1))
    way: Way = Formula(monitoring=monitoring)
    outcome, there, effect = outcome_of(plan.base, definition, frame), frame.available, plan.effect
    power = needed = smallest = None
    reasons: list[str] = []
    try:
        if effect is not None:
            needed = way.sample_size(outcome, effect=effect, power=frame.power, shares=shares)
            power = there and way.power(outcome, effect=effect, n=there, shares=shares)
        if there:
            smallest = way.minimum_detectable_effect(
                outcome, n=there, power=frame.power, shares=shares, falls=(effect or 0) < 0
            )
    except InsufficientData as cannot:
        reasons.append(cannot.reason)
    return replace(unknown, power=power, minimum_effect=smallest, users_needed=needed, reasons=tuple(reasons))
