"""Do effects hold when a bandit moved the traffic, the base rate drifted by a factor of 2, and people looked all the time?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.inputs import ArmFacts, EpochFacts, MetricSpec
from analysis.stats import adaptive, adaptive_shares
from analysis.stats.adaptive_shares import Shares
from analysis.stats.aggregates import Aggregate
from analysis.stats.welch import Arms
from analysis.verdicts.by_epoch import compare_by_epoch
from analysis.verdicts.compare import Look
from benchmarks.bandit_worlds import Sums, base_rates, play
from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import Floats, Twin
from experiments.vocabulary import Method, MetricKind

TOPIC: Final = "after a bandit"
ARMS: Final = (2, 3, 5, 10)
DRIFTS: Final = ("up", "down", "wave")
POLICIES: Final = ("thompson", "top_two", "by hand")
SHAPES: Final = ((5, 1000), (14, 1000))
"""Epochs, and users who come in each of them."""
TRUTHS: Final = ("no effect", "+2 points", "+30 %")
ESTIMATORS: Final = ("score", "score, lift", "Wald", "AW-AIPW", "BOLS", "pooled")
SAMPLE: Final = 6
CRITICAL: Final = float(-special.ndtri(ALPHA / 2))
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cell:
    arms: int
    drift: str
    policy: str
    epochs: int
    users: int
    truth: str

    @property
    def name(self) -> str:
        return (
            f"{self.arms} arms, base {self.drift}, {self.policy}, {self.epochs} epochs of {self.users} users"
        )

    def rates(self) -> Floats:
        """(epochs, arms): the last arm has the effect, where there is one."""
        rates = np.repeat(base_rates(self.epochs, self.drift)[:, None], self.arms, axis=1)
        if self.truth == "+2 points":
            rates[:, -1] += 0.02
        elif self.truth == "+30 %":
            rates[:, -1] *= 1.3
        return rates


def cells(size: Size) -> Iterator[Cell]:
    for arms in ARMS:
        for epochs, users in SHAPES if size.name == "full" else SHAPES[:1]:
            for policy in POLICIES:
                for drift in DRIFTS if size.name == "full" else DRIFTS[:1]:
                    for truth in TRUTHS:
                        yield Cell(arms, drift, policy, epochs, users, truth)


def runs_of(cell: Cell, size: Size) -> int:
    """Fewer for many arms, which have as many comparisons each and cost the square."""
    return size.runs // (2 if cell.arms < 10 else 8)


def steps_of(size: Size) -> int:
    return sum(1 for _ in cells(size))


def afterwards(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """One look when it is over: coverage of 95 % intervals, and errors at 5 % where there is no effect."""
    missed: dict[Cell, dict[str, float]] = {}
    for number, cell in enumerate(cells(size)):
        rng = np.random.default_rng([seed, 40, number])
        worlds = play(
            rng,
            worlds=runs_of(cell, size),
            rates=cell.rates(),
            users=cell.users,
            policy=cell.policy,
            pooled=True,
        )
        sums = worlds.until(cell.epochs - 1, 0)
        _check(rng, sums)
        missed[cell] = _missed(cell, sums)
        advance()
    _claims(missed, size, findings)


def _missed(cell: Cell, sums: Sums) -> dict[str, float]:
    """The share of comparisons whose interval misses the truth, by estimator; the mean over the arms."""
    found: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    weighted = adaptive.aw_aipw(sums.users, sums.n, sums.mean, sums.variance, sums.propensity)
    n = sums.n.sum(axis=1)
    mean = sums.total.sum(axis=1) / n
    spread = (sums.squares.sum(axis=1) / n - mean**2) / n
    ones = np.ones(len(n))
    for k in range(1, cell.arms):
        is_last = k == cell.arms - 1
        delta = 0.02 if is_last and cell.truth == "+2 points" else 0.0
        lift = 0.3 if is_last and cell.truth == "+30 %" else 0.0
        control, treatment = (arm_of(sums, each) for each in (0, k))
        if lift == 0:
            shares = shares_of(sums, k)
            found["score"].append(_share(np.abs(adaptive_shares.score(shares, delta * ones)) > CRITICAL))
            effect, _ = adaptive.stabilised(sums.users, control, treatment)
            critical = -special.stdtrit(effect.degrees_of_freedom, ALPHA / 2)
            found["Wald"].append(_share(np.abs(effect.estimate - delta) > critical * effect.standard_error))
            off = np.abs(weighted.effect[:, k] - delta)
            found["AW-AIPW"].append(_share(off > CRITICAL * weighted.effect_error[:, k]))
            pooled = np.sqrt(spread[:, k] + spread[:, 0])
            found["pooled"].append(_share(np.abs(mean[:, k] - mean[:, 0] - delta) > CRITICAL * pooled))
        if delta == 0:
            z = adaptive_shares.score_of_lift(shares_of(sums, k), lift * ones)
            found["score, lift"].append(_share(np.abs(z) > CRITICAL))
        if delta == 0 and lift == 0:
            found["BOLS"].append(_share(adaptive.bols(control, treatment).p_value < ALPHA))
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _share(wrong: NDArray[np.bool_]) -> float:
    return float(wrong.mean())


def arm_of(sums: Sums, k: int) -> Arms:
    return Arms(n=sums.n[..., k], mean=sums.mean[..., k], variance=sums.variance[..., k])


def shares_of(sums: Sums, k: int) -> Shares:
    return Shares(
        users=sums.users,
        n_c=sums.n[..., 0],
        x_c=sums.total[..., 0],
        n_t=sums.n[..., k],
        x_t=sums.total[..., k],
    )


def _claims(missed: dict[Cell, dict[str, float]], size: Size, findings: Findings) -> None:
    none = {cell: each for cell, each in missed.items() if cell.truth == "no effect"}
    for name, words, bar in (
        ("score", "what reports show for shares (score interval by epoch)", True),
        ("BOLS", "batched OLS, every epoch alike", False),
        ("Wald", "the same weights with Wald intervals, as reports show for means", False),
        ("AW-AIPW", "AW-AIPW, constant allocation", False),
        ("pooled", "pooled z test, which no report shows", False),
    ):
        cell = max(none, key=lambda each: none[each][name])
        runs = runs_of(cell, size)
        findings.claims.append(
            Claim(
                topic=TOPIC,
                claim=f"{words}: errors at 5 % without an effect, base rate drifting by 2x, in every one of {len(none)} cells",
                bar=f"<= 5.5 % (by chance up to {percent(at_most(0.055, runs, len(none)))})"
                if bar
                else "none (for comparison)",
                obtained=f"worst {percent(none[cell][name])} ({cell.name}); mean {percent(_mean(none, name))}",
                error=percent(standard_error(none[cell][name], runs)),
                runs=f"{runs:,} a cell",
                met=none[cell][name] <= at_most(0.055, runs, len(none)) if bar else None,
            )
        )
    for name, words in (("score", "difference"), ("score, lift", "lift")):
        told = {cell: 1 - each[name] for cell, each in missed.items() if name in each}
        ends = [min(told, key=told.__getitem__), max(told, key=told.__getitem__)]
        findings.claims.append(
            Claim(
                topic=TOPIC,
                claim=f"95 % intervals of a {words} between shares, base rate drifting by 2x: coverage in every one of {len(told)} cells",
                bar="94-96 %",
                obtained=" to ".join(f"{percent(told[cell])} ({cell.name}, {cell.truth})" for cell in ends),
                error=percent(standard_error(0.95, runs_of(ends[0], size))),
                runs=f"{min(runs_of(cell, size) for cell in told):,} or more a cell",
                met=all(
                    at_least(0.94, runs_of(cell, size), len(told))
                    <= told[cell]
                    <= at_most(0.96, runs_of(cell, size), len(told))
                    for cell in told
                ),
            )
        )
    findings.grids.append(
        Grid(
            title="After a bandit: share of intervals (without an effect, of tests) that miss the truth",
            corner="cell",
            columns=ESTIMATORS,
            rows=[
                (
                    f"{cell.name}, {cell.truth}",
                    [percent(each[name]) if name in each else "" for name in ESTIMATORS],
                )
                for cell, each in missed.items()
            ],
        )
    )


def _mean(missed: dict[Cell, dict[str, float]], name: str) -> float:
    return float(np.mean([each[name] for each in missed.values()]))


def money(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Revenue per user, of which most is 0: Wald intervals over the epochs, for they are what means get."""
    users, epochs = 5000, 7
    for number, arms in enumerate((2, 5)):
        cell = Cell(arms, "up", "thompson", epochs, users, "no effect")
        rng = np.random.default_rng([seed, 41, number])
        runs = size.coverage_runs // 4
        sums = play(rng, worlds=runs, rates=cell.rates(), users=users, policy="thompson", money=True).until(
            epochs - 1, 0
        )
        missed = _wald(sums, arms)
        findings.claims.append(
            Claim(
                topic=TOPIC,
                claim=f"95 % intervals of revenue per user (one in ten to twenty buys): {cell.name}",
                bar="94-96 %",
                obtained=percent(1 - missed),
                error=percent(standard_error(missed, runs)),
                runs=f"{runs:,}",
                met=at_least(0.94, runs) <= 1 - missed <= at_most(0.96, runs),
            )
        )
    advance()


