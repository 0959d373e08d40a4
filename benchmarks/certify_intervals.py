"""Do the intervals hold the truth: once at the planned end, and at all looks together under a sequential method?"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import special, stats

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, absolute, difference, lift_variance, relative
from analysis.stats.iv import complier_effect
from analysis.stats.quantiles import Quantile, quantile_difference
from benchmarks.claims import ALPHA, Claim, Findings, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import Floats, Twin

Advance = Callable[[], None]
Arm = tuple[Floats, ...]
"""Columns Y, and then D (denominator) or X (covariate), each (runs, users)."""
CHUNK: Final = 200
SAMPLE: Final = 25


def at_the_end(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """95 % intervals of means, ratios and CUPED, absolute and relative; the data are skewed as money is."""
    for number, (name, users, make, truth, lift) in enumerate(_scenarios()):
        rng = np.random.default_rng([seed, 10, number])
        inside = np.zeros(2)
        for start in range(0, size.coverage_runs, CHUNK):
            runs = min(CHUNK, size.coverage_runs - start)
            inside += _covered(
                _effects(make(rng, runs, users, 0), make(rng, runs, users, 1), name), truth, lift
            )
        for scale, hits in zip(("absolute", "relative"), inside.tolist(), strict=True):
            findings.claims.append(
                _coverage(f"{name}, {scale}, {users} users per arm", hits, size.coverage_runs)
            )
        advance()


def _scenarios() -> Sequence[
    tuple[str, int, Callable[[np.random.Generator, int, int, int], Arm], float, float]
]:
    """Name, users per arm, data of one arm (treated or not), true difference, true lift."""
    buyer = math.exp(3 + 0.5)
    ratio = (4 * math.exp(0.25) + 2) / 3
    return (
        ("mean (revenue, one in ten buys)", 5000, _revenue, 0.01 * buyer, 0.1),
        ("mean (gamma)", 500, _gamma, 0.2, 0.1),
        ("ratio of means (revenue per order)", 1000, _per_order, 0.05 * ratio, 0.05),
        ("mean with CUPED (correlation 0.83)", 1000, _with_past, 0.15, 0.15 / 2),
    )


def _revenue(rng: np.random.Generator, runs: int, users: int, treated: int) -> Arm:
    buys = rng.random((runs, users)) < 0.1 + 0.01 * treated
    amounts = np.zeros((runs, users))
    amounts[buys] = rng.lognormal(3, 1, int(buys.sum()))
    return (amounts,)


def _gamma(rng: np.random.Generator, runs: int, users: int, treated: int) -> Arm:
    return (np.asarray(rng.gamma(2, 1 + 0.1 * treated, (runs, users))),)


def _per_order(rng: np.random.Generator, runs: int, users: int, treated: int) -> Arm:
    # Heavier users (u) order more often and for more: E[D] = 2 + 1, E[Y] = 4 E[u^2] + 2, all times the treatment.
    u = rng.lognormal(-0.125, 0.5, (runs, users))
    orders = np.asarray(1.0 + rng.poisson(2 * u), dtype=np.float64)
    return np.asarray(rng.gamma(2 * orders) * u * (1 + 0.05 * treated)), orders


def _with_past(rng: np.random.Generator, runs: int, users: int, treated: int) -> Arm:
    past = rng.lognormal(-0.125, 0.5, (runs, users))
    return np.asarray(past + rng.gamma(8, 1 / 8, (runs, users)) + 0.15 * treated), past


def _effects(control: Arm, treatment: Arm, name: str) -> list[Difference]:
    return [
        difference(_aggregate(c, name), _aggregate(t, name))
        for c, t in zip(_moments(control), _moments(treatment), strict=True)
    ]


def _moments(arm: Arm) -> list[list[float]]:
    """Per run: n, mean and variance of the first column, then mean, variance and covariance of the second."""
    y = arm[0]
    n = y.shape[1]
    columns = [np.full(len(y), float(n)), y.mean(axis=1), y.var(axis=1, ddof=1)]
    if len(arm) > 1:
        z = arm[1]
        together = ((y - y.mean(axis=1, keepdims=True)) * (z - z.mean(axis=1, keepdims=True))).sum(axis=1) / (
            n - 1
        )
        columns += [z.mean(axis=1), z.var(axis=1, ddof=1), together]
    rows: list[list[float]] = np.stack(columns, axis=1).tolist()
    return rows


def _aggregate(row: Sequence[float], name: str) -> Aggregate:
    n, mean, variance = int(row[0]), row[1], row[2]
    if len(row) == 3:
        return Aggregate(n=n, mean=mean, variance=variance)
    if "ratio" in name:
        return Aggregate(
            n=n, mean=mean, variance=variance, mean_d=row[3], variance_d=row[4], covariance_yd=row[5]
        )
    return Aggregate(
        n=n, mean=mean, variance=variance, mean_x=row[3], variance_x=row[4], covariance_xy=row[5]
    )


def _covered(effects: Sequence[Difference], truth: float, lift: float) -> Floats:
    """How many intervals hold the truth: absolute and relative. Only the critical value is taken for many at once."""
    estimate, error, freedom, mean, spread = np.array(
        [
            (e.estimate, e.standard_error, e.degrees_of_freedom, e.control_mean, math.sqrt(lift_variance(e)))
            for e in effects
        ]
    ).T
    critical = -special.stdtrit(freedom, ALPHA / 2)
    for i in range(0, len(effects), max(1, len(effects) // SAMPLE * 4)):
        plain, lifted = absolute(effects[i], ALPHA), relative(effects[i], ALPHA)
        mine = (estimate[i] - critical[i] * error[i], estimate[i] / mean[i] + critical[i] * spread[i])
        if not np.allclose(mine, (plain.lower, lifted.upper), rtol=1e-9):
            raise Twin(f"intervals: {mine}, in production {plain.lower} and {lifted.upper}")
    return np.array(
        [
            (np.abs(estimate - truth) <= critical * error).sum(),
            (np.abs(estimate / mean - lift) <= critical * spread).sum(),
        ],
        dtype=np.float64,
    )


def _coverage(what: str, hits: float, runs: int) -> Claim:
    share = hits / runs
    return Claim(
        topic="coverage at the planned end",
        claim=what,
        bar="94-96 %",
        obtained=percent(share),
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,}",
        met=at_least(0.94, runs) <= share <= at_most(0.96, runs),
    )


def quantiles(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Difference of medians and of 90 % quantiles of log-normal data, 2,000 users per arm; all production code."""
    rng = np.random.default_rng([seed, 11])
    for level in (0.5, 0.9):
        truth = 0.05 * math.exp(3 + stats.norm.ppf(level))
        hits = 0
        for _ in range(size.quantile_runs):
            control, treatment = rng.lognormal(3, 1, 2000), 1.05 * rng.lognormal(3, 1, 2000)
            found = absolute(
                quantile_difference(
                    Quantile.from_values(control, level), Quantile.from_values(treatment, level)
                ),
                ALPHA,
            )
            hits += found.lower <= truth <= found.upper
        findings.claims.append(
            _coverage(f"quantile {level}, absolute, 2000 users per arm", hits, size.quantile_runs)
        )
    advance()


