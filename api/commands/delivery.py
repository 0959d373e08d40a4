"""`delivery ..`: what became of every message, fuses, pausing everything, our numbers and the inbox of webhooks, from a terminal."""

from collections.abc import Iterator
from json import dumps
from typing import Annotated, Final

import typer
from fastapi.encoders import jsonable_encoder
from rich.markup import escape
from rich.table import Table

from api.masking import masked_body
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from delivery.fuses import breakers, numbers
from delivery.models import WebhookBody
from delivery.receipts import inbox as receipts
from delivery.receipts.inbox import WebhookState
from delivery.watch import operations
from delivery.watch.operations import Overview
from delivery.watch.summary import Summary
from experiments.clock import format_moment

delivery = typer.Typer(
    help="Delivery: fuses, pause and resume everything, numbers, webhooks.", no_args_is_help=True
)
webhooks = typer.Typer(help="Stored webhooks that need a look, and why; `show ID` prints one.")
_NEEDS_A_LOOK: Final = (
    WebhookState.ERROR,
    WebhookState.WAITING,
    WebhookState.UNMATCHED,
    WebhookState.OTHER,
)


def register(app: typer.Typer) -> None:
    delivery.add_typer(webhooks, name="webhooks")
    app.add_typer(delivery, name="delivery")


@delivery.command("summary")
def show_summary(
    experiment: Annotated[
        str | None, typer.Option(help="Only the messages of this experiment; without it all.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Everything, as `GET /v1/delivery/summary` has it.")
    ] = False,
) -> None:
    """What became of every message, what waits, what holds it back, and whether the books hold."""
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        found = operations.overview(session, wiring.clock, settings=wiring.settings, key=experiment)
    if json:
        typer.echo(dumps(jsonable_encoder(found.to_json()), indent=2))
        return
    console = make_console()
    console.print(_books_table(found.summary))
    console.print("  ".join(f"{stage} {number}" for stage, number in found.summary.funnel.items()))
    for line in _lines(found):
        console.print(escape(line))


def _books_table(summary: Summary) -> Table:
    columns = (
        "slots",
        "sent",
        "inflight",
        "waiting",
        "suppressed",
        "expired",
        "failed",
        "unknown",
        "cancelled",
    )
    table = Table("experiment", *columns, "books")
    for each in summary.experiments:
        table.add_row(
            each.experiment,
            *(str(getattr(each, name)) for name in columns),
            "hold" if each.holds else "DO NOT HOLD",
        )
    return table


def _lines(found: Overview) -> Iterator[str]:
    """What goes on now, a line each; nothing is said of what is as usual."""
    queue, now = found.now.queue, found.now
    yield (
        f"waiting: {queue.due} due, {queue.later} later, {queue.paused} of paused experiments; accepted in the last minute: {now.accepted_per_minute['1']:g}; "
        f"workers: {len(now.workers)}; webhooks waiting: {now.inbox.waiting}"
    )
    for fuse in now.breakers:
        until = f" until {format_moment(fuse.until)}" if fuse.until else ""
        yield f"open fuse: {fuse.kind} {fuse.key}{until}: {fuse.reason}"
    for failure in now.failures:
        yield f"{failure.messages} {failure.state}: {failure.error.meaning}; {failure.error.remedy}"


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
    kind: Annotated[breakers.Kind, typer.Argument(help="all, number, template, variant or guard.")],
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


@webhooks.callback(invoke_without_command=True)
def list_webhooks(
    context: typer.Context,
    state: Annotated[
        WebhookState | None, typer.Option(help="Only those in this state; without it all that need a look.")
    ] = None,
    after: Annotated[int, typer.Option(help="Only those behind this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
) -> None:
    """Stored webhooks that need a look, and why: one could not be read, waits, or has something that nothing was made of."""
    if context.invoked_subcommand is not None:
        return
    table = Table("id", "received", "why")
    with _wiring().database.snapshot() as session:
        counts = receipts.counts(session)
        found = {
            row.id or 0: row
            for each in ([state] if state else _NEEDS_A_LOOK)
            for row in receipts.page(session, state=each, after_id=after, limit=limit)
        }
        shown = sorted(found)[:limit]
        for body_id in shown:
            row = found[body_id]
            table.add_row(str(body_id), format_moment(row.received_at), escape(_why(row)))
    make_console().print(table)
    others = "".join(f", {number} {kind}" for kind, number in counts.other.items())
    typer.echo(
        f"{counts.waiting} waiting, {counts.errors} with an error, {counts.unmatched} unmatched{others}"
    )
    if len(shown) == limit:
        typer.echo(f"there may be more: --after {shown[-1]}")


def _why(row: WebhookBody) -> str:
    """What is to be said of a stored webhook; empty when all is well."""
    reasons = [row.error] if row.error else []
    if row.unmatched:
        waits = ", still looked for" if row.projected_at is None else ""
        reasons.append(f"statuses of unknown messages: {len(row.unmatched)}{waits}")
    elif row.projected_at is None:
        reasons.append("waits: not looked at yet")
    if row.other:
        reasons.append(f"nothing made of: {row.other}")
    return "; ".join(reasons)


@webhooks.command("show")
def show_webhook(
    body_id: Annotated[int, typer.Argument(metavar="ID", help="As `touchstone delivery webhooks` shows it.")],
) -> None:
    """Print one webhook as WhatsApp sent it, without the phone numbers of people."""
    with _wiring().database.snapshot() as session:
        row = receipts.find(session, body_id=body_id)
    typer.echo(masked_body(row.body))
    if why := _why(row):
        typer.echo(why, err=True)


def _wiring() -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    return wiring
