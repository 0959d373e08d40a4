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
MISSING: Final = """\
## Not covered yet

- A cap, several covariates and factors under many looks: shown at one look; the levels of the looks are those of plain means.
- Clearing a guardrail at looks that come because of what was seen: under spending that is not promised, as for effects.

Again: `make certify` (about half an hour) or `.venv/bin/python -m benchmarks.certify --quick` (one or two,
coarser, writes nothing unless `--out FILE` is given); `--only NAME` takes the parts whose name begins so, and writes nothing. The exit status is 1 when a claim fails that is not explained above.
"""


def page_of(findings: Findings, size: Size, *, seed: int) -> str:
    """The page as Markdown: claims by topic, misses with their explanation, the cells behind them."""
    parts = [HEAD.format(name=size.name, seed=seed)]
    for topic in dict.fromkeys(claim.topic for claim in findings.claims):
        rows = [claim for claim in findings.claims if claim.topic == topic]
        parts += [f"## {topic.capitalize()}\n", _table_of_claims(rows)]
    missed = [claim for claim in findings.claims if claim.met is False]
    parts.append("## Misses\n")
    if missed:
        parts.append(
            "".join(
                f"- **{claim.topic}: {claim.claim}** ({claim.obtained}; bar {claim.bar}). "
                f"{claim.explained or 'Not explained: a defect until shown otherwise.'}\n"
                for claim in missed
            )
        )
    else:
        parts.append("None in this run.\n")
    parts.append("## The cells\n")
    parts += [_grid(grid) for grid in findings.grids]
    parts.append(MISSING)
    return "\n".join(parts)


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
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
