"""`python -m examples.hillstrom ../shared/data/hillstrom.csv`: all rows; a line per simulated day, then the findings."""

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.reports.report_text import render
from api.terminal import make_console
from examples.hillstrom.run import rehearse


def main() -> int:
    """Exit status 0 when everything is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m examples.hillstrom", description=__doc__)
    parser.add_argument("file", type=Path, help="hillstrom.csv")
    parser.add_argument("--limit", type=int, help="the first so many rows only")
    parser.add_argument("--seconds", type=float, default=240, help="real time for the 15 days (default 240)")
    parser.add_argument("--seed", type=int, default=2008)
    options = parser.parse_args()
    if not options.file.is_file():
        sys.exit(f"there is no file {options.file}")
    console = make_console()
    days: set[int] = set()

    def watch(now: datetime, summary: dict[str, Any]) -> None:
        if now.day not in days:
            days.add(now.day)
            console.print(
                f"{now:%d %b}  "
                + "  ".join(f"{name} {count}" for name, count in sorted(summary["states"].items()))
            )

    with tempfile.TemporaryDirectory() as folder:
        outcome = rehearse(
            options.file,
            Path(folder),
            limit=options.limit,
            seconds=options.seconds,
            seed=options.seed,
            watch=watch,
        )
    console.print(render(outcome.report))
    for effect, true in outcome.effects():
        found = effect["absolute"]
        console.print(
            f"visits, {effect['variant']} against silence: {found['estimate']:+.4f} "
            f"[{found['lower']:+.4f}, {found['upper']:+.4f}], truth {true:+.4f}"
        )
    for step, took in outcome.seconds.items():
        console.print(f"{step}: {took:.1f} s")
    console.print(
        f"peak memory {outcome.peak_mb:.0f} MB; most messages to one person in 7 days: {outcome.most_in_a_week}"
    )
    for problem in outcome.problems():
        console.print(f"NOT AS IT MUST BE: {problem}")
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
