"""Plans for the terminal: the verdict first, then who, what is sent, each metric, and a picture of power against users."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from analysis.planning.plan_findings import CampaignPlan
from analysis.planning.plan_metrics import days
from analysis.planning.plan_words import guard_words, percent
from analysis.planning.sizing import Sizing

WIDTH: Final = 60
HEIGHT: Final = 11
Points = Sequence[tuple[int, float]]


def render_plan(plan: CampaignPlan) -> RenderableType:
    """A renderable for `rich.console.Console.print`."""
    said = plan.to_json()
    parts: list[RenderableType] = [_verdict(said["verdict"]), _who(plan), _metrics(said["metrics"])]
    if plan.factors:
        parts.append(_factors(said["factors"]))
    if plan.curve:
        primary = next(metric for metric in plan.metrics if metric.role == "primary")
        parts.append(Text(f"\nPower for {primary.metric}, {percent(primary.effect)}\n", style="bold"))
        points = [(point.users, point.power) for point in plan.curve]
        parts.append(Text(power_picture(points, target=plan.power, there=plan.entry.by_the_end)))
    if plan.simulation is not None:
        parts.append(_simulation(said["simulation"]))
    reasons = [f"{metric.metric}: {reason}" for metric in plan.metrics for reason in metric.reasons]
    reasons += [f"{' x '.join(each.levels)}: {reason}" for each in plan.factors for reason in each.reasons]
    for heading, lines in (
        ("What its guards would stop", [guard_words(guard) for guard in plan.guards]),
        ("What limits it", plan.limits),
        ("What it rests on", plan.assumptions),
        ("Would not start now", [str(problem) for problem in plan.start_problems]),
        ("Cannot tell, or take care", [*reasons, *plan.warnings]),
    ):
        if lines:
            parts.append(_lines(heading, lines))
    return Group(*parts)


def render_size(sizing: Sizing) -> RenderableType:
    """A renderable for `rich.console.Console.print`."""
    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in _size_rows(sizing):
        table.add_row(*row)
    parts: list[RenderableType] = [table]
    if sizing.curve:
        points = [(point.users, point.power) for point in sizing.curve]
        parts.append(Text(power_picture(points, target=sizing.planned_power, there=sizing.users)))
    if sizing.reasons:
        parts.append(_lines("Cannot tell, or take care", sizing.reasons))
    return Group(*parts)


def power_picture(
    points: Points, *, target: float, there: int | None, width: int = WIDTH, height: int = HEIGHT
) -> str:
    """Power (upwards) against users (to the right), as text: `●` the curve, `─` the planned power, `│` the users there are.

    points: (users, power), ascending by users.
    """
    last = points[-1][0]
    grid = [[" "] * width for _ in range(height)]

    def row_of(share: float) -> int:
        return round((1 - share) * (height - 1))

    def column_of(users: float) -> int:
        return min(round(users / last * (width - 1)), width - 1)

    grid[row_of(target)] = ["─"] * width
    if there is not None and there <= last:
        for line in grid:
            line[column_of(there)] = "│"
    for column in range(width):
        grid[row_of(_between(points, column / (width - 1) * last))][column] = "●"
    labels = {0: "100%", row_of(target): f"{target:.0%}", height - 1: "0%"}
    lines = [f"{labels.get(row, ''):>5} ┤{''.join(line).rstrip()}" for row, line in enumerate(grid)]
    middle = f"{last // 2:,}"
    axis = "0" + middle.center(width - 2) + f"{last:,} users"
    words = "  ● power   ─ planned" + ("   │ users there are" if there is not None and there <= last else "")
    return "\n".join([*lines, f"{'':>5} └{'─' * width}", f"{'':>7}{axis}", words])


def _between(points: Points, users: float) -> float:
    """The power at a number of users, on the line between the two points around it."""
    before = (0, 0.0)
    for point in points:
        if users <= point[0]:
            width = point[0] - before[0]
            return before[1] + (point[1] - before[1]) * ((users - before[0]) / width if width else 1.0)
        before = point
    return before[1]


def _verdict(lines: Sequence[str]) -> RenderableType:
    enough = all(": enough" in line for line in lines)
    return Panel(Text("\n".join(lines)), title="Plan", border_style="green" if enough else "yellow")


def _who(plan: CampaignPlan) -> RenderableType:
    audience, entry, sending = plan.audience, plan.entry, plan.sending
    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    between = "" if audience.exact else f"estimated, {audience.lower:,} to {audience.upper:,}"
    table.add_row("audience", f"{audience.matched:,}", between)
    for reason, users in audience.left_out.items():
        table.add_row(f"  left out: {reason}", f"-{users:,}", "")
    table.add_row(
        "take part now", f"{audience.taking_part:,}", ", ".join(_arms(plan.arms, audience.taking_part))
    )
    if entry.per_day is not None and entry.days:
        table.add_row(
            f"by the end of {days(entry.days)}", f"{entry.by_the_end:,}", f"{entry.per_day:,.1f} join a day"
        )
    if sending is not None:
        minutes = math.ceil(sending.days * 1440)
        took = f"{sending.days:.1f} days" if sending.days >= 1 else f"{minutes} minute{'s' * (minutes != 1)}"
        words = f"to {sending.people:,} people, in {took} at {sending.limited_by}"
        table.add_row("messages", f"{sending.messages:,}", words)
    table.add_row("reached", f"{plan.reach:.1%}", "")
    looks = "one look" if plan.looks == 1 else f"{plan.looks} looks"
    table.add_row("method", plan.method, f"alpha {plan.alpha:g}, power {plan.power:g}, {looks}")
    return table


def _arms(shares: Mapping[str, float], users: int) -> Iterator[str]:
    for key, share in shares.items():
        yield f"{key} {share * users:,.0f}"


def _metrics(metrics: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("metric", no_wrap=True)
    for heading in ("today", "sd", "rho", "to find", "power", "finds", "users needed", "days"):
        table.add_column(heading, justify="right", no_wrap=True)
    for metric in metrics:
        base = metric["base"] or {}
        goal = f"harm < {metric['margin']:g}" if metric["margin"] is not None else _percent(metric["effect"])
        table.add_row(
            f"{metric['metric']} ({metric['role']})",
            _number(base.get("mean"), ".4g"),
            _number(base.get("sd"), ".4g"),
            _number(base.get("rho"), ".2f"),
            goal,
            _number(metric["power"], ".0%"),
            _percent(metric["minimum_effect"]),
            _number(metric["users_needed"], ","),
            _number(metric["days_needed"], "d"),
        )
    return table


def _factors(factors: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("factor", no_wrap=True)
    for heading in ("power", "finds", "users needed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in factors:
        names = " x ".join(
            f"{factor}.{level}" for factor, level in zip(each["factors"], each["levels"], strict=True)
        )
        table.add_row(
            f"{names} ({each['kind']})",
            _number(each["power"], ".0%"),
            _percent(each["minimum_effect"]),
            _number(each["users_needed"], ","),
        )
    return table


def _simulation(said: Mapping[str, Any]) -> RenderableType:
    table = Table(
        title=f"Simulated: {said['runs']:,} experiments, {said['metric']}, weights {said['policy']}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        padding=(0, 1),
    )
    table.add_column("found")
    table.add_column("share", justify="right")
    table.add_column("Monte-Carlo error", justify="right")
    for name, share in said["found"].items():
        table.add_row(name, f"{share:.1%}", f"{said['standard_errors'][name]:.1%}")
    table.add_row("at least one", f"{said['any_found']:.1%}", "")
    table.add_row("all of them", f"{said['all_found']:.1%}", "")
    table.add_row("days until something is found, or the end", f"{said['mean_days']:.1f}", "")
    needed = said["days_to_power"]
    table.add_row("days until that has the planned power", "–" if needed is None else f"{needed:g}", "")
    return table


def _size_rows(sizing: Sizing) -> Iterator[tuple[str, str, str]]:
    goal = f"harm below {sizing.margin:g}" if sizing.margin is not None else percent(sizing.effect)
    if sizing.effect is not None or sizing.margin is not None:
        arms = " + ".join(f"{n:,}" for n in sizing.arms)
        words = f"{arms}, for {goal} with power {sizing.planned_power:.0%}"
        yield "users needed", _number(sizing.users_needed, ","), words if sizing.arms else ""
    if sizing.days_needed is not None:
        yield "days", f"{sizing.days_needed:,}", "until the last window has closed"
    if sizing.users is not None:
        if sizing.power is not None:
            yield "power", f"{sizing.power:.1%}", f"of finding {goal} with {sizing.users:,} users"
        if sizing.margin is None:
            yield (
                "finds",
                _percent(sizing.minimum_effect),
                f"with {sizing.users:,} users and power {sizing.planned_power:.0%}",
            )
    if sizing.cost is not None:
        yield "cost", f"{sizing.cost:,.2f}", f"of {sizing.messages:,} messages, those that arrive"
    looks = "one look" if sizing.looks == 1 else f"{sizing.looks} looks"
    times = "" if sizing.inflation is None else f": {sizing.inflation:.3f} times the users of one fixed look"
    yield "method", sizing.method, f"{looks}{times}"
    if sizing.comparisons > 1:
        bound = "Bonferroni; the report's Holm finds at least as much"
        yield "comparisons", str(sizing.comparisons), f"each at {sizing.level:.4g} ({bound})"
    if sizing.seen < 1 - 1e-9:
        yield "seen", f"{sizing.seen:.1%}", "of the effect, in the whole arm within the window"
    made = sizing.simulation
    if made is not None:
        for number, (share, error) in enumerate(zip(made.found, made.standard_errors, strict=True), start=1):
            yield f"simulated, variant {number}", f"{share:.1%}", f"± {error:.1%}, {made.runs:,} experiments"
        yield "  at least one", f"{made.any_found:.1%}", f"all of them {made.all_found:.1%}"
        yield "  days", f"{made.mean_days:.1f}", "until something is found, or the end"


def _lines(heading: str, lines: Sequence[str]) -> RenderableType:
    words = Text(f"\n{heading}\n", style="bold")
    for line in lines:
        words.append(f"  - {line}\n", style="not bold default")
    words.rstrip()
    return words


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
