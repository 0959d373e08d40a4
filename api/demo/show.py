"""`touchstone demo`: what a person sees while a rehearsal runs, and the report beside the truth at its end."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from csv import DictReader
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from analysis.reports.report_text import render
from api.dashboarding import dashboard_command
from api.demo.people import write_people
from api.demo.rehearsal import Rehearsal, wait_until
from api.terminal import make_console
from delivery.simulator.config import Delays
from experiments.errors import Unavailable

DAYS: Final = 14.0
BEHAVIOUR: Final[dict[str, Any]] = {
    "silence": {"visit": 0.10, "buy": 0.30, "revenue": 40.0},
    "templates": {
        "spring_reminder": {
            "delivered": 0.97,
            "read": 0.75,
            "clicked": 0.35,
            "opted_out": 0.01,
            "visit": 0.15,
        },
        "spring_coupon": {
            "delivered": 0.97,
            "read": 0.75,
            "clicked": 0.45,
            "opted_out": 0.01,
            "visit": 0.22,
            "buy": 0.45,
            "revenue": 45.0,
        },
    },
}
"""How the made-up people behave; the report should find this out."""

TEXTS: Final = {
    "spring_reminder": "Hi {{1}}, it has been a while. Our spring collection is here: come and have a look.",
    "spring_coupon": "Hi {{1}}, spring is here. Show {{2}} at checkout for 10% off.",
}
"""What the templates say."""


def show(
    *, folder: Path, people: int, seconds: float, port: int, dashboard_port: int, seed: int, stay: bool
) -> None:
    """Run the demo; returns when it is over, or when the reader presses Ctrl-C."""
    console = make_console()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    design = yaml.safe_load((files("api.demo") / "campaign.yaml").read_text(encoding="utf-8"))
    with ExitStack() as stack:
        rehearsal = stack.enter_context(
            Rehearsal(
                database_url=f"sqlite:///{folder.resolve()}/touchstone.db",
                days=DAYS,
                seconds=seconds,
                seed=seed,
                port=port,
                # Of no account in fourteen hurried days. After them a campaign of the reader's own is read within minutes.
                delays=Delays().hurried(60),
            )
        )
        start_dashboard(stack, rehearsal, dashboard_port, folder)
        console.print(f"API        {rehearsal.url}/docs")
        console.print(f"dashboard  http://127.0.0.1:{dashboard_port}")
        console.print(f"sign in    {rehearsal.keys['write']}", soft_wrap=True)
        crm = folder / "people.csv"
        write_people(crm, people, now=rehearsal.clock.now(), rng=np.random.default_rng(seed))
        summary = rehearsal.import_people(crm)
        console.print(f"imported   {summary.created} people, {summary.rejected} rows rejected")
        rehearsal.load_world(people_path=world_file(crm), behaviour=BEHAVIOUR, texts=TEXTS)
        rehearsal.start_campaign(design, window=timedelta(days=9))
        console.print(f"started    {design['key']}: {design['name']}\n")
        _watch(console, rehearsal)
        report, truth = rehearsal.report(), rehearsal.truth()
        console.print(render(report))
        console.print(compare(report, truth, design))
        if stay:
            console.print(
                f"\nThe dashboard stays at http://127.0.0.1:{dashboard_port} until you press Ctrl-C."
            )
            console.print(
                "Its clock runs at normal speed now. Whoever is sent a campaign of yours reads it within minutes."
            )
            _wait_for_interrupt()


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def start_dashboard(stack: ExitStack, rehearsal: Rehearsal, port: int, folder: Path) -> None:
    """Serve the dashboard of a rehearsal from a process of its own until `stack` is closed; its log lies in `folder`."""
    log = stack.enter_context((folder / "dashboard.log").open("wb"))
    command = dashboard_command(port=port, api_url=rehearsal.url)
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603  # our own command

    def end() -> None:
        process.terminate()
        process.wait(timeout=20)

    stack.callback(end)

    def ready() -> bool:
        if process.poll() is not None:
            raise Unavailable(
                f"the dashboard ended at once; see {folder / 'dashboard.log'} (is port {port} taken?)"
            )
        try:
            return httpx.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).is_success
        except httpx.TransportError:
            return False

    wait_until(ready, what="the dashboard")


def world_file(crm: Path) -> Path:
    """The people of the CSV as the simulator's world knows them."""
    target = crm.with_suffix(".world.jsonl")
    with crm.open(newline="", encoding="utf-8") as source, target.open("w", encoding="utf-8") as sink:
        for row in DictReader(source):
            sink.write(json.dumps({"user_id": row["user_id"], "phone": row["phone"]}) + "\n")
    return target


def _watch(console: Console, rehearsal: Rehearsal) -> None:
    begin = rehearsal.begun
    last_day = -1
    with Progress(
        TextColumn("day {task.completed:4.1f} of {task.total:.0f}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=DAYS)

        def watch(now: datetime, summary: dict[str, Any]) -> None:
            nonlocal last_day
            day = (now - begin) / timedelta(days=1)
            text = "  ".join(f"{name} {count}" for name, count in _funnel(summary))
            progress.update(task, completed=day, description=text)
            if not console.is_terminal and int(day) > last_day:
                last_day = int(day)
                console.print(f"day {last_day:2d}  {text}", soft_wrap=True)

        rehearsal.run(watch)


def _funnel(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name in ("planned", "accepted", "delivered", "read", "clicked"):
        yield name, int(summary["funnel"][name])


def compare(report: Mapping[str, Any], truth: Mapping[str, Any], design: Mapping[str, Any]) -> Table:
    """The report's effect on visits beside the truth of the simulated world."""
    templates = {v["key"]: v["message"]["template"] for v in design["variants"] if v.get("message")}
    table = Table(
        "visits, against silence",
        "true effect",
        "report",
        "interval",
        "",
        title="What the report found, and what is true",
        title_justify="left",
    )
    for effect in next(metric for metric in report["metrics"] if metric["metric"] == "visited")["effects"]:
        true = float(truth["treatments"][templates[effect["variant"]]]["difference"]["visit"])
        found = effect["absolute"]
        inside = found["lower"] <= true <= found["upper"]
        table.add_row(
            effect["variant"],
            f"{true:+.4f}",
            f"{found['estimate']:+.4f}",
            f"{found['lower']:+.4f} to {found['upper']:+.4f}",
            "holds the truth" if inside else "misses the truth",
        )
    return table
