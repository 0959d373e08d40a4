"""From the tables to sufficient statistics: SQL that aggregates where the rows live; one row per variant comes back.

Every query is SQLAlchemy Core over the same table objects, built from plain parts only (integers of microseconds,
CASE, SUM, MIN, MAX), so that it runs on SQLite and PostgreSQL as it is and can be translated for other engines.

A user's outcome for a metric is what happened in [assigned_at, assigned_at + window), whatever was sent to whom
(intention to treat); a user without events has outcome 0. Only *mature* users count, those whose whole window lies
before `as_of`: assigned_at + window <= as_of. The covariate is the same quantity over [assigned_at - covariate, assigned_at).

Users whose variant was forced (testers) count nowhere: chance did not put them into their arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from analysis.engines import FactsEngine, Row
from analysis.inputs import Messages, Reached
from analysis.stats.aggregates import Aggregate
from delivery.models import Message
from experiments.clock import MICROSECOND, to_micros
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MessageState, MetricKind
from targeting.models import Assignment, Event

ASSIGNMENTS: Final[Table] = Assignment.__table__  # type: ignore[attr-defined]
EVENTS: Final[Table] = Event.__table__  # type: ignore[attr-defined]
MESSAGES: Final[Table] = Message.__table__  # type: ignore[attr-defined]

NO_REASON: Final = "unspecified"
NOBODY: Final = Aggregate(n=0, mean=0.0, variance=0.0)
"""An arm without mature users."""
LARGEST_VALUE: Final = 1e100
"""A larger number in an event is no quantity of anything, and its square would overflow the sums of everybody else."""
LONGEST_NUMBER: Final = 120
"""Characters of a number as the database prints it. PostgreSQL spells out 1e-400, and then cannot make a float of it."""

# A delivered message was accepted even if the word of that got lost or is still on its way.
_STAGES: Final = {
    "accepted": ("accepted_at", "sent_at", "delivered_at", "read_at"),
    "delivered": ("delivered_at", "read_at"),
    "read": ("read_at",),
    "clicked": ("clicked_at",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """One variant that somebody was assigned to. assigned: users by number of the epoch they were drawn in."""

    assigned: Mapping[int, int]
    messages: Messages
    reached: Reached


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentFacts:
    """All that a report needs to know. `arms` by variant; `metrics` by metric key, then by variant (absent: nobody mature)."""

    arms: Mapping[str, ArmCounts]
    metrics: Mapping[str, Mapping[str, Aggregate]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """Metrics that are computed in one pass, because they look at the same event in the same window."""

    event: str
    window: timedelta
    metrics: tuple[tuple[str, MetricDefinition], ...]

    @property
    def longest_covariate(self) -> timedelta | None:
        return max((metric.covariate for _, metric in self.metrics if metric.covariate), default=None)


def gather(
    engine: FactsEngine, *, experiment_id: int, definitions: Mapping[str, MetricDefinition], as_of: datetime
) -> ExperimentFacts:
    """Everything that is known about one experiment at `as_of`, in two queries and one more per group of metrics."""
    metrics: dict[str, dict[str, Aggregate]] = {}
    for group in group_metrics(definitions):
        rows = engine.fetch(metric_query(experiment_id, group, as_of=as_of))
        for i, (key, metric) in enumerate(group.metrics):
            metrics[key] = {row["variant"]: _aggregate(row, i, metric) for row in rows}
    return ExperimentFacts(
        arms=_arms(
            engine.fetch(arms_query(experiment_id, as_of=as_of)),
            engine.fetch(suppressed_query(experiment_id)),
        ),
        metrics=metrics,
    )


def group_metrics(definitions: Mapping[str, MetricDefinition]) -> list[MetricGroup]:
    """The metrics by event and window, in the order of their first appearance."""
    groups: dict[tuple[str, timedelta], list[tuple[str, MetricDefinition]]] = {}
    for key, metric in definitions.items():
        groups.setdefault((metric.event, metric.window), []).append((key, metric))
    return [
        MetricGroup(event=event, window=window, metrics=tuple(metrics))
        for (event, window), metrics in groups.items()
    ]


def arms_query(experiment_id: int, *, as_of: datetime) -> Select[Any]:
    """Per variant and epoch: users assigned, and how many messages and users got to each stage until `as_of`.

    Columns: variant, epoch, assigned, and for each stage `messages_<stage>` and `users_<stage>`.
    """
    a, m = ASSIGNMENTS.c, MESSAGES.c
    now = to_micros(as_of)
    counts = [
        func.sum(case((_until(now, *(m[column] for column in columns)), 1), else_=0)).label(stage)
        for stage, columns in _STAGES.items()
    ]
    users = (
        select(func.min(a.variant).label("variant"), func.min(a.epoch).label("epoch"), *counts)
        .select_from(
            ASSIGNMENTS.outerjoin(MESSAGES, and_(m.experiment_id == a.experiment_id, m.user_pk == a.user_pk))
        )
        .where(a.experiment_id == experiment_id, not_(a.forced), _micros(a.assigned_at) <= now)
        .group_by(a.user_pk)
        .cte("users_of_arms")
    )
    columns: list[ColumnElement[Any]] = []
    for stage in _STAGES:
        columns.append(cast(func.sum(users.c[stage]), BigInteger).label(f"messages_{stage}"))
        columns.append(func.sum(case((users.c[stage] > 0, 1), else_=0)).label(f"users_{stage}"))
    return (
        select(users.c.variant, users.c.epoch, func.count().label("assigned"), *columns)
        .group_by(users.c.variant, users.c.epoch)
        .order_by(users.c.variant, users.c.epoch)
    )


def suppressed_query(experiment_id: int) -> Select[Any]:
    """Messages that were not sent, per variant and reason. A suppression has no time of its own: it counts at once."""
    a, m = ASSIGNMENTS.c, MESSAGES.c
    return (
        select(m.variant, m.reason, func.count().label("messages"))
        .select_from(
            MESSAGES.join(ASSIGNMENTS, and_(a.experiment_id == m.experiment_id, a.user_pk == m.user_pk))
        )
        .where(m.experiment_id == experiment_id, m.state == str(MessageState.SUPPRESSED), not_(a.forced))
        .group_by(m.variant, m.reason)
        .order_by(m.variant, m.reason)
    )


def metric_query(experiment_id: int, group: MetricGroup, *, as_of: datetime) -> Select[Any]:
    """Per variant, over its mature users: `n`, and for metric number i of the group the sums of its outcome Y
    (`y<i>`, `yy<i>`, `largest<i>`) and covariate X (`x<i>`, `xx<i>`, `xy<i>`), shifted by `shift_y<i>`, `shift_x<i>`.

    Sums of money are shifted by the arm's own mean before they are squared (two passes), for sums of raw squares
    lose the variance of data far from zero. Counts need no shift: whole numbers add up exactly.
    """
    outcomes = _outcomes(experiment_id, group, as_of=as_of)
    o = outcomes.c
    summed = [
        name
        for i, (_, metric) in enumerate(group.metrics)
        for name in _quantities(i, metric)
        if metric.kind == MetricKind.MEAN
    ]
    source: Any = outcomes
    shifts: dict[str, ColumnElement[float]] = {}
    if summed:
        centres = (
            select(o.variant, *(func.avg(o[name]).label(name) for name in summed))
            .group_by(o.variant)
            .cte("centres")
        )
        source = outcomes.join(centres, centres.c.variant == o.variant)
        shifts = {name: centres.c[name] for name in summed}
    columns: list[ColumnElement[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        shifted = {
            name: o[name] - shifts[name] if name in shifts else o[name] for name in _quantities(i, metric)
        }
        y = shifted[f"y{i}"]
        columns += [
            func.sum(y).label(f"y{i}"),
            func.sum(y * y).label(f"yy{i}"),
            func.max(o[f"y{i}"]).label(f"largest{i}"),
        ]
        if metric.covariate is not None:
            x = shifted[f"x{i}"]
            columns += [
                func.sum(x).label(f"x{i}"),
                func.sum(x * x).label(f"xx{i}"),
                func.sum(x * y).label(f"xy{i}"),
            ]
    columns += [func.max(shift).label(f"shift_{name}") for name, shift in shifts.items()]
    return (
        select(o.variant, func.count().label("n"), *columns)
        .select_from(source)
        .group_by(o.variant)
        .order_by(o.variant)
    )


class NumberIn(FunctionElement[float]):
    """The property `name` of a JSON column when it is a JSON number of sane size; 0 for anything else, also for "12".

    Engines disagree about JSON, so this is the one expression that is spelled out for each: SQLite on one side,
    PostgreSQL (and what is translated from it) on the other.
    """

    type = Double()
    inherit_cache = True

    def __init__(self, document: Column[Any], name: str) -> None:
        super().__init__(document, literal(name))


@compiles(NumberIn, "sqlite")
def _number_in_sqlite(element: NumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    document, name = (compiler.process(part, **kw) for part in element.clauses)
    place = f"""{document}, '$."' || {name} || '"'"""
    return (
        f"CASE WHEN json_type({place}) IN ('integer', 'real')"
        f" AND json_extract({place}) BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE}"
        f" THEN CAST(json_extract({place}) AS DOUBLE) ELSE 0.0 END"
    )


@compiles(NumberIn)
def _number_in(element: NumberIn, compiler: SQLCompiler, **kw: Any) -> str:
    document, name = (compiler.process(part, **kw) for part in element.clauses)
    as_json, zero = f"CAST({document} -> {name} AS TEXT)", "CAST(0 AS DOUBLE PRECISION)"
    value = f"CAST({document} ->> {name} AS DOUBLE PRECISION)"
    # A number is the only JSON value whose text begins so. Only CASE keeps the cast away from everything else.
    return (
        f"CASE WHEN substr({as_json}, 1, 1) IN ('-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')"
        f" AND length({as_json}) <= {LONGEST_NUMBER}"
        f" THEN CASE WHEN {value} BETWEEN -{LARGEST_VALUE} AND {LARGEST_VALUE} THEN {value} ELSE {zero} END"
        f" ELSE {zero} END"
    )


def _outcomes(experiment_id: int, group: MetricGroup, *, as_of: datetime) -> CTE:
    """One row per mature user: variant, y<i> and, where metric i has a covariate, x<i>."""
    a, e = ASSIGNMENTS.c, EVENTS.c
    assigned, at = _micros(a.assigned_at), _micros(e.at)
    window = group.window // MICROSECOND
    longest = group.longest_covariate
    columns: list[ColumnElement[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        # Without a covariate the join itself leaves nothing but the window.
        after = and_(e.id.is_not(None), at >= assigned) if longest else e.id.is_not(None)
        columns.append(_quantity(metric, after).label(f"y{i}"))
        if metric.covariate is not None:
            before = and_(at >= assigned - metric.covariate // MICROSECOND, at < assigned)
            columns.append(_quantity(metric, before).label(f"x{i}"))
    first = assigned - longest // MICROSECOND if longest else assigned
    return (
        select(func.min(a.variant).label("variant"), *columns)
        .select_from(
            ASSIGNMENTS.outerjoin(
                EVENTS,
                and_(e.user_pk == a.user_pk, e.name == group.event, at >= first, at < assigned + window),
            )
        )
        .where(a.experiment_id == experiment_id, not_(a.forced), assigned <= to_micros(as_of) - window)
        .group_by(a.user_pk)
        .cte("outcomes")
    )


def _quantity(metric: MetricDefinition, counts: ColumnElement[bool]) -> ColumnElement[float]:
    """What the joined events amount to for one user, over those for which `counts` holds."""
    if metric.kind == MetricKind.PROPORTION:
        return cast(func.max(case((counts, 1), else_=0)), Double)
    if metric.kind == MetricKind.COUNT:
        return cast(func.sum(case((counts, 1), else_=0)), Double)
    assert metric.value is not None  # noqa: S101  # a mean without a value is refused when it is defined
    return func.sum(case((counts, NumberIn(EVENTS.c.properties, metric.value)), else_=_double(0)))


def _quantities(i: int, metric: MetricDefinition) -> list[str]:
    return [f"y{i}", f"x{i}"] if metric.covariate is not None else [f"y{i}"]


def _micros(column: Column[Any]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger)


def _double(value: float) -> ColumnElement[float]:
    return cast(literal(value), Double)


def _until(now: int, *columns: Column[Any]) -> ColumnElement[bool]:
    return or_(*(_micros(column) <= now for column in columns))


def _aggregate(row: Row, i: int, metric: MetricDefinition) -> Aggregate:
    with_x = metric.covariate is not None
    return Aggregate.from_sums(
        int(row["n"]),
        row[f"y{i}"],
        row[f"yy{i}"],
        x=row[f"x{i}"] if with_x else None,
        xx=row[f"xx{i}"] if with_x else None,
        xy=row[f"xy{i}"] if with_x else None,
        shift_y=row.get(f"shift_y{i}", 0.0),
        shift_x=row.get(f"shift_x{i}", 0.0),
        maximum=row[f"largest{i}"],
    )


def _arms(rows: Sequence[Row], suppressed_rows: Sequence[Row]) -> dict[str, ArmCounts]:
    suppressed: dict[str, dict[str, int]] = {}
    for row in suppressed_rows:
        suppressed.setdefault(row["variant"], {})[row["reason"] or NO_REASON] = int(row["messages"])
    by_variant: dict[str, list[Row]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], []).append(row)
    return {
        variant: ArmCounts(
            assigned={int(row["epoch"]): int(row["assigned"]) for row in epochs},
            messages=Messages(
                **{stage: sum(int(row[f"messages_{stage}"]) for row in epochs) for stage in _STAGES},
                suppressed=suppressed.get(variant, {}),
            ),
            reached=Reached(
                **{stage: sum(int(row[f"users_{stage}"]) for row in epochs) for stage in _STAGES}
            ),
        )
        for variant, epochs in by_variant.items()
    }
