"""`import users`: people from a file, with the lights of its quality."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api import importing
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from experiments.errors import Invalid, NotFound
from targeting.imports.storing import ImportSummary

COLOURS = {"ok": "green", "look": "yellow", "bad": "red", None: "dim"}
imports = typer.Typer(help="Bring people in from files.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(imports, name="import")


@imports.command("users")
def import_users(
    file: Annotated[Path, typer.Argument(help="CSV, JSONL (one JSON object a line) or Parquet.")],
    map: Annotated[  # noqa: A002  # the name of the option
        list[str] | None,
        typer.Option(help="FIELD=COLUMN, such as phone=mobile or consent.marketing=opt_in. May be repeated."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="YAML or JSON that says what each column is; see docs/imports.md.")
    ] = None,
    format: Annotated[  # noqa: A002  # the name of the option
        str | None, typer.Option(help="csv, jsonl or parquet; told from the file's name when absent.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Country of phone numbers without +, such as NL.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Where such files come from; compared with the last one. The file's name if absent."
        ),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go; FILE.rejects.csv when absent.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Write nothing; show the first rows, the counts, the first rejected rows and the quality. "
            "Parts of 20,000 rows are rehearsed by themselves: a phone given in an earlier part is not known.",
        ),
    ] = False,
) -> None:
    """Import users. Wrong rows go to the reject file with line, field and reason; the rest lands.

    Columns named user_id, phone, time_zone, locale and consent_marketing are understood; every other column becomes
    an attribute. Running the same import again changes nothing.

    Example: touchstone import users crm.csv --mapping crm.yaml --source crm --dry-run
    """
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    order = importing.read_order(
        name=file.name,
        media_type=None,
        chosen=format,
        mapping=None if mapping is None else _read(mapping),
        pairs=map or [],
        region=region,
        source=source,
    )
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=True)
    if dry_run:
        _preview(wiring, file, order)
        return
    target = rejects or file.with_name(file.name + ".rejects.csv")
    summary, quality = _run(wiring, file, order, target)
    _print_counts(f"imported {file.name}", summary)
    print_lights(quality)
    if summary.rejected:
        typer.echo(f"{summary.rejected} rows were rejected; see {target}", err=True)
    if summary.rejected and summary.rejected == summary.rows:
        raise typer.Exit(1)  # whoever runs it every night must learn that nobody came


def _read(mapping: Path) -> str:
    if not mapping.is_file():
        raise NotFound(f"there is no file {mapping}", field="--mapping")
    try:
        return mapping.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{mapping} is not UTF-8 text", field="--mapping") from error


def _preview(wiring: Wiring, file: Path, order: importing.ImportOrder) -> None:
    with file.open("rb") as source:
        found = importing.preview(wiring, source, order)
    for row in found.rows:
        typer.echo(json.dumps(importing.row_shown(row), ensure_ascii=False))
    _print_counts(f"dry run of {file.name}", found.summary)
    if found.rejects:
        told = f"would be rejected: {found.summary.rejected} of {found.summary.rows} rows; the first"
        table = Table("line", "field", "reason", title=told, title_justify="left")
        for reject in found.rejects:
            table.add_row(str(reject.line), escape(reject.field), escape(reject.reason))
        make_console().print(table)
    print_lights(found.quality)
    typer.echo("nothing was written", err=True)


def _print_counts(title: str, summary: ImportSummary) -> None:
    table = Table("", "rows", title=escape(title), title_justify="left")
    for label, value in summary.to_json().items():
        table.add_row(label.replace("_", " "), str(value))
    make_console().print(table)


def _run(
    wiring: Wiring, file: Path, order: importing.ImportOrder, target: Path
) -> tuple[ImportSummary, Mapping[str, Any]]:
    console = make_console(stderr=True)
    with ExitStack() as stack:
        stack.callback(drop_if_empty, target)
        source = stack.enter_context(file.open("rb"))
        sink = stack.enter_context(target.open("w", newline="", encoding="utf-8"))
        bar = stack.enter_context(
            Progress(
                TextColumn("importing"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("rows"),
                TimeElapsedColumn(),
                console=console,
                disable=not console.is_terminal,
            )
        )
        # How many rows a Parquet file holds is not in its lines.
        lines = None if order.format == "parquet" else importing.count_lines(file)
        task = bar.add_task("rows", total=lines)
        outcome = importing.run(
            wiring,
            source,
            order,
            actor=ACTOR,
            rejects=sink,
            progress=lambda rows: bar.update(task, completed=rows),
        )
        bar.update(task, completed=outcome.summary.rows, total=outcome.summary.rows)
    return outcome.summary, outcome.quality


def print_lights(quality: Mapping[str, Any]) -> None:
    """The five topics of a quality report, and what is to be said about single columns."""
    table = Table("quality", "light", "in words", title_justify="left")
    for topic, told in quality["topics"].items():
        colour = COLOURS[told["light"]]
        table.add_row(topic, f"[{colour}]{told['light'] or '-'}[/]", escape(told["sentence"]))
    console = make_console()
    console.print(table)
    said = " ".join(told["sentence"] for told in quality["topics"].values())
    for finding in quality["findings"]:
        if finding["sentence"] not in said:
            console.print(f"{finding['light']:>4}  {finding['sentence']}", markup=False, highlight=False)


def drop_if_empty(rejects: Path) -> None:
    """A reject file that holds its header at most says nothing."""
    with rejects.open(encoding="utf-8") as file:
        lines = sum(1 for _ in islice(file, 2))
    if lines < 2:
        rejects.unlink()
