"""`export`: what this installation knows, for other programs."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from api.terminal import make_console
from api.wiring import Wiring
from experiments.clock import Clock, parse_duration, parse_moment
from experiments.errors import Invalid

export = typer.Typer(help="Copies of what is known, for other programs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(export, name="export")


@export.callback()
def _family() -> None:
    """Copies of what is known, for other programs."""


@export.command("facts")
def export_facts(
    folder: Annotated[
        Path, typer.Argument(help="Made if it is not there; what an earlier export wrote is replaced.")
    ],
    format_: Annotated[
        str, typer.Option("--format", help="parquet, or csv for programs that read nothing else.")
    ] = "parquet",
    since: Annotated[
        str | None,
        typer.Option(
            help="Leave out events before this: a moment (2026-01-01T00:00:00Z) or a time until now (180d)."
        ),
    ] = None,
) -> None:
    """Write users, assignments, events and messages into FOLDER, whole, for reports that run elsewhere.

    Holds what facts are made of, with internal ids: no phone numbers, user ids, attributes, or texts of messages. Set
    TOUCHSTONE_FACTS_URL to duckdb:///FOLDER (or spark:///FOLDER), and reports are made from it; run this again and they are
    made from the new one.
    """
    # pyarrow takes half a second to load, which no other command should wait for.
    from analysis.warehouse.export import export_facts as write

    wiring = Wiring.from_environment()
    wiring.prepare_database()
    begin = None if since is None else _moment(since, wiring.clock)
    console = make_console(stderr=True)
    with Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        tasks = {
            table: bar.add_task(table, total=None) for table in ("users", "assignments", "events", "messages")
        }
        done = write(
            wiring.database,
            wiring.clock,
            folder=folder,
            format_=format_,
            since=begin,
            progress=lambda table, key, last: bar.update(tasks[table], completed=key or 1, total=last or 1),
        )
    for table, rows in done.manifest.rows.items():
        typer.echo(f"{table}: {rows}")
    typer.echo(f"{done.folder} holds the facts as of {done.manifest.to_json()['taken_at']}")


def _moment(text: str, clock: Clock) -> datetime:
    """A moment, or how long before now."""
    try:
        return parse_moment(text) if "-" in text else clock.now() - parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            f"{text!r} is neither a moment (2026-01-01T00:00:00Z) nor a time (180d)", field="--since"
        ) from error
