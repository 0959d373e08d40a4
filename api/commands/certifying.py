"""`certify`: do the intervals hold on these data? Chance draws the arms again, ten thousand times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from api.commands.analyze import read_weights
from api.terminal import make_console
from api.wiring import Wiring
from experiments.errors import Invalid

RUNS = 10_000
SEED = 20_261_201


def register(app: typer.Typer) -> None:
    app.command()(certify)


def certify(
    source: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|FILE", help="Key of an experiment, or a CSV or Parquet file.")
    ],
    *,
    variant: Annotated[
        str | None, typer.Option(help="FILE: column that says which variant a row belongs to.")
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(help="FILE: value of that column which is the control; the first by default."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="FILE: NAME=KIND:COLUMN[/COLUMN], as for `analyze`. May be repeated."),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="FILE: column that names the user, when one has several rows.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="FILE: column that users who were drawn together share, such as a household."),
    ] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(help="FILE: NAME=COLUMN, a quantity from before, for that metric.")
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="FILE: VARIANT=SHARE as designed; equal when absent.")
    ] = None,
    runs: Annotated[int, typer.Option(help="How often the arms are drawn anew.")] = RUNS,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = SEED,
    json: Annotated[bool, typer.Option("--json", help="The certificate as JSON.")] = False,
) -> None:
    """Check the statistics on your own data: deal the same users to the arms anew, 10,000 times, and count the mistakes.

    Labels dealt by chance have no effect, so p < 0.05 must come in 5 % of the runs and 95 % of the intervals must hold 0. Where a
    few users hold most of the revenue, or users who share a household were drawn together, they do not, and this says so.

    Examples: touchstone certify spring-wakeup

    touchstone certify orders.csv --variant arm --control A --metric spend=mean:spend
    """
    if variant is None and metric is None:
        for option, given in (
            ("--control", control), ("--unit", unit), ("--cluster", cluster), ("--covariate", covariate), ("--weight", weight),
        ):  # fmt: skip
            if given:
                raise Invalid("is for a FILE; give --variant and --metric as well", field=option)
        if Path(source).is_file():
            raise Invalid(f"{source} is a file; say which column names the variant", field="--variant")
        found = _experiment(source, runs, seed)
    else:
        if variant is None:
            raise Invalid("say which column of FILE names the variant", field="--variant")
        if not metric:
            raise Invalid("at least one is needed, such as bought=proportion:bought", field="--metric")
        options = {
            "variant": variant, "control": control, "metrics": metric, "unit": unit, "cluster": cluster,
            "covariates": covariate or [], "weights": read_weights(weight or []), "runs": runs, "seed": seed,
        }  # fmt: skip
        found = _file(Path(source), options)
    if json:
        typer.echo(dumps(found.to_json(), indent=2, allow_nan=False))
        return
    from analysis.certification.certify_text import render

    make_console().print(render(found))


def _experiment(key: str, runs: int, seed: int) -> Any:
    # scipy takes a second to load, which no other command should wait for.
    from analysis.certification.certify_sources import certify_experiment

    wiring = Wiring.from_environment()
    wiring.prepare_database(create=False)
    with _progress() as advance, wiring.database.snapshot() as session:
        return certify_experiment(
            session, wiring.clock, key=key, facts=wiring.facts, runs=runs, seed=seed, advance=advance
        )


def _file(path: Path, options: dict[str, Any]) -> Any:
    from analysis.certification.certify_sources import certify_file

    with _progress() as advance:
        return certify_file(path, **options, advance=advance)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr where that is a terminal; yields what must be told of runs done and of all there are."""
    console = make_console(stderr=True)
    with Progress(
        TextColumn("drawing the arms anew"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("runs", total=0)
        yield lambda done, of: bar.update(task, advance=done, total=of)
