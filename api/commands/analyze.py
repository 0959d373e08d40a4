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
            help="NAME=KIND:COLUMN[/COLUMN]; KIND is proportion, mean, ratio or quantile. May be repeated."
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
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="VARIANT=SHARE as designed, such as A=9 and B=1; equal when absent. May be repeated."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="How often is this file looked at? fixed: once; the others stay valid at every look "
            "(exact: proportions, also where few convert)."
        ),
    ] = Method.FIXED,
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

    Example: touchstone analyze orders.csv --variant arm --control A --metric bought=proportion:bought --metric spend=mean:spend
    """
    # scipy takes a second to load, which no other command should wait for.
    from analysis.files.files import file_inputs
    from analysis.reports.evidence import Evidence
    from analysis.reports.report_csv import render_csv
    from analysis.reports.report_html import render_html
    from analysis.reports.report_text import render

    asked: dict[str, Any] = {
        "variant": variant,
        "control": control,
        "unit": unit,
        "metrics": metric,
        "covariates": covariate or [],
        "reached": reached,
        "factors": factor or [],
        "method": method,
        "alpha": alpha,
        "weights": read_weights(weight or []),
    }
    evidence = Evidence.of(
        file_inputs(file, **asked), specification={**asked, "file": file.name, "method": str(method)}
    )
    if html is not None:
        write_file(render_html(evidence.exported()), html)
    if csv is not None:
        write_file(render_csv(evidence.body), csv)
    if json:
        typer.echo(as_json(evidence.exported()), nl=False)
    else:
        make_console().print(render(evidence.body))


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
