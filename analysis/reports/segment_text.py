"""A report by slice for the terminal: one table for each metric, and below it whether the slices differ."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.reports.report_text import lines, number, titled
from analysis.reports.report_words import slice_name, slice_reasons


def render_segments(said: Mapping[str, Any]) -> RenderableType:
    """A renderable for `rich.console.Console.print`; takes the JSON of a `SegmentReport`."""
    kept = "a report that was not kept" if said["report"] is None else f"report {said['report']}"
    head = Text(
        f"{said['experiment']} by {said['by']} · {kept} · {said['method']} · alpha {said['alpha']:g} · {said['as_of']}",
        style="bold",
    )
    parts: list[RenderableType] = [head]
    for metric in said["metrics"]:
        parts += [_table(metric, said["control"]), *_heterogeneity(metric)]
    if said["warnings"]:
        parts.append(lines("\nWarnings", said["warnings"]))
    parts.append(lines("\nNotes", said["notes"]))
    return Group(*parts)


def _table(metric: Mapping[str, Any], control: str) -> RenderableType:
    table = titled(f"{metric['metric']} ({metric['kind']}, {metric['role']})")
    table.add_column("slice", min_width=6)
    table.add_column("variant")
    for heading in (f"n {control}", "n", "difference", "interval", "lift", "adj. p"):
        table.add_column(heading, justify="right", no_wrap=True)
    before = None
    for each in metric["slices"]:
        table.add_row(*_row(each, is_new=each["slice"] != before))
        before = each["slice"]
    return table


def _row(each: Mapping[str, Any], *, is_new: bool) -> Iterable[Text]:
    effect = each["effect"]
    absolute, lift = effect["absolute"], effect["relative"]
    style = "bold" if effect["significant"] else ""
    yield Text(slice_name(each["slice"]) if is_new else "", style=style)
    yield Text(effect["variant"], style=style)
    yield Text(f"{each['n_control']:,}")
    yield Text(f"{each['n']:,}")
    if absolute is None:
        yield from (Text("cannot tell", style="dim"), Text(""), Text(""), Text(""))
        return
    yield Text(f"{absolute['estimate']:+.3g}", style=style)
    yield Text(f"[{absolute['lower']:.3g}, {absolute['upper']:.3g}]")
    yield Text("–" if lift is None else f"{lift['estimate']:+.0%}")
    yield Text(number(effect["adjusted_p_value"], digits=2), style=style)


def _heterogeneity(metric: Mapping[str, Any]) -> Iterable[RenderableType]:
    for each in metric["heterogeneity"]:
        numbers = ""
        if each["q"] is not None:
            p = number(each["adjusted_p_value"], digits=2)
            numbers = f" (Q {each['q']:.3g} on {each['degrees_of_freedom']} degrees, adj. p {p})"
        yield Text(
            f"  {each['variant']}: {each['says']}{numbers}", style="bold" if each["differs"] else "dim"
        )
    for where, reason in slice_reasons(metric):
        yield Text(f"  {where}: {reason}", style="dim")
