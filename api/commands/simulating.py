"""`simulate`: which allocation policy suits a campaign, tried on a world whose truth is known, before anybody is messaged."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from json import dumps
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from analysis.planning.bandit_inputs import (
    FEWEST,
    MOST_DRIFT,
    MOST_INTERVALS,
    MOST_USERS,
    Assumed,
    Written,
)
from api.commands.campaigns import read_document
from api.commands.planning import progress_bar
from api.terminal import make_console
from experiments.clock import parse_duration
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid
from experiments.mistakes import problems_of

Value = TypeVar("Value")
MOST_RUNS = 100_000


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    file: Annotated[Path, typer.Argument(help="A campaign as YAML or JSON, its metrics written out.")],
    *,
    rates: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=SHARE of users who convert (have a number above 0) within the window: silence=0.04,coupon=0.06. Required."
        ),
    ] = None,
    lift: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=LIFT over the control's rate, instead of a rate; a number alone is for all: 0.1"
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a count, sum or mean: ARM=MEAN of the users who have a number (orders, money); one alone is for all: 40"
        ),
    ] = None,
    value_lift: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=LIFT over the control's value, instead of a value; a number alone is for all."
        ),
    ] = None,
    sd: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=SD of the number between users who have one; one alone is for all. Absent: as the mean."
        ),
    ] = None,
    users_per_interval: Annotated[
        int, typer.Option(min=1, max=MOST_USERS, help="Users who join in each interval.")
    ] = 1000,
    intervals: Annotated[
        int, typer.Option(min=1, max=MOST_INTERVALS, help="For how many intervals users join.")
    ] = 30,
    drift: Annotated[
        float,
        typer.Option(
            min=1 / MOST_DRIFT,
            max=MOST_DRIFT,
            help="What all rates are multiplied with by the end: 2 doubles them.",
        ),
    ] = 1.0,
    delay: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=DURATION, mean time to a conversion: coupon=2d; one alone is for all. Absent: at once."
        ),
    ] = None,
    non_delivery: Annotated[
        list[str] | None,
        typer.Option(help="ARM=SHARE of messages that do not arrive: coupon=0.1; one alone is for all."),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=FEWEST, max=MOST_RUNS, help="Campaigns to simulate under each policy.")
    ] = 2000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the random numbers; the same seed, the same answer.")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """Run the campaign in FILE thousands of times in a world you describe, and compare fixed, thompson and top_two: conversions or money lost,
    wrong winners, time to the decision, users by arm. Needs no database and messages nobody.

    Example: touchstone simulate campaign.yaml --rates silence=0.05,coupon=0.065 --delay coupon=3d --drift 2
    """
    # scipy takes a second to load, which no other command should wait for.
    import numpy as np

    from analysis.planning.bandit_plan import simulate_campaign
    from analysis.planning.bandit_text import render_simulation

    design = read_design(read_document(file), library={})
    messaged = [variant.key for variant in design.variants if variant.message is not None]
    said = {
        "rates": by_arm(rates, _number, every=(), field="--rates", example="silence=0.04,coupon=0.06"),
        "lift": by_arm(lift, _number, every=_others(design), field="--lift", example="coupon=0.1"),
        "values": by_arm(values, _number, every=_all(design), field="--values", example="silence=40"),
        "value_lift": by_arm(
            value_lift, _number, every=_others(design), field="--value-lift", example="coupon=0.1"
        ),
        "sd": by_arm(sd, _number, every=_all(design), field="--sd", example="silence=30"),
        "delay": by_arm(
            delay, _longer_than_nothing, every=_all(design), field="--delay", example="coupon=2d"
        ),
        "non_delivery": by_arm(
            non_delivery, _number, every=messaged, field="--non-delivery", example="coupon=0.1"
        ),
        "users_per_interval": users_per_interval,
        "intervals": intervals,
        "drift": drift,
    }
    try:
        assumed = Assumed.model_validate(said)
    except ValidationError as error:
        written = Written("--")
        problems = [(one.field.partition("."), one.message) for one in problems_of(error.errors())]
        raise Invalid.of(
            [written.problem(name, arm or None, words) for (name, _, arm), words in problems]
        ) from error
    with progress_bar(runs) as progress:
        made = simulate_campaign(
            design, assumed, runs=runs, rng=np.random.default_rng(seed), progress=progress
        )
    if json:
        typer.echo(dumps(made.to_json(), indent=2, allow_nan=False))
    else:
        make_console().print(render_simulation(made))


def by_arm(
    texts: list[str] | None,
    read: Callable[[str], Value],
    *,
    every: Sequence[str],
    field: str,
    example: str,
) -> dict[str, Value]:
    """Values by arm from ARM=VALUE,ARM=VALUE, or from one value alone for `every` arm; raises Invalid."""
    found: dict[str, Value] = {}
    for part in (part.strip() for text in texts or [] for part in text.split(",")):
        arm, equals, value = part.rpartition("=")
        if (not equals and not every) or (equals and not arm):
            raise Invalid(f"write ARM=VALUE, such as {example}, not {part!r}", field=field)
        try:
            one = read(value)
        except ValueError as error:
            raise Invalid(f"{part!r}: {error}; write it like {example}", field=field) from error
        found |= {arm: one} if equals else {key: one for key in every if key not in found}
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"is not a number{_as_share(text)}") from None


def _as_share(text: str) -> str:
    with suppress(ValueError):
        return f", and {text} is {float(text.removesuffix('%')) / 100:g}"
    return ""


def _longer_than_nothing(text: str) -> timedelta:
    found = parse_duration(text)
    if not found:
        raise ValueError("is no time at all; leave it out when conversions come at once")
    return found


def _all(design: ExperimentDesign) -> list[str]:
    return [variant.key for variant in design.variants]


def _others(design: ExperimentDesign) -> list[str]:
    return [variant.key for variant in design.variants if not variant.control]
