"""From the tables to sufficient statistics: SQL that aggregates where the rows live; one row per variant comes back.

Every query is SQLAlchemy Core over the same table objects, built from plain parts only (integers of microseconds, CASE,
SUM, MIN, MAX, ROW_NUMBER), so that it runs on SQLite and PostgreSQL as it is and can be translated for other engines.

Who counts and what counts for a user: `outcome_facts.py`; properties of events: `property_facts.py`; who is in which arm and
what became of the messages: `arm_facts.py`; what the data lack: `event_facts.py`. Here rows of users become aggregates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, ColumnElement, Select, case, cast, func, literal, select

from analysis.facts.arm_facts import ArmCounts, arms_of, arms_query, suppressed_query
from analysis.facts.engines import FactsEngine, Row
from analysis.facts.event_facts import about_the_data, events_query, names_in
from analysis.facts.fact_tables import ASSIGNMENTS, EVENTS, MESSAGES
from analysis.facts.metric_groups import MetricGroup, group_metrics, letters_of
from analysis.facts.outcome_facts import mature_query, outcomes
from analysis.facts.property_facts import LARGEST_VALUE, LONGEST_NUMBER
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile, ranks_of
from experiments.metrics import MetricDefinition
from experiments.quantities import QuantityFields

__all__ = [
    "ASSIGNMENTS",
    "EVENTS",
    "LARGEST_VALUE",
    "LONGEST_NUMBER",
    "MESSAGES",
    "ArmCounts",
    "ExperimentFacts",
    "MetricGroup",
    "arms_query",
    "gather",
    "group_metrics",
    "metric_query",
    "nobody",
    "summary_of",
    "summed",
    "suppressed_query",
]

Summary = Aggregate | Quantile
NOBODY: Final = Aggregate(n=0, mean=0.0, variance=0.0)
"""An arm without mature users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentFacts:
    """All that a report needs to know. `arms` by variant; `metrics` by metric key, then by variant (absent: nobody mature).

    warnings: what in the data could not be used, or is not there at all, in words.
    """

    arms: Mapping[str, ArmCounts]
    metrics: Mapping[str, Mapping[str, Summary]]
    warnings: tuple[str, ...] = field(default=())


def gather(
    engine: FactsEngine, *, experiment_id: int, definitions: Mapping[str, MetricDefinition], as_of: datetime
) -> ExperimentFacts:
    """Everything that is known about one experiment at `as_of`.

    Three queries, one more per group of metrics (two where values cannot be used), and one that counts users where a group
    has a quantile.
    """
    metrics: dict[str, dict[str, Summary]] = {key: {} for key in definitions}
    found: dict[str, list[Row]] = {}
    for group in group_metrics(definitions):
        sizes = _sizes(engine, experiment_id, group, as_of=as_of)
        rows = engine.fetch(metric_query(experiment_id, group, as_of=as_of, sizes=sizes, exact=False))
        if any(row.get(f"bad{i}") for row in rows for i in range(len(group.metrics))):
            rows = engine.fetch(metric_query(experiment_id, group, as_of=as_of, sizes=sizes))
        for i, (key, metric) in enumerate(group.metrics):
            metrics[key] = {row["variant"]: summary_of(row, i, metric, sizes) for row in rows}
            found[key] = [_named(row, i) for row in rows]
    events = names_in(definitions)
    return ExperimentFacts(
        arms=arms_of(
            engine.fetch(arms_query(experiment_id, as_of=as_of)),
            engine.fetch(suppressed_query(experiment_id)),
        ),
        metrics=metrics,
        warnings=about_the_data(
            definitions, found, engine.fetch(events_query(experiment_id, events, as_of=as_of)), events
        ),
    )


def nobody(metric: MetricDefinition) -> Summary:
    """The statistics of an arm without mature users."""
    if metric.level is None:
        return NOBODY
    return Quantile.from_ranked(ranks_of(0, metric.level), {})


def metric_query(
    experiment_id: int,
    group: MetricGroup,
    *,
    as_of: datetime,
    sizes: Mapping[str, int] | None = None,
    exact: bool = True,
) -> Select[Any]:
    """Per variant, over its mature users: `n`, and for metric number i of the group the sums of its outcome Y
    (`y<i>`, `yy<i>`, `largest<i>`), denominator D (`d<i>`, `dd<i>`, `yd<i>`) and covariate X (`x<i>`, `xx<i>`, `xy<i>`,
    `dx<i>`), shifted by `shift_y<i>` and so on; for a quantile the order statistics `at<place>_<i>`; `bad<i>` values that
    could not be used.

    sizes: users per variant, which say which order statistics a quantile needs. exact: False is quicker and holds only where
    no `bad<i>` is above 0.

    Sums of money are shifted by the arm's own mean before they are squared (two passes), for sums of raw squares
    lose the variance of data far from zero. Counts need no shift: whole numbers add up exactly.
    """
    return summed(group, outcomes(experiment_id, group, as_of=as_of, exact=exact), sizes or {})


def _sizes(
    engine: FactsEngine, experiment_id: int, group: MetricGroup, *, as_of: datetime
) -> Mapping[str, int]:
    if all(metric.level is None for _, metric in group.metrics):
        return {}
    rows = engine.fetch(mature_query(experiment_id, group.window, as_of=as_of))
    return {row["variant"]: int(row["n"]) for row in rows}


