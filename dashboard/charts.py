"""Charts of a report. Pure functions: documents in, a chart out, or None when there is nothing that can be drawn.

Colours are those of Okabe and Ito, which people with any kind of colour vision tell apart; every colour is said
again by a word or a label.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import altair as alt

from dashboard import formats
from dashboard.documents import Arm, Effect, Metric
from dashboard.texts import say
from dashboard.verdicts import STAGES, Verdict, stage, verdict, word

BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREY: Final = "#767676"
ARM_COLOURS: Final = ("#767676", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
VERDICT_COLOURS: Final[dict[Verdict, str]] = {
    Verdict.BETTER: BLUE,
    Verdict.DIFFERENT: BLUE,
    Verdict.SAFE: BLUE,
    Verdict.WORSE: VERMILLION,
    Verdict.UNCLEAR: GREY,
}
ROW_HEIGHT: Final = 62
FONT_SIZE: Final = 13

Scale = Literal["absolute", "relative"]


def effects(metric: Metric, scale: Scale, *, alpha: float) -> alt.LayerChart | None:
    """The effects of one metric with their intervals and the line of no effect.

    Proportions are drawn in percentage points, other kinds in their own unit, relative effects in percent.
    """
    rows = [row for effect in metric.effects if (row := _effect_row(effect, metric, scale))]
    if not rows:
        return None
    marks = _limit(metric) if scale == "absolute" else []
    confidence = formats.confidence(alpha)
    title = say("charts.relative_axis", confidence=confidence)
    if scale == "absolute":
        dashed = say("charts.dashed") if marks else ""
        title = say("charts.effect_axis", unit=unit_of(metric), confidence=confidence, dashed=dashed)
    names = [row["row"] for row in rows]
    data = alt.InlineData(values=rows)
    x = alt.X(
        "estimate:Q",
        title=title,
        scale=alt.Scale(domain=_domain(rows, *marks), nice=True),
        # On a narrow screen the words have room to the left, beyond the axis.
        axis=alt.Axis(
            labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE, grid=True, tickCount=6, titleAnchor="end"
        ),
    )
    y = alt.Y(
        "row:N",
        title=None,
        sort=names,
        axis=alt.Axis(
            labelFontSize=FONT_SIZE + 1,
            labelLimit=180,
            labelExpr="split(datum.value, '\\n')",
            labelPadding=10,
            ticks=False,
            domain=False,
        ),
    )
    colour = alt.Color("colour:N", scale=None)
    base = alt.Chart(data)
    layers = [
        _line(0, colour=GREY),
        base.mark_rule(strokeWidth=4, strokeCap="round").encode(
            x=alt.X("lower:Q"), x2="upper:Q", y=y, color=colour
        ),
        base.mark_point(filled=True, size=130, opacity=1).encode(x=x, y=y, color=colour),
        # The number stands on the far side of the interval, away from the line of no effect.
        _labels(base, "right", x=alt.X("upper:Q"), y=y, color=colour),
        _labels(base, "left", x=alt.X("lower:Q"), y=y, color=colour),
        *(_line(mark, colour=VERMILLION, dash=[5, 4]) for mark in marks),
    ]
    return alt.LayerChart(layer=layers).properties(height=ROW_HEIGHT * len(rows) + 60)


def funnel(arms: Sequence[Arm], *, silent: frozenset[str]) -> alt.LayerChart | None:
    """How far the messages of each arm got, for every hundred users assigned; arms without messages are left out."""
    rows = [
        {
            "variant": arm.variant,
            "stage": stage(name),
            "share": 100 * arm.messages.get(name, 0) / arm.assigned,
            "label": formats.number(100 * arm.messages.get(name, 0) / arm.assigned, 1),
        }
        for arm in arms
        if arm.assigned and arm.variant not in silent
        for name in STAGES[1:]
    ]
    if not any(row["share"] for row in rows):
        return None
    variants = [arm.variant for arm in arms]
    drawn = {row["variant"] for row in rows}
    stages = [stage(name) for name in STAGES[1:]]
    y = alt.Y("stage:N", sort=stages, title=None, axis=alt.Axis(labelFontSize=FONT_SIZE, labelLimit=180))
    offset = alt.YOffset("variant:N", sort=variants)
    x = alt.X(
        "share:Q",
        title=say("charts.funnel_axis"),
        axis=alt.Axis(labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE, tickCount=5),
    )
    colours = arm_colours(arms)
    shown = [variant for variant in variants if variant in drawn]
    colour = alt.Color(
        "variant:N",
        scale=alt.Scale(domain=shown, range=[colours[variant] for variant in shown]),
        legend=alt.Legend(title=None, orient="top", labelFontSize=FONT_SIZE, labelLimit=240),
    )
    base = alt.Chart(alt.InlineData(values=rows))
    layers = [
        base.mark_bar().encode(x=x, y=y, yOffset=offset, color=colour),
        base.mark_text(align="left", dx=4, fontSize=FONT_SIZE - 1).encode(
            x=x, y=y, yOffset=offset, text="label:N"
        ),
    ]
    return alt.LayerChart(layer=layers).properties(height=max(120, 24 * len(rows) + 60))


def unit_of(metric: Metric) -> str:
    """The unit in which differences of this metric are drawn."""
    return say("charts.points") if formats.is_share(metric.kind) else metric.key


def arm_colours(arms: Sequence[Arm]) -> dict[str, str]:
    """One colour an arm, the control grey; colours come round again when there are more arms than colours."""
    others = [arm.variant for arm in arms if not arm.control]
    colours = {arm.variant: ARM_COLOURS[0] for arm in arms if arm.control}
    return colours | {
        variant: ARM_COLOURS[1 + i % (len(ARM_COLOURS) - 1)] for i, variant in enumerate(others)
    }


def _effect_row(effect: Effect, metric: Metric, scale: Scale) -> dict[str, Any] | None:
    interval = effect.absolute if scale == "absolute" else effect.relative
    if interval is None:
        return None
    shown = (
        formats.difference(interval, metric.kind) if scale == "absolute" else formats.scaled(interval, 100)
    )
    # The axis names the unit: beside each number it would want more room than a narrow screen has.
    text = (
        formats.number(shown.estimate, formats.decimals_of(shown), sign=True)
        if scale == "absolute"
        else formats.relative_text(interval)
    )
    seen = verdict(effect, metric)
    return {
        "row": f"{effect.variant}\n{word(seen)}",
        "side": "left" if shown.estimate < 0 and (shown.upper is None or shown.upper <= 0) else "right",
        "estimate": shown.estimate,
        "lower": shown.estimate if shown.lower is None else shown.lower,
        "upper": shown.estimate if shown.upper is None else shown.upper,
        "label": text,
        "colour": VERDICT_COLOURS.get(seen, GREY),
    }


def _limit(metric: Metric) -> list[float]:
    """Where harm begins, in the unit that is drawn."""
    if metric.limit is None:
        return []
    limit = metric.limit * (100 if formats.is_share(metric.kind) else 1)
    return [-limit if metric.higher_is_better else limit]


def _line(at: float, *, colour: str, dash: Sequence[int] = ()) -> alt.Chart:
    rule: alt.Chart = alt.Chart(alt.InlineData(values=[{"at": at}])).mark_rule(
        color=colour, strokeWidth=1.5, strokeDash=list(dash)
    )
    placed: alt.Chart = rule.encode(x=alt.X("at:Q"))
    return placed


def _labels(base: alt.Chart, side: Literal["left", "right"], **place: Any) -> alt.Chart:
    chosen: alt.Chart = base.transform_filter(alt.datum.side == side)
    marked: alt.Chart = chosen.mark_text(
        align="left" if side == "right" else "right",
        dx=10 if side == "right" else -10,
        fontSize=FONT_SIZE,
        fontWeight="bold",
    )
    labelled: alt.Chart = marked.encode(text="label:N", **place)
    return labelled


def _domain(rows: Sequence[dict[str, Any]], *marks: float) -> list[float]:
    """The axis: zero and `marks` always on it, and room for the numbers beside the intervals."""
    low = min(0.0, *marks, *(row["lower"] for row in rows))
    high = max(0.0, *marks, *(row["upper"] for row in rows))
    room = (high - low) or 1.0
    left = 0.4 if any(row["side"] == "left" for row in rows) else 0.08
    right = 0.4 if any(row["side"] == "right" for row in rows) else 0.08
    return [low - left * room, high + right * room]
