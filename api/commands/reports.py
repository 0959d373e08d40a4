"""`report`, `reports` and `replay`: a report as text, page, table or document, those that were kept, and the proof that one can be made again."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.strict_json import read_json
from api.terminal import WIDTH_WITHOUT_TERMINAL, make_console
from api.wiring import Wiring
from experiments.clock import format_moment
from experiments.errors import Invalid, NotFound

if TYPE_CHECKING:
    from analysis.reports.models import StoredReport

LARGEST_ID: Final = 2**62


class Format(StrEnum):
    """How a report is written."""

    TEXT = "text"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command()(report)
    app.command()(reports)
    app.command()(replay)


def report(
    key: Annotated[str, typer.Argument(help="Key of the experiment.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text, html (a page that needs nothing else), csv, or json (all that replay needs).",
        ),
    ] = Format.TEXT,
    out: Annotated[Path | None, typer.Option(help="Write it to this file, not to the terminal.")] = None,
    number: Annotated[
        int | None, typer.Option("--id", min=1, help="A kept report by its id, instead of a new look.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="By slice: an attribute of users, or day (of assignment). As text or json by itself, in html and csv below the report."
        ),
    ] = None,
    as_document: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Make the report of an experiment and show it. Every report is a look at the data, and is kept; with --id a kept one is shown.

    Within an hour of the last one, a report that says nothing new is no new look: it has the id of that one.

    With --by, its effects by slice of the users and whether they differ: for finding questions, not for deciding.
    Example: touchstone report spring-wakeup --format html --out report.html
    Example: touchstone report spring-wakeup --by country
    """
    if as_document and form not in (Format.TEXT, Format.JSON):
        raise Invalid(f"is json, and --format is {form}; say one of them", field="--json")
    form = Format.JSON if as_document else form
    # scipy takes a second to load, which no other command should wait for.
    from analysis.reports import history, service

    wiring = _wiring()
    if number is None:
        stored = service.current_report(
            wiring.database, wiring.clock, key=key, max_age=timedelta(0), facts=wiring.facts
        )
    else:
        with wiring.database.snapshot() as session:
            stored = history.find(session, report_id=min(number, LARGEST_ID), key=key)
    if by is not None and form in (Format.TEXT, Format.JSON):
        _show_segments(wiring, stored, by=by, form=form, out=out)
        return
    if form == Format.TEXT and out is None:
        make_console().print(_text(stored.body))
        typer.echo(_kept_as(wiring, stored, key), err=True)
        return
    _write(_forms(wiring, stored, by)[form](), out)


def reports(
    key: Annotated[str, typer.Argument(help="Key of the experiment.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20,
) -> None:
    """The kept reports of an experiment, newest first: their ids for `report --id` and `replay`, and what each decided."""
    from analysis.reports import history

    wiring = _wiring()
    with wiring.database.snapshot() as session:
        rows = history.list_kept(session, key=key, limit=limit)
    table = Table("report", "as of", "method", "information", "decision", "variant")
    for row in rows:
        share = f"{row.information:.0%}" if row.information else ""
        table.add_row(
            str(row.id),
            format_moment(row.as_of),
            row.method or "",
            share,
            row.action or "",
            escape(row.variant or ""),
        )
    make_console().print(table)


def replay(
    report: Annotated[
        str,
        typer.Argument(
            help="Id of a kept report, or a file of JSON: `report --format json`, `analyze --json`."
        ),
    ],
) -> None:
    """Make a kept report again from what was kept with it, and say whether it is the same, byte for byte.

    Exit status 1 when it is not, with the first difference. Nothing is read but sums and counts, and nothing is stored.
    Example: touchstone replay 12
    """
    from analysis.reports import history
    from analysis.reports.replay import replay as replayed

    if report.isdecimal():
        wiring = _wiring()
        with wiring.database.snapshot() as session:
            stored = history.find(session, report_id=min(int(report), LARGEST_ID))
        found = replayed(history.exported(stored))
    else:
        found = replayed(_document(Path(report)))
    for line in found.lines():
        typer.echo(line)
    raise typer.Exit(0 if found.same else 1)


def write_file(text: str, file: Path) -> None:
    """Write a report; raises Invalid naming the file when that cannot be done."""
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise Invalid(f"cannot be written: {error.strerror}", field=str(file)) from error


def as_json(document: Mapping[str, Any]) -> str:
    """A report's document for a file or a pipe."""
    from json import dumps

    return dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _forms(wiring: Wiring, stored: "StoredReport", by: str | None) -> dict[Format, Callable[[], str]]:
    from analysis.reports import history
    from api.reporting import page_of, table_of

    return {
        Format.TEXT: lambda: _plain(_text(stored.body)),
        Format.HTML: lambda: page_of(wiring.database, stored, by=by, facts=wiring.facts),
        Format.CSV: lambda: table_of(wiring.database, stored, by=by, facts=wiring.facts),
        Format.JSON: lambda: as_json(history.exported(stored)),
    }


def _kept_as(wiring: Wiring, stored: "StoredReport", key: str) -> str:
    """By which id the report that is shown can be had again."""
    from analysis.reports import history

    if stored.id is not None:
        return f"report {stored.id}; `touchstone replay {stored.id}` makes it again"
    with wiring.database.snapshot() as session:
        newest = history.list_kept(session, key=key, limit=1)[0]
    return f"nothing has changed since report {newest.id} of {format_moment(newest.as_of)}, which is kept"


def _text(body: Mapping[str, Any]) -> Any:
    from analysis.reports.report_text import render

    return render(body)


def _show_segments(
    wiring: Wiring, stored: "StoredReport", *, by: str, form: Format, out: Path | None
) -> None:
    from analysis.reports.segment_reports import segment_report
    from analysis.reports.segment_text import render_segments

    said = segment_report(wiring.database, stored, by=by, facts=wiring.facts).to_json()
    if form == Format.JSON:
        _write(as_json(said), out)
    elif out is None:
        make_console().print(render_segments(said))
    else:
        _write(_plain(render_segments(said)), out)


def _plain(shown: Any) -> str:
    page = StringIO()
    Console(file=page, width=WIDTH_WITHOUT_TERMINAL).print(shown)
    return page.getvalue()


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    write_file(text, out)
    typer.echo(f"wrote {out}")


def _document(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise NotFound(f"there is no file {file}, and an id is a whole number", field="REPORT")
    try:
        document = read_json(file.read_bytes())
    except ValueError as error:
        raise Invalid(f"{file} is not JSON: {error}", field="REPORT") from error
    if not isinstance(document, dict):
        raise Invalid(f"{file} does not hold a report", field="REPORT")
    return document


def _wiring() -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    return wiring
