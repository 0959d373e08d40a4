"""`members ..`: who may sign in to the dashboard with an account, and as what."""

from typing import Annotated

import typer
from rich.table import Table

from api import members as people
from api import repository
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from experiments.vocabulary import Role

members = typer.Typer(help="People who sign in with an account: add, list, remove.", no_args_is_help=True)
Email = Annotated[str, typer.Argument(help="The e-mail that their account tells.")]


def register(app: typer.Typer) -> None:
    app.add_typer(members, name="members")


@members.command("add")
def add(
    email: Email,
    role: Annotated[
        Role, typer.Option(help="reader sees, editor also changes, admin also hands out access.")
    ],
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Keep them on the list, but let them in no more.")
    ] = False,
) -> None:
    """Let somebody sign in with an account, or change what they may do; any change ends what they are signed in with."""
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=True)
    with wiring.database.transaction() as session:
        member = people.put_member(
            session, wiring.clock, actor=ACTOR, email=email, role=role, disabled=disabled
        )
        said = f"{member.email} is {member.role}" + (", and switched off" if member.disabled else "")
    typer.echo(said)
    if not wiring.settings.oidc_issuer:
        typer.echo(
            "warning: nobody can sign in with an account yet: set TOUCHSTONE_OIDC_ISSUER and TOUCHSTONE_OIDC_AUDIENCE",
            err=True,
        )


@members.command("list")
def list_members() -> None:
    """Show everybody who may sign in with an account, and when they last did."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    table = Table("e-mail", "role", "switched off", "signed in")
    after = 0
    with wiring.database.snapshot() as session:
        while rows := repository.list_members(session, after_id=after, limit=500):
            for row in rows:
                seen = format_moment(row.signed_in_at) if row.signed_in_at else ""
                table.add_row(row.email, row.role, "yes" if row.disabled else "", seen)
            after = rows[-1].id or 0
    make_console().print(table)


@members.command("remove")
def remove(email: Email) -> None:
    """Let somebody sign in no more; what they are signed in with ends at once."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.transaction() as session:
        people.remove_member(session, wiring.clock, actor=ACTOR, email=email)
    typer.echo(f"removed {people.read_email(email)}")
