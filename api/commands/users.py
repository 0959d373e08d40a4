"""`users export`, `users why`, `users consent`, `users erase`, `users readmit`: what belongs to a person, and what becomes of them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from api import privacy
from api.terminal import ACTOR
from api.wiring import Wiring
from delivery.watch.why import why
from experiments.clock import format_moment
from experiments.errors import Invalid
from experiments.settings import WEAK_TOMBSTONES
from experiments.vocabulary import Category
from targeting import consent
from targeting.privacy import readmit as readmit_user
from targeting.users import find

users = typer.Typer(help="One person's own data: a copy, being forgotten, coming back.", no_args_is_help=True)
UserId = Annotated[str, typer.Argument(help="The user's id, as your own systems write it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(users, name="users")


@users.command("export")
def export(
    user_id: UserId,
    to: Annotated[Path | None, typer.Option(help="Write to this file instead of showing it.")] = None,
) -> None:
    """Everything known of one user, as JSON: profile, consent and its proofs, events, messages, changes."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.snapshot() as session:
        copy = privacy.export(session, user_id=user_id)
    text = json.dumps(copy, default=format_moment, ensure_ascii=False, indent=2)
    if to is None:
        typer.echo(text)
        return
    to.write_text(text + "\n", encoding="utf-8")
    typer.echo(f"wrote {to}")


@users.command("why")
def explain(
    user_id: UserId,
    experiment: Annotated[str | None, typer.Option(help="Key of one experiment; all when absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, field by field.")] = False,
) -> None:
    """Why somebody was sent a message, why not, and when next."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.snapshot() as session:
        found = why(session, wiring.clock, user_id=user_id, experiment=experiment, settings=wiring.settings)
    if as_json:
        typer.echo(json.dumps(found.to_json(), default=format_moment, ensure_ascii=False, indent=2))
        return
    for each in found.experiments:
        typer.echo(f"{each.experiment} ({each.status}): {each.outcome}. {each.because}")
        for message in each.messages:
            typer.echo(f"  message {message.step + 1}, {message.state}: {message.because}")
    if not found.experiments:
        typer.echo("takes part in no experiment, and none is running")
    if found.more:
        typer.echo("there are more; name one with --experiment")


@users.command("consent")
def set_consent(
    user_id: UserId,
    withdraw: Annotated[
        bool, typer.Option("--withdraw/--grant", help="Nothing more from now on, or: they agreed.")
    ],
    category: Annotated[Category, typer.Option(help="Which messages it is about.")] = Category.MARKETING,
    source: Annotated[
        str, typer.Option(help="Where it was said, such as checkout; a grant needs it, as its proof.")
    ] = "",
    evidence: Annotated[str, typer.Option(help="The words that were agreed to, or a reference.")] = "",
) -> None:
    """Record that a person agreed to messages, or wants none any more; a withdrawal counts at once.

    Example: touchstone users consent u1 --withdraw
    """
    if not withdraw and not source.strip():
        raise Invalid("a grant needs it: where did the person agree, such as checkout", field="--source")
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.transaction() as session:
        consent.record(
            session,
            wiring.clock,
            actor=ACTOR,
            user_id=user_id,
            category=category,
            granted=not withdraw,
            source=source.strip() or ACTOR,
            evidence=evidence,
        )
    typer.echo(f"{user_id}: {category} {'withdrawn' if withdraw else 'granted'}")


@users.command("erase")
def erase(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; there is no way back.")] = False,
) -> None:
    """Forget one user for good. Results of experiments stay as they are; the person cannot come back by import."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.snapshot() as session:
        find(session, user_id=user_id)
    if not wiring.settings.erasure_secret.get_secret_value():
        typer.echo(f"warning: {WEAK_TOMBSTONES}", err=True)
    if not yes:
        typer.confirm(f"Erase everything known of {user_id!r}? There is no way back", abort=True)
    with wiring.database.transaction() as session:
        erased = privacy.erase(session, wiring.clock, settings=wiring.settings, actor=ACTOR, user_id=user_id)
    wiring.database.truncate_log()
    typer.echo(f"erased; an empty row {erased.pseudonym} stays, so that results still add up")


@users.command("readmit")
def readmit(
    user_id: UserId,
    phone: Annotated[
        str | None, typer.Option(help="The phone number, when that is to come back too.")
    ] = None,
) -> None:
    """Let somebody who was erased come back, because they asked to."""
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.transaction() as session:
        freed = readmit_user(
            session,
            wiring.clock,
            actor=ACTOR,
            user_id=user_id,
            phone=phone,
            secret=wiring.settings.erasure_secret.get_secret_value(),
            default_region=wiring.settings.default_region,
        )
    typer.echo(f"free again: {freed} of the names")
    if phone is None:
        typer.echo("a phone number that was erased stays blocked; name it with --phone to free it, too")
