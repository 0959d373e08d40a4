"""`rules ..`: change rules, try them, switch them on and off, see what they did."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.commands.campaigns import read_document
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from targeting.rules import service
from targeting.rules.dry_run import DryRun

rules = typer.Typer(help="Rules: what is done when something happens.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="Key of the rule.")]


def register(app: typer.Typer) -> None:
    app.add_typer(rules, name="rules")


@rules.command("list")
def list_rules() -> None:
    """All rules, whether they are on, and the errors of those that failed."""
    table = Table("key", "state", "version", "name", "error")
    with _wiring().database.snapshot() as session:
        for row in service.list_rules(session, after_id=0, limit=1000):
            table.add_row(row.key, service.state_of(row), str(row.version), row.name, row.error or "")
    make_console().print(table)


@rules.command("put")
def put(file: Annotated[Path, typer.Argument(help="A rule as YAML or JSON; see docs/rules.md.")]) -> None:
    """Add the rule in FILE, or give it a new version; says what changed. Try it with `dry-run`, then enable it."""
    document = read_document(file, what="a rule: a mapping with key, trigger and actions")
    wiring = _wiring(create=True)
    with wiring.database.transaction() as session:
        done = service.put(session, wiring.clock, actor=ACTOR, document=document)
        typer.echo(
            f"{done.rule.key}: {done.outcome} (version {done.rule.version}, {service.state_of(done.rule)})"
        )
    for warning in done.warnings:
        typer.echo(f"warning: {warning}", err=True)


@rules.command("enable")
def enable(key: Key) -> None:
    """Let a rule fire from now on; clears the error of a parked one."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        rule = service.enable(session, wiring.clock, actor=ACTOR, key=key)
        typer.echo(f"{key}: {service.state_of(rule)}")


@rules.command("disable")
def disable(key: Key) -> None:
    """Let a rule fire no more."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        rule = service.disable(session, wiring.clock, actor=ACTOR, key=key)
        typer.echo(f"{key}: {service.state_of(rule)}")


@rules.command("dry-run")
def dry_run(
    rule: Annotated[str, typer.Argument(help="Key of a stored rule, or a file with one.")],
    days: Annotated[int, typer.Option(help="How far to look back.")] = 30,
    limit: Annotated[int, typer.Option(help="Firings to list.")] = 20,
) -> None:
    """Who a rule would have fired for in the last days, and why not for the others. Nothing is stored or done."""
    file = Path(rule)
    document = read_document(file, what="a rule") if file.suffix and file.is_file() else None
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        found = service.dry_run(
            session,
            wiring.clock,
            document=document,
            key=None if document else rule,
            days=days,
            limit=limit,
        )
    _show(found)


@rules.command("firings")
def firings(
    key: Key, limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 20
) -> None:
    """Whom a rule fired for, newest first, and what came of it."""
    table = Table("at", "user", "cause", "outcome")
    with _wiring().database.snapshot() as session:
        for row, user_id in service.firings(session, key=key, limit=limit):
            made = "; ".join(_came_of(action) for action in row.outcome["actions"])
            table.add_row(format_moment(row.at), user_id, row.cause, made)
    make_console().print(table)


def _came_of(action: dict[str, object]) -> str:
    if action["type"] == "enrol":
        return f"{action['experiment']}: {action['variant'] or action['reason']}"
    done = "done" if action.get("changed") else action.get("reason") or "no change"
    return f"{action['type']} {action.get('tag') or action.get('name')}: {done}"


def _show(run: DryRun) -> None:
    console = make_console()
    console.print(run.says, soft_wrap=True)
    for note in run.notes:
        console.print(f"({note})", soft_wrap=True)
    console.print(
        f"seen {run.seen}: fires {run.fires} for {run.users} users; trigger does not hold {run.trigger_failed}, "
        f"condition {run.condition_failed}, cool-down {run.cool_down}, once per user {run.once_per_user}",
        soft_wrap=True,
    )
    if run.truncated:
        console.print(f"Only looked as far as {format_moment(run.until)}: there is more.")
    table = Table("at", "user", "cause")
    for firing in run.firings:
        table.add_row(format_moment(firing.at), firing.user_id, firing.cause)
    console.print(table)


def _wiring(*, create: bool = False) -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=create)
    return wiring
