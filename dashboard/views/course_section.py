"""An effect over time, look by look, with the band of its intervals."""

from typing import Final

import streamlit

from dashboard import access, charts_over_time, formats
from dashboard.calls import experiment as calls
from dashboard.course import Point
from dashboard.documents import Experiment, Metric, Report
from dashboard.texts import say
from dashboard.views import effect_section, states

VALID_AT_EVERY_LOOK: Final = frozenset({"spending", "always_valid", "exact"})
SHOWN: Final = 20
"""Looks that the table has."""


def show(experiment: Experiment, report: Report) -> None:
    client = access.required().client
    keys = [metric.key for metric in report.metrics]
    chosen = streamlit.selectbox(
        say("result.time.metric"),
        keys,
        help=say("result.time.metric_help"),
        key="metric",
        bind="query-params",
    )
    metric = next((metric for metric in report.metrics if metric.key == chosen), None)
    if metric is None:
        return
    points = states.fetched(
        f"course:{experiment.key}:{metric.key}",
        lambda: calls.course(client, experiment.key, metric=metric.key),
        is_part=True,
    )
    if points is None:
        return
    variants = [arm.variant for arm in report.arms]
    colours = charts_over_time.colours_of(variants, experiment.control)
    chart = charts_over_time.course(points, metric, colours=colours)
    if chart is None:
        streamlit.info(say("result.time.none"), icon=":material/hourglass_empty:")
        return
    valid = "valid" if report.method in VALID_AT_EVERY_LOOK else "at_the_end"
    streamlit.caption(
        say("result.time.help", method=formats.plain(report.method), valid=say(f"result.time.{valid}"))
    )
    looks = len({point.report for point in points})
    alt = say("result.time.alt", metric=metric.key, count=looks)
    streamlit.altair_chart(chart, width="stretch", alt=alt)
    last = sorted({point.report for point in points})[-SHOWN:]
    rows = [_row(point, metric, report.alpha) for point in reversed(points) if point.report in last]
    with streamlit.expander(say("result.time.table", count=len(last))):
        streamlit.table(rows, border="horizontal", hide_index=True, alt=alt)


def _row(point: Point, metric: Metric, alpha: float) -> dict[str, str]:
    confidence = formats.confidence(alpha)
    row = {
        say("result.time.looked"): formats.moment(point.at),
        say("result.effect.variant"): point.variant,
        say("result.time.users"): formats.count(point.users),
        say("result.effect.difference", confidence=confidence): effect_section.absolute_words(
            point.interval, metric.kind
        ),
    }
    return {formats.plain(heading): formats.plain(value) for heading, value in row.items()}
