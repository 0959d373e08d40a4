"""How segments overlap, as a chart and as a table. Pure.

Not circles: areas of circles are read badly, and from four sets on no circles can show every combination. Bars show all,
and a line of names says which segments a bar is in.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import altair as alt

from dashboard import formats
from dashboard.calls.conditions import Count
from dashboard.calls.segments import Overlaps
from dashboard.charts import BLUE, FONT_SIZE, GREY
from dashboard.texts import say

MOST_BARS: Final = 20


def titles(names: Mapping[str, str]) -> dict[str, str]:
    """What each segment is called here: its name, with its key where others have the same name."""
    times = Counter(names.values())
    return {key: name if times[name] == 1 else f"{name} ({key})" for key, name in names.items()}


def bars(found: Overlaps, names: Mapping[str, str]) -> list[dict[str, object]]:
    """One row a combination, the largest first: what it is called, how many users, whether several segments share them."""
    return [
        {
            "label": _called(combination.keys, names),
            "users": combination.users.value,
            "text": _told(combination.users),
            "shared": len(combination.keys) > 1,
        }
        for combination in found.combinations[:MOST_BARS]
    ]


def _told(users: Count) -> str:
    if users.exact:
        return formats.count(users.value)
    lower, upper = formats.count(users.lower), formats.count(users.upper)
    return say("segments.overlap.about", number=formats.count(users.value), lower=lower, upper=upper)


def _called(keys: Sequence[str], names: Mapping[str, str]) -> str:
    shown = [names.get(key, key) for key in keys]
    return say("segments.overlap.only", name=shown[0]) if len(shown) == 1 else " + ".join(shown)


def combinations(rows: Sequence[Mapping[str, object]], axis: str) -> alt.LayerChart:
    """A bar for every combination; blue where several segments share the users, which the label says too.

    Numbers are grey, which is read on a light and on a dark page; a chart does not know which it is on.
    """
    most = max((int(str(row["users"])) for row in rows), default=1)
    x = alt.X(
        "users:Q",
        title=axis,
        scale=alt.Scale(domain=[0, most * 1.3]),
        axis=alt.Axis(labelFontSize=FONT_SIZE, titleFontSize=FONT_SIZE, tickCount=5),
    )
    y = alt.Y(
        "label:N",
        title=None,
        sort=[str(row["label"]) for row in rows],
        axis=alt.Axis(labelFontSize=FONT_SIZE, labelLimit=420),
    )
    colour = alt.condition("datum.shared", alt.value(BLUE), alt.value(GREY))
    base = alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))
    layers = [
        base.mark_bar().encode(x=x, y=y, color=colour),
        base.mark_text(align="left", dx=4, fontSize=FONT_SIZE, color=GREY).encode(x=x, y=y, text="text:N"),
    ]
    return alt.LayerChart(layer=layers).properties(height=max(120, 34 * len(rows) + 50))


def pairs(found: Overlaps, names: Mapping[str, str], heading: str) -> list[dict[str, str]]:
    """A table: how many users of each segment (row) are in each other (column), and what share of the row's that is."""
    sizes = {key: size.value for key, size, _ in found.segments}
    return [
        {
            heading: formats.plain(names.get(row, row)),
            **{
                formats.plain(names.get(column, column)): (
                    formats.count(size)
                    if row == column
                    else f"{formats.count(both)} ({formats.share(both, size)})"
                )
                for column in sizes
                for both in [shared(found, row, column)]
            },
        }
        for row, size in sizes.items()
    ]


def shared(found: Overlaps, one: str, other: str) -> int:
    """How many users are in both segments, whatever others they are in."""
    return sum(each.users.value for each in found.combinations if {one, other} <= set(each.keys))
