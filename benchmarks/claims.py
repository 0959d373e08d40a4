"""What is claimed about the statistics, what the simulation found, and how sure the simulation is of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scipy import stats

ALPHA: Final = 0.05
CHANCE: Final = 0.01
"""How often a whole family of cells may be called wrong although every cell is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One row of the page. met is None for a figure that is shown without a bar.

    explained: why a miss is known and what it means; a miss without an explanation makes the run fail.
    """

    topic: str
    claim: str
    bar: str
    obtained: str
    error: str
    runs: str
    met: bool | None
    explained: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table of cells behind a claim: values as text, one row for each of `rows`."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(slots=True)
class Findings:
    """Everything that one run has found."""

    claims: list[Claim] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)

    @property
    def unexplained(self) -> list[Claim]:
        return [claim for claim in self.claims if claim.met is False and not claim.explained]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is simulated. runs: per cell of the false positives and other cheap cells; others have their own."""

    name: str
    runs: int
    coverage_runs: int
    quantile_runs: int
    data_sets: int
    rates: Sequence[float]
    users: Sequence[int]
    looks: Sequence[int]


FULL: Final = Size(
    name="full",
    runs=20_000,
    coverage_runs=20_000,
    quantile_runs=5_000,
    data_sets=200,
    rates=(0.005, 0.01, 0.02, 0.05, 0.1, 0.3),
    users=(20, 50, 200, 1000, 5000),
    looks=(1, 2, 5, 14, 30, 90),
)
QUICK: Final = Size(
    name="quick",
    runs=2_000,
    coverage_runs=2_000,
    quantile_runs=500,
    data_sets=200,
    rates=(0.005, 0.02, 0.1, 0.3),
    users=(200, 5000),
    looks=(1, 14, 90),
)


def standard_error(share: float, runs: int) -> float:
    """Of a share counted in `runs` independent runs; never 0, so that 0 of n is not taken for certainty."""
    kept = min(max(share, 0.5 / runs), 1 - 0.5 / runs)
    return math.sqrt(kept * (1 - kept) / runs)


def at_most(bar: float, runs: int, cells: int = 1) -> float:
    """The largest share that `runs` runs may show by chance where the truth is `bar`, over a family of cells.

    All cells together exceed it with a chance of 1 % when every one of them lies exactly at the bar.
    """
    return bar + float(stats.norm.isf(CHANCE / cells)) * standard_error(bar, runs)


def at_least(bar: float, runs: int, cells: int = 1) -> float:
    """The smallest share that may be seen where the truth is `bar`; see `at_most`."""
    return bar - float(stats.norm.isf(CHANCE / cells)) * standard_error(bar, runs)


def rate_in(rate: float) -> str:
    """A rate that is exactly so: `0.5 %`."""
    return f"{100 * rate:g} %"


def error_claim(
    topic: str, claim: str, share: float, *, runs: int, cells: int, obtained: str, side: str = ""
) -> Claim:
    """That a share of errors, the worst of so many cells of `runs` runs, is at most alpha. side: said of the bar, where it needs a word."""
    limit = at_most(ALPHA, runs, cells)
    return Claim(
        topic=topic,
        claim=claim,
        bar=f"<= 5 %{side} (by chance up to {percent(limit)})",
        obtained=obtained,
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,} a cell",
        met=share <= limit,
    )


def percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"
