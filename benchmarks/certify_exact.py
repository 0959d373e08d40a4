"""The e-process of two proportions: false positives and coverage under 90 looks, and its price in power."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats.eprocess import bet_size, log_bet, log_e_value
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
    AGREES,
    Counts,
    Floats,
    Twin,
    cumulative_counts,
    evidence,
    exact_p_values,
    judged,
    levels,
    p_values,
    production,
    rejected,
    users_at,
)

TOPIC: Final = "exact sequential"
LOOKS: Final = 90
SAMPLE: Final = 12
SHARES: Final = ((0.5, 0.5), (0.1, 0.1), (0.5, 0.55))
"""The share of treatment as designed, and as it is."""
DRAWN: Final = ((20, 0.05), (100, 0.02), (100, 0.3), (1000, 0.005), (1000, 0.1))
"""Users of both arms per look, and the rate."""
SMALL: Final = (
    (20, 14, 0.02, 0.10), (50, 14, 0.02, 0.06), (50, 14, 0.10, 0.18), (200, 14, 0.01, 0.02), (200, 14, 0.005, 0.0125),
    (1000, 14, 0.002, 0.0045), (100, 30, 0.02, 0.04), (50, 14, 0.30, 0.45),
)  # fmt: skip
"""Users per arm and look, looks, and the two rates, where few convert."""
Advance = Callable[[], None]


def every_look(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """No difference, 90 looks, arms of equal size: how often does `exact` ever call one?"""
    runs, found = size.runs // 5, {}
    for number, (rate, users) in enumerate((rate, users) for rate in size.rates for users in size.users):
        rng = np.random.default_rng([seed, 30, number])
        x_c, x_t = (cumulative_counts(rng, runs, LOOKS, users, rate) for _ in range(2))
        found[rate, users] = float(_rejects(x_c, x_t, users).mean())
        _check(rng, x_c, x_t, users)
        advance()
    (rate, users), worst = max(found.items(), key=lambda item: item[1])
    _add_error(
        findings, f"exact: false positives in 90 looks, in every one of {len(found)} cells", worst, runs, len(found),
        f"worst {percent(worst)} (rate {percent(rate, 1)}, {users} users per arm and look)",
    )  # fmt: skip
    findings.grids.append(
        Grid(
            title="False positives, exact, 90 looks",
            corner="base rate",
            columns=[f"{users} per arm and look" for users in size.users],
            rows=[
                (percent(rate, 1), [percent(found[rate, users]) for users in size.users])
                for rate in size.rates
            ],
        )
    )


def drawn(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Arms that grow unevenly because chance draws users into them, also where the design is not kept."""
    runs = size.runs // 10
    for number, (designed, true) in enumerate(SHARES):
        worst = 0.0
        for cell, (users, rate) in enumerate(DRAWN):
            rng = np.random.default_rng([seed, 31, number, cell])
            n_t = np.cumsum(rng.binomial(users, true, size=(runs, LOOKS)), axis=1)
            n_c = users * np.arange(1, LOOKS + 1) - n_t
            x_t, x_c = (np.cumsum(_within(rng, n, rate), axis=1) for n in (n_t, n_c))
            stake = bet_size(users * LOOKS, ALPHA)
            hits = np.zeros(runs, dtype=bool)
            for k in range(LOOKS):
                both = np.minimum(n_c[:, k], n_t[:, k]) > 0
                c, t = (n_c[both, k], x_c[both, k]), (n_t[both, k], x_t[both, k])
                up = log_e_value(*c, *t, share=designed, size=stake)
                down = log_e_value(*t, *c, share=1 - designed, size=stake)
                hits[both] |= np.maximum(up, down) >= np.log(2 / ALPHA)
            worst = max(worst, float(hits.mean()))
        how = (
            f"drawn with share {true:g}"
            if true == designed
            else f"designed with share {designed:g}, drawn with {true:g}"
        )
        _add_error(
            findings, f"exact: false positives in 90 looks, treatment {how}, in every one of {len(DRAWN)} cells", worst, runs,
            len(DRAWN), f"worst {percent(worst)}",
        )  # fmt: skip
    advance()


def coverage(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """All intervals of one experiment together hold the truth."""
    worst, cells = 1.0, SMALL
    runs = size.coverage_runs // 2
    for number, (users, looks, rate_c, rate_t) in enumerate(cells):
        rng = np.random.default_rng([seed, 34, number])
        x_c = cumulative_counts(rng, runs, looks, users, rate_c)
        x_t = cumulative_counts(rng, runs, looks, users, rate_t)
        delta = rate_t - rate_c
        out = one_sided(x_c, x_t, users, delta, 2 / ALPHA) | one_sided(x_t, x_c, users, -delta, 2 / ALPHA)
        worst = min(worst, float(1 - out.mean()))
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim=f"exact: the intervals of all looks hold the difference, in every one of {len(cells)} cells of small counts",
            bar=f">= 95 % (by chance down to {percent(at_least(0.95, runs, len(cells)))})",
            obtained=f"worst {percent(worst)}",
            error=percent(standard_error(worst, runs)),
            runs=f"{runs:,} a cell",
            met=worst >= at_least(0.95, runs, len(cells)),
        )
    )
    advance()


