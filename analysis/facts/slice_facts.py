"""The same sufficient statistics per slice of the users: by the value of one attribute, or by the day of assignment (UTC).

Caps and the ratios that covariates are measured against stay those of all users, so that slices add up to the whole
(`Aggregate.merge`). Quantiles do not add up and are not told by slice.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, FromClause, Select, case, func, literal, select

from analysis.facts.engines import FactsEngine, Row
from analysis.facts.fact_tables import ASSIGNMENTS, USERS, micros
from analysis.facts.facts import summary_of, summed
from analysis.facts.metric_groups import MetricGroup, group_metrics
from analysis.facts.outcome_facts import Slicing, is_closed, is_mature, outcomes
from analysis.facts.property_facts import WordIn
from analysis.stats.aggregates import Aggregate
from experiments.clock import MICROSECOND, from_micros
from experiments.errors import Invalid
from experiments.metrics import MetricDefinition
from experiments.quantities import is_property_name

MOST_SLICES: Final = 50
UNKNOWN: Final = ""
"""The slice of users without the attribute (or with an empty text, a list or an object in it)."""
DAY: Final = "day"
"""How the day of assignment is asked for; an attribute of that name cannot be."""
OTHERS: Final = "(others)"
"""The slice of all values beyond the `MOST_SLICES` most frequent ones."""
_DAY: Final = timedelta(days=1) // MICROSECOND
_ASSIGNED: Final = micros(ASSIGNMENTS.c.assigned_at)
_DAY_OF: Final = _ASSIGNED - _ASSIGNED % _DAY

Slices = Mapping[str, Mapping[str, Mapping[str, Aggregate]]]
"""Statistics by metric, slice and variant; absent: nobody mature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """attribute: of users, at the top of their attributes; None: the day of assignment, as `2026-12-01`."""

    attribute: str | None = None

    def __post_init__(self) -> None:
        if self.attribute is not None and not is_property_name(self.attribute):
            raise Invalid(f"{self.attribute!r} is not the name of an attribute at the top", field="by")

    @classmethod
    def read(cls, text: str) -> Self:
        """`day`, or the name of an attribute. Raises Invalid (field `by`) for what cannot be one."""
        return cls() if text == DAY else cls(attribute=text)


def gather_by(
    engine: FactsEngine,
    *,
    experiment_id: int,
    definitions: Mapping[str, MetricDefinition],
    as_of: datetime,
    by: By,
) -> Slices:
    """The statistics of all metrics but quantiles, by slice: one query that counts the users, and one per group of metrics.

    Attributes are those that users have now. Of an attribute with many values only the most frequent among the users whose first
    window has closed are slices of their own.

    Everybody's attributes are read once, to count; what happened is read of those to whom something did, who may be few. To the
    others nothing happened: they are added as zeros.
    """
    told = {key: metric for key, metric in definitions.items() if metric.level is None}
    found: dict[str, dict[str, dict[str, Aggregate]]] = {key: {} for key in told}
    sizes = _sizes(engine, experiment_id, {metric.window for metric in told.values()}, as_of=as_of, by=by)
    for group in group_metrics(told):
        mature = sizes[group.window]
        if not mature:
            continue
        names = dict.fromkeys(name for name, _ in mature)
        query = sliced_query(experiment_id, group, as_of=as_of, by=by, names=tuple(names))
        rows = {(_named(row["slice"], by), row["variant"]): row for row in engine.fetch(query)}
        for (name, variant), n in mature.items():
            row = rows.get((name, variant))
            for i, (key, metric) in enumerate(group.metrics):
                found[key].setdefault(name, {})[variant] = _with_zeros(row, i, metric, n=n)
    return found


def is_known(engine: FactsEngine, *, experiment_id: int, by: By, as_of: datetime) -> bool:
    """Whether any user of the experiment has the attribute as a text, a number or a truth value; true while there are none."""
    if by.attribute is None:
        return True
    # Looked for one by one, so that an attribute that many have is found at once.
    known = select(literal(1).label("found")).where(WordIn(USERS.c.attributes, by.attribute).is_not(None))
    people = ASSIGNMENTS.join(USERS, USERS.c.id == ASSIGNMENTS.c.user_pk)
    mature = is_mature(experiment_id, timedelta(0), as_of=as_of)
    if engine.fetch(known.select_from(people).where(*mature).limit(1)):
        return True
    return not engine.fetch(select(literal(1).label("found")).select_from(people).where(*mature).limit(1))


