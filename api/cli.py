"""The command line. Every command is thin: read options, call what the API calls, print."""

import logging
import sys
from typing import NoReturn

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

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
    """Run the command line; an error of ours is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
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
    sys.exit(0)
