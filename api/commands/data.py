"""`migrate`, `keys`, `import users`."""

from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api import importing, migrations, repository, security
from api.terminal import make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from experiments.errors import NotFound
from experiments.vocabulary import Scope

ACTOR = "command line"
keys = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)
imports = typer.Typer(help="Bring people in from files.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.add_typer(keys, name="keys")
    app.add_typer(imports, name="import")


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
    wiring.prepare_database()
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


@imports.command("users")
def import_users(
    file: Annotated[Path, typer.Argument(help="CSV or JSONL (one JSON object a line).")],
    map: Annotated[  # noqa: A002  # the name of the option
        list[str] | None,
        typer.Option(help="FIELD=COLUMN, such as phone=mobile or consent.marketing=opt_in. May be repeated."),
    ] = None,
    format: Annotated[  # noqa: A002  # the name of the option
        str | None, typer.Option(help="csv or jsonl; told from the file's name when absent.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Country of phone numbers without +, such as NL.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go; FILE.rejects.csv when absent.")
    ] = None,
) -> None:
    """Import users. Wrong rows go to the reject file with line, field and reason; the rest lands.

    Columns named user_id, phone, time_zone, locale and consent_marketing are understood; every other column becomes
    an attribute. Running the same import again changes nothing.

    Example: touchstone import users crm.csv --map user_id=customer_no --map phone=mobile --region NL
    """
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    order = importing.read_order(
        name=file.name, media_type=None, chosen=format, mapping=None, pairs=map or [], region=region
    )
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    target = rejects or file.with_name(file.name + ".rejects.csv")
    console = make_console(stderr=True)
    with ExitStack() as stack:
        stack.callback(_drop_if_empty, target)
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
        task = bar.add_task("rows", total=importing.count_lines(file))
        summary = importing.run(
            wiring,
            source,
            order,
            actor=ACTOR,
            rejects=sink,
            progress=lambda rows: bar.update(task, completed=rows),
        )
        bar.update(task, completed=summary.rows, total=summary.rows)
    table = Table("", "rows", title=f"imported {file.name}", title_justify="left")
    for label, value in summary.to_json().items():
        table.add_row(label.replace("_", " "), str(value))
    make_console().print(table)
    if summary.rejected:
        typer.echo(f"{summary.rejected} rows were rejected; see {target}", err=True)


def _drop_if_empty(rejects: Path) -> None:
    """A reject file that holds its header at most says nothing."""
    with rejects.open(encoding="utf-8") as file:
        lines = sum(1 for _ in islice(file, 2))
    if lines < 2:
        rejects.unlink()
