"""False positives and power when people look at the report again and again, and the intervals they are shown."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import (
    Floats,
    check,
    cumulative_counts,
    freedom_of,
    judged,
    levels,
    p_values,
    rejected,
    users_at,
    welch,
    welch_p,
)

METHODS: Final = {
    "fixed": "fixed horizon, one look",
    "spending": "alpha spending (O'Brien-Fleming type), the default",
    "always_valid": "always valid, tuned to the planned end",
    "always_valid_untuned": "always valid, no end known",
}
SAMPLE: Final = 12
Advance = Callable[[], None]


def cells_of(size: Size) -> int:
    """Data sets that are simulated for the false positives."""
    return len(size.rates) * len(size.users)


def false_positives(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Two arms without any difference: how often does a report say "significant" at one of its looks?"""
    most = max(size.looks)
    found: dict[str, dict[tuple[float, int, int], float]] = {method: {} for method in METHODS}
    for number, (rate, users) in enumerate(_cells(size)):
        rng = np.random.default_rng([seed, 1, number])
        x_c = cumulative_counts(rng, size.runs, most, users, rate)
        x_t = cumulative_counts(rng, size.runs, most, users, rate)
        p = p_values(x_c, x_t, users_at(most, users))
        for method, rates in found.items():
            for looks in size.looks:
                hits = rejected(*judged(method, looks, users, x_c, x_t, p))
                rates[rate, users, looks] = float(hits.mean())
            looks = int(rng.choice([each for each in size.looks if each <= 30]))
            check(rng, method, looks, users, x_c, x_t, p, SAMPLE)
        advance()
    for method, rates in found.items():
        findings.claims.append(_worst(method, rates, size))
        findings.grids.append(_grid(method, rates, size))


def _cells(size: Size) -> Iterator[tuple[float, int]]:
    return ((rate, users) for rate in size.rates for users in size.users)


def _worst(method: str, rates: dict[tuple[float, int, int], float], size: Size) -> Claim:
    cells = len(rates)
    limit = at_most(ALPHA, size.runs, cells)
    (rate, users, looks), worst = max(rates.items(), key=lambda item: item[1])
    return Claim(
        topic="false positives",
        claim=f"{METHODS[method]}: false positives in every one of {cells} cells",
        bar=f"<= 5 % (by chance up to {percent(limit)})",
        obtained=f"worst {percent(worst)} (rate {percent(rate, 1)}, {users} users per arm and look, {looks} looks)",
        error=percent(standard_error(worst, size.runs)),
        runs=f"{size.runs:,} a cell",
        met=worst <= limit,
    )


def _grid(method: str, rates: dict[tuple[float, int, int], float], size: Size) -> Grid:
    return Grid(
        title=f"False positives, {METHODS[method]}: the worst over {', '.join(map(str, size.looks))} looks",
        corner="base rate",
        columns=[f"{users} per arm and look" for users in size.users],
        rows=[
            (
                percent(rate, 1),
                [percent(max(rates[rate, users, looks] for looks in size.looks)) for users in size.users],
            )
            for rate in size.rates
        ],
    )


def money(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The same for a sum of money: 10 % of the users buy, for amounts whose logarithm is normal (sd 1)."""
    users, looks = 500, 14
    rng = np.random.default_rng([seed, 2])
    n = users_at(looks, users)
    runs = size.runs // 2
    moments = [money_moments(rng, runs, looks, users) for _ in range(2)]
    delta, error, freedom = welch(n, *moments[0], *moments[1])
    for method in METHODS:
        p = welch_p(delta, error, freedom_of(method, freedom))
        share = float(rejected(p, levels(method, looks, users)).mean())
        limit = at_most(ALPHA, runs)
        findings.claims.append(
            Claim(
                topic="false positives",
                claim=f"{METHODS[method]}: revenue per user, 500 users per arm and look, 14 looks",
                bar=f"<= 5 % (by chance up to {percent(limit)})",
                obtained=percent(share),
                error=percent(standard_error(share, runs)),
                runs=f"{runs:,}",
                met=share <= limit,
            )
        )
    advance()


def money_moments(rng: np.random.Generator, runs: int, looks: int, users: int) -> tuple[Floats, Floats]:
    """Mean and sample variance per user after each look, (runs, looks) each."""
    sums = np.zeros((2, runs, looks))
    for k in range(looks):
        buyers = rng.binomial(users, 0.1, size=runs)
        amounts = rng.lognormal(3, 1, size=int(buyers.sum()))
        owner = np.repeat(np.arange(runs), buyers)
        sums[0, :, k] = np.bincount(owner, amounts, runs)
        sums[1, :, k] = np.bincount(owner, amounts**2, runs)
    total, squares = np.cumsum(sums, axis=2)
    n = users_at(looks, users)
    return total / n, (squares - total**2 / n) / (n - 1)


def power(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The reference cell: 10 % base rate, +10 %, 500 users per arm a day, 14 daily looks."""
    users, looks, runs = 500, 14, size.runs
    rng = np.random.default_rng([seed, 3])
    x_c = cumulative_counts(rng, runs, looks, users, 0.10)
    x_t = cumulative_counts(rng, runs, looks, users, 0.11)
    p = p_values(x_c, x_t, users_at(looks, users))
    for method in METHODS:
        check(rng, method, looks, users, x_c, x_t, p, SAMPLE)
        share = float(rejected(*judged(method, looks, users, x_c, x_t, p)).mean())
        is_default = method == "spending"
        findings.claims.append(
            Claim(
                topic="power",
                claim=f"{METHODS[method]}: power at 10 % against 11 %, 500 users per arm a day, 14 days",
                bar=">= 0.45" if is_default else "none (for comparison)",
                obtained=f"{share:.3f}",
                error=f"{standard_error(share, runs):.3f}",
                runs=f"{runs:,}",
                met=share >= at_least(0.45, runs) if is_default else None,
            )
        )
    advance()
