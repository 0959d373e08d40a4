"""Experiments with weights that stay, looked at all the time, while the base rate doubles or halves: effects, and guardrails that are cleared.

Looks are as alike as the variances at the earlier ones say, which reports keep (`analysis.reports.variances`); for comparison, as their users say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy import special

from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.noninferiority import is_surely_below
from analysis.stats.variance_clock import VarianceClock
from analysis.verdicts.effects import findings_of
from analysis.verdicts.report import look_of
from benchmarks.certify_peeking import money_moments
from benchmarks.claims import (
    ALPHA,
    Claim,
    Findings,
    Grid,
    Size,
    at_least,
    error_claim,
    percent,
    rate_in,
    standard_error,
)
from benchmarks.simulation import (
    Counts,
    Floats,
    Twin,
    cumulative_counts,
    moments_of_counts,
    p_values,
    users_at,
    welch,
    welch_p,
)
from benchmarks.variance_bounds import Hits, beyond, own_bound, typical_bounds
from experiments.vocabulary import Direction, MetricKind, MetricRole

TOPIC: Final = "a base rate that drifts"
LOOKS: Final = (14, 70)
BASES: Final = (0.01, 0.05)
USERS: Final = 200
"""Who join each arm per look."""
DRIFTS: Final = ("up", "down", "none")
MARGIN: Final = 0.2
"""Of a guardrail, as a share of the base rate; also the truth."""
SAMPLE: Final = 2
Advance = Callable[[], None]
Crosses = Callable[[int, Floats], Hits]
"""Which experiments cross at a look (from 0), at bounds of their own."""


@dataclass(frozen=True, slots=True)
class Cell:
    base: float
    drift: str
    looks: int

    @property
    def name(self) -> str:
        end = {"up": f" to {rate_in(2 * self.base)}", "down": f" from {rate_in(2 * self.base)}", "none": ""}
        return f"{rate_in(self.base)}{end[self.drift]}, {self.looks} looks"

    def rates(self) -> Floats:
        """Of those who join at each look, (looks,)."""
        x = np.linspace(0, 1, self.looks)
        times = {"up": 1 + x, "down": 2 - x, "none": np.ones(self.looks)}
        return np.asarray(self.base * times[self.drift])


def cells() -> list[Cell]:
    return [Cell(*each) for each in product(BASES, DRIFTS, LOOKS)]


def effects(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """No effect: how often does a report say "significant" at one of its looks?"""
    found: dict[Cell, tuple[float, float]] = {}
    for number, cell in enumerate(cells()):
        rng = np.random.default_rng([seed, 50, number])
        x_c, x_t = (cumulative_counts(rng, size.runs, cell.looks, USERS, cell.rates()) for _ in range(2))
        crosses = _of_effects(x_c, x_t)
        hits = ever(crosses, _spread(x_c, x_t), cell, ALPHA)
        found[cell] = (
            float(hits.any(axis=1).mean()),
            float(ever(crosses, None, cell, ALPHA).any(axis=1).mean()),
        )
        _check(rng, cell, x_c, x_t, hits, MetricRole.PRIMARY)
        advance()
    _tell(findings, "called significant without an effect", found, size, side="")


def guardrails(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The harm is exactly the margin: how often is a guardrail cleared at one of the looks?"""
    found: dict[Cell, tuple[float, float]] = {}
    for number, cell in enumerate(cells()):
        rng, margin = np.random.default_rng([seed, 51, number]), MARGIN * cell.base
        x_c = cumulative_counts(rng, size.runs, cell.looks, USERS, cell.rates())
        x_t = cumulative_counts(rng, size.runs, cell.looks, USERS, cell.rates() + margin)
        n = users_at(cell.looks, USERS)

        def crosses(
            k: int, z: Floats, x_c: Counts = x_c, x_t: Counts = x_t, n: Floats = n, margin: float = margin
        ) -> Hits:
            return is_surely_below(n[k], x_c[:, k], n[k], x_t[:, k], margin=margin, z=z)

        hits = ever(crosses, _spread(x_c, x_t), cell, 2 * ALPHA)
        found[cell] = (
            float(hits.any(axis=1).mean()),
            float(ever(crosses, None, cell, 2 * ALPHA).any(axis=1).mean()),
        )
        _check(rng, cell, x_c, x_t, hits, MetricRole.GUARDRAIL, margin)
        advance()
    _tell(findings, "cleared although the harm is the margin", found, size, side=", one-sided")


