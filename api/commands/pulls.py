"""`pulls ..`: scheduled queries of other databases."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field, ValidationError
from rich.table import Table

from api.commands.imports import print_lights
from api.pull_schemas import PullRequest
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from api.written import read_written
from experiments.clock import format_duration, format_moment
from experiments.errors import Invalid, NotFound, Problem
from experiments.metrics import KEY_PATTERN
from experiments.mistakes import path_of
from targeting.pulls import repository as pull_repository
from targeting.pulls import runs as pull_runs
from targeting.pulls import service as services

pulls = typer.Typer(help="Scheduled pulls from other databases: list, put, run.", no_args_is_help=True)


class PullFile(PullRequest):
    """A pull with its key, as a file holds it."""

    key: str = Field(pattern=KEY_PATTERN)


def register(app: typer.Typer) -> None:
    app.add_typer(pulls, name="pulls")


@pulls.command("list")
def list_pulls() -> None:
    """All pulls: when they run next, how far they have come, and what went wrong last."""
    wiring = _wiring()
    table = Table("key", "source", "every", "next", "cursor", "last error")
    with wiring.database.snapshot() as session:
        for pull in pull_repository.list_pulls(session, after_id=0, limit=1000):
            definition = services.definition_of(pull)
            due = format_moment(pull.next_at) if pull.enabled and pull.next_at else "disabled"
            cursor = str(pull.cursor["value"]) if pull.cursor else ""
            table.add_row(
                pull.key, definition.source, format_duration(definition.every), due, cursor, pull.error or ""
            )
    make_console().print(table, markup=False)


@pulls.command("put")
def put_pull(
    file: Annotated[
        Path, typer.Argument(help="YAML or JSON with key, source, query ..; see docs/imports.md.")
    ],
) -> None:
    """Add or change the pull in FILE; the scheduler runs it at its next tick. Its source is a name in TOUCHSTONE_SOURCES."""
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    try:
        asked = PullFile.model_validate(read_written(file.read_text(encoding="utf-8"), field="FILE"))
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text", field="FILE") from error
    except ValidationError as error:
        raise Invalid.of([Problem(path_of(item["loc"]), item["msg"]) for item in error.errors()]) from error
    wiring = _wiring(create=True)
    with wiring.database.transaction() as session:
        pull = services.put(
            session,
            wiring.clock,
            actor=ACTOR,
            key=asked.key,
            definition=asked.definition(),
            enabled=asked.enabled,
            settings=wiring.settings,
        )
        typer.echo(f"{pull.key}: {'runs at the next tick' if pull.enabled else 'disabled'}")


@pulls.command("run")
def run_pull(
    key: Annotated[str, typer.Argument(help="Key of the pull.")],
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go as CSV; nowhere when absent.")
    ] = None,
) -> None:
    """Run a pull here and now, also when it is disabled, and print what came of it."""
    wiring = _wiring()
    sink = None if rejects is None else rejects.open("w", newline="", encoding="utf-8")
    try:
        outcome = pull_runs.run(
            wiring.database, wiring.clock, settings=wiring.settings, key=key, actor=ACTOR, rejects=sink
        )
    finally:
        if sink is not None:
            sink.close()
    summary = outcome.summary
    typer.echo(
        f"{key}: {summary.rows} rows, {summary.created} created, {summary.updated} updated, {summary.rejected} rejected"
    )
    print_lights(outcome.quality)


def _wiring(*, create: bool = False) -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=create)
    return wiring
