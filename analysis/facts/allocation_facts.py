"""What a bandit knows: users, outcomes and delays by epoch, variant and age, those whose window is still open included.

"Not yet" is no "no": a user of an open window has had less time to convert. So users are told apart by their age, in bins
whose edges 0 = e_0 < e_1 < .. < e_B (the metric's window) are also those of the delays. An age is rounded down: what a user of
age bin a did counts up to e_a after the assignment, so that how long each was watched is known exactly. The last of the B + 1 age
bins holds all users whose window has closed.

The outcomes are those of `outcome_facts.py` (intention to treat, windows, caps, testers left out), asked up to these ages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select

from analysis.facts.engines import FactsEngine, Row
from analysis.facts.fact_tables import ASSIGNMENTS, EVENTS, MESSAGES, micros
from analysis.facts.facts import summary_of, summed
from analysis.facts.metric_groups import MetricGroup
from analysis.facts.outcome_facts import (
    Slicing,
    is_mature,
    moments_of,
    outcomes,
    stage_before,
)
from analysis.facts.property_facts import holds
from analysis.stats.aggregates import Aggregate
from experiments.clock import MICROSECOND, to_micros
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MessageStage, MetricKind

BINS: Final = 24
"""Bins of delays. Most conversions come soon, so bins grow with the delay: edge k is window (k / BINS)^2."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationFacts:
    """Epochs T, variants K (those asked for), age bins A = B + 1, delay bins B.

    edges: of the bins, B + 1. users, converters (users with at least one event that counts), total and total_squares (of the
    metric), delivered (messages, 0 unless asked for): (T, K, A). delays: conversions by age and delay, (K, A, B): users by
    their first event for a proportion, events otherwise.
    """

    epochs: tuple[int, ...]
    variants: tuple[str, ...]
    edges: tuple[timedelta, ...]
    users: Counts
    converters: Counts
    total: Counts
    total_squares: Counts
    delivered: Counts
    delays: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Users of one epoch and variant, and the probabilities with which they were drawn, as they were logged."""

    epoch: int
    variant: str
    users: int
    least: float
    most: float


def gather_allocation(
    engine: FactsEngine,
    *,
    experiment_id: int,
    metric: MetricDefinition,
    variants: Sequence[str],
    as_of: datetime,
    with_messages: bool = False,
) -> AllocationFacts:
    """The facts of one look, in two queries. metric: of a kind that is a mean per user (experiments/allocation.py).

    with_messages: count the messages delivered to each user as well, up to the same ages.
    """
    edges, group = edges_of(metric.window), _group(metric, with_messages=with_messages)
    rows = engine.fetch(cells_query(experiment_id, group, edges, as_of=as_of))
    epochs = tuple(sorted({_cell(row)[0] for row in rows}))
    delays = np.zeros((len(variants), BINS + 1, BINS))
    place = {variant: index for index, variant in enumerate(variants)}
    for row in engine.fetch(delays_query(experiment_id, metric, edges, as_of=as_of)):
        if row["variant"] in place:
            delays[place[row["variant"]], int(row["age"]), int(row["delay"])] = int(row["conversions"])
    return AllocationFacts(
        epochs=epochs,
        variants=tuple(variants),
        edges=tuple(edge * MICROSECOND for edge in edges),
        delays=delays,
        **_cells(rows, group, epochs=epochs, variants=variants),
    )


def gather_drawn(engine: FactsEngine, *, experiment_id: int, as_of: datetime) -> tuple[Drawn, ...]:
    """How many users each epoch and variant has, and what probabilities were logged with them; one query."""
    return tuple(
        Drawn(
            epoch=int(row["epoch"]),
            variant=row["variant"],
            users=int(row["users"]),
            least=float(row["least"]),
            most=float(row["most"]),
        )
        for row in engine.fetch(drawn_query(experiment_id, as_of=as_of))
    )


def edges_of(window: timedelta) -> tuple[int, ...]:
    """The edges of the bins in microseconds, from 0 to the end of the window.

    >>> edges_of(timedelta(seconds=576))[:3], len(edges_of(timedelta(seconds=576)))
    ((0, 1000000, 4000000), 25)
    """
    whole = window // MICROSECOND
    return tuple(whole * k * k // BINS**2 for k in range(BINS + 1))


def cells_query(
    experiment_id: int, group: MetricGroup, edges: Sequence[int], *, as_of: datetime
) -> Select[Any]:
    """As `facts.metric_query`, per variant and `slice`: epoch and age bin as one number (`_cell`)."""
    a = ASSIGNMENTS.c
    age = _bin_of(_age(as_of), edges)
    slicing = Slicing(
        people=ASSIGNMENTS, slice_of=a.epoch * (BINS + 1) + age, until=_watched_until(edges, as_of)
    )
    return summed(group, outcomes(experiment_id, group, as_of=as_of, slicing=slicing), {})


def delays_query(
    experiment_id: int, metric: MetricDefinition, edges: Sequence[int], *, as_of: datetime
) -> Select[Any]:
    """Per variant, age bin (`age`) and delay bin (`delay`): how many `conversions` took so long from the assignment.

    Users by their first event where the metric is a share, every event otherwise.
    """
    a = ASSIGNMENTS.c
    source, at = _conversions(metric, until=_watched_until(edges, as_of))
    age, took = _bin_of(_age(as_of), edges), at - micros(a.assigned_at)
    counted = is_mature(experiment_id, timedelta(0), as_of=as_of)
    columns: list[ColumnElement[Any]] = [a.variant, age, took]
    query = select(
        *(
            column.label(name)
            for name, column in zip(
                ("variant", "age", "took"),
                [func.min(column) for column in columns] if metric.is_share else columns,
                strict=True,
            )
        )
    )
    found = query.select_from(source).where(*counted)
    each = (found.group_by(a.user_pk) if metric.is_share else found).cte("conversions")
    delay = _bin_of(each.c.took, edges[:-1])
    binned = select(each.c.variant, each.c.age, delay.label("delay")).cte("binned_conversions")
    return select(*binned.c, func.count().label("conversions")).group_by(*binned.c).order_by(*binned.c)


def drawn_query(experiment_id: int, *, as_of: datetime) -> Select[Any]:
    """Per epoch and variant: `users`, and the smallest and largest propensity that was logged (`least`, `most`)."""
    a = ASSIGNMENTS.c
    return (
        select(
            a.epoch,
            a.variant,
            func.count().label("users"),
            func.min(a.propensity).label("least"),
            func.max(a.propensity).label("most"),
        )
        .where(*is_mature(experiment_id, timedelta(0), as_of=as_of))
        .group_by(a.epoch, a.variant)
        .order_by(a.epoch, a.variant)
    )


def _group(metric: MetricDefinition, *, with_messages: bool) -> MetricGroup:
    """The metric, who has any of it, and the messages that were delivered."""

    def counted(kind: MetricKind, **source: Any) -> MetricDefinition:
        return MetricDefinition(kind=kind, window=metric.window, **source)

    converters = {
        name: value for name in ("event", "message", "where") if (value := getattr(metric, name)) is not None
    }
    found = {
        "total": metric.model_copy(update={"covariate": None}),
        "converters": counted(MetricKind.PROPORTION, **converters),
    }
    if with_messages:
        found["delivered"] = counted(MetricKind.COUNT, message=MessageStage.DELIVERED)
    return MetricGroup(window=metric.window, metrics=tuple(found.items()))


def _cell(row: Row) -> tuple[int, int]:
    """Epoch and age bin."""
    return divmod(int(row["slice"]), BINS + 1)


def _cells(
    rows: Sequence[Row], group: MetricGroup, *, epochs: Sequence[int], variants: Sequence[str]
) -> dict[str, Counts]:
    shape = (len(epochs), len(variants), BINS + 1)
    names = ("users", "converters", "total", "total_squares", "delivered")
    found = {name: np.zeros(shape) for name in names}
    places = {variant: index for index, variant in enumerate(variants)}
    for row in rows:
        if row["variant"] not in places:
            continue
        epoch, age = _cell(row)
        at = (epochs.index(epoch), places[row["variant"]], age)
        for index, (name, metric) in enumerate(group.metrics):
            summary = _aggregate(row, index, metric)
            found["users"][at] = summary.n
            found[name][at] = summary.n * summary.mean
            if name == "total":
                found["total_squares"][at] = (
                    max(summary.n - 1, 0) * summary.variance + summary.n * summary.mean**2
                )
    # Whole numbers stay whole: a mean of users times their number may be off by a rounding.
    return found | {name: np.rint(found[name]) for name in ("converters", "delivered")}


def _aggregate(row: Row, index: int, metric: MetricDefinition) -> Aggregate:
    value = summary_of(row, index, metric, {})
    assert isinstance(value, Aggregate)  # noqa: S101  # quantiles are not for bandits
    return value


def _age(as_of: datetime) -> ColumnElement[int]:
    return literal(to_micros(as_of)) - micros(ASSIGNMENTS.c.assigned_at)


def _bin_of(length: ColumnElement[int], edges: Sequence[int]) -> ColumnElement[int]:
    """The bin in which a length lies: how many of the edges after the first one it has reached."""
    latest_first = [(length >= edges[k], k) for k in range(len(edges) - 1, 0, -1)]
    return case(*latest_first, else_=0)


def _watched_until(edges: Sequence[int], as_of: datetime) -> ColumnElement[int]:
    """The moment at which a user's age was as it is when rounded down."""
    age = _age(as_of)
    latest_first = [(age >= edges[k], edges[k]) for k in range(len(edges) - 1, 0, -1)]
    return micros(ASSIGNMENTS.c.assigned_at) + case(*latest_first, else_=0)


def _conversions(metric: MetricDefinition, *, until: ColumnElement[int]) -> tuple[Any, ColumnElement[int]]:
    """Assignments joined to what counts for the metric before `until`, and when that was."""
    a, e, m = ASSIGNMENTS.c, EVENTS.c, MESSAGES.c
    assigned = micros(a.assigned_at)
    if metric.message is not None:
        mine = and_(m.experiment_id == a.experiment_id, m.user_pk == a.user_pk)
        joined = ASSIGNMENTS.join(MESSAGES, and_(mine, stage_before(metric.message, until)))
        first, *others = (micros(m[column]) for column in moments_of(metric.message))
        at: ColumnElement[int] = first
        for other in others:
            at = case((at.is_(None), other), (other < at, other), else_=at)
        # Receipts tell whole seconds, so one may seem to come before the assignment.
        return joined, case((at < assigned, assigned), else_=at)
    where = holds(metric.where, e.properties)
    counts = [e.user_pk == a.user_pk, e.name == metric.event, micros(e.at) >= assigned, micros(e.at) < until]
    return ASSIGNMENTS.join(EVENTS, and_(*counts, *([] if where is None else [where]))), micros(e.at)
