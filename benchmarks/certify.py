"""Prove the statistics and the promises of delivery by simulation: `python -m benchmarks.certify [--quick] [--only NAME [--again]] [--processes N] [--out FILE] [--seed N]`.

The whole run takes about half an hour and writes docs/certification.md; --quick takes one or two and writes only where
--out says. --only NAME takes the parts whose name begins so, and writes nothing, or with
--again their rows of the page. Exit status 1 when a claim fails that is not an explained miss.
"""

import argparse
import os
import queue
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import (
    certify_adaptive,
    certify_adjusted,
    certify_agreement,
    certify_bandits,
    certify_caps,
    certify_crash,
    certify_drift,
    certify_exact,
    certify_guardrails,
    certify_guards,
    certify_health,
    certify_intervals,
    certify_joint,
    certify_looking,
    certify_peeking,
    certify_tempting,
    certify_waves,
)
from benchmarks.certify_page import measured_again, page_of
from benchmarks.claims import FULL, QUICK, Findings, Size

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "certification.md"
SEED: Final = 20261201
ALONE: Final = frozenset({"crashes", "withdrawals", "caps"})
"""Parts that start processes of their own and measure them: nothing else runs beside them."""
Part = Callable[[Size, int, Findings, Callable[[], None]], None]
Step = tuple[str, Part, int]


def parts_of(size: Size) -> list[Step]:
    """What is simulated, in the order of the page: name, function, steps of its progress bar."""
    return [
        ("false positives", certify_peeking.false_positives, certify_peeking.cells_of(size)),
        ("false positives, revenue", certify_peeking.money, 1),
        ("power", certify_peeking.power, 1),
        ("drifting base rate, effects", certify_drift.effects, len(certify_drift.cells())),
        ("drifting base rate, guardrails", certify_drift.guardrails, len(certify_drift.cells())),
        ("drifting base rate, power", certify_drift.power, 1),
        ("tempting looks", certify_tempting.tempting, 1),
        ("exact, false positives", certify_exact.every_look, certify_peeking.cells_of(size)),
        ("exact, uneven arms", certify_exact.drawn, 1),
        ("exact, coverage", certify_exact.coverage, 1),
        ("exact, power", certify_exact.power, len(certify_exact.SMALL)),
        ("guardrails, any time", certify_guardrails.at_any_time, 1),
        ("guardrails, cleared", certify_guardrails.cleared_wrongly, len(certify_guardrails.USERS)),
        ("guardrails, uneven arms", certify_guardrails.uneven, 1),
        ("guardrails, power", certify_guardrails.power, 1),
        (
            "guards, detection",
            certify_guards.detection,
            len(certify_guards.BASES) * len(certify_guards.SENDS),
        ),
        (
            "guards, false stops",
            certify_guards.false_stops,
            len(certify_guards.BASES) * len(certify_guards.SENDS),
        ),
        ("guards, over silence", certify_guards.silence, 1),
        ("guards, under a bandit", certify_guards.under_a_bandit, 1),
        ("coverage at the end", certify_intervals.at_the_end, 4),
        ("coverage of quantiles", certify_intervals.quantiles, 1),
        ("capped means", certify_adjusted.capped, 1),
        ("several covariates", certify_adjusted.covariates, len(certify_adjusted.COVARIATES)),
        ("factors", certify_adjusted.factors, 1),
        ("quantiles of rows", certify_adjusted.clustered, 1),
        ("effect on the reached", certify_adjusted.reached, 1),
        ("joint coverage", certify_joint.joint, len(certify_joint.SETTINGS)),
        ("sound splits", certify_health.false_alarms, len(certify_health.SOUND)),
        ("a broken split", certify_health.detection, 1),
        ("after a bandit", certify_adaptive.afterwards, certify_adaptive.steps_of(size)),
        ("after a bandit, revenue", certify_adaptive.money, 1),
        ("during a bandit", certify_looking.peeking, len(certify_looking.LOOKING)),
        ("bandits, a slow winner", certify_bandits.delayed, certify_bandits.STEPS[0]),
        ("bandits, regret", certify_bandits.regret, certify_bandits.STEPS[1]),
        ("bandits, false winners", certify_bandits.false_winners, certify_bandits.STEPS[2]),
        ("bandits, waves", certify_waves.waves, certify_waves.STEPS),
        ("non-delivery", certify_intervals.not_delivered, 1),
        ("agreement", certify_agreement.agreement, 1),
        ("crashes", certify_crash.crashes, 2),
        ("withdrawals", certify_crash.withdrawals, 1),
        ("caps", certify_caps.caps, certify_caps.STEPS),
    ]


