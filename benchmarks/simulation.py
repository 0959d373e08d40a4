"""Many experiments at once: the same decisions as `analysis.verdicts.compare` takes, in numpy, and the proof that they are the same.

Only what would be too slow one by one is written again here (Welch's p-value, its interval, Newcombe's interval).
Exact p-values, e-values and the levels of each look come from the production functions themselves. `check` compares a sample of
simulated looks with `analysis.verdicts.compare.compare` in every run, and stops the run when they differ.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.inputs import ArmFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.eprocess import bet_size, log_e_value
from analysis.stats.errors import InsufficientData
from analysis.stats.proportions import SMALL_CELL, exact_p_value
from analysis.stats.sequential import AlwaysValid, spending_rule, tightest_at
from analysis.stats.spending import spending_boundaries
from analysis.verdicts.compare import FEW_CONVERSIONS, FEW_DEGREES, Comparison, Look, compare
from benchmarks.claims import ALPHA
from experiments.vocabulary import Method, MetricKind

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
AGREES: Final = 1e-9


class Twin(AssertionError):
    """What is computed here and what production computes are not the same."""


def cumulative_counts(
    rng: np.random.Generator, runs: int, looks: int, users: int, rate: float | Floats
) -> Counts:
    """Successes of one arm after each look: int64 (runs, looks); `users` join per look. rate: or that of each look, (looks,)."""
    drawn: Counts = rng.binomial(users, rate, size=(runs, looks)).astype(np.int64)
    return np.cumsum(drawn, axis=1)


def moments_of_counts(x: Counts, n: Floats) -> tuple[Floats, Floats]:
    """Mean and sample variance of n outcomes of which x are 1."""
    p = x / n
    return p, p * (1 - p) * n / np.maximum(n - 1, 1)


def welch(
    n: Floats, mean_c: Floats, var_c: Floats, mean_t: Floats, var_t: Floats
) -> tuple[Floats, Floats, Floats]:
    """Difference, its standard error and Satterthwaite's degrees of freedom; arms of n units each."""
    part_c, part_t = var_c / n, var_t / n
    total = part_c + part_t
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = total**2 * (n - 1) / (part_c**2 + part_t**2)
    return mean_t - mean_c, np.sqrt(total), freedom


def freedom_of(method: str, freedom: Floats) -> Floats:
    """The degrees of freedom that a method goes by: always-valid ones by infinitely many, where they are not few (decision 0069)."""
    if not method.startswith("always_valid"):
        return freedom
    return np.where(freedom >= FEW_DEGREES, np.inf, freedom)


def welch_p(delta: Floats, error: Floats, freedom: Floats) -> Floats:
    """Two-sided p-values; NaN where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p: Floats = 2 * special.stdtr(freedom, -np.abs(delta) / error)
    return np.where(error > 0, p, np.nan)


def is_small(x_c: Counts, x_t: Counts, n: Floats) -> NDArray[np.bool_]:
    """Where an expected cell is below 10, as `proportions.is_small` says for equal arms."""
    total = x_c + x_t
    small: NDArray[np.bool_] = n * np.minimum(total, 2 * n - total) < SMALL_CELL * 2 * n
    return small


def p_values(x_c: Counts, x_t: Counts, n: Floats) -> Floats:
    """The p-value of one look at a proportion: exact where counts are small, else Welch's; NaN for "cannot tell".

    x_c, x_t: (runs, looks); n: users per arm at each look, (looks,).
    """
    mean_c, var_c = moments_of_counts(x_c, n)
    mean_t, var_t = moments_of_counts(x_t, n)
    p = welch_p(*welch(n, mean_c, var_c, mean_t, var_t))
    small = is_small(x_c, x_t, n)
    for k in np.flatnonzero(small.any(axis=0)):
        rows = np.flatnonzero(small[:, k])
        pairs, place = np.unique(np.stack([x_c[rows, k], x_t[rows, k]]), axis=1, return_inverse=True)
        exact = [_exact(int(n[k]), int(min(a, b)), int(max(a, b))) for a, b in pairs.T.tolist()]
        p[rows, k] = np.array(exact)[place.ravel()]
    return p


@cache
def _exact(n: int, fewer: int, more: int) -> float:
    # Equal arms: the two-sided tests do not care which arm is which.
    try:
        return exact_p_value(Aggregate.from_counts(n, fewer), Aggregate.from_counts(n, more))
    except InsufficientData:
        return float("nan")


@cache
def levels(method: str, looks: int, users: int) -> Floats:
    """What each of `looks` planned looks may claim (nominal alpha), float64 (looks,), from the production rules.

    method: fixed, spending, always_valid (tuned to the planned end) or always_valid_untuned (no end is known).
    """
    n = [2 * users * k for k in range(1, looks + 1)]
    if method == "fixed":
        return np.array([0.0] * (looks - 1) + [ALPHA])
    if method == "spending":
        bounds = spending_boundaries([k / looks for k in range(1, looks + 1)], ALPHA)
        _check_bounds(bounds, looks)
        return np.asarray(2 * stats.norm.sf(bounds))
    rho = tightest_at(n[-1] if method == "always_valid" else None, ALPHA)
    return np.array([AlwaysValid(n=each, rho=rho).level(ALPHA) for each in n])


def judged(method: str, looks: int, users: int, x_c: Counts, x_t: Counts, p: Floats) -> tuple[Floats, Floats]:
    """p-values and the levels they are held against, as this method judges `looks` planned looks; (runs, looks) each.

    p: of each look alone (`p_values`). The always-valid methods go by the e-process where counts are few, whose p needs no level of
    its own.
    """
    p, level = p[:, :looks], np.broadcast_to(levels(method, looks, users), (len(p), looks))
    if not method.startswith("always_valid"):
        return p, level
    x_c, x_t, n = x_c[:, :looks], x_t[:, :looks], users_at(looks, users)
    few = is_few(x_c, x_t, n)
    size = bet_size(2 * users * looks if method == "always_valid" else None, ALPHA)
    exact = exact_p_values(x_c[few], x_t[few], np.broadcast_to(n, few.shape)[few], size)
    delta, error, freedom = welch(n, *moments_of_counts(x_c, n), *moments_of_counts(x_t, n))
    p, level = welch_p(delta, error, freedom_of(method, freedom)), level.copy()
    p[few], level[few] = exact, ALPHA
    return p, level


def is_few(x_c: Counts, x_t: Counts, n: Floats) -> NDArray[np.bool_]:
    """Where `always_valid` goes by the e-process, as `analysis.verdicts.compare` says for equal arms."""
    least = np.minimum(np.minimum(x_c, x_t), n - np.maximum(x_c, x_t))
    return np.asarray(least < FEW_CONVERSIONS)


def exact_p_values(x_c: Counts, x_t: Counts, n: Floats, size: float) -> Floats:
    """Two-sided p-values of the e-process for equal arms of n users drawn 1:1; NaN for "cannot tell". One-dimensional."""
    up, down = evidence(x_c, x_t, n, size), evidence(x_t, x_c, n, size)
    p = np.minimum(1.0, 2 * np.exp(-np.maximum(np.maximum(up, down), 0.0)))
    return np.where((x_c + x_t == 0) | (x_c + x_t == 2 * n), np.nan, p)


def evidence(x_c: Counts, x_t: Counts, n: Floats, size: float, margin: float = 0.0) -> Floats:
    """log E against p_t - p_c <= margin for equal arms of n users drawn 1:1: each table that occurs is asked about once."""
    key = (n.astype(np.int64) << 40) + (x_c << 20) + x_t
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    told = [
        log_e_value(n[some], x_c[some], n[some], x_t[some], share=0.5, size=size, margin=margin)
        for some in np.array_split(first, len(first) // 20_000 + 1)
    ]
    return np.asarray(np.concatenate(told)[place.ravel()])


def _check_bounds(bounds: Floats, looks: int) -> None:
    # A report gets its bound from `spending_rule`, which knows the earlier looks only; the whole plan gives the same.
    for k in sorted({1, 2, looks // 2, looks} - {0}):
        if k <= looks and looks <= 30:
            rule = spending_rule([j / looks for j in range(1, k)], k / looks, ALPHA)
            if abs(rule.bound(ALPHA) - bounds[k - 1]) > 1e-7:
                raise Twin(f"spending bound of look {k} of {looks}: {rule.bound(ALPHA)} and {bounds[k - 1]}")


def rejected(p: Floats, level: Floats) -> NDArray[np.bool_]:
    """Which runs reject at any look; "cannot tell" (NaN) rejects nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray((p < level).any(axis=1))