def power(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """What exactness costs where few convert, and what other exact constructions would give (decision 0017)."""
    runs, rows = size.runs // 4, []
    columns = (
        "spending", "always_valid", "exact", "asymptotic sequence", "block stream, plug-in", "universal inference",
    )  # fmt: skip
    for number, (users, looks, rate_c, rate_t) in enumerate(SMALL):
        rng = np.random.default_rng([seed, 35, number])
        x_c = cumulative_counts(rng, runs, looks, users, rate_c)
        x_t = cumulative_counts(rng, runs, looks, users, rate_t)
        n = users_at(looks, users)
        p = p_values(x_c, x_t, n)
        shares = (
            rejected(p, levels("spending", looks, users)),
            rejected(*judged("always_valid", looks, users, x_c, x_t, p)),
            _rejects(x_c, x_t, users),
            rejected(p, levels("always_valid", looks, users)),
            block_stream(x_c, x_t, users) >= np.log(1 / ALPHA),
            universal_inference(x_c, x_t, n) >= np.log(1 / ALPHA),
        )
        name = f"{rate_in(rate_c)} against {rate_in(rate_t)}, {users} per arm and look, {looks} looks"
        told = [hits if hits.ndim == 1 else hits.any(axis=1) for hits in shares]
        rows.append((name, [f"{each.mean():.3f}" for each in told]))
        advance()
    findings.grids.append(
        Grid(
            title=f"Power where few convert, daily looks, {runs:,} runs a cell",
            corner="cell",
            columns=columns,
            rows=rows,
        )
    )


def block_stream(x_c: Counts, x_t: Counts, users: int) -> Floats:
    """log E after each look with each look as one block: Turner, Ly and Grünwald with their plug-in, Beta(0.18, 0.18) priors."""
    looks = x_c.shape[1]
    before = [np.pad(x, ((0, 0), (1, 0)))[:, :-1] for x in (x_c, x_t)]
    seen = users * np.arange(looks)
    theta_c, theta_t = ((0.18 + x) / (0.36 + seen) for x in before)
    null = (theta_c + theta_t) / 2
    stake = (theta_t - theta_c) / 2 / 2 / (null * (1 - null))
    up = log_bet(users, x_c - before[0], users, x_t - before[1], share=0.5, rate=null, stake=stake)
    return np.asarray(np.cumsum(up, axis=1))


def universal_inference(x_c: Counts, x_t: Counts, n: Floats) -> Floats:
    """log E after each look: Jeffreys mixtures over both arms against the best common rate."""
    mixed = sum(special.betaln(0.5 + x, 0.5 + n - x) - special.betaln(0.5, 0.5) for x in (x_c, x_t))
    total, both = x_c + x_t, 2 * n
    best = special.xlogy(total, total / both) + special.xlogy(both - total, 1 - total / both)
    return np.asarray(mixed - best)


def _rejects(x_c: Counts, x_t: Counts, users: int) -> NDArray[np.bool_]:
    looks = x_c.shape[1]
    n, stake = users_at(looks, users), bet_size(2 * users * looks, ALPHA)
    hits = np.zeros(len(x_c), dtype=bool)
    for k in range(looks):
        p = exact_p_values(x_c[:, k], x_t[:, k], np.full(len(x_c), n[k]), stake)
        hits |= rejected(p[:, None], np.array([ALPHA]))
    return hits


def _check(rng: np.random.Generator, x_c: Counts, x_t: Counts, users: int) -> None:
    # What is computed here for many experiments is what a report says of one.
    runs, looks = x_c.shape
    planned = 2 * users * looks
    for run, k in zip(rng.integers(runs, size=SAMPLE), rng.integers(1, looks + 1, size=SAMPLE), strict=True):
        c, t = x_c[run, k - 1 : k], x_t[run, k - 1 : k]
        ours = exact_p_values(c, t, np.array([float(users * k)]), bet_size(planned, ALPHA))[0]
        theirs = production("exact", looks, int(k), int(users * k), int(c[0]), int(t[0]), planned).p_value
        if not np.isclose(ours, np.nan if theirs is None else theirs, rtol=AGREES, equal_nan=True):
            raise Twin(f"exact, look {k}, {users} users: {ours}, in production {theirs}")


def one_sided(
    x_c: Counts, x_t: Counts, users: int, margin: float, needed: float = 1 / ALPHA
) -> NDArray[np.bool_]:
    """Which runs ever have `needed` evidence that p_t - p_c > margin."""
    looks = x_c.shape[1]
    n, stake = users_at(looks, users), bet_size(2 * users * looks, ALPHA)
    hits = np.zeros(len(x_c), dtype=bool)
    for k in range(looks):
        hits |= evidence(x_c[:, k], x_t[:, k], np.full(len(x_c), n[k]), stake, margin) >= np.log(needed)
    return hits


def _within(rng: np.random.Generator, n: Counts, rate: float) -> Counts:
    joined = np.diff(n, axis=1, prepend=0)
    return np.asarray(rng.binomial(joined, rate))


def _add_error(findings: Findings, claim: str, share: float, runs: int, cells: int, obtained: str) -> None:
    findings.claims.append(error_claim(TOPIC, claim, share, runs=runs, cells=cells, obtained=obtained))