def sliced_query(
    experiment_id: int, group: MetricGroup, *, as_of: datetime, by: By, names: Collection[str]
) -> Select[Any]:
    """As `metric_query`, with one row per variant and `slice`, over the users to whom anything happened; over all of them where a
    cap is a quantile of all. names: the slices; whoever is in none of them is in `OTHERS`.
    """
    slicing = Slicing(people=ASSIGNMENTS, slice_of=_DAY_OF if by.attribute is None else ASSIGNMENTS.c.user_pk)
    found = outcomes(experiment_id, group, as_of=as_of, slicing=slicing, everybody=group.has_ranked_caps)
    if by.attribute is None:
        return summed(group, found, {})
    # Only now, when the users are few, for reading an attribute costs more than all else.
    value = _value_of(by.attribute)
    own = case((value.in_(names), value), else_=literal(OTHERS)) if OTHERS in names else value
    known = [column for column in found.c if column.name != "slice"]
    people = found.join(USERS, USERS.c.id == found.c.slice)
    return summed(group, select(*known, own.label("slice")).select_from(people).cte("sliced"), {})


def _sizes(
    engine: FactsEngine, experiment_id: int, windows: Collection[timedelta], *, as_of: datetime, by: By
) -> Mapping[timedelta, Mapping[tuple[str, str], int]]:
    """For each window, how many users are mature, by slice and variant; without those of whom there are none."""
    if not windows:
        return {}
    ordered = sorted(windows)
    rows = engine.fetch(sizes_query(experiment_id, ordered, as_of=as_of, by=by))
    return {
        window: {
            (_named(row["slice"], by), row["variant"]): int(row[f"n{i}"]) for row in rows if row[f"n{i}"]
        }
        for i, window in enumerate(ordered)
    }


def sizes_query(experiment_id: int, windows: Sequence[timedelta], *, as_of: datetime, by: By) -> Select[Any]:
    """Columns slice, variant, `n<i>`: users who are mature for window number i. windows: ascending.

    The slices of an attribute are its `MOST_SLICES` most frequent values among those who are mature for the first window, and `OTHERS`.
    """
    a = ASSIGNMENTS.c
    people: FromClause = ASSIGNMENTS
    value: ColumnElement[Any] = _DAY_OF
    if by.attribute is not None:
        people, value = ASSIGNMENTS.join(USERS, USERS.c.id == a.user_pk), _value_of(by.attribute)
    numbers = [f"n{i}" for i in range(len(windows))]
    counted = (
        select(
            value.label("slice"),
            a.variant,
            func.count().label(numbers[0]),
            *(
                func.sum(case((is_closed(window, as_of=as_of), 1), else_=0)).label(name)
                for name, window in zip(numbers[1:], windows[1:], strict=True)
            ),
        )
        .select_from(people)
        .where(*is_mature(experiment_id, windows[0], as_of=as_of))
        .group_by(value, a.variant)
        .cte("counted")
    )
    if by.attribute is None:
        return select(*counted.c).order_by(counted.c.slice, counted.c.variant)
    users = func.sum(counted.c[numbers[0]]).over(partition_by=counted.c.slice).label("users")
    sized = select(*counted.c, users).cte("sized")
    place = func.dense_rank().over(order_by=(sized.c.users.desc(), sized.c.slice)).label("place")
    placed = select(*sized.c, place).cte("placed")
    own = case((placed.c.place <= MOST_SLICES, placed.c.slice), else_=literal(OTHERS)).label("slice")
    named = select(own, placed.c.variant, *(placed.c[name] for name in numbers)).cte("named")
    return (
        select(named.c.slice, named.c.variant, *(func.sum(named.c[name]).label(name) for name in numbers))
        .group_by(named.c.slice, named.c.variant)
        .order_by(named.c.slice, named.c.variant)
    )


def _value_of(attribute: str) -> ColumnElement[str]:
    return func.coalesce(WordIn(USERS.c.attributes, attribute), literal(UNKNOWN))


def _named(value: Any, by: By) -> str:
    return str(value) if by.attribute is not None else f"{from_micros(int(value)):%Y-%m-%d}"


def _with_zeros(row: Row | None, i: int, metric: MetricDefinition, *, n: int) -> Aggregate:
    """The statistics of metric number i for `n` users, from the sums over those to whom anything happened (`row`; None: nobody)."""
    if row is None:
        return _aggregate(defaultdict(float, n=n), i, metric)
    if f"shift_y{i}" not in row:
        # To add zeros to sums is to add nothing.
        return _aggregate({**row, "n": n}, i, metric)
    some = _aggregate(row, i, metric)
    return some.merge(_aggregate(defaultdict(float, n=n - some.n), i, metric))


def _aggregate(row: Row, i: int, metric: MetricDefinition) -> Aggregate:
    value = summary_of(row, i, metric, {})
    assert isinstance(value, Aggregate)  # noqa: S101  # quantiles are left out above
    return value
