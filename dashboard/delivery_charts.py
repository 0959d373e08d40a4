"""Where the messages of each experiment are now, as a chart. Pure: documents in, a chart out."""

from collections.abc import Mapping, Sequence
from typing import Final

import altair as alt

from dashboard import formats
from dashboard.calls.delivery import SentOf
from dashboard.charts import FONT_SIZE

STATES: Final[dict[str, str]] = {
    "sent": "#0072B2",
    "inflight": "#56B4E9",
    "waiting": "#F0E442",
    "suppressed": "#999999",
    "failed": "#D55E00",
    "unknown": "#CC79A7",
    "expired": "#E69F00",
    "cancelled": "#444444",
}
"""States in the order of a message's life, each with a colour of Okabe and Ito or a grey."""
MOST: Final = 20
_ROW_HEIGHT: Final = 26
_BELOW: Final = 140
"""Legend, axis, its title and the padding, in pixels."""


def by_state(experiments: Sequence[SentOf], *, words: Mapping[str, str], axis: str) -> alt.Chart | None:
    """One bar an experiment, the largest first; `words` names the states. None when there is no message."""
    busiest = sorted(experiments, key=lambda each: -total(each))[:MOST]
    rows = [
        {
            "experiment": each.experiment,
            "state": words[state],
            "order": order,
            "messages": each.counts[state],
            "told": f"{each.experiment}: {formats.count(each.counts[state])} {words[state]}",
        }
        for each in busiest
        for order, state in enumerate(STATES)
        if each.counts.get(state)
    ]
    if not rows:
        return None
    shown = [state for state in STATES if any(row["state"] == words[state] for row in rows)]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=16)
        .encode(
            x=alt.X(
                "messages:Q",
                title=axis,
                axis=alt.Axis(labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE, tickMinStep=1),
            ),
            y=alt.Y(
                "experiment:N",
                title=None,
                sort=[each.experiment for each in busiest],
                axis=alt.Axis(labelFontSize=FONT_SIZE, labelLimit=220, labelOverlap=False),
            ),
            color=alt.Color(
                "state:N",
                scale=alt.Scale(
                    domain=[words[state] for state in shown], range=[STATES[state] for state in shown]
                ),
                legend=alt.Legend(title=None, orient="top", labelFontSize=FONT_SIZE),
            ),
            order="order:Q",
            tooltip=alt.Tooltip("told:N", title=None),
        )
        .properties(height=_ROW_HEIGHT * len(busiest) + _BELOW)
    )
    return chart


def total(experiment: SentOf) -> int:
    """All messages of an experiment, wherever they are."""
    return sum(experiment.counts.get(state, 0) for state in STATES)
