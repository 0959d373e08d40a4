"""What the data lack: events that never happened, that lie in the future, or whose values are no numbers. In words."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, func, literal, not_, select

from analysis.facts.engines import Row
from analysis.facts.fact_tables import ASSIGNMENTS, EVENTS, micros
from experiments.clock import to_micros
from experiments.metrics import MetricDefinition
from experiments.quantities import QuantityFields
from experiments.vocabulary import (
    EXPERIMENT_VIEWED_EVENT,
    MARKETING_RESUMED_EVENT,
    MARKETING_STOPPED_EVENT,
    MESSAGE_RECEIVED_EVENT,
    OPTED_OUT_EVENT,
)

CLOCKS_DIFFER: Final = timedelta(hours=1)
"""A time stamp that is no further ahead says that two clocks differ, and is not worth a word."""
OUR_OWN: Final = frozenset(
    {
        OPTED_OUT_EVENT,
        MESSAGE_RECEIVED_EVENT,
        MARKETING_STOPPED_EVENT,
        MARKETING_RESUMED_EVENT,
        EXPERIMENT_VIEWED_EVENT,
    }
)
"""Events that we record ourselves: when one never happened, its name is right all the same."""


def names_in(definitions: Mapping[str, MetricDefinition]) -> tuple[str, ...]:
    """The events that the metrics count."""
    names = (part.event for metric in definitions.values() for part in metric.quantities.values())
    return tuple(dict.fromkeys(name for name in names if name is not None))


def events_query(experiment_id: int, names: Sequence[str], *, as_of: datetime) -> Select[Any]:
    """One row: whether event number i was ever recorded (`ever<i>`, null: never), how many of it lie ahead (`ahead<i>`), and
    how many users are assigned in the future (`users_ahead`).
    """
    a, e = ASSIGNMENTS.c, EVENTS.c
    later = to_micros(as_of + CLOCKS_DIFFER)
    columns: list[Any] = [
        select(func.count())
        .select_from(ASSIGNMENTS)
        .where(a.experiment_id == experiment_id, not_(a.forced), micros(a.assigned_at) > later)
        .scalar_subquery()
        .label("users_ahead")
    ]
    for i, name in enumerate(names):
        columns.append(select(literal(1)).where(e.name == name).limit(1).scalar_subquery().label(f"ever{i}"))
        columns.append(
            select(func.count())
            .select_from(EVENTS)
            .where(e.name == name, micros(e.at) > later)
            .scalar_subquery()
            .label(f"ahead{i}")
        )
    return select(*columns)


def about_the_data(
    definitions: Mapping[str, MetricDefinition],
    found: Mapping[str, Sequence[Row]],
    event_rows: Sequence[Row],
    names: Sequence[str],
) -> tuple[str, ...]:
    """Warnings about what could not be used. found: per metric, one row an arm with `bad`, `largest`, `yy` where known."""
    (events,) = event_rows
    never = {name for i, name in enumerate(names) if events[f"ever{i}"] is None} - OUR_OWN
    said = [
        f"{key}: no event {part.event!r} was ever recorded, so nobody has any; check its name"
        for key, metric in definitions.items()
        for part in metric.quantities.values()
        if part.event in never
    ]
    for key, metric in definitions.items():
        rows, parts = found.get(key, ()), metric.quantities
        bad = sum(int(row.get("bad") or 0) for row in rows)
        if bad:
            read = " and ".join(f"`{part.value}`" for part in parts.values() if part.value is not None)
            values = "1 value" if bad == 1 else f"{bad} values"
            said.append(
                f"{key}: {values} of {read} could not be used (no number, or an absurd one) and counted as 0"
            )
        if rows and parts["y"].event not in never and all(_is_nothing(row) for row in rows):
            said += [f"{key}: every user has 0; {why}" for why in _why_nothing(parts["y"])]
    for i, name in enumerate(names):
        if events[f"ahead{i}"]:
            said.append(
                f"{events[f'ahead{i}']} events {name!r} have a time that is still to come and count nowhere yet"
            )
    if events["users_ahead"]:
        said.append(
            f"{events['users_ahead']} users were assigned at a time that is still to come and count nowhere yet"
        )
    return tuple(said)


def _is_nothing(row: Row) -> bool:
    return row.get("largest") == 0 and row.get("yy") == 0


def _why_nothing(part: QuantityFields) -> list[str]:
    if part.cap is not None and part.cap.quantile is not None:
        return [
            f"its cap is 0 where no more than {1 - part.cap.quantile:.2g} of all users have more; raise the quantile"
        ]
    told = [f"`{name}`" for name, given in (("value", part.value), ("where", part.where)) if given]
    return [f"check {' and '.join(told)}"] if told else []
