"""The command line. Every command is thin: read options, call what the API calls, print."""

import logging
import sys
from typing import NoReturn

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from typer.exceptions import TyperException

from api.commands import (
    allocating,
    analyze,
    campaigns,
    certifying,
    conditions,
    data,
    delivery,
    exports,
    imports,
    members,
    planning,
    policy,
    pulls,
    reports,
    rules,
    running,
    segments,
    simulating,
    templates,
    traffic,
    users,
)
from experiments.errors import TouchstoneError
from experiments.settings import Settings

app = typer.Typer(
    name="touchstone",
    help="Messaging campaigns on WhatsApp, run as honest experiments. Start with `touchstone demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for family in (
    running,
    data,
    members,
    delivery,
    policy,
    imports,
    pulls,
    campaigns,
    planning,
    simulating,
    reports,
    allocating,
    traffic,
    conditions,
    analyze,
    exports,
    certifying,
    users,
    rules,
    segments,
    templates,
):
    family.register(app)


def main() -> NoReturn:
    """Run the command line. An error is one line on stderr: exit status 1, or 2 when the command was typed wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        # Not "standalone": that would frame what was typed wrong, over six lines.
        status = app(prog_name="touchstone", standalone_mode=False)
    except TyperException as error:
        _say_how_to_type(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        typer.echo("touchstone: stopped", err=True)
        sys.exit(1)
    except TouchstoneError as error:
        typer.echo(f"touchstone: {error}", err=True)
        sys.exit(1)
    except OperationalError as error:
        typer.echo(
            f"touchstone: the database does not answer: {' '.join(str(error.orig).split())}; "
            f"see TOUCHSTONE_DATABASE_URL, now {make_url(Settings.from_environment().database_url).render_as_string()}",
            err=True,
        )
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _say_how_to_type(error: TyperException) -> None:
    """In one line; a command without its subcommand has shown its help by then, and has no more to say."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "touchstone"
    if message:
        typer.echo(f"touchstone: {message}; see {command} --help", err=True)
