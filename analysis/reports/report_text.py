"""A report for the terminal: decision first, then health, arms and effects, each effect with a picture of its interval."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from analysis.findings import Report
from analysis.reports.report_words import folded_warnings, light

PICTURE_WIDTH: Final = 23
NARROW_PICTURE: Final = 15
WIDE: Final = 110
"""Columns from which on the interval of the lift and P(better) are shown as well."""
_MARKS: Final = {
    "ok": ("ok", "green"),
    "notice": ("note", "yellow"),
    "alarm": ("alarm", "bold red"),
    "unknown": ("?", "yellow"),
}
"""How each light of a check is shown. News about delivery is no alarm: the effects stand."""
_COLOURS = {"ship": "green", "keep_control": "yellow", "stop_harm": "red"}


def render(report: Report | Mapping[str, Any]) -> RenderableType:
    """A renderable for `rich.console.Console.print`; takes a report or its JSON (a stored one).

    Null values show as "cannot tell"; the reasons are listed at the end.
    """
    return _ReportText(report.to_json() if isinstance(report, Report) else report)


class _ReportText:
    """Knows only when it is printed how much room there is."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        yield _decision(self._said)
        yield _arms(self._said)
        for metric in self._said["metrics"]:
            yield _metric(metric, wide=wide)
            yield from _reached(metric)
            if metric.get("factors"):
                yield _factors(metric["factors"])
        yield _health(self._said["health"])
        if self._said["warnings"]:
            yield lines("Warnings", folded_warnings(self._said))
        if self._said.get("notes"):
            yield lines("Notes", self._said["notes"])


def interval_picture(
    lower: float, estimate: float, upper: float, *, low: float, high: float, width: int = PICTURE_WIDTH
) -> str:
    """The interval on a line from `low` to `high`: `├──●──┤`, with `│` at 0 where 0 is in view.

    >>> interval_picture(0.25, 0.5, 0.75, low=-1, high=1, width=17)
    '········│·├─●─┤··'
    """
    span = high - low

    def place(value: float) -> int:
        if not span > 0:
            return width // 2
        return min(max(round((value - low) / span * (width - 1)), 0), width - 1)

    line = ["·"] * width
    start, end = place(lower), place(upper)
    for i in range(start, end + 1):
        line[i] = "─"
    if low <= 0 <= high:
        line[place(0.0)] = "│" if line[place(0.0)] == "·" else "┼"
    line[start], line[end] = "├", "┤"
    line[place(estimate)] = "●"
    return "".join(line)


def _decision(said: Mapping[str, Any]) -> RenderableType:
    decision = said["decision"]
    action = str(decision["action"])
    words = Text(action.replace("_", " "), style=f"bold {_COLOURS.get(action, 'cyan')}")
    if decision["variant"] is not None:
        words.append(f" {decision['variant']}")
    words.append(f"\n{decision['because']}", style="not bold default")
    if decision.get("rule"):
        words.append(f"\nrule: {decision['rule']}", style="not bold dim")
    words.append(_progress(said.get("progress", ())), style="not bold dim")
    title = f"{said['experiment']} · {said['method']} · alpha {said['alpha']:g} · {said['as_of']}"
    return Panel(words, title=Text(title), title_align="left", box=box.ROUNDED)


def _progress(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """What the smallest effect worth finding had for a chance, over all comparisons: the least now, the best still to come."""
    powers = [each["power"] for each in comparisons if each["power"] is not None]
    chances = [each["conditional_power"] for each in comparisons if each["conditional_power"] is not None]
    text = f"\npower of this look for the smallest effect worth finding: {min(powers):.0%}" if powers else ""
    if chances:
        text += f"; chance still left by the planned end: {max(chances):.0%} at best"
    return text


def _arms(said: Mapping[str, Any]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, title="Arms", title_justify="left")
    stages = [
        stage
        for stage in ("accepted", "delivered", "read", "clicked")
        if any(arm["messages"].get(stage) for arm in said["arms"])
    ]
    table.add_column("variant")
    for heading in ("users", "mature", *stages):
        table.add_column(heading, justify="right")
    for arm in said["arms"]:
        name = Text(f"{arm['variant']}{' (control)' if arm['control'] else ''}")
        counts = (arm["assigned"], arm["mature"], *(arm["messages"].get(stage, 0) for stage in stages))
        table.add_row(name, *(Text(f"{count:,}") for count in counts))
    return table


def titled(title: str) -> Table:
    """The table of a metric, without columns yet."""
    return Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
        title=Text(f"\n{title}", style="bold"),
        title_justify="left",
    )