def power(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The reference cell of the power claims, in which nothing drifts, and revenue: what it costs to go by variances."""
    runs, looks, users = size.runs, 14, 500
    cell = Cell(0.1, "none", looks)
    rng = np.random.default_rng([seed, 52])
    x_c, x_t = (cumulative_counts(rng, runs, looks, users, rate) for rate in (0.10, 0.11))
    crosses = _of_effects(x_c, x_t, users)
    by_variance, by_users = (
        float(ever(crosses, spread, cell, ALPHA).any(axis=1).mean())
        for spread in (_spread(x_c, x_t, users), None)
    )
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim="power where nothing drifts: 10 % against 11 %, 500 users per arm a day, 14 days",
            bar=">= 0.45",
            obtained=f"{by_variance:.3f} (by users {by_users:.3f})",
            error=f"{standard_error(by_variance, runs):.3f}",
            runs=f"{runs:,}",
            met=by_variance >= at_least(0.45, runs),
        )
    )
    runs //= 2
    n = users_at(looks, users)
    (mean_c, var_c), (mean_t, var_t) = (money_moments(rng, runs, looks, users) for _ in range(2))
    for lift in (0.0, 0.15):
        scaled = (mean_t * (1 + lift), var_t * (1 + lift) ** 2)
        p = welch_p(*welch(n, mean_c, var_c, *scaled))
        shares = [
            float(ever(_above(p), each, cell, ALPHA).any(axis=1).mean())
            for each in ((var_c + scaled[1]) / 2, None)
        ]
        told = f"revenue per user, one in ten buys, {users} users per arm and look, {looks} looks"
        if lift == 0:
            findings.claims.append(
                error_claim(
                    TOPIC, f"called significant without an effect where nothing drifts: {told}", shares[0],
                    runs=runs, cells=1, obtained=f"{percent(shares[0])} (by users {percent(shares[1])})",
                )
            )  # fmt: skip
            continue
        findings.claims.append(
            Claim(
                topic=TOPIC,
                claim=f"power where nothing drifts, + {percent(lift, 0)}: {told}",
                bar="none (for comparison)",
                obtained=f"{shares[0]:.3f} (by users {shares[1]:.3f})",
                error=f"{standard_error(shares[0], runs):.3f}",
                runs=f"{runs:,}",
                met=None,
            )
        )
    advance()


def ever(crosses: Crosses, spread: Floats | None, cell: Cell, level: float) -> Hits:
    """Which look of which experiment is the first to cross, (experiments, looks). spread: the variance of a user's outcome as it is known
    at each look, (experiments, looks); None: looks are as alike as their users, which is not what reports take them for.
    """
    fractions = [(k + 1) / cell.looks for k in range(cell.looks)]
    rates = cell.rates()
    varies = np.ones(cell.looks) if spread is None else rates * (1 - rates)
    typical = typical_bounds(fractions, varies, level)
    first: list[Hits] = []
    asked = np.ones(len(crosses(0, np.zeros(1))), dtype=bool)
    for k in range(cell.looks):

        def own(one: int, k: int = k) -> float:
            if spread is None:
                return float(typical[k])
            known = fractions[: k + 1]
            return own_bound(known, VarianceClock.of_looks(known, spread[one, : k + 1].tolist()), level)

        hits = beyond(lambda z, k=k: crosses(k, z), float(typical[k]), own, asked)  # type: ignore[misc]
        first.append(hits)
        asked = asked & ~hits
    return np.stack(first, axis=1)


def _of_effects(x_c: Counts, x_t: Counts, users: int = USERS) -> Crosses:
    return _above(p_values(x_c, x_t, users_at(x_c.shape[1], users)))


def _above(p: Floats) -> Crosses:
    z = np.nan_to_num(-special.ndtri(p / 2), nan=0.0)
    return lambda k, bound: z[:, k] > bound


def _spread(x_c: Counts, x_t: Counts, users: int = USERS) -> Floats:
    n = users_at(x_c.shape[1], users)
    return np.asarray((moments_of_counts(x_c, n)[1] + moments_of_counts(x_t, n)[1]) / 2)


def _check(
    rng: np.random.Generator,
    cell: Cell,
    x_c: Counts,
    x_t: Counts,
    hits: Hits,
    role: MetricRole,
    margin: float = 0.0,
) -> None:
    """A sample of the looks that were the first to cross, and of those that did not, as a report decides them. Raises Twin."""
    spec = MetricSpec(
        key="m", kind=MetricKind.PROPORTION, role=role, direction=Direction.DECREASE, margin=margin or None
    )
    n, spread = users_at(cell.looks, USERS), _spread(x_c, x_t)
    crossed = np.argwhere(hits)
    chosen = [*rng.permutation(crossed)[:SAMPLE].tolist()]
    chosen += [
        [int(rng.choice(np.flatnonzero(~hits.any(axis=1)))), int(rng.integers(cell.looks))]
        for _ in range(SAMPLE)
    ]
    for run, k in chosen:
        fractions = tuple((each + 1) / cell.looks for each in range(k + 1))
        plan = AnalysisPlan(
            planned_n=2 * USERS * cell.looks, looks=fractions[:-1], information=fractions[-1],
            variances={"m": tuple(zip(fractions[:-1], spread[run, :k].tolist(), strict=True))},
        )  # fmt: skip
        arms = [
            ArmFacts(
                variant=name, control=name == "c", weight=1, assigned=int(n[k]), mature=int(n[k]),
                aggregates={"m": Aggregate.from_counts(int(n[k]), int(x[run, k]))},
            )
            for name, x in (("c", x_c), ("t", x_t))
        ]  # fmt: skip
        look = look_of(plan, fractions[-1], [], metrics=(spec,), arms=arms)
        effect = findings_of((spec,), arms, look, [], [])[0].effects[0]
        said = effect.significant if effect.guardrail is None else effect.guardrail.non_inferior
        if bool(said) != bool(hits[run, k]):
            raise Twin(f"{cell.name}, look {k + 1}, {role}: a report says {said}, here {hits[run, k]}")


def _tell(
    findings: Findings, what: str, found: dict[Cell, tuple[float, float]], size: Size, *, side: str
) -> None:
    worst = max(found, key=lambda cell: found[cell][0])
    unlike = max(found, key=lambda cell: found[cell][1])
    findings.claims.append(
        error_claim(
            TOPIC, f"spending, a base rate that doubles, halves or stays: {what}, in every one of {len(found)} cells", found[worst][0],
            runs=size.runs, cells=len(found), side=side,
            obtained=f"worst {percent(found[worst][0])} ({worst.name}); if looks were as alike as their users: {percent(found[unlike][1])} ({unlike.name})",
        )
    )  # fmt: skip
    findings.grids.append(
        Grid(
            title=f"A base rate that drifts: {what}, {USERS} users per arm and look, {size.runs:,} runs a cell",
            corner="base rate",
            columns=(
                "looks as alike as their variances (what reports do)",
                "as their users (for comparison)",
            ),
            rows=[(cell.name, tuple(percent(each) for each in shares)) for cell, shares in found.items()],
        )
    )
