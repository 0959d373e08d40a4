"""`condition`: what a condition means, from a terminal."""

import json
from dataclasses import replace
from typing import Annotated, Any

import typer

from api.sqlite_file import is_missing
from api.strict_json import TooDeepError, read_json
from api.wiring import Wiring
from experiments.database import Database
from experiments.errors import Invalid
from targeting.segments import condition_reading


def register(app: typer.Typer) -> None:
    app.command()(condition)


def condition(
    sent: Annotated[
        str, typer.Argument(metavar="CONDITION", help="""Text (country = "NL" and age >= 18) or JSON.""")
    ],
) -> None:
    """Check a condition and say it as JSON, as text and in plain English; see docs/conditions.md."""
    wiring = Wiring.from_environment()
    if is_missing(wiring.database):
        # What attributes there are is not known then, and nothing is made for the asking.
        wiring = replace(wiring, database=Database("sqlite://"))
    wiring.prepare_database(create=True)
    with wiring.database.snapshot() as session:
        reading = condition_reading.read(session, condition=_read(sent))
    typer.echo(json.dumps(reading.condition, ensure_ascii=False))
    typer.echo(reading.text)
    typer.echo(reading.english)
    for warning in reading.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _read(sent: str) -> Any:
    """JSON when it looks like an object, which no text does."""
    if not sent.lstrip().startswith("{"):
        return sent
    try:
        return read_json(sent.encode())
    except TooDeepError as error:
        raise Invalid(f"is {error.msg}", field="condition") from error
    except ValueError as error:
        raise Invalid(f"is not valid JSON: {error}", field="condition") from error
