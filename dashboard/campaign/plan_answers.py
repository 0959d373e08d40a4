"""What `POST /v1/plan` says, as numbers for a page, and its power curve. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import altair as alt

from dashboard import formats, values
from dashboard.campaign import arms, metrics
from dashboard.campaign.documents import Document, at, items_at
from dashboard.charts import BLUE, FONT_SIZE, GREY, VERMILLION

_AXIS: Final[dict[str, Any]] = {"labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE}


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a start would reach: who takes part, how many of them get messages, how many messages, over how many days, at what cost.

    None where the plan cannot tell.
    """

    taking_part: int | None
    people: int | None
    messages: int | None
    days: float | None
    cost: float | None


def reach_of(plan: Mapping[str, Any], document: Document) -> Reach:
    """Whom a start would reach, from a plan of the document. The cost is messages times the price of the metric `cost`."""
    taking_part = taking_part_of(plan)
    messages = values.whole(at(plan, ("sending", "messages")))
    people = values.whole(at(plan, ("sending", "people")))
    if people is None and taking_part is not None:
        spoken = [cell.share for cell in arms.cells(document) if not cell.silent]
        if None not in spoken:
            people = round(taking_part * sum(share for share in spoken if share is not None))
    price = metrics.price_of_a_message(document)
    days = at(plan, ("sending", "days"))
    return Reach(
        taking_part=taking_part,
        people=people,
        messages=messages,
        days=float(days) if isinstance(days, int | float) else None,
        cost=None if price is None or messages is None else price * messages,
    )


def taking_part_of(plan: Mapping[str, Any]) -> int | None:
    """Who takes part: of the audience as it is counted, or as many as somebody assumes."""
    if at(plan, ("entry", "source")) == "given":
        assumed = values.whole(at(plan, ("entry", "by_the_end")))
        if assumed is not None:
            return assumed
    return values.whole(at(plan, ("audience", "taking_part")))