def not_delivered(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Two variants that work alike on whom they reach, of which one reaches mostly those who buy anyway."""
    runs, half = size.runs, 2500
    rng = np.random.default_rng([seed, 12])
    eager, others, gain = 0.15, 0.05, 0.02
    reach = ((0.9, 0.9), (0.95, 0.6))
    rates = [[eager + gain * a, others + gain * b] for a, b in reach]
    buyers = rng.binomial(half, rates, size=(runs, 2, 2)).sum(axis=2)
    found = [
        difference(Aggregate.from_counts(2 * half, c), Aggregate.from_counts(2 * half, t))
        for c, t in buyers.tolist()
    ]
    truth = (sum(rates[1]) - sum(rates[0])) / 2
    inside = float(_covered(found, truth, 2 * truth / sum(rates[0]))[0]) / runs
    seen = [((eager + gain) * a + (others + gain) * b) / (a + b) for a, b in reach]
    findings.claims += [
        Claim(
            topic="non-delivery",
            claim="delivery that depends on variant and user: coverage by assignment (ITT), 5000 users per arm",
            bar=">= 94 %",
            obtained=percent(inside),
            error=percent(standard_error(inside, runs)),
            runs=f"{runs:,}",
            met=inside >= at_least(0.94, runs),
        ),
        Claim(
            topic="non-delivery",
            claim='the same among "delivered users only", which no report shows as an effect',
            bar="none (for comparison)",
            obtained=f"a lift of {percent(seen[1] / seen[0] - 1, 1)}; by assignment it is "
            f"{percent(sum(rates[1]) / sum(rates[0]) - 1, 1)}",
            error="0 (exact)",
            runs="-",
            met=None,
        ),
    ]
    findings.claims += [_per_user_reached(*each, size=size, seed=seed) for each in enumerate(reach)]
    advance()


def _per_user_reached(number: int, reach: tuple[float, float], *, size: Size, seed: int) -> Claim:
    """Coverage of the effect per user reached against a silent arm; eager users are reached and gain differently."""
    runs, half = size.runs, 2500
    rng = np.random.default_rng([seed, 13, number])
    base, gain = np.array([0.15, 0.05]), np.array([0.03, 0.01])
    truth = float(np.average(gain, weights=reach))
    silent = rng.binomial(half, base, (runs, 2)).sum(axis=1)
    got = rng.binomial(half, reach, (runs, 2))
    reached = rng.binomial(got, base + gain)
    bought = reached + rng.binomial(half - got, base)
    found = [
        complier_effect(
            Aggregate.from_sums(2 * half, c, c, d=0, dd=0, yd=0),
            Aggregate.from_sums(2 * half, y, y, d=d, dd=d, yd=yd),
        )
        for c, y, d, yd in np.stack(
            [silent, *(each.sum(axis=1) for each in (bought, got, reached))], axis=1
        ).tolist()
    ]
    estimate, error, freedom = np.array(
        [(e.estimate, e.standard_error, e.degrees_of_freedom) for e in found]
    ).T
    half_width = -special.stdtrit(freedom, ALPHA / 2) * error
    for i in range(0, runs, max(1, runs // SAMPLE)):
        interval = found[i].interval(ALPHA)
        if not np.allclose(
            (estimate[i] - half_width[i], estimate[i] + half_width[i]), (interval.lower, interval.upper)
        ):
            raise Twin(f"per user reached: {estimate[i]} -+ {half_width[i]}, in production {interval}")
    share = float((np.abs(estimate - truth) <= half_width).mean())
    return Claim(
        topic="non-delivery",
        claim=f"coverage per user reached (CACE), {reach[0]:.0%} of eager and {reach[1]:.0%} of other users reached, 5000 per arm",
        bar="94-96 %",
        obtained=percent(share),
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,}",
        met=at_least(0.94, runs) <= share <= at_most(0.96, runs),
    )
