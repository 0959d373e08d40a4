"""`segments ..` and `attributes ..`: name groups of users, count them, fill lists, index what is asked for often."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api import importing
from api.commands.imports import drop_if_empty
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from experiments.errors import NotFound
from targeting.segments import attributes, membership, service, tags
from targeting.segments import preview as previews
from targeting.segments.lists import ListSummary, import_members

segments = typer.Typer(help="Segments: named conditions, or lists of users.", no_args_is_help=True)
known = typer.Typer(help="Attributes that users have, and indexes on them.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="Key of the segment.")]
CONDITION = 'JSON, or text such as: country in ("NL", "BR") and last_order older than 30 days'


def register(app: typer.Typer) -> None:
    app.add_typer(segments, name="segments")
    app.add_typer(known, name="attributes")


@segments.command("list")
def list_segments() -> None:
    """All segments, how large they were when last counted, and when that was."""
    table = Table("key", "kind", "size", "as of", "name")
    with _wiring().database.snapshot() as session:
        for row in service.list_segments(session, after_id=0, limit=1000):
            kind = "list" if row.condition is None else "condition"
            moment = format_moment(row.refreshed_at) if row.refreshed_at else ""
            table.add_row(
                row.key, kind, "" if row.size is None else f"{row.size:,}", moment, escape(row.name)
            )
    make_console().print(table)


@segments.command("put")
def put(
    key: Key,
    condition: Annotated[str | None, typer.Argument(help=f"{CONDITION}. A list when absent.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it; the key when absent.")] = None,
) -> None:
    """Add a segment, or change its condition.

    Example: touchstone segments put adults 'age >= 18'
    """
    wiring = _wiring(create=True)
    with wiring.database.transaction() as session:
        segment = service.put(
            session,
            wiring.clock,
            actor=ACTOR,
            key=key,
            name=name or key,
            condition=None if condition is None else _condition(condition),
        )
        kind = "a list" if segment.condition is None else json.dumps(segment.condition, ensure_ascii=False)
        warnings = service.warnings_of(session, segment)
    typer.echo(f"{key}: {kind}")
    _warn(warnings)


@segments.command("delete")
def delete(key: Key) -> None:
    """Forget a segment, unless something names it."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        service.delete(session, wiring.clock, actor=ACTOR, key=key)
    typer.echo(f"deleted {key}")


@segments.command("preview")
def preview(
    condition: Annotated[str, typer.Argument(help=f"{CONDITION}.")],
    sample: Annotated[int, typer.Option(min=0, max=100, help="Users to show.")] = 10,
) -> None:
    """How many users a condition means, and some of them. Nothing is stored.

    Example: touchstone segments preview 'country = "NL" and age >= 18'
    """
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        found = previews.preview(
            session,
            wiring.clock,
            condition=_condition(condition),
            rng=np.random.default_rng(),
            sample=sample,
        )
    count = found.count
    how = "exactly" if count.exact else f"estimated; between {count.lower:,} and {count.upper:,}"
    typer.echo(f"{count.value:,} users ({how})")
    _warn(found.warnings)
    table = Table("user", "attributes")
    for user in found.sample:
        table.add_row(escape(user.user_id), escape(json.dumps(user.attributes, ensure_ascii=False)))
    if found.sample:
        make_console().print(table)


@segments.command("refresh")
def refresh(key: Key) -> None:
    """Work out anew who meets the condition of a segment."""
    wiring = _wiring()
    done = membership.refresh(wiring.database, wiring.clock, key=key)
    typer.echo(f"{key}: {done.size:,} members; {done.joined:,} joined, {done.left:,} left")


