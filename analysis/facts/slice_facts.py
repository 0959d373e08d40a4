"""The same sufficient statistics per slice of the users: by the value of one attribute, or by the day of assignment (UTC).

Caps and the ratios that covariates are measured against stay those of all users, so that slices add up to the whole
(`Aggregate.merge`). Quantiles do not add up and are not told by slice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, Select, case, func, literal, select

from analysis.facts.engines import FactsEngine
from analysis.facts.fact_tables import ASSIGNMENTS, USERS, micros
from analysis.facts.facts import summary_of, summed
from analysis.facts.outcome_facts import MetricGroup, Slicing, group_metrics, is_mature, outcomes
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
    """The statistics of all metrics but quantiles, by slice: one query per group, and one more for an attribute.

    Attributes are those that users have now. Of an attribute with many values only the most frequent are slices of their own.
    """
    told = {key: metric for key, metric in definitions.items() if metric.level is None}
    found: dict[str, dict[str, dict[str, Aggregate]]] = {key: {} for key in told}
    slicing = _slicing(engine, experiment_id, by, as_of=as_of)
    for group in group_metrics(told):
        for row in engine.fetch(sliced_query(experiment_id, group, slicing, as_of=as_of)):
            name = str(row["slice"]) if by.attribute else f"{from_micros(int(row['slice'])):%Y-%m-%d}"
            for i, (key, metric) in enumerate(group.metrics):
                value = summary_of(row, i, metric, {})
                assert isinstance(value, Aggregate)  # noqa: S101  # quantiles are left out above
                found[key].setdefault(name, {})[row["variant"]] = value
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


def sliced_query(experiment_id: int, group: MetricGroup, slicing: Slicing, *, as_of: datetime) -> Select[Any]:
    """As `metric_query`, with one row per variant and `slice`."""
    return summed(group, outcomes(experiment_id, group, as_of=as_of, slicing=slicing), {})


def _slicing(engine: FactsEngine, experiment_id: int, by: By, *, as_of: datetime) -> Slicing:
    assigned = micros(ASSIGNMENTS.c.assigned_at)
    if by.attribute is None:
        return Slicing(people=ASSIGNMENTS, slice_of=assigned - assigned % _DAY)
    people = ASSIGNMENTS.join(USERS, USERS.c.id == ASSIGNMENTS.c.user_pk)
    value: ColumnElement[str] = func.coalesce(WordIn(USERS.c.attributes, by.attribute), literal(UNKNOWN))
    counted = (
        select(value.label("value"), func.count().label("n"))
        .select_from(people)
        .where(*is_mature(experiment_id, timedelta(0), as_of=as_of))
        .group_by(value)
        .subquery()
    )
    frequent = engine.fetch(
        select(counted.c.value).order_by(counted.c.n.desc(), counted.c.value).limit(MOST_SLICES + 1)
    )
    if len(frequent) <= MOST_SLICES:
        return Slicing(people=people, slice_of=value)
    own = [row["value"] for row in frequent[:MOST_SLICES]]
    return Slicing(people=people, slice_of=case((value.in_(own), value), else_=literal(OTHERS)))