def start_problems(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why a start now would be refused, though the design is sound: the field, and what is wrong with it.

    >>> start_problems({"start_problems": [{"field": "trigger.until", "message": "is past"}]})
    [('trigger.until', 'is past')]
    """
    found = items_at(plan, ("start_problems",))
    return [(str(at(each, ("field",), "")), str(at(each, ("message",), ""))) for each in found]


def metric_rows(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a metric: its base, the effect that is looked for, the power of the users there are, and how many it takes."""
    return [
        {
            "metric": str(at(metric, ("metric",), "")),
            "role": str(at(metric, ("role",), "")),
            "base": _level(at(metric, ("base", "mean")), str(at(metric, ("kind",), ""))),
            "power": percent_words(at(metric, ("power",))),
            "finds": percent_words(at(metric, ("minimum_effect",))),
            "users_needed": formats.count(values.whole(at(metric, ("users_needed",)))),
            "days_needed": formats.count(values.whole(at(metric, ("days_needed",)))),
            "reasons": [str(reason) for reason in items_at(metric, ("reasons",))],
        }
        for metric in items_at(plan, ("metrics",))
    ]


def factor_rows(plan: Mapping[str, Any], document: Document) -> list[dict[str, str]]:
    """One row for each effect of crossed factors of which something is known: a level against the first of its factor, or how two act together."""
    first = {
        str(at(factor, ("key",), "")): str(at(factor, ("levels", 0, "key"), ""))
        for factor in items_at(document, ("factors",))
    }
    rows = []
    for found in items_at(plan, ("factors",)):
        if all(at(found, (name,)) is None for name in ("power", "minimum_effect", "users_needed")):
            continue
        factors, levels = values.texts(at(found, ("factors",))), values.texts(at(found, ("levels",)))
        rows.append(
            {
                "kind": str(at(found, ("kind",), "")),
                "factor": " × ".join(factors),
                "level": " × ".join(levels),
                "against": first.get(factors[0], "") if len(factors) == 1 else "",
                "power": percent_words(at(found, ("power",))),
                "finds": percent_words(at(found, ("minimum_effect",))),
                "users_needed": formats.count(values.whole(at(found, ("users_needed",)))),
            }
        )
    return rows


def power_curve(plan: Mapping[str, Any], *, users: str, power: str) -> alt.LayerChart | None:
    """The chance to find the planned effect by the number of users; rules at the planned power and the users there are.

    users, power: the titles of the axes. None without at least two points.
    """
    return _curve(
        _points(plan, "curve", "users"),
        "users",
        alt.X("users:Q", title=users, axis=alt.Axis(format=",d", tickCount=6, **_AXIS)),
        power=power,
        wanted=at(plan, ("power",)),
        there=taking_part_of(plan),
    )


def effect_curve(plan: Mapping[str, Any], *, effect: str, power: str) -> alt.LayerChart | None:
    """The chance to find an effect by its size, with the users there are (else those needed); rules at the planned power and effect.

    effect, power: the titles of the axes. None without at least two points.
    """
    return _curve(
        _points(plan, "effects", "effect"),
        "effect",
        alt.X("effect:Q", title=effect, axis=alt.Axis(format="+.3~p", tickCount=6, **_AXIS)),
        power=power,
        wanted=at(plan, ("power",)),
        there=at(plan, ("effect",)),
    )


def _points(plan: Mapping[str, Any], name: str, of: str) -> list[dict[str, float]]:
    return [
        {of: x, "power": y}
        for item in items_at(plan, (name,))
        if (x := values.number(at(item, (of,)))) is not None
        and (y := values.number(at(item, ("power",)))) is not None
    ]


def _curve(
    points: list[dict[str, float]], of: str, x: alt.X, *, power: str, wanted: Any, there: Any
) -> alt.LayerChart | None:
    if len(points) < 2:
        return None
    y = alt.Y("power:Q", title=power, axis=alt.Axis(format=".0%", **_AXIS), scale=alt.Scale(domain=[0, 1]))
    base = alt.Chart(alt.InlineData(values=points))
    layers: list[alt.Chart] = [
        base.mark_line(color=BLUE, strokeWidth=3, point=alt.OverlayMarkDef(color=BLUE, size=40)).encode(
            x=x, y=y
        )
    ]
    if values.number(wanted) is not None:
        rule = alt.Chart(alt.InlineData(values=[{"power": wanted}]))
        layers.append(rule.mark_rule(color=GREY, strokeDash=[5, 4]).encode(y="power:Q"))
    ends = sorted((points[0][of], points[-1][of]))
    if values.number(there) is not None and ends[0] <= there <= ends[1]:
        rule = alt.Chart(alt.InlineData(values=[{of: there}]))
        layers.append(rule.mark_rule(color=VERMILLION, strokeDash=[2, 3]).encode(x=f"{of}:Q"))
    return alt.LayerChart(layer=layers, height=260)


def curve_rows(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The points of the curve as text: users, power."""
    return [
        (formats.count(values.whole(at(item, ("users",)))), percent_words(at(item, ("power",))))
        for item in items_at(plan, ("curve",))
    ]


def days_words(days: float | None) -> str:
    """A number of days to a tenth.

    >>> days_words(0.0003), days_words(2.04), days_words(None)
    ('< 0.1', '2', '–')
    """
    if days is None:
        return formats.UNKNOWN
    return "< 0.1" if days < 0.05 else f"{days:,.1f}".removesuffix(".0")


def effect_rows(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The points of the other curve as text: effect, power."""
    return [
        (effect_words(point["effect"]), percent_words(point["power"]))
        for point in _points(plan, "effects", "effect")
    ]


def looking_rows(plan: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """What looks cost: how many, and the users needed with an end (`spending`) and without one (`always_valid`), each with how many times those of one fixed look."""
    found: dict[int, dict[str, str]] = {}
    for item in items_at(plan, ("looking",)):
        looks, users = values.whole(at(item, ("looks",))), values.whole(at(item, ("users_needed",)))
        times = values.number(at(item, ("times",)))
        if looks is not None and times is not None:
            words = f"{formats.count(users)} (×\u00a0{times:.3f})"
            found.setdefault(looks, {})[str(at(item, ("method",)))] = words
    return [
        (looks, by.get("spending", formats.UNKNOWN), by.get("always_valid", formats.UNKNOWN))
        for looks, by in sorted(found.items())
    ]


def percent_words(value: Any) -> str:
    r"""A share to three digits.

    >>> percent_words(0.8), percent_words(0.99999), percent_words(None)
    ('80%', '>\xa099.9%', '–')
    """
    known = values.number(value)
    return formats.UNKNOWN if known is None else formats.chance(known)


def effect_words(value: float | None) -> str:
    """A relative effect with its sign.

    >>> effect_words(0.1), effect_words(None)
    ('+10%', '–')
    """
    return formats.UNKNOWN if value is None else formats.signed(value)


def _level(value: Any, kind: str) -> str:
    known = values.number(value)
    if known is None:
        return formats.UNKNOWN
    return percent_words(known) if formats.is_share(kind) else formats.brief(known)
