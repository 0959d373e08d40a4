"""How chosen segments overlap: a bar for every combination that holds anybody, and a table of each pair."""

from collections.abc import Mapping
from typing import Final

import streamlit

from dashboard import formats, overlap_charts
from dashboard.calls import segments
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import states

MOST: Final = 6
NAME: Final = "overlap"
"""In the address."""
CHOSEN: Final = "segments:overlap"


def show(client: Client, heard: Mapping[str, str]) -> None:
    """`heard` are all segments: key -> name."""
    streamlit.subheader(say("segments.overlap.title"), anchor=False)
    names = overlap_charts.titles(heard)
    if len(names) < 2:
        streamlit.caption(say("segments.overlap.too_few"))
        return
    # The address has the last word: the way back in the browser may have changed it.
    streamlit.session_state[CHOSEN] = [
        key for key in dict.fromkeys(streamlit.query_params.get_all(NAME)) if key in names
    ][:MOST]
    chosen = streamlit.multiselect(
        say("segments.overlap.choose"),
        list(names),
        format_func=lambda key: names[key],
        max_selections=MOST,
        help=say("segments.overlap.help"),
        key=CHOSEN,
        on_change=_note,
    )
    if len(chosen) < 2:
        streamlit.caption(say("segments.overlap.two"))
        return
    try:
        with streamlit.spinner(say("segments.overlap.counting")):
            found = segments.overlaps(client, chosen)
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return
    if not found.combinations:
        streamlit.info(say("segments.overlap.empty"), icon=":material/person_off:")
        return
    bars = overlap_charts.bars(found, names)
    streamlit.altair_chart(
        overlap_charts.combinations(bars, say("segments.overlap.axis")),
        width="stretch",
        alt=say("segments.overlap.alt"),
    )
    streamlit.table(
        overlap_charts.pairs(found, names, say("segments.overlap.of")),
        border="horizontal",
        hide_index=True,
        alt=say("segments.overlap.pairs"),
    )
    streamlit.caption(say("segments.overlap.reading"))
    if not all(size.exact for _, size, _ in found.segments):
        streamlit.caption(say("segments.overlap.estimated"))
    for key, _, as_of in found.segments:
        if as_of is not None:
            name = formats.plain(names.get(key, key))
            streamlit.caption(say("segments.overlap.as_of", name=name, when=formats.moment(as_of)))


def _note() -> None:
    streamlit.query_params[NAME] = streamlit.session_state[CHOSEN]