def _metric(metric: Mapping[str, Any], *, wide: bool) -> RenderableType:
    title = f"{metric['metric']} ({metric['kind']}, {metric['role']})"
    means = ", ".join(f"{arm['variant']} {number(arm['mean'])}" for arm in metric["arms"])
    table = titled(f"{title}: {means}")
    table.add_column("variant", min_width=13)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("picture", no_wrap=True)
    table.add_column("lift", justify="right", no_wrap=True)
    table.add_column("adj. p", justify="right", no_wrap=True)
    if wide:
        table.add_column("P(better)", justify="right", no_wrap=True)
    ends = [effect["absolute"] for effect in metric["effects"] if effect["absolute"] is not None]
    low = min([0.0, *(end["lower"] for end in ends)])
    high = max([0.0, *(end["upper"] for end in ends)])
    for effect in metric["effects"]:
        table.add_row(*_effect(effect, low, high, wide=wide))
    return table


def _effect(effect: Mapping[str, Any], low: float, high: float, *, wide: bool) -> Iterable[Text]:
    absolute, relative, bayes = effect["absolute"], effect["relative"], effect["bayes"]
    style = "bold" if effect["significant"] else ""
    yield Text(effect["variant"], style=style)
    if absolute is None:
        yield from (Text("cannot tell", style="dim"), Text(""), Text(""))
    else:
        lower, estimate, upper = absolute["lower"], absolute["estimate"], absolute["upper"]
        digits = 4 if wide else 3
        yield Text(f"{estimate:+.{digits}g}", style=style)
        yield Text(f"[{lower:.{digits}g}, {upper:.{digits}g}]")
        width = PICTURE_WIDTH if wide else NARROW_PICTURE
        yield Text(interval_picture(lower, estimate, upper, low=low, high=high, width=width))
    if relative is None:
        yield Text("–")
    elif wide:
        yield Text(f"{relative['estimate']:+.1%} [{relative['lower']:+.1%}, {relative['upper']:+.1%}]")
    else:
        yield Text(f"{relative['estimate']:+.0%}")
    yield Text(number(effect["adjusted_p_value"], digits=2), style=style)
    if wide:
        yield Text("–" if bayes is None else f"{bayes['probability_better']:.1%}")


def _factors(effects: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column("by factor")
    for heading in ("difference", "interval", "lift", "adj. p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for effect in effects:
        style = "bold" if effect["significant"] else ""
        name = Text(
            " x ".join(map(_levels, *(effect[part] for part in ("factors", "levels", "against")))), style
        )
        absolute, lift = effect["absolute"], effect["relative"]
        if absolute is None:
            table.add_row(name, Text("cannot tell", style="dim"))
            continue
        table.add_row(
            name,
            Text(f"{absolute['estimate']:+.3g}", style),
            Text(f"[{absolute['lower']:.3g}, {absolute['upper']:.3g}]"),
            Text("–" if lift is None else f"{lift['estimate']:+.0%}"),
            Text(number(effect["adjusted_p_value"], digits=2), style),
        )
    return table


def _levels(factor: str, level: str, against: str) -> str:
    return f"{factor}: {level} against {against}"


def _reached(metric: Mapping[str, Any]) -> Iterable[RenderableType]:
    for effect in metric["effects"]:
        cace = effect["cace"]
        if cace is not None:
            numbers = f"{cace['estimate']:+.3g} [{cace['lower']:.3g}, {cace['upper']:.3g}]"
            yield Text(f"  per user reached, {effect['variant']}: {numbers}", style="dim")


def _health(checks: Iterable[Mapping[str, Any]]) -> RenderableType:
    words = Text("\nHealth\n", style="bold")
    for check in checks:
        mark, style = _MARKS[light(check)]
        words.append(f"  {mark:5} ", style=style)
        stage = f" at {check['stage']}" if check["stage"] else ""
        words.append(f"{check['check']}{stage}: {check['detail']}\n", style="not bold default")
    return words


def lines(heading: str, said: Iterable[str]) -> RenderableType:
    """A heading with one dash for each sentence."""
    words = Text(f"{heading}\n", style="bold")
    for line in said:
        words.append(f"  - {line}\n", style="not bold default")
    return words


def number(value: float | None, *, digits: int = 4) -> str:
    """A number as short as it can be, or that it cannot be told."""
    return "cannot tell" if value is None else f"{value:.{digits}g}"
