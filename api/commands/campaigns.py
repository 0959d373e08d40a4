"""`apply`, `ramp` and `experiment ..`: design, start, watch and stop from a terminal."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from api import campaigning
from api.experiment_schemas import EnrolmentAnswer
from api.terminal import ACTOR, make_console
from api.wiring import Wiring
from delivery.planning import planner
from delivery.sending import workers
from experiments import repository
from experiments.errors import Invalid, NotFound
from experiments.models import Experiment
from experiments.shipping import what_follows
from targeting import campaigns

experiment = typer.Typer(
    help="Experiments: list, start, pause, resume, ship, stop, report; weights and variants by hand.",
    no_args_is_help=True,
)
Key = Annotated[str, typer.Argument(help="Key of the experiment.")]


def register(app: typer.Typer) -> None:
    app.command()(apply)
    app.command()(ramp)
    app.add_typer(experiment, name="experiment")


def apply(
    file: Annotated[Path, typer.Argument(help="A campaign as YAML or JSON; see docs/campaign.md.")],
) -> None:
    """Create the campaign in FILE as a draft, or redesign the draft; says what changed. Start it afterwards."""
    document = read_document(file)
    wiring = _wiring(create=True)
    with wiring.database.transaction() as session:
        applied, warnings = campaigning.apply(
            session, wiring.clock, settings=wiring.settings, actor=ACTOR, document=document
        )
        typer.echo(f"{applied.experiment.key}: {applied.outcome} ({applied.experiment.status})")
    _warn(warnings)


def ramp(
    key: Key,
    coverage: Annotated[float, typer.Argument(help="Share of the audience that takes part from now on: 0.5")],
) -> None:
    """Raise the coverage of an experiment that runs: some join, nobody moves. Lowering it is refused."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        campaigns.ramp(session, wiring.clock, actor=ACTOR, key=key, coverage=coverage)
    typer.echo(f"{key}: coverage {coverage:g}")


def read_document(
    file: Path, *, what: str = "a campaign: a mapping with key, name, variants and metrics"
) -> dict[str, Any]:
    """The document in a YAML or JSON file; raises NotFound or Invalid. `what` it should hold, for the error."""
    if not file.is_file():
        raise NotFound(f"there is no file {file}", field="FILE")
    try:
        with file.open(encoding="utf-8") as stream:  # a stream has a name, which errors tell
            document = yaml.safe_load(stream)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(f"is not valid YAML: {' '.join(str(error).split())}", field="FILE") from error
    except RecursionError as error:
        raise Invalid(f"{file} is nested too deeply", field="FILE") from error
    if not isinstance(document, dict):
        raise Invalid(f"{file} does not hold {what}", field="FILE")
    return document


@experiment.command("list")
def list_experiments() -> None:
    """All experiments and their state, and what they have shipped."""
    wiring = _wiring()
    table = Table("key", "status", "shipped", "name")
    with wiring.database.snapshot() as session:
        for row in repository.list_experiments(session, after_id=0, limit=1000):
            table.add_row(row.key, row.status, row.shipped or "", row.name)
    make_console().print(table)


@experiment.command("start")
def start(key: Key) -> None:
    """Begin: enrolment starts at the trigger's moment."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        started, warnings = campaigning.start(
            session, wiring.clock, settings=wiring.settings, actor=ACTOR, key=key
        )
        sending = workers.alive(session, wiring.clock)
    typer.echo(f"{key}: {started.status}")
    _warn(warnings)
    if not sending:
        _warn(["no process enrols or sends at the moment; start `touchstone serve` (or `touchstone worker`)"])


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


@experiment.command("pause")
def pause(key: Key) -> None:
    """Enrol and send nothing until resumed."""
    _switch(key, campaigns.pause)


@experiment.command("resume")
def resume(key: Key) -> None:
    """Go on after a pause."""
    _switch(key, campaigns.resume)


@experiment.command("stop")
def stop(key: Key) -> None:
    """End for good; messages that have not gone out are cancelled."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        typer.echo(f"{key}: {planner.stop(session, wiring.clock, actor=ACTOR, key=key).status}")


@experiment.command("ship")
def ship(
    key: Key,
    variant: Annotated[
        str | None, typer.Option(help="The variant to ship; the winner of the report when left out.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ship whatever the report's decision is; asks for --reason.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for the audit log.")] = None,
) -> None:
    """Give the winner to the rest of the audience and to everybody who comes; nobody who has a variant gets another.

    Refused when the report's decision is another one, unless forced. Shipping a variant without message ends the messaging.
    """
    # scipy takes a second to load, which no other command should wait for.
    from analysis.reports import shipping

    wiring = _wiring()
    newest = shipping.report_to_ship_by(
        wiring.database, wiring.clock, key=key, force=force, facts=wiring.facts
    )
    with wiring.database.transaction() as session:
        shipped, is_new = shipping.ship(
            session,
            wiring.clock,
            actor=ACTOR,
            key=key,
            decision=newest.body["decision"],
            as_of=newest.as_of,
            variant=variant,
            force=force,
            reason=reason,
        )
        said = "shipped" if is_new else "was shipped before:"
        typer.echo(f"{key}: {said} {shipped.shipped} ({shipped.status})")
        for line in what_follows(shipped):
            typer.echo(f"  {line}")


@experiment.command("enrolment")
def enrolment(key: Key) -> None:
    """Who takes part so far, and why the others do not: no consent, no phone, at their cap, holdout .."""
    wiring = _wiring()
    with wiring.database.snapshot() as session:
        walked = campaigns.enrolment_of(session, key=key)
        by_rule = campaigns.counts_by_rule(session, key=key)
    if walked is None and by_rule is None:
        typer.echo(f"{key}: enrolment has not begun")
        return
    found = EnrolmentAnswer.of(walked, by_rule)
    table = Table("what became of the audience", "users", title=None)
    for what, users in [("assigned", found.assigned), *sorted(found.excluded.items())]:
        table.add_row(what if what == "assigned" else f"left out: {what}", f"{users:,}")
    make_console().print(table)
    if by_rule is not None:
        typer.echo("users come by and by; these have come so far")
    else:
        typer.echo("everybody was looked at" if found.finished_at else "still being looked through")


@experiment.command("report")
def report(
    key: Key, json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False
) -> None:
    """Make the report anew and print it. Every report is a look at the data, and is stored as such."""
    # scipy takes a second to load, which no other command should wait for.
    from analysis.reports import service as reports
    from analysis.reports.report_text import render

    wiring = _wiring()
    made = reports.current_report(
        wiring.database, wiring.clock, key=key, max_age=timedelta(0), facts=wiring.facts
    )
    console = make_console()
    if json:
        console.print_json(data=made.body)
    else:
        console.print(render(made.body))


def _switch(key: str, move: Callable[..., Experiment]) -> None:
    wiring = _wiring()
    with wiring.database.transaction() as session:
        typer.echo(f"{key}: {move(session, wiring.clock, actor=ACTOR, key=key).status}")


def _wiring(*, create: bool = False) -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=create)
    return wiring
