"""A user's story as a chart. Pure: entries in, a chart out, or None when there is nothing to draw."""

from collections.abc import Sequence
from typing import Final

import altair as alt

from dashboard import viewer
from dashboard.charts import FONT_SIZE
from dashboard.story import KINDS, Entry, Kind
from dashboard.texts import say

COLOURS: Final[dict[Kind, str]] = {
    "event": "#0072B2",
    "message": "#009E73",
    "consent": "#D55E00",
    "assignment": "#767676",
}
SHAPES: Final[dict[Kind, str]] = {
    "event": "circle",
    "message": "square",
    "consent": "triangle-up",
    "assignment": "diamond",
}
_LANE: Final = 44
_WITH_HOURS: Final = 6
"""Up to so many days, the axis has hours: several marks of one day would bear the same date."""
_BELOW: Final = 70


def timeline(entries: Sequence[Entry]) -> alt.Chart | None:
    """One lane a kind of entry, one mark a moment, in the viewer's zone."""
    if not entries:
        return None
    names = {kind: say(f"users.kind.{kind}") for kind in KINDS}
    present = [kind for kind in KINDS if any(entry.kind == kind for entry in entries)]
    rows = [
        {
            # Without a zone: Vega then shows it as it is, and does not turn it into the time of the browser.
            "at": f"{entry.at.astimezone(viewer.zone()):%Y-%m-%dT%H:%M:%S}",
            "kind": names[entry.kind],
            "words": entry.words,
        }
        for entry in entries
    ]
    lanes = [names[kind] for kind in present]
    days = (max(entry.at for entry in entries) - min(entry.at for entry in entries)).days
    axis = alt.Axis(
        # Numbers only: Vega's names of days and months are English.
        format="%Y-%m-%d" if days > _WITH_HOURS else "%m-%d %H:%M",
        labelFontSize=FONT_SIZE,
        titleFontSize=FONT_SIZE,
        labelOverlap=True,
        tickCount=6,
    )
    chart: alt.Chart = alt.Chart(alt.InlineData(values=rows)).mark_point(
        filled=True, size=110, opacity=0.75, stroke="white", strokeWidth=0.5
    )
    placed: alt.Chart = chart.encode(
        x=alt.X("at:T", title=say("users.story.axis", zone=viewer.zone_name()), axis=axis),
        y=alt.Y(
            "kind:N",
            title=None,
            sort=lanes,
            axis=alt.Axis(labelFontSize=FONT_SIZE, labelLimit=160, ticks=False, domain=False, grid=True),
        ),
        color=alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=lanes, range=[COLOURS[kind] for kind in present]),
        ),
        shape=alt.Shape(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=lanes, range=[SHAPES[kind] for kind in present]),
        ),
        tooltip=[alt.Tooltip("at:T", title="", format="%Y-%m-%d %H:%M:%S"), alt.Tooltip("words:N", title="")],
    )
    return placed.properties(height=_LANE * len(present) + _BELOW)