def _wald(sums: Sums, arms: int) -> float:
    found = []
    for k in range(1, arms):
        effect, _ = adaptive.stabilised(sums.users, arm_of(sums, 0), arm_of(sums, k))
        critical = -special.stdtrit(effect.degrees_of_freedom, ALPHA / 2)
        found.append(_share(np.abs(effect.estimate) > critical * effect.standard_error))
    return float(np.mean(found))


def _check(rng: np.random.Generator, sums: Sums) -> None:
    """A sample of worlds by the production path: `compare_by_epoch` must say the same."""
    look = Look(method=Method.FIXED, alpha=ALPHA, planned_n=None, by_epoch=True)
    spec = MetricSpec(key="bought", kind=MetricKind.PROPORTION)
    for world in rng.integers(0, len(sums.n), SAMPLE):
        k = int(rng.integers(1, sums.n.shape[-1]))
        arms = [_facts(sums, int(world), arm, control=arm == 0) for arm in (0, k)]
        found = compare_by_epoch(spec, arms[0], arms[1], look=look)
        if found.test != "score_by_epoch":
            continue
        mine = float(adaptive_shares.p_values(shares_of(sums, k))[world])
        if found.p_value is None or not np.isclose(found.p_value, mine, rtol=1e-9):
            raise Twin(f"by epoch: {mine}, in production {found.p_value}")


def _facts(sums: Sums, world: int, k: int, *, control: bool) -> ArmFacts:
    epochs = tuple(
        EpochFacts(
            epoch=t + 1,
            users=int(sums.users[world, t]),
            propensity=float(sums.propensity[world, t, k]),
            outcome=Aggregate.from_counts(int(sums.n[world, t, k]), int(sums.total[world, t, k])),
        )
        for t in range(sums.n.shape[1])
    )
    users = int(sums.n[world, :, k].sum())
    return ArmFacts(
        variant=f"arm {k}",
        control=control,
        weight=1.0,
        assigned=users,
        mature=users,
        epochs={"bought": epochs},
    )
