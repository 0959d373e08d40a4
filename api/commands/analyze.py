"""`analyze`: a report on a file that somebody else made. Needs no database."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.reports import as_json, write_file
from api.terminal import make_console
from experiments.errors import Invalid
from experiments.vocabulary import Method


def register(app: typer.Typer) -> None:
    app.command()(analyze)


def analyze(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, one row a user (or give --unit).")],
    *,
    variant: Annotated[str, typer.Option(help="Column that says which variant a row belongs to.")],
    control: Annotated[str, typer.Option(help="Value of that column which is the control.")],
    metric: Annotated[
        list[str],
        typer.Option(
            help="NAME=KIND:COLUMN[/COLUMN]; KIND is proportion, mean, ratio, quantile (COLUMN@0.9), count, sum or retention. "
            "May be repeated."
        ),
    ],
    unit: Annotated[
        str | None, typer.Option(help="Column that names the user, when one has several rows.")
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=COLUMN: a quantity from before the experiment, for that metric. May be repeated, also for one metric."
        ),
    ] = None,
    secondary: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME of a metric that is not decided by; the others are primary. May be repeated."
        ),
    ] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME=MARGIN: a metric that must not get worse (by more than MARGIN, in its units). May be repeated."
        ),
    ] = None,
    decrease: Annotated[
        list[str] | None, typer.Option(help="NAME of a metric of which less is better. May be repeated.")
    ] = None,
    cap: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=NUMBER or NAME=99%: what one user has beyond it does not count (winsorising). May be repeated."
        ),
    ] = None,
    reached: Annotated[
        str | None,
        typer.Option(
            help="Column that is 1 for a user whom a message reached, 0 else; for a silent control."
        ),
    ] = None,
    factor: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=COLUMN, for variants that cross factors: the level of each. May be repeated."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Column: effects by its values, and whether they differ; for finding questions, not for deciding."
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="VARIANT=SHARE as designed, such as A=9 and B=1; equal when absent. May be repeated; one without rows has no users."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="How often is this file looked at? fixed: once; the others stay valid at every look "
            "(exact: proportions, also where few convert)."
        ),
    ] = Method.FIXED,
    planned: Annotated[
        int | None,
        typer.Option(
            min=1, help="Users of all arms together at the planned end, when the file is not the end."
        ),
    ] = None,
    look: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="With --planned: how many users there were at an earlier look. May be repeated; costs alpha of spending.",
        ),
    ] = None,
    mde: Annotated[
        float | None, typer.Option(help="Smallest lift worth finding, such as 0.1 for 10 %.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Error rate; 0.05 gives 95 % intervals.")
    ] = 0.05,
    json: Annotated[
        bool, typer.Option("--json", help="The report as JSON, with all that `replay` needs.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the report to this file as a page as well.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the report to this file as a table as well.")
    ] = None,
) -> None:
    """Compare the variants in FILE with the control: effects, intervals, sample-ratio check, decision.

    A cell that does not fit makes its metric "cannot tell", with the reason among the warnings; nobody is left out for it.

    Example: touchstone analyze orders.csv --variant arm --control A --metric bought=proportion:bought --metric spend=mean:spend

    With roles: .. --metric left=proportion:left --secondary spend --guardrail left=0.002 --decrease left --cap spend=99%

    By slice: .. --by country. Looked at twice: .. --method spending --planned 20000 --look 8000
    """
    # scipy takes a second to load, which no other command should wait for.
    from analysis.files.files import read_file
    from analysis.reports.evidence import Evidence
    from analysis.reports.report_csv import render_csv
    from analysis.reports.report_html import render_html
    from analysis.reports.report_text import render
    from analysis.reports.segment_text import render_segments

    asked: dict[str, Any] = {
        "variant": variant,
        "control": control,
        "unit": unit,
        "metrics": metric,
        "covariates": covariate or [],
        "secondary": secondary or [],
        "guardrails": guardrail or [],
        "decrease": decrease or [],
        "caps": cap or [],
        "reached": reached,
        "factors": factor or [],
        "by": by,
        "method": method,
        "alpha": alpha,
        "planned": planned,
        "looks": look or [],
        "mde": mde,
        "weights": read_weights(weight or []),
    }
    read = read_file(file, **asked)
    evidence = Evidence.of(read.inputs, specification={**asked, "file": file.name, "method": str(method)})
    found = read.segments()
    segments = None if found is None else found.to_json()
    if html is not None:
        write_file(render_html(evidence.exported(), segments=segments), html)
    if csv is not None:
        write_file(render_csv(evidence.body, segments=segments), csv)
    if json:
        typer.echo(as_json(evidence.exported() if segments is None else segments), nl=False)
    else:
        make_console().print(render(evidence.body))
        if segments is not None:
            make_console().print(render_segments(segments))


def read_weights(texts: list[str]) -> dict[str, float] | None:
    """Designed shares by variant from VARIANT=SHARE; None when none are given. Raises Invalid."""
    weights: dict[str, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            weights[name] = float(share)
        except ValueError:
            weights[name] = math.nan
        if not equals or not name or not 0 < weights[name] < math.inf:
            raise Invalid(f"write VARIANT=SHARE with a positive number, not {text!r}", field="--weight")
    return weights or None
