"""Looks that come because of what was seen: a report is asked for only when the numbers, watched elsewhere, look tempting.

`always_valid` and `exact` hold whenever and why ever a look comes. `spending` knows only the looks that were made, and takes for granted
that their times have nothing to do with the effect; what it costs when they have is shown.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats.eprocess import bet_size
from analysis.stats.spending import alpha_spent, spending_boundaries
from benchmarks.claims import ALPHA, Claim, Findings, Size, at_most, percent, rate_in, standard_error
from benchmarks.simulation import (
    Counts,
    Floats,
    cumulative_counts,
    exact_p_values,
    judged,
    p_values,
    users_at,
)

DAYS: Final = 30
CELLS: Final = ((200, 0.01), (200, 0.1), (1000, 0.02))
"""Users per arm a day, and the rate."""
TEMPTING: Final = "at the first day with p < 0.05 and each day after it"
AT_ONCE: Final = "once, on the first day whose look would find an effect"
Advance = Callable[[], None]
Days = NDArray[np.int64]


def tempting(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """No difference, 30 days: how often does a report that was asked for because of the numbers say "significant"?"""
    runs = size.runs // 2
    worst: dict[tuple[str, str], float] = {}
    for number, (users, rate) in enumerate(CELLS):
        rng = np.random.default_rng([seed, 60, number])
        x_c, x_t = (cumulative_counts(rng, runs, DAYS, users, rate) for _ in range(2))
        for found, share in _errors(x_c, x_t, users).items():
            worst[found] = max(worst.get(found, 0.0), share)
    limit = at_most(ALPHA, runs, len(CELLS))
    cells = ", ".join(f"{rate_in(rate)} with {users} users per arm a day" for users, rate in CELLS)
    for (method, when), share in worst.items():
        holds = method != "spending"
        findings.claims.append(
            Claim(
                topic="looks that come because of what was seen",
                claim=f"{method}: false positives in {DAYS} days, reports asked for {when}; the worst of {cells}",
                bar=f"<= 5 % (by chance up to {percent(limit)})" if holds else "none (not promised)",
                obtained=percent(share),
                error=percent(standard_error(share, runs)),
                runs=f"{runs:,} a cell",
                met=share <= limit if holds else None,
            )
        )
    advance()


def _errors(x_c: Counts, x_t: Counts, users: int) -> dict[tuple[str, str], float]:
    """The share of experiments with a false positive, by method and schedule."""
    p = p_values(x_c, x_t, users_at(DAYS, users))
    seen = np.where(np.isnan(p), 1.0, p)
    first = np.where((seen < ALPHA).any(axis=1), (seen < ALPHA).argmax(axis=1), DAYS)
    looked = np.arange(DAYS) >= first[:, None]
    errors = {}
    for method in ("always_valid", "exact"):
        if method == "exact":
            mine, level = _exact(x_c, x_t, users), np.full(seen.shape, ALPHA)
        else:
            mine, level = judged(method, DAYS, users, x_c, x_t, p)
        with np.errstate(invalid="ignore"):
            found = mine < level
        errors[method, TEMPTING] = float((found & looked).any(axis=1).mean())
        # A look of theirs does not depend on the others, so the best moment is any at which it finds something.
        errors[method, AT_ONCE] = float(found.any(axis=1).mean())
    errors["spending", TEMPTING] = float(((seen < _levels_after(first)) & looked).any(axis=1).mean())
    alone = np.array([alpha_spent((day + 1) / DAYS, ALPHA) for day in range(DAYS)])
    errors["spending", AT_ONCE] = float((seen < alone).any(axis=1).mean())
    return errors


def _exact(x_c: Counts, x_t: Counts, users: int) -> Floats:
    size, n = bet_size(2 * users * DAYS, ALPHA), users_at(DAYS, users)
    columns = [
        exact_p_values(x_c[:, day], x_t[:, day], np.full(len(x_c), n[day]), size) for day in range(DAYS)
    ]
    return np.stack(columns, axis=1)


def _levels_after(first: Days) -> Floats:
    """What `spending` allows each look (nominal alpha) when the looks are all days from `first` on, (runs, DAYS)."""
    table = np.stack([_spent_from(day) for day in range(DAYS + 1)])
    return np.asarray(table[first])


@cache
def _spent_from(first: int) -> Floats:
    levels = np.zeros(DAYS)
    if first < DAYS:
        bounds = spending_boundaries([(day + 1) / DAYS for day in range(first, DAYS)], ALPHA)
        levels[first:] = 2 * stats.norm.sf(bounds)
    return levels