@segments.command("overlap")
def overlap(a: Key, b: Annotated[str, typer.Argument(help="Key of the other segment.")]) -> None:
    """How two segments overlap."""
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        found = membership.overlap(session, wiring.clock, a=a, b=b)
    table = Table("", "users")
    rows = ((a, found.a), (b, found.b), ("both", found.both), (f"only {a}", found.only_a))
    for label, number in (*rows, (f"only {b}", found.only_b)):
        table.add_row(label, f"{number:,}")
    table.add_row("both / either", "-" if found.jaccard is None else f"{found.jaccard:.3f}")
    make_console().print(table)


@segments.command("tag")
def tag(
    key: Key,
    tag: Annotated[str, typer.Argument(help="The tag.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take it off instead.")] = False,
) -> None:
    """Put a tag on everybody who is in a segment now, or take it off."""
    wiring = _wiring()
    done = tags.tag_segment(wiring.database, wiring.clock, actor=ACTOR, key=key, tag=tag, remove_it=remove)
    typer.echo(f"{done.looked_at:,} users, {done.changed:,} changed")
    if done.refused:
        typer.echo(f"{done.refused:,} users could not take it: their tags are no list, or too many", err=True)


@segments.command("import")
def import_list(
    key: Key,
    file: Annotated[Path, typer.Argument(help="One user id a line, or a CSV with a column user_id.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take everybody off the list who is not in the file.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go; FILE.rejects.csv when absent.")
    ] = None,
) -> None:
    """Put the users of a file on a list. Ids that are no user's go to the reject file; the others land.

    Running the same import again changes nothing.
    """
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    target = rejects or file.with_name(file.name + ".rejects.csv")
    summary = _import(_wiring(), key, file, target, replace)
    typer.echo(
        f"{key}: {summary.size:,} members; {summary.added:,} added, {summary.present:,} there already, "
        f"{summary.removed:,} removed"
    )
    if summary.rejected:
        typer.echo(f"{summary.rejected:,} rows were rejected; see {target}", err=True)


def _import(wiring: Wiring, key: str, file: Path, target: Path, replace: bool) -> ListSummary:
    console = make_console(stderr=True)
    with ExitStack() as stack:
        stack.callback(drop_if_empty, target)
        source = stack.enter_context(file.open("rb"))
        sink = stack.enter_context(target.open("w", newline="", encoding="utf-8"))
        columns = (
            TextColumn("importing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeElapsedColumn(),
        )
        bar = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        task = bar.add_task("rows", total=importing.count_lines(file))
        return import_members(
            wiring.database,
            wiring.clock,
            source,
            actor=ACTOR,
            key=key,
            rejects=sink,
            replace=replace,
            max_rows=wiring.settings.max_upload_rows,
            file_name=file.name,
            progress=lambda rows: bar.update(task, completed=rows),
        )


@known.command("list")
def list_attributes() -> None:
    """The attributes of users, as last discovered from a random draw: after an import, or once an hour."""
    table = Table("name", "kind", "share", "indexed", "for instance")
    with _wiring().database.snapshot() as session:
        for row in attributes.list_attributes(session, skip=0, limit=2000):
            shown = ", ".join(json.dumps(one, ensure_ascii=False) for one in row.examples)
            indexed = "yes" if row.indexed else ""
            table.add_row(escape(row.name), row.kind, f"{row.share:.1%}", indexed, escape(shown))
    make_console().print(table)


@known.command("index")
def index(
    name: Annotated[str, typer.Argument(help="Name of the attribute.")],
    drop: Annotated[bool, typer.Option("--drop", help="Drop the index instead.")] = False,
) -> None:
    """Make the index on one attribute, so that conditions on it are counted without reading all users."""
    wiring = _wiring()
    attributes.set_indexed(
        wiring.database,
        wiring.clock,
        actor=ACTOR,
        name=name,
        indexed=not drop,
        rng=np.random.default_rng(),
    )
    typer.echo(f"{name}: {'no index' if drop else 'indexed'}")


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _condition(text: str) -> dict[str, Any] | str:
    """JSON when it begins as a JSON object does; text otherwise."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return text
    return found


def _wiring(*, create: bool = False) -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=create)
    return wiring
