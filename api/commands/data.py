"""`migrate` and `keys`."""

from typing import Annotated

import typer
from rich.table import Table

from api import migrations, repository, security
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from experiments.vocabulary import Scope

keys = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.add_typer(keys, name="keys")


def migrate(
    new: Annotated[
        str | None,
        typer.Option(help="For developers: write the migration from the newest schema to the models."),
    ] = None,
) -> None:
    """Bring the database (TOUCHSTONE_DATABASE_URL) to the newest schema. Safe to run again."""
    wiring = Wiring.from_environment()
    migrations.upgrade(wiring.database)
    if new is not None:
        typer.echo(f"wrote {migrations.write(wiring.database, message=new)}; read it before you trust it")
        return
    typer.echo(f"database is at revision {migrations.current_revision(wiring.database)}")


@keys.command("create")
def create_key(
    scope: Annotated[
        list[Scope], typer.Option(help="May be repeated. admin may do everything, write includes read.")
    ],
    name: Annotated[str, typer.Option(help="Who uses this key; shown in the audit log.")] = "unnamed",
) -> None:
    """Make an API key and print it. It is shown this once; only its hash is stored."""
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=True)
    with wiring.database.transaction() as session:
        _key, text = security.create_key(session, wiring.clock, actor=ACTOR, name=name, scopes=scope)
    typer.echo(text)


@keys.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    table = Table("prefix", "name", "scopes", "created", "revoked")
    with wiring.database.snapshot() as session:
        for key in repository.list_keys(session, after_id=0, limit=1000):
            revoked = format_moment(key.revoked_at) if key.revoked_at else ""
            table.add_row(key.prefix, key.name, " ".join(key.scopes), format_moment(key.created_at), revoked)
    make_console().print(table)


@keys.command("revoke")
def revoke_key(
    prefix: Annotated[str, typer.Argument(help="The middle part of the key: ts_PREFIX_..")],
) -> None:
    """Make a key useless from now on."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.transaction() as session:
        security.revoke_key(session, wiring.clock, actor=ACTOR, prefix=prefix)
    typer.echo(f"revoked {prefix}")
