"""`policy ..`: how often people may be written to, and when not."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from api.terminal import ACTOR
from api.wiring import Wiring
from api.written import read_written
from delivery.limits import policy as policies
from experiments.errors import Invalid

policy = typer.Typer(
    help="The delivery policy: how often people may be written to, and when not.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(policy, name="policy")


@policy.command("show")
def show() -> None:
    """The policy that counts now, as YAML that `policy set` reads."""
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        document = policies.current(session, wiring.settings).model_dump(mode="json")
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())


@policy.command("set")
def put(
    file: Annotated[Path, typer.Argument(help="A policy as YAML or JSON; see docs/delivery.md.")],
) -> None:
    """Let the policy in FILE count from now on, for all campaigns and workers. What it leaves out has its default."""
    document = _read(file)
    wiring = _wiring(create=True)
    with wiring.database.transaction() as session:
        policies.put(session, wiring.clock, actor=ACTOR, document=document)
    typer.echo("the policy counts from now on")


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}", field="FILE") from error
    # Not as campaigns are read: the country NO is no boolean.
    return read_written(text, field="FILE")


def _wiring(*, create: bool = False) -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=create)
    return wiring
