"""`templates ..`: the templates that WhatsApp has approved, and what they would say."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from api.template_schemas import TemplatePreviewAnswer, TemplatePreviewRequest
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from api.written import read_written
from delivery.templates import previews, registry, template_repository, template_sync
from delivery.templates.shown import Shown
from experiments.clock import format_moment
from experiments.errors import Invalid, NotFound
from experiments.mistakes import problems_of
from experiments.treatments import MessageContent

templates = typer.Typer(help="Message templates: list, show, sync, preview.", no_args_is_help=True)
PAGE = 500


def register(app: typer.Typer) -> None:
    app.add_typer(templates, name="templates")


@templates.command("list")
def list_templates(
    gone: Annotated[bool, typer.Option(help="Also those that WhatsApp no longer lists.")] = False,
) -> None:
    """The templates of the WhatsApp account, as last synchronised: category, status, quality."""
    wiring = _wiring()
    table = Table("name", "language", "category", "status", "quality", "gone")
    with wiring.database.snapshot() as session:
        state = registry.state_of(session, settings=wiring.settings)
        rows = template_repository.page(session, after=None, limit=PAGE, gone=gone)
        while rows:
            for row in rows:
                left = format_moment(row.gone_at) if row.gone_at else ""
                table.add_row(row.name, row.language, row.category, row.status, row.quality or "", left)
            last = rows[-1]
            rows = template_repository.page(session, after=(last.name, last.language), limit=PAGE, gone=gone)
    make_console().print(table, markup=False)
    when = (
        "never synchronised" if state.synced_at is None else f"synchronised {format_moment(state.synced_at)}"
    )
    typer.echo(when if state.error is None else f"{when}; the last try failed: {state.error}")


@templates.command("show")
def show(name: Annotated[str, typer.Argument(help="Name of the template.")]) -> None:
    """One template in each of its languages, as WhatsApp describes it."""
    wiring = _wiring()
    console = make_console()
    with wiring.database.snapshot() as session:
        for row in registry.languages_of(session, name=name):
            gone = ", gone" if row.gone_at else ""
            typer.echo(
                f"{row.name} {row.language}: {row.category}, {row.status}, quality {row.quality}{gone}"
            )
            console.print_json(data=row.components)


@templates.command("sync")
def sync() -> None:
    """Bring the registry in line with WhatsApp's list now. The scheduler does it too, every hour."""
    wiring = _wiring()
    synced = template_sync.synchronise(wiring.database, wiring.clock, settings=wiring.settings, actor=ACTOR)
    odd = f", {synced.unreadable} unreadable" if synced.unreadable else ""
    typer.echo(
        f"{synced.listed} templates: {synced.added} added, {synced.changed} changed, {synced.gone} gone{odd}"
    )


@templates.command("preview")
def preview(
    file: Annotated[
        Path | None, typer.Argument(help="A message as YAML or JSON: template, language, parameters ..")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Key of an experiment, instead of FILE.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant whose message it is.")] = None,
    condition: Annotated[
        str | None, typer.Option(help="Who: a condition as text; the experiment's audience when absent.")
    ] = None,
    user: Annotated[list[str] | None, typer.Option(help="Who: a user id; may be given again.")] = None,
    sample: Annotated[int, typer.Option(help="How many users to show, at most 50.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """What a message would say to some users, and how many could not be written to. Sends nothing."""
    message = None if file is None else _read_message(file)
    try:
        asked = TemplatePreviewRequest(
            message=message,
            experiment=experiment,
            variant=variant,
            condition=condition,
            user_ids=user or [],
            sample=sample,
        )
    except ValidationError as error:
        raise Invalid.of(problems_of(error.errors())) from error
    wiring = _wiring()
    made = previews.preview(
        wiring.database, wiring.clock, settings=wiring.settings, rng=np.random.default_rng(), **dict(asked)
    )
    console = make_console()
    if as_json:
        console.print_json(data=TemplatePreviewAnswer.of(made).model_dump(mode="json"))
        return
    for shown in made.users:
        _print(console, shown)
    typer.echo(f"{made.failed} of {made.checked} users could not be written to")
    for problem, users in made.reasons:
        typer.echo(f"  {users}: {problem}")
    for warning in made.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _read_message(file: Path) -> MessageContent:
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    try:
        written = read_written(file.read_text(encoding="utf-8"), field="FILE")
        return MessageContent.model_validate(written)
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text", field="FILE") from error
    except ValidationError as error:
        raise Invalid.of(problems_of(error.errors())) from error


def _print(console: Console, shown: Shown) -> None:
    head = f"{shown.user_id} ({shown.language or shown.kind or 'not written'})"
    if shown.fallbacks:
        head += f", fallback of {', '.join(shown.fallbacks)}"
    console.print(head, style="bold", markup=False)
    if shown.error is not None:
        console.print(f"  ! {shown.error}", markup=False)
        return
    lines = [shown.header, shown.body or " | ".join(shown.parameters), shown.footer]
    lines += [f"[{button.text}] {button.value or ''}".rstrip() for button in shown.buttons]
    for line in lines:
        if line:
            console.print(f"  {line}", markup=False)


def _wiring() -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    return wiring
