"""The rows of a condition as widgets: an attribute, what was done, a segment, or a part in words.

Every function draws one row that says `row` and gives the row that the widgets say now. Nobody's input is converted
unless it was changed: what a row holds stays as it is to the last digit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.calls.conditions import Attribute
from dashboard.condition_fields import (
    TYPES,
    UNITS,
    asks_for_type,
    entered,
    operators_for,
    spelled,
    split_duration,
    value_type,
    with_operator,
)
from dashboard.condition_rows import AGES, IS, KNOWN, MANY_VALUES, UNKNOWN, Compared, Did, Member, Times
from dashboard.texts import say

WIDE: Final = 230
NARROW: Final = 160
SMALL: Final = 115
EVER: Final = "ever"
FIRST_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Offer:
    """What may be asked about: attributes and segments by name, and events."""

    attributes: Mapping[str, Attribute]
    events: tuple[str, ...]
    segments: Mapping[str, str]


def attribute(key: str, row: Compared, offer: Offer) -> Compared:
    names = [*offer.attributes, *([] if row.path in offer.attributes or not row.path else [row.path])]
    path = streamlit.selectbox(
        say("condition_builder.attribute.label"),
        names,
        index=names.index(row.path) if row.path else None,
        format_func=lambda name: _described(offer.attributes.get(name), name),
        accept_new_options=True,
        placeholder=say("condition_builder.attribute.choose"),
        help=say("condition_builder.attribute.help"),
        key=f"{key}:path",
        width=WIDE,
    )
    found = offer.attributes.get(path or "")
    kind = found.kind if found else ""
    if (path or "") != row.path:
        row = Compared(path or "", operators_for(kind, IS)[0] if found else IS)
    if not row.path:
        return row
    operators = operators_for(kind, row.operator)
    operator = streamlit.selectbox(
        say("condition_builder.comparison.label"),
        operators,
        index=operators.index(row.operator),
        format_func=lambda name: say(f"condition_builder.operator.{name.removeprefix('$')}"),
        help=say("condition_builder.comparison.help"),
        key=f"{key}:operator:{row.path}",
        width=NARROW,
    )
    row = with_operator(row, operator)
    if row.operator in {KNOWN, UNKNOWN}:
        return row
    return replace(row, value=_value(f"{key}:{row.path}:{row.operator}", row, kind, found))


def _described(found: Attribute | None, name: str) -> str:
    if found is None:
        return name
    share = formats.UNKNOWN if found.share is None else formats.percent(found.share, 0)
    kind = say(f"condition_builder.kind.{found.kind}") if found.kind in KINDS else found.kind
    return say("condition_builder.attribute.option", name=name, kind=kind, share=share)


KINDS: Final = frozenset({"text", "number", "boolean", "time", "list", "object", "mixed"})


def _value(key: str, row: Compared, kind: str, found: Attribute | None) -> Any:
    if row.operator in AGES:
        return duration(f"{key}:age", row.value, say("condition_builder.age.label"))
    examples = found.examples if found else ()
    wanted = value_type(row, kind, examples)
    if asks_for_type(row, kind):
        wanted = streamlit.selectbox(
            say("condition_builder.type.label"),
            TYPES,
            index=TYPES.index(wanted),
            format_func=lambda name: say(f"condition_builder.kind.{name}"),
            help=say("condition_builder.type.help"),
            key=f"{key}:type",
            width=NARROW,
        )
    offered = [spelled(value) for value in examples if entered(spelled(value), wanted) == value]
    if row.operator in MANY_VALUES:
        return _values(f"{key}:{wanted}", row.value, offered, wanted)
    return _one_value(f"{key}:{wanted}", row, offered, wanted, kind)


def _one_value(key: str, row: Compared, offered: list[str], wanted: Any, kind: str) -> Any:
    before = None if row.value is None else spelled(row.value)
    label, explained = say("condition_builder.value.label"), say("condition_builder.value.help")
    if wanted == "boolean":
        offered = ["true", "false"]
    if kind == "time":
        explained = say("condition_builder.value.time")
    typed: str | None
    if offered and row.operator not in {"$regex", "$regexi"}:
        options = [*offered, *([] if before is None or before in offered else [before])]
        typed = streamlit.selectbox(
            label,
            options,
            index=None if before is None else options.index(before),
            accept_new_options=wanted != "boolean",
            placeholder=say("condition_builder.value.choose"),
            help=explained,
            key=f"{key}:one",
            width=WIDE,
        )
    else:
        typed = streamlit.text_input(label, before or "", help=explained, key=f"{key}:text", width=WIDE)
    if typed == before or (before is None and not typed):
        return row.value
    value = entered(typed or "", wanted)
    if value is None and typed:
        streamlit.caption(f":red[{say('condition_builder.value.no_number')}]", width=NARROW)
    return value


def _values(key: str, values: Any, offered: list[str], wanted: Any) -> Any:
    before = list(dict.fromkeys(map(spelled, values or ())))
    chosen = streamlit.multiselect(
        say("condition_builder.values.label"),
        [*offered, *(name for name in before if name not in offered)],
        default=before,
        accept_new_options=True,
        placeholder=say("condition_builder.value.choose"),
        help=say("condition_builder.values.help"),
        key=f"{key}:many",
        width=WIDE,
    )
    if chosen == before:
        return values
    found = [(text, entered(text, wanted)) for text in chosen]
    if any(value is None for _, value in found):
        streamlit.caption(f":red[{say('condition_builder.value.no_number')}]", width=NARROW)
    return [value for _, value in found if value is not None]


def duration(key: str, value: str | None, label: str, *, ever: bool = False) -> str | None:
    """A number and a unit, such as 30d; with `ever` it may be no duration at all, which is None."""
    before = split_duration(value) or (FIRST_DAYS, "d")
    units = (*UNITS, EVER) if ever else UNITS
    number = streamlit.number_input(
        label,
        min_value=1,
        max_value=100_000_000,
        value=before[0],
        disabled=streamlit.session_state.get(f"{key}:unit", EVER if value is None else "") == EVER and ever,
        help=say("condition_builder.age.help"),
        key=f"{key}:number",
        width=SMALL,
    )
    unit = streamlit.selectbox(
        say("condition_builder.unit.label"),
        units,
        index=units.index(EVER if ever and value is None else before[1]),
        format_func=lambda name: say(f"condition_builder.unit.{name}"),
        help=say("condition_builder.unit.help"),
        key=f"{key}:unit",
        width=SMALL,
    )
    return None if unit == EVER else f"{number}{unit}"


def behaviour(key: str, row: Did, offer: Offer) -> Did:
    names = [*offer.events, *([] if row.event in offer.events or not row.event else [row.event])]
    event = streamlit.selectbox(
        say("condition_builder.event.label"),
        names,
        index=names.index(row.event) if row.event else None,
        accept_new_options=True,
        placeholder=say("condition_builder.event.choose"),
        help=say("condition_builder.event.help"),
        key=f"{key}:event",
        width=WIDE,
    )
    hows: tuple[Times, ...] = ("at_least", "fewer", "exactly")
    how = streamlit.selectbox(
        say("condition_builder.how.label"),
        hows,
        index=hows.index(row.how),
        format_func=lambda name: say(f"condition_builder.how.{name}"),
        help=say("condition_builder.how.help"),
        key=f"{key}:how",
        width=NARROW,
    )
    times = streamlit.number_input(
        say("condition_builder.times.label"),
        min_value=1,
        max_value=1_000_000,
        value=row.times,
        help=say("condition_builder.times.help"),
        key=f"{key}:times",
        width=SMALL,
    )
    within = duration(f"{key}:within", row.within, say("condition_builder.within.label"), ever=True)
    return Did(event or "", how, int(times), within)


def segment(key: str, row: Member, offer: Offer) -> Member:
    keys = [*offer.segments, *(name for name in row.keys if name not in offer.segments)]
    inside = streamlit.selectbox(
        say("condition_builder.inside.label"),
        (True, False),
        index=0 if row.inside else 1,
        format_func=lambda yes: say("condition_builder.inside.yes" if yes else "condition_builder.inside.no"),
        help=say("condition_builder.inside.help"),
        key=f"{key}:inside",
        width=NARROW,
    )
    chosen = streamlit.multiselect(
        say("condition_builder.segments.label"),
        keys,
        default=list(dict.fromkeys(row.keys)),
        format_func=lambda name: offer.segments.get(name, name),
        placeholder=say("condition_builder.segments.choose"),
        help=say("condition_builder.segments.help"),
        key=f"{key}:segments",
        width=WIDE,
    )
    kept = chosen == list(dict.fromkeys(row.keys))
    return Member(row.keys if kept else tuple(chosen), inside)
