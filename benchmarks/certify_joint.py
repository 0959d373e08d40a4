"""Intervals that are looked at again and again: all of them together hold the truth in 95 % of the experiments."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.stats.difference import DELTA_METHOD_FROM, NEAR_ZERO
from analysis.stats.eprocess import bet_size, log_e_value
from analysis.stats.errors import InsufficientData
from benchmarks.claims import ALPHA, Claim, Findings, Size, at_least, percent, standard_error
from benchmarks.simulation import (
    Counts,
    Floats,
    Twin,
    cumulative_counts,
    freedom_of,
    is_few,
    is_small,
    levels,
    moments_of_counts,
    production,
    users_at,
    welch,
)

LOOKS: Final = 14
SETTINGS: Final = ((500, 0.10, 0.11), (50, 0.02, 0.024), (20, 0.05, 0.05))
"""Users per arm and look, and the two rates."""
NAMES: Final = {
    "spending": "repeated intervals of alpha spending",
    "always_valid": "confidence sequence (always valid)",
}
SAMPLE: Final = 100
Limits = tuple[Floats, Floats]


def joint(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    """A look without an interval ("cannot tell") misleads nobody and counts as held; how many there are is said."""
    for number, (users, rate_c, rate_t) in enumerate(SETTINGS):
        rng = np.random.default_rng([seed, 20, number])
        x_c = cumulative_counts(rng, size.runs, LOOKS, users, rate_c)
        x_t = cumulative_counts(rng, size.runs, LOOKS, users, rate_t)
        for method, name in NAMES.items():
            plain, lifted = intervals(method, users, x_c, x_t)
            check(rng, method, users, x_c, x_t, plain, lifted, min(SAMPLE, size.runs // 20))
            for scale, limits, truth in (
                ("absolute", plain, rate_t - rate_c),
                ("relative", lifted, rate_t / rate_c - 1),
            ):
                findings.claims.append(
                    _claim(
                        f"{name}, {scale}: {100 * rate_c:g} % against {100 * rate_t:g} %, {users} users per arm, "
                        f"{LOOKS} looks",
                        held(limits, truth),
                        float(np.isnan(limits[0]).mean()),
                    )
                )
        advance()


def held(limits: Limits, truth: float) -> NDArray[np.bool_]:
    """Which runs have the truth inside every interval that they were shown."""
    with np.errstate(invalid="ignore"):
        return np.asarray(~((limits[0] > truth) | (limits[1] < truth)).any(axis=1))


def _claim(what: str, inside: NDArray[np.bool_], absent: float) -> Claim:
    share, runs = float(inside.mean()), len(inside)
    return Claim(
        topic="joint coverage of all looks",
        claim=what,
        bar=f">= 95 % (by chance down to {percent(at_least(0.95, runs))})",
        obtained=percent(share) + (f"; no interval at {percent(absent, 1)} of the looks" if absent else ""),
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,}",
        met=share >= at_least(0.95, runs),
    )


def intervals(method: str, users: int, x_c: Counts, x_t: Counts) -> tuple[Limits, Limits]:
    """Absolute and relative limits at each look as a report shows them, (runs, looks) each; NaN where there is none."""
    looks = x_c.shape[1]
    n, level = users_at(looks, users), levels(method, looks, users)
    mean_c, var_c = moments_of_counts(x_c, n)
    mean_t, var_t = moments_of_counts(x_t, n)
    delta, error, freedom = welch(n, mean_c, var_c, mean_t, var_t)
    critical = -special.stdtrit(freedom_of(method, freedom), level / 2)
    small = is_small(x_c, x_t, n)
    score = newcombe(mean_c, mean_t, n, stats.norm.isf(level / 2))
    plain = tuple(
        np.where(small, by_score, np.where(error > 0, delta + sign * critical * error, np.nan))
        for by_score, sign in zip(score, (-1, 1), strict=True)
    )
    if method == "always_valid":
        few = is_few(x_c, x_t, n)
        size = bet_size(2 * users * looks, ALPHA)
        exact = exact_limits(x_c[few], x_t[few], np.broadcast_to(n, few.shape)[few], size)
        for limit, by_evidence in zip(plain, exact, strict=True):
            limit[few] = by_evidence
    certainty = mean_c / np.sqrt(np.maximum(var_c / n, 1e-300))
    told = (certainty > NEAR_ZERO) & (error > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mapped = tuple(np.where(told, limit / mean_c, np.nan) for limit in plain)
        if method == "always_valid":
            return (plain[0], plain[1]), (mapped[0], mapped[1])
        spread = np.sqrt(var_t / n + var_c / n * (1 + delta / mean_c) ** 2) / mean_c
        near = fieller(delta, mean_c, error, var_c / n, critical)
        lifted = tuple(
            np.where(
                small,
                limit,
                np.where(
                    certainty > np.maximum(DELTA_METHOD_FROM, critical),
                    delta / mean_c + sign * critical * spread,
                    close,
                ),
            )
            for limit, sign, close in zip(mapped, (-1, 1), near, strict=True)
        )
    return (plain[0], plain[1]), (lifted[0], lifted[1])


def exact_limits(x_c: Counts, x_t: Counts, n: Floats, size: float) -> Limits:
    """The interval of the e-process for equal arms of n users drawn 1:1, by bisection; one-dimensional."""
    tables, place = np.unique(np.stack([x_c, x_t, n.astype(np.int64)]), axis=1, return_inverse=True)
    c, t, users = tables
    lower, upper = _exact_lower(c, t, users, size), -_exact_lower(t, c, users, size)
    return lower[place.ravel()], upper[place.ravel()]


def _exact_lower(c: Counts, t: Counts, n: Counts, size: float) -> Floats:
    needed = np.log(2 / ALPHA)
    low, high = np.full(len(c), -1.0), t / n - c / n
    for _ in range(48):
        middle = (low + high) / 2
        rejects = log_e_value(n, c, n, t, share=0.5, size=size, margin=middle) >= needed
        low, high = np.where(rejects, middle, low), np.where(rejects, high, middle)
    return high


def fieller(delta: Floats, mean: Floats, error: Floats, spread: Floats, t: Floats) -> Limits:
    """Limits of delta / mean by Fieller's theorem, Cov(delta, mean) = -spread; NaN where the set is unbounded."""
    a = mean**2 - t**2 * spread
    b = delta * mean + t**2 * spread
    root = np.sqrt(b**2 - a * (delta**2 - t**2 * error**2))
    bounded = (a > 0) & (mean > 0) & np.isfinite(root)
    lift = delta / mean
    return (
        np.where(bounded, np.minimum((b - root) / a, lift), np.nan),
        np.where(bounded, np.maximum((b + root) / a, lift), np.nan),
    )


