"""Intervals of what is more than two means: capped money, several covariates, factors, quantiles of rows, users reached.

Every interval comes from the production functions, run by run; only drawing and summing up are done for many runs at once.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats import comparisons
from analysis.stats.aggregates import Aggregate
from analysis.stats.covariates import Moments, with_covariates
from analysis.stats.difference import absolute, difference, linearise_ratio
from analysis.stats.factorial import Weights, cells_of, contrast, interaction, main_effect
from analysis.stats.iv import complier_effect
from analysis.stats.quantiles import Quantile, order_statistic_ranks, quantile_difference
from analysis.stats.welch import Arms
from benchmarks.claims import ALPHA, Claim, Findings, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import Floats

Advance = Callable[[], None]
CHUNK: Final = 200
CAPPED_AT: Final = 0.99
COVARIATES: Final = (
    ("60 users per arm, slopes alike", 60, 60, 0.0),
    ("1000 and 3000 users, slopes alike", 1000, 3000, 0.0),
    ("1000 users per arm, slopes twice as steep in the treatment", 1000, 1000, 1.0),
)
"""Name, users of control and treatment, how much steeper the treatment's slopes are."""
SLOPES: Final = np.array([0.5, 0.4, 0.5])
EFFECT: Final = 0.3
LEVELS: Final = (("plain", "coupon"), ("am", "noon", "pm"))
CROSSED: Final = ((200, 0.1), (1000, 0.02), (1000, 0.1))
"""Users of a cell, and the rate."""
ROWS_OF_A_UNIT: Final = 4


