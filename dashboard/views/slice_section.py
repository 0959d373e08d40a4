"""The effects by slice of the users, by an attribute that is chosen; asked for only then."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import experiment as calls
from dashboard.course import MetricSlices, SliceEffect, Slices
from dashboard.documents import Experiment
from dashboard.texts import say
from dashboard.views import effect_section, states

DAY: Final = "day"
"""Not an attribute: the day of assignment."""


def show(experiment: Experiment) -> None:
    client = access.required().client
    names = states.fetched("attributes", lambda: calls.attributes(client), is_part=True)
    if names is None:
        return
    if not names:
        streamlit.caption(say("result.slices.no_attributes"))
    by = streamlit.selectbox(
        say("result.slices.by"),
        [DAY, *(name for name in names if name != DAY)],
        index=None,
        help=say("result.slices.by_help"),
        key="by",
        bind="query-params",
    )
    if not by:
        streamlit.info(say("result.slices.choose"), icon=":material/pie_chart:")
        return
    slices = states.fetched(
        f"slices:{experiment.key}:{by}", lambda: calls.slices(client, experiment.key, by=by), is_part=True
    )
    if slices is not None:
        _show_slices(slices)


def _show_slices(slices: Slices) -> None:
    streamlit.caption(say("result.slices.as_of", when=formats.moment(slices.as_of)))
    for metric in slices.metrics:
        streamlit.subheader(formats.plain(metric.metric), anchor=False)
        says = [f"- {formats.plain(f'{variant}: {words}')}" for variant, words in metric.says]
        streamlit.markdown("\n".join(says))
        rows = [_row(each, metric, slices.alpha) for each in metric.slices]
        alt = say("result.slices.alt", metric=metric.metric)
        streamlit.table(rows, border="horizontal", hide_index=True, alt=alt)
        for reason in dict.fromkeys(reason for each in metric.slices for reason in each.reasons):
            streamlit.caption(formats.plain(reason))
    if slices.warnings:
        streamlit.warning("\n".join(f"- {formats.plain(warning)}" for warning in slices.warnings))
    for note in slices.notes:
        streamlit.caption(formats.plain(note))


def _row(each: SliceEffect, metric: MetricSlices, alpha: float) -> dict[str, str]:
    confidence = formats.confidence(alpha)
    row = {
        say("result.slices.slice"): each.slice or say("result.slices.nameless"),
        say("result.effect.variant"): each.effect.variant,
        say("result.slices.users"): formats.count(each.users),
        say("result.slices.controls"): formats.count(each.control_users),
        say("result.effect.difference", confidence=confidence): effect_section.absolute_words(
            each.effect.absolute, metric.kind
        ),
        say("result.effect.relative", confidence=confidence): effect_section.relative_words(
            each.effect.relative
        ),
        say("result.effect.p"): formats.p_value(each.effect.adjusted_p_value),
    }
    return {formats.plain(heading): formats.plain(value) for heading, value in row.items()}