def newcombe(p_c: Floats, p_t: Floats, n: Floats, z: Floats) -> Limits:
    """Newcombe's hybrid score interval (his method 10) of p_t - p_c, arms of n each."""
    (low_c, high_c), (low_t, high_t) = _wilson(p_c, n, z), _wilson(p_t, n, z)
    delta = p_t - p_c
    return delta - np.hypot(p_t - low_t, high_c - p_c), delta + np.hypot(high_t - p_t, p_c - low_c)


def _wilson(p: Floats, n: Floats, z: Floats) -> Limits:
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.maximum(0, np.minimum(p, centre - half)), np.minimum(1, np.maximum(p, centre + half))


def check(
    rng: np.random.Generator,
    method: str,
    users: int,
    x_c: Counts,
    x_t: Counts,
    plain: Limits,
    lifted: Limits,
    sample: int,
) -> None:
    """Compare a sample of these intervals with those of `analysis.verdicts.compare.compare`. Raises Twin."""
    looks = x_c.shape[1]
    for _ in range(sample):
        run, k = int(rng.integers(len(x_c))), int(rng.integers(1, looks + 1))
        planned = 2 * users * looks if method == "always_valid" else None
        found = production(method, looks, k, users * k, int(x_c[run, k - 1]), int(x_t[run, k - 1]), planned)
        level = found.rule.level(ALPHA)
        for name, make, limits in (("absolute", found.interval, plain), ("relative", found.lift, lifted)):
            ours = (limits[0][run, k - 1], limits[1][run, k - 1])
            try:
                theirs = None if make is None else make(level)
            except InsufficientData:
                theirs = None
            if (theirs is None) != bool(np.isnan(ours[0])):
                raise Twin(f"{method} {name}, look {k}: {ours}, in production {theirs}")
            if theirs is not None and not np.allclose(
                ours, (theirs.lower, theirs.upper), rtol=1e-6, atol=1e-12
            ):
                raise Twin(f"{method} {name}, look {k}: {ours}, in production {theirs}")
