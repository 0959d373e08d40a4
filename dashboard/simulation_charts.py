"""Pictures of a simulation: what each policy loses, and where its users go. Pure functions: values in, a chart out.

Colours are those of `charts.py`; every one is said again by a label.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt

from dashboard.charts import ARM_COLOURS, BLUE, FONT_SIZE, ROW_HEIGHT
from dashboard.simulated import Broadcast, Outcome, amount_with_error

Z: Final = 1.96
_AXIS: Final[dict[str, Any]] = {"labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE}


def regrets(
    rows: Sequence[Outcome | Broadcast], names: Mapping[str, str], *, title: str
) -> alt.LayerChart | None:
    """What each policy loses, with the 95 % interval of the simulation. names: of the policies; title: of the axis."""
    if not rows:
        return None
    data: list[dict[str, Any]] = [
        {
            "policy": names.get(row.policy, row.policy),
            "regret": row.regret,
            "lower": row.regret - Z * row.regret_error,
            "upper": row.regret + Z * row.regret_error,
            "label": amount_with_error(row.regret, row.regret_error),
        }
        for row in rows
    ]
    base = alt.Chart(alt.InlineData(values=data))
    y = alt.Y(
        "policy:N", title=None, sort=[row["policy"] for row in data], axis=alt.Axis(labelLimit=160, **_AXIS)
    )
    most = max(*(row["upper"] for row in data), 1e-9)
    least = min(0.0, *(row["lower"] for row in data))
    x = alt.X(
        "regret:Q",
        title=title,
        scale=alt.Scale(domain=[least, 1.35 * most]),
        axis=alt.Axis(tickCount=5, **_AXIS),
    )
    layers: list[alt.Chart] = [
        base.mark_bar(color=BLUE, opacity=0.35).encode(x=x, y=y),
        base.mark_rule(color=BLUE, strokeWidth=3).encode(x="lower:Q", x2="upper:Q", y=y),
        base.mark_point(color=BLUE, filled=True, size=90, opacity=1).encode(x="regret:Q", y=y),
        base.mark_text(align="left", dx=8, fontSize=FONT_SIZE, color=BLUE).encode(
            x="upper:Q", y=y, text="label:N"
        ),
    ]
    return alt.LayerChart(layer=layers, height=ROW_HEIGHT * len(data) + 40)


def traffic(
    users: Mapping[str, Mapping[str, float]], names: Mapping[str, str], *, title: str
) -> alt.LayerChart | None:
    """The share of the users that each policy gives to each arm. users: by policy, by arm."""
    arms = list(dict.fromkeys(arm for by_arm in users.values() for arm in by_arm))
    data: list[dict[str, Any]] = []
    for policy, by_arm in users.items():
        total, start = sum(by_arm.values()), 0.0
        for arm in arms:
            part = by_arm.get(arm, 0.0) / total if total else 0.0
            label = f"{100 * part:.0f}%" if part >= 0.08 else ""
            data.append(
                {
                    "policy": names.get(policy, policy),
                    "arm": arm,
                    "start": start,
                    "end": start + part,
                    "middle": start + part / 2,
                    "label": label,
                }
            )
            start += part
    if not data:
        return None
    base = alt.Chart(alt.InlineData(values=data))
    order = list(dict.fromkeys(row["policy"] for row in data))
    y = alt.Y("policy:N", title=None, sort=order, axis=alt.Axis(labelLimit=160, **_AXIS))
    colours = [ARM_COLOURS[0], *(ARM_COLOURS[1 + i % (len(ARM_COLOURS) - 1)] for i in range(len(arms) - 1))]
    colour = alt.Color(
        "arm:N",
        title=None,
        sort=arms,
        scale=alt.Scale(domain=arms, range=colours),
        legend=alt.Legend(orient="top", labelFontSize=FONT_SIZE, labelLimit=200, columns=3),
    )
    x = alt.X(
        "start:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5, **_AXIS),
    )
    layers: list[alt.Chart] = [
        base.mark_bar().encode(x=x, x2="end:Q", y=y, color=colour),
        base.mark_text(fontSize=FONT_SIZE, fontWeight="bold", color="black").encode(
            x="middle:Q", y=y, text="label:N"
        ),
    ]
    return alt.LayerChart(layer=layers, height=ROW_HEIGHT * len(order) + 40)
