"""`delivery ..`: fuses, pausing everything, our numbers and the inbox of webhooks, from a terminal."""

from typing import Annotated

import typer
from rich.table import Table

from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from delivery.fuses import breakers, numbers
from delivery.receipts import inbox as receipts
from delivery.receipts.inbox import WebhookState
from experiments.clock import format_moment

delivery = typer.Typer(
    help="Delivery: fuses, pause and resume everything, numbers, webhooks.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(delivery, name="delivery")


@delivery.command("breakers")
def list_breakers() -> None:
    """Fuses that are open: nothing goes out through them until they are closed."""
    wiring = _wiring()
    table = Table("kind", "key", "opened", "closes by itself", "reason")
    with wiring.database.snapshot() as session:
        for row in breakers.open_breakers(session, wiring.clock):
            until = format_moment(row.until) if row.until else "no"
            table.add_row(row.kind, row.key, format_moment(row.opened_at), until, row.reason)
    make_console().print(table)


@delivery.command("close")
def close(
    kind: Annotated[breakers.Kind, typer.Argument(help="all, number, template or variant.")],
    key: Annotated[
        str,
        typer.Argument(help="As `touchstone delivery breakers` shows it; of a number its id or its digits."),
    ],
) -> None:
    """Close a fuse once its cause is mended, such as a wrong token; what waited goes out again."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        closed = breakers.close(session, wiring.clock, actor=ACTOR, kind=kind, key=key)
    typer.echo(f"closed {kind} {closed.key}")


@delivery.command("pause")
def pause(reason: Annotated[str, typer.Argument(help="Why, for whoever wonders.")]) -> None:
    """Stop everything, at once: no message goes out until `touchstone delivery resume`."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        before = breakers.paused(session, wiring.clock)
        row = breakers.pause_all(session, wiring.clock, actor=ACTOR, reason=reason)
    since = f"paused since {format_moment(row.opened_at)}: {row.reason}"
    typer.echo(since if before is None else f"was already {since} (this reason is kept)")


@delivery.command("resume")
def resume() -> None:
    """Go on after a pause; other fuses stay as they are."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        before = breakers.paused(session, wiring.clock)
        breakers.resume_all(session, wiring.clock, actor=ACTOR)
        still_open = len(breakers.open_breakers(session, wiring.clock))
    typer.echo("was not paused" if before is None else f"resumed; was paused for: {before.reason}")
    if still_open:
        typer.echo(
            f"fuses still open, which hold messages back: {still_open}; `touchstone delivery breakers`"
        )


@delivery.command("numbers")
def list_numbers() -> None:
    """Our numbers as WhatsApp sees them."""
    table = Table("number", "digits", "quality", "people in 24 h", "status")
    with _wiring().database.snapshot() as session:
        for known in numbers.all_states(session):
            people = "" if known.unique_users_at is None else str(known.unique_users or "any")
            table.add_row(known.number, known.display or "", known.quality or "", people, known.status or "")
    make_console().print(table)


@delivery.command("webhooks")
def list_webhooks(
    state: Annotated[WebhookState, typer.Option(help="Which webhooks to list.")] = WebhookState.ERROR,
    after: Annotated[int, typer.Option(help="Only those behind this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
) -> None:
    """Stored webhooks that could not be made sense of, or are in another state; and how many there are of each."""
    table = Table("id", "received", "projected", "error", "nothing made of")
    with _wiring().database.snapshot() as session:
        counts = receipts.counts(session)
        for row in receipts.page(session, state=state, after_id=after, limit=limit):
            projected = format_moment(row.projected_at) if row.projected_at else "waits"
            table.add_row(
                str(row.id), format_moment(row.received_at), projected, row.error or "", row.other or ""
            )
    make_console().print(table)
    others = "".join(f", {number} {kind}" for kind, number in counts.other.items())
    typer.echo(
        f"{counts.waiting} waiting, {counts.errors} with an error, {counts.unmatched} unmatched{others}"
    )


def _wiring() -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    return wiring
