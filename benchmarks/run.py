"""Speeds, each beside a yardstick of the same run: `python -m benchmarks.run [NAME ..] [--json FILE]`.

Every benchmark runs in a new process, one after another: its memory is its own, and one that hangs is ended.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import (
    analysis_speed,
    dashboard_speed,
    delivery_speed,
    evaluation_speed,
    scaling_speed,
    segments_speed,
    targeting_speed,
    tracking_speed,
    warehouse_speed,
    webhook_speed,
)
from benchmarks.figures import BENCHMARKS, ON_REQUEST, Figure

MODULES: Final = (
    targeting_speed,
    segments_speed,
    evaluation_speed,
    tracking_speed,
    delivery_speed,
    webhook_speed,
    scaling_speed,
    analysis_speed,
    warehouse_speed,
    dashboard_speed,
)
LONGEST_SECONDS: Final = 150.0
"""A benchmark that takes longer is ended and says so."""
LONGEST_ON_REQUEST: Final = 1800.0

console = Console() if sys.stdout.isatty() else Console(width=150)


def in_own_process(name: str) -> list[Figure] | str:
    """The figures of one benchmark, or why there are none."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, sender))
    process.start()
    sender.close()
    longest = LONGEST_ON_REQUEST if name in ON_REQUEST else LONGEST_SECONDS
    try:
        if not receiver.poll(longest):
            return f"took longer than {longest:g} s"
        return _answer(receiver)
    finally:
        process.join(timeout=5)
        if process.is_alive():
            process.terminate()
            process.join(timeout=10)


def _answer(receiver: Connection) -> list[Figure] | str:
    try:
        answer: list[Figure] | str = receiver.recv()
    except EOFError:
        return "the process ended without an answer"
    return answer


def _work(name: str, answer: Connection) -> None:
    # An end from outside must still end the servers that this process has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        answer.send(list(BENCHMARKS[name](lambda text: print(f"   {text}", flush=True))))
    except Exception as error:  # noqa: BLE001  # whatever it was, the others still run, and the status says it
        answer.send(f"{type(error).__name__}: {error}")


def main(
    arguments: Sequence[str] | None = None, *, runner: Callable[[str], list[Figure] | str] = in_own_process
) -> int:
    """Run, show the table, return the exit status: 1 when a benchmark failed. A missed bar is shown, not punished."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(BENCHMARKS)}; default: all but {', '.join(sorted(ON_REQUEST))}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    wanted = chosen.names or [name for name in BENCHMARKS if name not in ON_REQUEST]
    names = [name for name in BENCHMARKS if name in wanted]
    start, load = time.perf_counter(), _load()
    figures: list[Figure] = []
    failed: list[str] = []
    for i, name in enumerate(names, start=1):
        console.print(f"[bold]{i}/{len(names)} {name}[/bold]")
        begun = time.perf_counter()
        found = runner(name)
        console.print(f"   [dim]{time.perf_counter() - begun:.0f} s[/dim]")
        if isinstance(found, str):
            console.print(f"   [red]failed: {found}[/red]")
            failed.append(name)
        else:
            figures += found
    machine = {"cpus": os.cpu_count(), "load_before": load, "load_after": _load()}
    console.print(table_of(figures))
    console.print(
        f"{time.perf_counter() - start:.0f} s on {machine['cpus']} processors; load average over a minute "
        f"{load} before, {machine['load_after']} after (each benchmark itself uses one or two)."
    )
    if chosen.json is not None:
        document = {"machine": machine, "figures": [figure.to_json() for figure in figures], "failed": failed}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


def table_of(figures: Sequence[Figure]) -> Table:
    table = Table(title="Speeds (medians)", show_lines=False)
    for column, justify in (
        ("what", "left"),
        ("figure", "right"),
        ("yardstick", "right"),
        ("ratio", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("bar")
    table.add_column("")
    for figure in figures:
        table.add_row(
            figure.what + (f"\n[dim]{figure.note}[/dim]" if figure.note else ""),
            f"{number(figure.figure)} {figure.unit}",
            ""
            if figure.yardstick is None
            else f"{number(figure.yardstick)} {figure.unit}\n[dim]{figure.against}[/dim]",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.bar or "",
            {None: "", True: "[green]met[/green]", False: "[red]MISSED[/red]"}[figure.met],
        )
    return table


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _load() -> Any:
    return round(os.getloadavg()[0], 1)


if __name__ == "__main__":
    sys.exit(main())
