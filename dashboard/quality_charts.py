"""How complete the columns of an import are, as a chart. Pure: documents in, a chart out."""

from collections.abc import Sequence
from typing import Final

import altair as alt

from dashboard import formats
from dashboard.charts import BLUE, FONT_SIZE, GREY, VERMILLION
from dashboard.documents import QualityColumn
from dashboard.texts import say

ORANGE: Final = "#E69F00"
COLOURS: Final = {"ok": BLUE, "look": ORANGE, "bad": VERMILLION}
MOST: Final = 60
_ROW_HEIGHT: Final = 24
_BELOW: Final = 90
"""Pixels for the axis and its title, which Streamlit counts into the height."""


def completeness(columns: Sequence[QualityColumn]) -> alt.LayerChart | None:
    """One bar a column, in the order of the file: the share of rows in which it is filled. None when no row could be read."""
    rows = [
        {
            "column": column.name,
            "filled": 100 * column.share,
            "label": filled(column.share),
            "colour": COLOURS.get(column.light, GREY),
        }
        for column in columns[:MOST]
        if column.share is not None
    ]
    if not rows:
        return None
    base = alt.Chart(alt.InlineData(values=rows))
    y = alt.Y(
        "column:N",
        sort=[str(row["column"]) for row in rows],
        title=None,
        axis=alt.Axis(
            # Every column by its name: by default names that come close to each other are left out.
            labelOverlap=False,
            labelFontSize=FONT_SIZE,
            labelLimit=220,
            ticks=False,
            domain=False,
            labelPadding=8,
        ),
    )
    x = alt.X(
        "filled:Q",
        title=say("import_quality.axis"),
        # Room for the number beside a full bar.
        scale=alt.Scale(domain=[0, 110], nice=False),
        axis=alt.Axis(
            labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE, values=[0, 20, 40, 60, 80, 100], grid=True
        ),
    )
    colour = alt.Color("colour:N", scale=None)
    layers = [
        base.mark_bar(height=14).encode(x=x, y=y, color=colour),
        base.mark_text(align="left", dx=5, fontSize=FONT_SIZE - 1).encode(x=x, y=y, text="label:N"),
    ]
    return alt.LayerChart(layer=layers).properties(height=_ROW_HEIGHT * len(rows) + _BELOW)


def filled(share: float | None) -> str:
    r"""A share as percent that never says all or none when it is not.

    >>> filled(1.0), filled(0.99999), filled(0.00001), filled(None)
    ('100%', '>\xa099.9%', '<\xa00.1%', '–')
    """
    if share is None:
        return formats.UNKNOWN
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}%"
    return formats.percent(share)
