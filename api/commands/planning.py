"""`plan`: how many users a campaign needs and has, before anybody is messaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from api.commands.campaigns import read_document
from api.terminal import make_console
from api.wiring import Wiring
from experiments.clock import parse_duration
from experiments.errors import Invalid, Problem
from experiments.mistakes import problems_of
from experiments.vocabulary import Method

SEED = 20_261_201
"""The same question gets the same answer twice, as long as there is time to look at everybody."""
MOST_RUNS = 1_000_000
CAMPAIGN = "campaign"


class _FileOrCommand(TyperGroup):
    """A group in which a word that is no command is the FILE of `campaign`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names; `campaign` when it names none."""
        if args and args[0] not in self.commands:
            args = [CAMPAIGN, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the FILE belong to `campaign` too."""
        if args and args[0].startswith("--") and args[0] != "--help":
            args = [CAMPAIGN, *args]
        return super().parse_args(ctx, args)


plan = typer.Typer(
    cls=_FileOrCommand,
    help="Before it begins: how many users are needed, how many there are, and what that is enough for. "
    "`touchstone plan FILE` plans the campaign in FILE; `touchstone plan size` needs no database.",
    no_args_is_help=True,
)
Runs = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_RUNS, help="Simulate so many experiments too: Holm, factors, delays. 2000 is plenty."
    ),
]
HalfLife = Annotated[
    str | None,
    typer.Option(
        help="Until half of the effect of a message has come in: 2d. Absent: all within the window."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The plan as JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(plan, name="plan")


@plan.command(CAMPAIGN)
def plan_file(
    file: Annotated[Path, typer.Argument(help="A campaign as YAML or JSON, as for `touchstone apply`.")],
    *,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=MEAN of the control in one window, where history does not tell: bought=0.04"
        ),
    ] = None,
    sd: Annotated[
        list[str] | None, typer.Option(help="METRIC=SD between users, for means: revenue=25")
    ] = None,
    rho: Annotated[
        list[str] | None, typer.Option(help="METRIC=CORRELATION with the covariate (CUPED): revenue=0.5")
    ] = None,
    reach: Annotated[
        float | None, typer.Option(help="Share of messages that arrive: 0.9. Absent: as in the last month.")
    ] = None,
    users: Annotated[
        int | None, typer.Option(help="Users who take part at the start, instead of the audience.")
    ] = None,
    per_day: Annotated[
        float | None, typer.Option(help="Users who join each day, instead of history.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="For how many days users join.")] = None,
    looks: Annotated[
        int | None, typer.Option(help="How often new results are looked at. Absent: daily.")
    ] = None,
    half_life: HalfLife = None,
    simulate: Runs = 0,
    json: Json = False,
) -> None:
    """Plan the campaign in FILE on the users there are: power, smallest effect, users and days needed, messages, limits.

    Example: touchstone plan campaign.yaml --baseline bought=0.04 --reach 0.9 --simulate 2000
    """
    # scipy takes a second to load, which no other command should wait for.
    import numpy as np

    from analysis.planning.plan_inputs import Assumptions
    from analysis.planning.plan_text import render_plan
    from analysis.planning.planning import plan_campaign

    document = read_document(file)
    given = {
        "baseline": read_numbers(baseline, field="--baseline"),
        "sd": read_numbers(sd, field="--sd"),
        "rho": read_numbers(rho, field="--rho"),
        "reach": reach,
        "users": users,
        "per_day": per_day,
        "days": days,
        "looks": looks,
        "half_life": half_life,
    }
    try:
        assumptions = Assumptions.model_validate(given)
    except ValidationError as error:
        raise Invalid.of(
            [Problem(f"--{one.field.replace('_', '-')}", one.message) for one in problems_of(error.errors())]
        ) from error
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=False)
    with wiring.database.snapshot() as session, progress_bar(simulate) as progress:
        made = plan_campaign(
            session,
            wiring.clock,
            document=document,
            settings=wiring.settings,
            rng=np.random.default_rng(SEED),
            assumptions=assumptions,
            simulate=simulate,
            progress=progress,
            fields=("", "--"),
        )
    if json:
        typer.echo(dumps(made.to_json(), indent=2, allow_nan=False))
    else:
        make_console().print(render_plan(made))


@plan.command("size")
def plan_size(
    *,
    baseline: Annotated[float, typer.Option(help="Mean of the control: 0.1 is 10 %; with --sd, any amount.")],
    mde: Annotated[
        float | None, typer.Option(help="Relative effect to find: 0.1 is a tenth more, -0.1 a tenth less.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="For a guardrail: harm to rule out, in the metric's own unit: 0.002")
    ] = None,
    users: Annotated[
        int | None, typer.Option(help="Users there are, all arms together: says power and smallest effect.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="Standard deviation between users, for a mean or a ratio.")
    ] = None,
    rho: Annotated[float, typer.Option(help="Correlation with a covariate (CUPED).")] = 0.0,
    reach: Annotated[float, typer.Option(help="Share of users whom the message gets to.")] = 1.0,
    arms: Annotated[
        int, typer.Option(min=2, max=50, help="Arms, the control included, of the same size.")
    ] = 2,
    weights: Annotated[str | None, typer.Option(help="Weights of the arms, the control first: 2,1,1")] = None,
    method: Annotated[
        Method, typer.Option(help="fixed: one look at the end. The others stay valid at every look.")
    ] = Method.SPENDING,
    looks: Annotated[
        int, typer.Option(help="How often it is looked at, evenly: 14 is daily for two weeks.")
    ] = 14,
    alpha: Annotated[float, typer.Option(help="Error rate of the whole family.")] = 0.05,
    power: Annotated[float, typer.Option(help="How surely the effect is to be found.")] = 0.8,
    per_day: Annotated[
        float | None, typer.Option(help="Users who join each day: says how many days it takes.")
    ] = None,
    window: Annotated[str, typer.Option(help="How long a user is watched before they count.")] = "7d",
    half_life: HalfLife = None,
    message_price: Annotated[
        float | None, typer.Option(help="Price of a message that arrives: says what it costs.")
    ] = None,
    control_sends: Annotated[
        bool, typer.Option("--control-sends", help="The control gets a message too.")
    ] = False,
    simulate: Runs = 0,
    json: Json = False,
) -> None:
    """How many users a comparison needs, how sure a number of users is, or which effect they find. Needs no database.

    Example: touchstone plan size --baseline 0.1 --mde 0.1 --arms 3 --method spending --looks 14
    """
    # scipy takes a second to load, which no other command should wait for.
    import numpy as np

    from analysis.planning.plan_text import render_size
    from analysis.planning.sizing import size
    from analysis.planning.sizing_question import Question

    question = Question(
        baseline=baseline,
        mde=mde,
        margin=margin,
        users=users,
        sd=sd,
        rho=rho,
        reach=reach,
        weights=(1.0,) * arms if weights is None else read_list(weights, field="--weights"),
        method=method,
        looks=looks,
        alpha=alpha,
        power=power,
        per_day=per_day,
        window=_duration(window, field="--window"),
        half_life=None if half_life is None else _duration(half_life, field="--half-life"),
        message_price=message_price,
        control_sends=control_sends,
    )
    with progress_bar(simulate) as progress:
        made = size(question, runs=simulate, rng=np.random.default_rng(SEED), progress=progress)
    if json:
        typer.echo(dumps(made.to_json(), indent=2, allow_nan=False))
    else:
        make_console().print(render_size(made))


def read_numbers(texts: list[str] | None, *, field: str) -> dict[str, float]:
    """Numbers by metric from METRIC=NUMBER; raises Invalid."""
    found = {}
    for text in texts or []:
        name, equals, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise Invalid(f"write METRIC=NUMBER, such as bought=0.04, not {text!r}", field=field)
    return found


def read_list(text: str, *, field: str) -> tuple[float, ...]:
    """Numbers from a list with commas; raises Invalid."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise Invalid(
            f"write numbers with commas between them, such as 2,1,1, not {text!r}", field=field
        ) from error


def _duration(text: str, *, field: str) -> Any:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Invalid(str(error), field=field) from error
    if not found:
        raise Invalid("is longer than nothing", field=field)
    return found


@contextmanager
def progress_bar(runs: int) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr while experiments are simulated; nothing without any, or where nobody looks."""
    console = make_console(stderr=True)
    if not runs or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=runs)
        yield lambda done, total: bar.update(task, completed=done, total=total)
