"""Charts along time, and what is believed: pure functions as in `charts.py`, None when there is nothing to draw.

Times are drawn as they are in the viewer's zone, whatever zone the browser is in; the axis names it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import NormalDist
from typing import Any, Final

import altair as alt

from dashboard import formats, viewer
from dashboard.charts import ARM_COLOURS, FONT_SIZE, GREY, unit_of
from dashboard.course import Point
from dashboard.documents import Effect, Metric
from dashboard.texts import say
from dashboard.traffic import Epoch

HEIGHT: Final = 380
STEPS: Final = 81
"""Points of a density."""
REACH: Final = 3.5
"""Standard deviations to either side."""


def colours_of(variants: Sequence[str], control: str | None) -> dict[str, str]:
    """One colour a variant, the control grey; colours come round again when there are more variants than colours."""
    others = [variant for variant in variants if variant != control]
    found = {variant: ARM_COLOURS[1 + i % (len(ARM_COLOURS) - 1)] for i, variant in enumerate(others)}
    return {variant: found.get(variant, ARM_COLOURS[0]) for variant in variants}


def course(points: Sequence[Point], metric: Metric, *, colours: Mapping[str, str]) -> alt.LayerChart | None:
    """Each variant's effect at every look as a line, inside the band of its intervals; and the line of no effect."""
    rows = [row for point in points if (row := _course_row(point, metric)) is not None]
    if not rows:
        return None
    x = _time(say("charts.looked_at", zone=viewer.zone_name()), [row["at"] for row in rows])
    title = say("charts.difference", unit=unit_of(metric))
    colour = _colour(colours, [row["variant"] for row in rows])
    base = alt.Chart(alt.InlineData(values=rows))
    layers = [
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color=GREY, strokeWidth=1.5)
        .encode(y="zero:Q"),
        base.mark_area(opacity=0.22).encode(x=x, y=alt.Y("lower:Q", title=title), y2="upper:Q", color=colour),
        base.mark_line(strokeWidth=2.5).encode(x=x, y=alt.Y("estimate:Q", title=title), color=colour),
        base.mark_point(filled=True, size=40, opacity=1).encode(
            x=x, y=alt.Y("estimate:Q", title=title), color=colour, shape=alt.Shape("variant:N", legend=None)
        ),
    ]
    return alt.LayerChart(layer=layers).properties(height=HEIGHT)


def weights(
    epochs: Sequence[Epoch], *, until: datetime | None, colours: Mapping[str, str]
) -> alt.Chart | None:
    """The share of new users that each variant got, epoch after epoch, until a moment."""
    known = sorted(
        (epoch for epoch in epochs if epoch.opened_at is not None), key=lambda epoch: epoch.opened_at or 0
    )
    if not known:
        return None
    moments = [(epoch.opened_at, epoch) for epoch in known]
    last = known[-1].opened_at
    if until is not None and last is not None and until > last:
        moments.append((until, known[-1]))
    rows = [
        {"at": _local(at), "variant": variant, "share": 100 * epoch.weights.get(variant, 0.0), "order": i}
        for at, epoch in moments
        if at is not None
        for i, variant in enumerate(colours)
    ]
    chart: alt.Chart = alt.Chart(alt.InlineData(values=rows)).mark_area(
        interpolate="step-after", opacity=0.85, stroke="white", strokeWidth=1
    )
    placed: alt.Chart = chart.encode(
        x=_time(say("charts.opened_at", zone=viewer.zone_name()), [str(row["at"]) for row in rows]),
        y=alt.Y(
            "share:Q",
            stack=True,
            title=say("charts.weight_axis"),
            scale=alt.Scale(domain=[0, 100]),
            axis=alt.Axis(labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE),
        ),
        color=_colour(colours, list(colours)),
        order="order:Q",
    )
    return placed.properties(height=HEIGHT - 60)


def density(metric: Metric, *, colours: Mapping[str, str], alpha: float) -> alt.LayerChart | None:
    """What is believed about each variant's difference: a normal curve with the posterior's credible interval.

    With the users that a report asks for, posteriors of differences are normal to the eye; the numbers beside it are exact.
    """
    believed = [effect for effect in metric.effects if effect.believed is not None]
    rows = [row for effect in believed for row in _curve(effect, metric, alpha)]
    if not rows:
        return None
    base = alt.Chart(alt.InlineData(values=rows))
    encoding = {
        "x": alt.X(
            "x:Q",
            title=say("charts.density_axis", unit=unit_of(metric)),
            axis=alt.Axis(labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE),
        ),
        "y": alt.Y("density:Q", title=say("charts.density"), axis=alt.Axis(labels=False, ticks=False)),
        "color": _colour(colours, [effect.variant for effect in believed]),
    }
    layers = [
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color=GREY, strokeWidth=1.5)
        .encode(x="zero:Q"),
        base.mark_area(opacity=0.3).encode(**{**encoding, "y": alt.Y("density:Q", stack=None)}),
        base.mark_line(strokeWidth=2).encode(**encoding),
    ]
    return alt.LayerChart(layer=layers).properties(height=HEIGHT - 80)


def _curve(effect: Effect, metric: Metric, alpha: float) -> list[dict[str, Any]]:
    assert effect.believed is not None  # noqa: S101  # only those are drawn
    factor = 100 if formats.is_share(metric.kind) else 1
    low, high = (factor * bound for bound in effect.believed)
    sd = (high - low) / (2 * NormalDist().inv_cdf(1 - alpha / 2))
    if not sd > 0:
        return []
    curve = NormalDist((low + high) / 2, sd)
    steps = (REACH * (2 * i / (STEPS - 1) - 1) for i in range(STEPS))
    return [
        {"variant": effect.variant, "x": curve.mean + step * sd, "density": curve.pdf(curve.mean + step * sd)}
        for step in steps
    ]


def _course_row(point: Point, metric: Metric) -> dict[str, Any] | None:
    interval = point.interval
    if point.metric != metric.key or interval is None or interval.lower is None or interval.upper is None:
        return None
    shown = formats.difference(interval, metric.kind)
    return {
        "at": _local(point.at),
        "variant": point.variant,
        "estimate": shown.estimate,
        "lower": shown.lower,
        "upper": shown.upper,
    }


def _local(at: datetime) -> str:
    # Without a zone: Vega then shows it as it is, and does not turn it into the time of the browser.
    return f"{at.astimezone(viewer.zone()):%Y-%m-%dT%H:%M:%S}"


def _time(title: str, moments: Sequence[str]) -> alt.X:
    # Numbers only: Vega's names of days and months are English.
    one_day = {moment[:10] for moment in (min(moments), max(moments))}
    axis = alt.Axis(
        labelFontSize=FONT_SIZE,
        titleFontSize=FONT_SIZE,
        tickCount=6,
        labelOverlap=True,
        format="%H:%M" if len(one_day) == 1 else "%m-%d %H:%M",
    )
    return alt.X("at:T", title=title, axis=axis)


def _colour(colours: Mapping[str, str], present: Sequence[str]) -> alt.Color:
    shown = [variant for variant in colours if variant in present]
    return alt.Color(
        "variant:N",
        scale=alt.Scale(domain=shown, range=[colours[variant] for variant in shown]),
        sort=shown,
        legend=alt.Legend(title=None, orient="top", labelFontSize=FONT_SIZE, labelLimit=240),
    )