def capped(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Revenue capped at a quantile of all users of both arms, which the same users tell: does the interval hold the difference
    of the means that are capped at the true quantile?"""
    users, runs = 2000, size.coverage_runs // 2
    for number, buying in enumerate((0.1, 0.12)):
        rng = np.random.default_rng([seed, 50, number])
        cap = float(np.exp(3 + stats.norm.isf((1 - CAPPED_AT) / ((0.1 + buying) / 2))))
        truth = (buying - 0.1) * _limited_mean(cap)
        hits = told = 0
        for few in _chunks(runs):
            both = np.concatenate([_revenue(rng, few, users, 0.1), _revenue(rng, few, users, buying)], axis=1)
            # The smallest value that so large a share does not exceed, as the facts take it.
            rank = math.ceil(CAPPED_AT * both.shape[1]) - 1
            limit = np.partition(both, rank, axis=1)[:, rank : rank + 1]
            both = np.minimum(both, limit)
            found = comparisons.differences(_arms(both[:, :users]), _arms(both[:, users:]))
            inside = comparisons.absolute(found, ALPHA).contain(truth)
            hits, told = hits + int(inside.sum()), told + int(inside.count())
        what = "no effect" if buying == 0.1 else "10 % against 12 % buy"
        findings.claims.append(
            _coverage(
                f"mean capped at the {CAPPED_AT} quantile of both arms ({what}), {users} users per arm",
                hits,
                told,
            )
        )
    advance()


def _limited_mean(cap: float) -> float:
    """E min(V, cap) of an amount V whose logarithm is normal with mean 3 and sd 1."""
    away = math.log(cap) - 3
    return float(math.exp(3.5) * stats.norm.cdf(away - 1) + cap * stats.norm.sf(away))


def _revenue(rng: np.random.Generator, runs: int, users: int, buying: float) -> Floats:
    buys = rng.random((runs, users)) < buying
    amounts = np.zeros((runs, users))
    amounts[buys] = rng.lognormal(3, 1, int(buys.sum()))
    return amounts


def covariates(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Lin's regression with three covariates, one of them skewed, and a spread that grows with them.

    The interval is about the users who take part (so is HC2 of the interacted regression): their effect depends on who they happen
    to be where the slopes differ between the arms. What it says of all users like them is shown beside it.
    """
    runs = size.coverage_runs // 4
    for number, (name, n_c, n_t, steeper) in enumerate(COVARIATES):
        rng = np.random.default_rng([seed, 51, number])
        here = everywhere = 0
        for few in _chunks(runs):
            arms = (_regressed(rng, few, n_c, 0.0, 1.0), _regressed(rng, few, n_t, EFFECT, 1.0 + steeper))
            for control, treatment in zip(*arms, strict=True):
                interval = absolute(difference(*with_covariates((control, treatment))), ALPHA)
                means = n_c * np.array(control.mean[1:]) + n_t * np.array(treatment.mean[1:])
                theirs = EFFECT + steeper * float(means @ SLOPES) / (n_c + n_t)
                here += interval.lower <= theirs <= interval.upper
                everywhere += interval.lower <= EFFECT <= interval.upper
        findings.claims.append(_coverage(f"mean with three covariates (Lin), {name}", here, runs))
        if steeper:
            shown = _coverage(f"the same, of the effect on all users like them, {name}", everywhere, runs)
            findings.claims.append(replace(shown, bar="none (for comparison)", met=None))
        advance()


def _regressed(rng: np.random.Generator, runs: int, users: int, effect: float, slope: float) -> list[Moments]:
    # Covariates with mean 0, so that the effect does not depend on the slope.
    x = np.stack(
        [
            rng.normal(size=(runs, users)),
            rng.exponential(size=(runs, users)) - 1,
            (rng.random((runs, users)) < 0.3) - 0.3,
        ],
        axis=2,
    )
    noise = rng.normal(size=(runs, users)) * (0.5 + 0.5 * np.abs(x[:, :, 0]))
    y = effect + slope * (x @ SLOPES) + noise
    columns = np.concatenate([y[:, :, None], x], axis=2)
    means = columns.mean(axis=1)
    away = columns - means[:, None, :]
    products = away.transpose(0, 2, 1) @ away / (users - 1)
    return [
        Moments(n=users, mean=tuple(mean), covariance=tuple(map(tuple, product)))
        for mean, product in zip(means.tolist(), products.tolist(), strict=True)
    ]


def factors(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """A crossing of two by three: the main effect of the first factor, and an interaction, where there is none and where there is."""
    runs = size.coverage_runs // 4
    main = main_effect(LEVELS, 0, "coupon")
    crossed = interaction(LEVELS, (0, 1), ("coupon", "pm"))
    worst = {"main effect": 0.0, "interaction": 0.0}
    for number, (users, rate) in enumerate(CROSSED):
        rng = np.random.default_rng([seed, 52, number])
        # No effect of the first factor, a large one of the second.
        rates = {cell: rate * {"am": 1.0, "noon": 1.2, "pm": 0.8}[cell[1]] for cell in cells_of(LEVELS)}
        for name, weights in (("main effect", main), ("interaction", crossed)):
            missed = runs - _held(rng, runs, users, rates, weights, 0.0)
            worst[name] = max(worst[name], missed / runs)
    limit = at_most(ALPHA, runs, len(CROSSED))
    for name, share in worst.items():
        findings.claims.append(
            Claim(
                topic="factors",
                claim=f"two by three crossing of shares: false positives, {name}, in every one of {len(CROSSED)} cells",
                bar=f"<= 5 % (by chance up to {percent(limit)})",
                obtained=f"worst {percent(share)}",
                error=percent(standard_error(share, runs)),
                runs=f"{runs:,} a cell",
                met=share <= limit,
            )
        )
    rng = np.random.default_rng([seed, 53])
    rates = {
        cell: 0.1 + 0.01 * (cell[0] == "coupon") + 0.02 * (cell == ("coupon", "pm"))
        for cell in cells_of(LEVELS)
    }
    for name, weights in (("main effect", main), ("interaction", crossed)):
        truth = sum(weight * rates[cell] for cell, weight in weights.items())
        hits = _held(rng, runs, 1000, rates, weights, truth)
        findings.claims.append(
            _coverage(f"{name} of {100 * truth:.2g} points, 1000 users a cell", hits, runs, topic="factors")
        )
    advance()


def _held(
    rng: np.random.Generator,
    runs: int,
    users: int,
    rates: dict[tuple[str, ...], float],
    weights: Weights,
    truth: float,
) -> int:
    counts = rng.binomial(users, list(rates.values()), size=(runs, len(rates)))
    hits = 0
    for row in counts.tolist():
        cells = {cell: Aggregate.from_counts(users, x) for cell, x in zip(rates, row, strict=True)}
        interval = absolute(contrast(cells, weights), ALPHA)
        hits += interval.lower <= truth <= interval.upper
    return hits


def clustered(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Quantiles over rows of which each user has some, alike (`analyze --unit`): brackets widened by the design effect."""
    users, runs = 1000, size.quantile_runs // 2
    rng = np.random.default_rng([seed, 54])
    for level in (0.5, 0.9):
        # The logarithm of a row: 3 + a user's own part + the row's, each with variance 1/2.
        truth = 0.05 * math.exp(3 + stats.norm.ppf(level))
        hits = 0
        for _ in range(runs):
            arms = [_rows_quantile(rng, users, level, scale) for scale in (1.0, 1.05)]
            interval = absolute(quantile_difference(*arms), ALPHA)
            hits += interval.lower <= truth <= interval.upper
        findings.claims.append(
            _coverage(
                f"quantile {level} of rows, {users} users with 0 to 8 rows each per arm (`analyze --unit`)",
                hits,
                runs,
            )
        )
    advance()


def _rows_quantile(rng: np.random.Generator, users: int, level: float, scale: float) -> Quantile:
    # Written once more for arrays; `analysis.files.file_facts` does the same in SQL, and a test compares the two.
    rows = rng.binomial(2 * ROWS_OF_A_UNIT, 0.5, size=users)
    owner = np.repeat(np.arange(users), rows)
    values = scale * np.exp(
        3 + math.sqrt(0.5) * (rng.normal(size=users)[owner] + rng.normal(size=len(owner)))
    )
    return quantile_of_rows(values, owner, level)


def quantile_of_rows(values: Floats, owner: NDArray[np.intp], level: float) -> Quantile:
    """The quantile of rows whose users are `owner` (numbers from 0), with its bracket as a file's is made."""
    value = float(np.quantile(values, level))
    counts = np.bincount(owner).astype(np.float64)
    below = np.bincount(owner, values <= value)[counts > 0]
    counts = counts[counts > 0]
    share = linearise_ratio(
        Aggregate.from_sums(
            len(counts), below.sum(), (below**2).sum(),
            d=counts.sum(), dd=(counts**2).sum(), yd=(below * counts).sum(),
        )
    )  # fmt: skip
    effect = share.variance / len(counts) * counts.sum() / (level * (1 - level))
    low, high, z = order_statistic_ranks(len(values), level, design_effect=effect if effect > 0 else 1.0)
    ordered = np.sort(values)
    return Quantile(
        n=len(values), units=len(counts), level=level, value=value,
        lower=float(ordered[low - 1]), upper=float(ordered[high - 1]), z=z,
    )  # fmt: skip


def reached(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The effect on those who are reached (CACE), who buy more anyway than those who are not."""
    users, runs = 2000, size.coverage_runs // 2
    for number, (share, gain) in enumerate(((0.9, 0.02), (0.4, 0.05), (0.4, 0.0))):
        rng = np.random.default_rng([seed, 55, number])
        hits = 0
        # Reachable users buy with 12 %, the others with 5 %; those of the treatment whom a message reached, with `gain` more.
        able_c, able_t = rng.binomial(users, share, size=(2, runs))
        buy_c = rng.binomial(able_c, 0.12) + rng.binomial(users - able_c, 0.05)
        of_reached, others = rng.binomial(able_t, 0.12 + gain), rng.binomial(users - able_t, 0.05)
        for x_c, d, x_d, x in np.stack([buy_c, able_t, of_reached, others], axis=1).tolist():
            control = Aggregate.from_sums(users, x_c, x_c, d=0.0, dd=0.0, yd=0.0)
            treatment = Aggregate.from_sums(users, x_d + x, x_d + x, d=d, dd=d, yd=x_d)
            interval = complier_effect(control, treatment).interval(ALPHA)
            hits += interval.lower <= gain <= interval.upper
        findings.claims.append(
            _coverage(
                f"effect per user reached (CACE) of {100 * gain:g} points, {100 * share:g} % reached, {users} users per arm",
                hits,
                runs,
            )
        )
    advance()


def _chunks(runs: int) -> Iterator[int]:
    return (min(CHUNK, runs - start) for start in range(0, runs, CHUNK))


def _arms(values: Floats) -> Arms:
    return Arms(
        n=np.full(len(values), float(values.shape[1])),
        mean=values.mean(axis=1),
        variance=values.var(axis=1, ddof=1),
    )


def _coverage(what: str, hits: float, runs: int, *, topic: str = "coverage, adjusted outcomes") -> Claim:
    share = hits / runs
    return Claim(
        topic=topic,
        claim=f"{what}: coverage",
        bar="94-96 %",
        obtained=percent(share),
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,}",
        met=at_least(0.94, runs) <= share <= at_most(0.96, runs),
    )
