"""docs/certification.md, from what a run found."""

from collections.abc import Sequence
from typing import Final

from benchmarks.claims import Claim, Findings, Grid, Size

HEAD: Final = """\
# Certification

Every statistical promise of this project and the promises of delivery, proven by simulation or shown not to hold. This page is written by
`make certify`; do not edit it. It comes from a **{name} run** with seed {seed}; the number of simulated experiments is
stated for each claim.

How to read it. *Error* is the standard error of the simulation itself (Monte-Carlo). Where a bar is a limit that the
truth may touch, the simulation may cross it by chance; the allowance in brackets is what all cells of that claim
together exceed in one of a hundred runs if every one of them lies exactly at the bar. Decisions and intervals are those of
`analysis.verdicts.compare`; what is computed for many experiments at once is compared with it on a sample in the same run, and
the run stops when they differ by more than rounding.
"""
HOW: Final = "How to read it."
NO_MISS: Final = "None in this run."
AGAIN: Final = "Measured again since that run, alone: {names}."
MISSING: Final = """\
## Not covered yet

- A cap, several covariates and factors under many looks: shown at one look; the levels of the looks are those of plain means.
- Clearing a guardrail at looks that come because of what was seen: under spending that is not promised, as for effects.

Again: `make certify` (about half an hour) or `.venv/bin/python -m benchmarks.certify --quick` (one or two,
coarser, writes nothing unless `--out FILE` is given); `--only NAME` takes the parts whose name begins so, and writes nothing, or with
`--again` their rows of this page. The exit status is 1 when a claim fails that is not explained above.
"""


def page_of(findings: Findings, size: Size, *, seed: int) -> str:
    """The page as Markdown: claims by topic, misses with their explanation, the cells behind them."""
    parts = [HEAD.format(name=size.name, seed=seed)]
    for topic in dict.fromkeys(claim.topic for claim in findings.claims):
        rows = [claim for claim in findings.claims if claim.topic == topic]
        parts += [f"## {topic.capitalize()}\n", _table_of_claims(rows)]
    missed = [claim for claim in findings.claims if claim.met is False]
    parts.append("## Misses\n")
    parts.append("".join(f"{_miss(claim)}\n" for claim in missed) or f"{NO_MISS}\n")
    parts.append("## The cells\n")
    parts += [_grid(grid) for grid in findings.grids]
    parts.append(MISSING)
    return "\n".join(parts)


def measured_again(page: str, findings: Findings, names: Sequence[str]) -> str:
    """The page with the rows and cells of these parts as they were found now, and a line that says so. Raises ValueError for what it lacks."""
    lines = page.splitlines()
    for claim in findings.claims:
        place = _place_of(lines, f"## {claim.topic.capitalize()}", f"| {_cell(claim.claim)} | ")
        lines[place] = _table_of_claims([claim]).splitlines()[-1]
        lines = [line for line in lines if not line.startswith(_miss_of(claim))]
    start = lines.index("## Misses") + 2
    end = lines.index("## The cells")
    kept = [line for line in lines[start:end] if line.startswith("- ")]
    misses = [*kept, *(_miss(claim) for claim in findings.claims if claim.met is False)]
    lines[start:end] = [*(misses or [NO_MISS]), ""]
    for grid in findings.grids:
        place = _place_of(lines, "## The cells", f"### {grid.title}")
        end = next((i for i in range(place + 1, len(lines)) if lines[i].startswith("#")), len(lines))
        lines[place:end] = [*_grid(grid).splitlines(), ""]
    said = AGAIN.format(names=", ".join(names))
    known = [line for line in lines if line.startswith(AGAIN.split("{", maxsplit=1)[0])]
    place = (
        lines.index(known[0]) if known else next(i for i, line in enumerate(lines) if line.startswith(HOW))
    )
    lines[place : place + len(known)] = [said] if known else [said, ""]
    return "\n".join(lines) + "\n"


def _place_of(lines: Sequence[str], heading: str, begin: str) -> int:
    inside = False
    for place, line in enumerate(lines):
        if line.startswith("## "):
            inside = line == heading
        if inside and line.startswith(begin):
            return place
    raise ValueError(f"the page has no row {begin!r} under {heading!r}: run all parts")


def _miss_of(claim: Claim) -> str:
    return f"- **{claim.topic}: {claim.claim}** ("


def _miss(claim: Claim) -> str:
    why = claim.explained or "Not explained: a defect until shown otherwise."
    return f"{_miss_of(claim)}{claim.obtained}; bar {claim.bar}). {why}"


def _table_of_claims(rows: Sequence[Claim]) -> str:
    return _table(
        ("claim", "bar", "obtained", "error", "runs", ""),
        [
            (
                claim.claim,
                claim.bar,
                claim.obtained,
                claim.error,
                claim.runs,
                {None: "", True: "met", False: "**missed**"}[claim.met],
            )
            for claim in rows
        ],
    )


def _grid(grid: Grid) -> str:
    return f"### {grid.title}\n\n" + _table(
        (grid.corner, *grid.columns), [(name, *cells) for name, cells in grid.rows]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
