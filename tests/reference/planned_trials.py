"""Planned experiments, drawn user by user and judged by the report's own code: how often it finds what the plan says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.findings import GuardrailVerdict
from analysis.inputs import AnalysisPlan, ArmFacts, FactorSpec, MetricSpec, share_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.multiplicity import holm
from analysis.stats.quantiles import Quantile
from analysis.verdicts.compare import Look, compare
from analysis.verdicts.crossing import with_factor_effects
from analysis.verdicts.effects import Row, effect_of, findings_of
from analysis.verdicts.report import look_of
from experiments.vocabulary import Method

Users = Mapping[str, np.ndarray]
"""What users did, by column: y, and d (a ratio) or x (a covariate)."""
Draw = Callable[[np.random.Generator, int, int], Users]
"""(rng, arm, users) -> what they did."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """users: of all arms together. looks: after which shares of them; planned_n: what the report takes for `users`. fractions: of traffic, the control first."""

    spec: MetricSpec
    draw: Draw
    users: int
    shares: Sequence[float] = (0.5, 0.5)
    looks: Sequence[float] = (1.0,)
    method: str = "fixed"
    planned_n: int | None = None
    alpha: float = 0.05
    levels: Sequence[Mapping[str, str]] = ()
    factors: Sequence[FactorSpec] = field(default=())


def summary(kind: str, users: Users, *, level: float = 0.5) -> Aggregate | Quantile:
    """Sufficient statistics as the facts would give them."""
    y = users["y"]
    if kind == "quantile":
        return Quantile.from_values(y, level)
    if kind in {"proportion", "retention"}:
        return Aggregate.from_counts(y.size, int(y.sum()))
    second: dict[str, float] = {}
    if "d" in users:
        d = users["d"]
        second |= {"d": float(d.sum()), "dd": float(d @ d), "yd": float(y @ d)}
    if "x" in users:
        x = users["x"]
        second |= {"x": float(x.sum()), "xx": float(x @ x), "xy": float(x @ y)}
    return Aggregate.from_sums(y.size, float(y.sum()), float(y @ y), **second)


def looked_at(planned: Planned, rng: np.random.Generator) -> list[list[ArmFacts]]:
    """The arms at each look of one experiment, users drawn into arms by chance."""
    arms = rng.choice(len(planned.shares), size=planned.users, p=planned.shares)
    did = [planned.draw(rng, arm, int((arms == arm).sum())) for arm in range(len(planned.shares))]
    found = []
    for look in planned.looks:
        sizes = np.bincount(arms[: round(look * planned.users)], minlength=len(planned.shares))
        found.append(
            [
                ArmFacts(
                    variant=f"v{arm}", control=arm == 0, weight=share, assigned=int(size), mature=int(size),
                    aggregates={
                        planned.spec.key: summary(
                            planned.spec.kind,
                            {name: column[:size] for name, column in users.items()},
                            level=planned.spec.quantile,
                        )
                    },
                    levels=planned.levels[arm] if planned.levels else {},
                )
                for arm, (share, size, users) in enumerate(zip(planned.shares, sizes, did, strict=True))
            ]
        )  # fmt: skip
    return found


def look_at(planned: Planned, k: int) -> Look:
    """How look number k is judged, as the report decides it."""
    plan = AnalysisPlan(
        method=Method(planned.method), alpha=planned.alpha, planned_n=planned.planned_n or planned.users, information=planned.looks[k],
        looks=tuple(planned.looks[:k]), ended=planned.looks[k] == 1.0,
    )  # fmt: skip
    return look_of(plan, planned.looks[k], [])


def significant(planned: Planned, arms: Sequence[ArmFacts], look: Look) -> list[bool]:
    """Which variants beat (or lose to) the control at this look, after Holm."""
    made = [
        compare(planned.spec, arms[0], arm, look=look, share=share_of(arms, arm)).p_value for arm in arms[1:]
    ]
    return [p is not None and p < planned.alpha for p in holm(made)]


def verdicts(planned: Planned, arms: Sequence[ArmFacts], look: Look) -> list[GuardrailVerdict]:
    """What the report says of a guardrail, for each variant."""
    made = []
    for arm in arms[1:]:
        row = Row(
            planned.spec,
            arm.variant,
            compare(planned.spec, arms[0], arm, look=look, share=share_of(arms, arm)),
        )
        verdict = effect_of(row, arms[0].variant, None, planned.alpha, len(arms) - 1, []).guardrail
        assert verdict is not None
        made.append(verdict)
    return made


def cleared(planned: Planned, arms: Sequence[ArmFacts], look: Look) -> list[bool]:
    """Which variants are shown to stay within the margin at this look."""
    return [bool(each.non_inferior) for each in verdicts(planned, arms, look)]


def breached(planned: Planned, arms: Sequence[ArmFacts], look: Look) -> list[bool]:
    """Which variants are surely worse than the margin at this look."""
    return [bool(each.breached) for each in verdicts(planned, arms, look)]


def of_factors(planned: Planned, arms: Sequence[ArmFacts], look: Look) -> list[bool]:
    """Which main effects, then which interactions, are significant at this look."""
    found = with_factor_effects(
        findings_of([planned.spec], arms, look, [], []), planned.factors, arms, look, [], []
    )
    return [bool(effect.significant) for effect in found[0].factors]


def share_found(
    planned: Planned,
    *,
    runs: int,
    seed: int,
    found: Callable[[Planned, Sequence[ArmFacts], Look], list[bool]] = significant,
) -> np.ndarray:
    """In which share of the runs each is found at some look. From the last look backwards, for what is found needs no more looks."""
    rng, looks = np.random.default_rng(seed), [look_at(planned, k) for k in range(len(planned.looks))]
    total: np.ndarray | float = 0.0
    for _ in range(runs):
        arms, ever = looked_at(planned, rng), None
        for k in reversed(range(len(looks))):
            if ever is None or not ever.all():
                now = np.array(found(planned, arms[k], looks[k]))
                ever = now if ever is None else ever | now
        total = total + ever
    return np.asarray(total / runs)


def margin_of_error(share: float, runs: int, *, planned_runs: float = np.inf) -> float:
    """Three Monte-Carlo standard errors of the difference between what was found and what was planned."""
    return 3 * float(np.sqrt(share * (1 - share) * (1 / runs + 1 / planned_runs)))