def main(
    arguments: Sequence[str] | None = None,
    *,
    parts: Callable[[Size], list[Step]] = parts_of,
    page: Path = PAGE,
) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certify", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cells and runs; a minute or two")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the page (default: docs/certification.md)"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="how many parts may run at once (default: one a processor); the page is the same",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only the parts whose name begins so (may be given again); writes no page",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="with --only: their rows of the page are written anew, and it says so",
    )
    chosen = parser.parse_args(arguments)
    if chosen.again and (chosen.quick or not chosen.only):
        parser.error("--again is for full runs of --only some parts")
    size = QUICK if chosen.quick else FULL
    steps = parts(size)
    if chosen.only:
        if chosen.out is not None:
            parser.error("--only is for a part of the claims, and a page has them all: leave out --out")
        names = ", ".join(name for name, _, _ in steps)
        for wanted in chosen.only:
            if not any(name.startswith(wanted) for name, _, _ in steps):
                parser.error(f"--only: no part begins with {wanted!r}; there are: {names}")
        steps = [step for step in steps if step[0].startswith(tuple(chosen.only))]
    out: Path | None = chosen.out or (None if chosen.quick or chosen.only else page)
    console = Console() if sys.stdout.isatty() else Console(width=170)
    start = time.perf_counter()
    findings = simulate(size, steps, chosen.seed, console, processes=chosen.processes)
    minutes = (time.perf_counter() - start) / 60
    console.print(table_of(findings))
    console.print(
        f"{minutes:.1f} minutes on {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}"
    )
    if out is not None:
        out.write_text(page_of(findings, size, seed=chosen.seed), encoding="utf-8")
        console.print(f"written: {out}")
    if chosen.again:
        redone = [name for name, _, _ in steps]
        page.write_text(measured_again(page.read_text(encoding="utf-8"), findings, redone), encoding="utf-8")
        console.print(f"written anew in {page}: {', '.join(redone)}")
    for claim in findings.unexplained:
        console.print(f"[red]MISSED, and not explained: {claim.topic}: {claim.claim}: {claim.obtained}[/red]")
    return 1 if findings.unexplained else 0


def simulate(
    size: Size, parts: Sequence[Step], seed: int, console: Console, *, processes: int = 1
) -> Findings:
    """Run the parts and put what they found in their order, which does not depend on the number of processes: every part draws
    from generators of its own. Parts that measure processes of their own (`ALONE`) come last, one after the other.
    """
    apart = [step for step in parts if step[0] in ALONE]
    others = [step for step in parts if step[0] not in ALONE]
    found: dict[str, Findings] = {}
    columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        if min(processes, len(others)) > 1:
            found |= _together(size, others, seed, progress, processes)
        else:
            apart = [*others, *apart]
        for name, part, steps in apart:
            task = progress.add_task(name, total=steps)
            found[name] = Findings()
            part(size, seed, found[name], lambda task=task: progress.advance(task))  # type: ignore[misc]
    ordered = [found[name] for name, _, _ in parts]
    return Findings(
        claims=[claim for each in ordered for claim in each.claims],
        grids=[grid for each in ordered for grid in each.grids],
    )


def _together(
    size: Size, parts: Sequence[Step], seed: int, progress: Progress, processes: int
) -> dict[str, Findings]:
    """Each part in one of so many processes; their bars move as they report. What one raises ends all, once those that run are through."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(processes, mp_context=context) as pool:
        said = manager.Queue()
        tasks = {name: progress.add_task(name, total=steps, start=False) for name, _, steps in parts}
        running = {name: pool.submit(_apart, part, size, seed, name, said) for name, part, _ in parts}
        waiting = set(running.values())
        while waiting or not said.empty():
            try:
                name, done = said.get(timeout=0.2)
            except queue.Empty:
                over, waiting = wait(waiting, timeout=0)
                if any(future.exception() is not None for future in over):
                    pool.shutdown(wait=False, cancel_futures=True)
                    break
                continue
            if done:
                progress.advance(tasks[name], done)
            else:
                progress.start_task(tasks[name])
        return {name: future.result() for name, future in running.items() if not future.cancelled()}


def _apart(part: Part, size: Size, seed: int, name: str, said: "queue.Queue[tuple[str, int]]") -> Findings:
    findings = Findings()
    said.put((name, 0))
    part(size, seed, findings, lambda: said.put((name, 1)))
    return findings


def table_of(findings: Findings) -> Table:
    table = Table(title="Claims")
    for column in ("claim", "bar", "obtained", "error", "runs", ""):
        table.add_column(column, overflow="fold")
    topic = ""
    for claim in findings.claims:
        if claim.topic != topic:
            topic = claim.topic
            table.add_section()
            table.add_row(f"[bold]{topic}[/bold]")
        verdict = {None: "", True: "[green]met[/green]", False: "[red]MISSED[/red]"}[claim.met]
        table.add_row(claim.claim, claim.bar, claim.obtained, claim.error, claim.runs, verdict)
    return table


if __name__ == "__main__":
    sys.exit(main())