def production(
    method: str, looks: int, k: int, n: int, x_c: int, x_t: int, planned: int | None
) -> Comparison:
    """What a report computes at look k (from 1) of a proportion with n users per arm."""
    fractions = [j / looks for j in range(1, k + 1)]
    spending = spending_rule(fractions[:-1], fractions[-1], ALPHA) if method == "spending" else None
    effective = Method.ALWAYS_VALID if method.startswith("always_valid") else Method(method)
    look = Look(method=effective, alpha=ALPHA, planned_n=planned, spending=spending)
    arms = [
        ArmFacts(
            variant=name,
            control=name == "c",
            weight=1,
            assigned=n,
            mature=n,
            aggregates={"m": Aggregate.from_counts(n, x)},
        )
        for name, x in (("c", x_c), ("t", x_t))
    ]
    return compare(MetricSpec(key="m", kind=MetricKind.PROPORTION), *arms, look=look, share=1.0)


def check(
    rng: np.random.Generator,
    method: str,
    looks: int,
    users: int,
    x_c: Counts,
    x_t: Counts,
    p: Floats,
    sample: int,
) -> None:
    """Compare `sample` simulated looks with production: the same p-value, and the same decision. Raises Twin."""
    p, level = judged(method, looks, users, x_c, x_t, p)
    for _ in range(sample):
        run = int(rng.integers(len(p)))
        k = looks if method == "fixed" else int(rng.integers(1, looks + 1))
        n = users * k
        planned = 2 * users * looks if method == "always_valid" else None
        found = production(method, looks, k, n, int(x_c[run, k - 1]), int(x_t[run, k - 1]), planned)
        ours, allowed = p[run, k - 1], level[run, k - 1]
        if found.p_value is None or np.isnan(ours):
            if not (found.p_value is None and np.isnan(ours)):
                raise Twin(f"{method}, look {k} of {looks}, {users} users: {found.p_value} and {ours}")
            continue
        expected = found.rule.overall_p(float(ours))
        near = abs(ours - allowed) < 1e-6 * allowed
        if abs(expected - found.p_value) > AGREES * max(expected, 1e-12) or (
            not near and (found.p_value < ALPHA) != bool(ours < allowed)
        ):
            raise Twin(
                f"{method}, look {k} of {looks}, {users} users: overall p {found.p_value}, here {expected}; "
                f"p {ours} at level {allowed}"
            )


def users_at(looks: int, users: int) -> Floats:
    """Users per arm at each look, float64 (looks,)."""
    return users * np.arange(1, looks + 1, dtype=np.float64)


def shares_of(hits: Sequence[NDArray[np.bool_]]) -> list[float]:
    return [float(each.mean()) for each in hits]
