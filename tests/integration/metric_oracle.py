"""Metrics counted one by one in Python, with numpy for what is over all users: what the queries must agree with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from experiments.metrics import MetricDefinition
from experiments.quantities import QuantityFields
from experiments.vocabulary import MessageStage
from targeting.conditions import matches
from tests.integration.analysis_rows import Assigned, Happened

STAGES = {
    MessageStage.ACCEPTED: ("accepted_at", "sent_at", "delivered_at", "read_at"),
    MessageStage.DELIVERED: ("delivered_at", "read_at"),
    MessageStage.READ: ("read_at",),
    MessageStage.CLICKED: ("clicked_at",),
}
REFUSED = {
    *("meta_cap", "meta_holdout", "never_for_person", "undeliverable"),
    *("opted_out", "own_number", "not_in_test_list", "country_restricted"),
}
"""Why WhatsApp delivers a message to a person not today, or never."""


@dataclass(frozen=True)
class World:
    """messages: rows of the table, with `user_pk`."""

    assigned: Sequence[Assigned]
    happened: Sequence[Happened] = ()
    messages: Sequence[dict[str, Any]] = ()


def columns(
    metric: MetricDefinition, world: World, *, as_of: datetime
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The variants of the mature users, and y, d (of a ratio) and x (of a covariate) of each, capped."""
    mature = [one for one in world.assigned if one.at + metric.window <= as_of]
    found: dict[str, np.ndarray] = {}
    for letter, part in metric.quantities.items():
        start = metric.after or timedelta(0)
        numbers = [
            _number(metric, part, world, one, one.at + start, one.at + metric.window) for one in mature
        ]
        found[letter] = _capped(part, np.array(numbers, dtype=float))
        if metric.covariate is not None:
            before = [_number(metric, part, world, one, one.at - metric.covariate, one.at) for one in mature]
            found[f"before {letter}"] = _capped(part, np.array(before, dtype=float))
    if metric.covariate is not None:
        x = found.pop("before y")
        if "d" in found:
            d = found.pop("before d")
            x = x - (x.sum() / d.sum() if d.sum() else 0.0) * d
        found["x"] = x
    return np.array([one.variant for one in mature]), found


def _number(
    metric: MetricDefinition,
    part: QuantityFields,
    world: World,
    one: Assigned,
    start: datetime,
    end: datetime,
) -> float:
    if part.message is not None:
        count = sum(_is_at(part.message, row, end) for row in world.messages if row["user_pk"] == one.user)
        return float(bool(count)) if metric.is_share else count * (part.price or 1.0)
    mine = [
        event.properties
        for event in world.happened
        if event.user == one.user
        and event.name == part.event
        and start <= event.at < end
        and matches(part.where or {}, event.properties)
    ]
    if metric.is_share:
        return float(bool(mine))
    if part.value is None:
        return float(len(mine))
    return float(sum(v for p in mine if is_number(v := p.get(part.value))))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e100


def _is_at(stage: MessageStage, row: dict[str, Any], end: datetime) -> bool:
    if stage == MessageStage.BLOCKED:
        blocked = row["state"] == "suppressed" and row.get("reason") in {"opted_out", "undeliverable"}
        return blocked and row["failed_at"] < end
    if stage == MessageStage.FAILED:
        if row.get("first_failed_at") is not None and row["first_failed_at"] < end:
            return True
        failed = row["state"] == "failed" or row.get("reason") in REFUSED
        return failed and row["failed_at"] is not None and row["failed_at"] < end
    return any(row.get(column) is not None and row[column] < end for column in STAGES[stage])


def _capped(part: QuantityFields, values: np.ndarray) -> np.ndarray:
    if part.cap is None or not values.size:
        return values
    limits = [] if part.cap.value is None else [part.cap.value]
    if part.cap.quantile is not None:
        limits.append(float(np.quantile(values, part.cap.quantile, method="inverted_cdf")))
    return np.minimum(values, min(limits))