def summed(group: MetricGroup, found: CTE, sizes: Mapping[str, int]) -> Select[Any]:
    """The sums of `metric_query` over the rows of `outcomes`; per variant, and per slice where the rows have one."""
    slices = [found.c.slice] if "slice" in found.c else []
    per_arm = [found.c.variant, *slices]
    quantiles = [(i, metric.level) for i, (_, metric) in enumerate(group.metrics) if metric.level is not None]
    if quantiles:
        ranks = (
            func.row_number().over(partition_by=per_arm, order_by=found.c[f"y{i}"]).label(f"rank{i}")
            for i, _ in quantiles
        )
        found = select(*found.c, *ranks).cte("ranked")
        per_arm = [found.c[str(column.key)] for column in per_arm]
    summed = [name for i, (_, metric) in enumerate(group.metrics) for name in _fractional(i, metric)]
    source: Any = found
    shifts: dict[str, ColumnElement[float]] = {}
    if summed:
        centres = (
            select(*per_arm, *(func.avg(found.c[name]).label(name) for name in summed))
            .group_by(*per_arm)
            .cte("centres")
        )
        source = found.join(centres, _same(centres, per_arm))
        shifts = {name: centres.c[name] for name in summed}
    columns: list[ColumnElement[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        if metric.level is None:
            columns += _moments(i, metric, found, shifts)
        else:
            columns += _order_statistics(i, metric.level, found, sizes)
        if f"bad{i}" in found.c:
            columns.append(cast(func.sum(found.c[f"bad{i}"]), BigInteger).label(f"bad{i}"))
    columns += [func.max(shift).label(f"shift_{name}") for name, shift in shifts.items()]
    return (
        select(*per_arm, func.count().label("n"), *columns)
        .select_from(source)
        .group_by(*per_arm)
        .order_by(*per_arm)
    )


def _same(centres: CTE, per_arm: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    equal = [centres.c[str(column.key)] == column for column in per_arm]
    return equal[0] if len(equal) == 1 else equal[0] & equal[1]


def _moments(
    i: int, metric: MetricDefinition, found: CTE, shifts: Mapping[str, ColumnElement[float]]
) -> list[ColumnElement[Any]]:
    shifted = {
        letter: found.c[name] - shifts[name] if name in shifts else found.c[name]
        for letter in letters_of(metric)
        for name in (f"{letter}{i}",)
    }
    columns: list[ColumnElement[Any]] = [
        func.sum(value).label(f"{letter}{i}") for letter, value in shifted.items()
    ]
    columns += [
        func.sum(shifted[one] * shifted[other]).label(f"{_pair(one, other)}{i}")
        for one, other in combinations_with_replacement(shifted, 2)
    ]
    columns.append(func.max(found.c[f"y{i}"]).label(f"largest{i}"))
    return columns


def _pair(one: str, other: str) -> str:
    return {"yx": "xy"}.get(one + other, one + other)


def _order_statistics(i: int, level: float, found: CTE, sizes: Mapping[str, int]) -> list[ColumnElement[Any]]:
    # Each arm has ranks of its own; they travel in columns by their place among the ranks that are wanted.
    wanted = {variant: ranks_of(n, level).wanted for variant, n in sizes.items()}
    return [
        func.max(
            case(
                (
                    found.c[f"rank{i}"]
                    == case(
                        *(
                            (found.c.variant == variant, literal(ranks[place]))
                            for variant, ranks in wanted.items()
                            if place < len(ranks)
                        ),
                        else_=literal(0),
                    ),
                    found.c[f"y{i}"],
                )
            )
        ).label(f"at{place}_{i}")
        for place in range(max(map(len, wanted.values()), default=0))
    ]


def _fractional(i: int, metric: MetricDefinition) -> list[str]:
    """The columns of a metric that are no whole numbers, or may not be."""
    if metric.level is not None or all(_is_whole(part) for part in metric.quantities.values()):
        return []
    return [f"{letter}{i}" for letter in letters_of(metric)]


def _is_whole(part: QuantityFields) -> bool:
    return part.value is None and part.price is None and part.cap is None


def _named(row: Row, i: int) -> Row:
    """The columns of metric number i, without the number."""
    return {name: row[f"{name}{i}"] for name in ("bad", "largest", "yy") if f"{name}{i}" in row}


def summary_of(row: Row, i: int, metric: MetricDefinition, sizes: Mapping[str, int]) -> Summary:
    """The statistics of metric number i in one row of `metric_query`."""
    n = int(row["n"])
    if metric.level is not None:
        ranks = ranks_of(sizes[row["variant"]], metric.level)
        found = {rank: float(row[f"at{place}_{i}"]) for place, rank in enumerate(ranks.wanted)}
        return Quantile.from_ranked(ranks, found)
    letters = letters_of(metric)
    pairs = [_pair(one, other) for one, other in combinations_with_replacement(letters, 2)]
    sums = {name: row[f"{name}{i}"] for name in (*letters, *pairs)}
    return Aggregate.from_sums(
        n,
        sums.pop("y"),
        sums.pop("yy"),
        **sums,
        **{f"shift_{letter}": row.get(f"shift_{letter}{i}", 0.0) for letter in letters},
        maximum=row[f"largest{i}"],
    )
