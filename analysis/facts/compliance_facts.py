"""Whom a message reached, beside what they did: sums of outcome Y, reached D and covariate X over the same mature users.

Uses the outcomes of `facts.py` as they are, whatever a metric counts, and joins to them one fact about each user.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, func, or_, select

from analysis.facts.engines import FactsEngine, Row
from analysis.facts.fact_tables import ASSIGNMENTS, MESSAGES, micros
from analysis.facts.facts import ExperimentFacts
from analysis.facts.metric_groups import MetricGroup, group_metrics
from analysis.facts.outcome_facts import Slicing, outcomes
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.clock import MICROSECOND
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MetricKind, MetricRole

NO_MEAN_PER_USER: Final = (MetricKind.RATIO, MetricKind.QUANTILE)
"""Kinds that are not the mean of one number per user, so that they cannot be told per user reached."""


def gather_compliance(
    engine: FactsEngine,
    *,
    experiment_id: int,
    definitions: Mapping[str, MetricDefinition],
    as_of: datetime,
    found: Mapping[str, Mapping[str, Aggregate | Quantile]],
) -> dict[str, dict[str, Aggregate]]:
    """Per metric and variant, outcomes with whether their user was reached as the denominator part; one query a group.

    A user is reached when a message of this experiment was delivered (or read) inside the metric's window.
    found: what `facts.gather` says about the same metrics; squares are taken around its means.
    """
    wanted = {key: metric for key, metric in definitions.items() if metric.kind not in NO_MEAN_PER_USER}
    gathered: dict[str, dict[str, Aggregate]] = {}
    for group in group_metrics(wanted):
        centres = [_centres(found.get(key, {})) for key, _ in group.metrics]
        rows = engine.fetch(compliance_query(experiment_id, group, as_of=as_of, centres=centres))
        for i, (key, metric) in enumerate(group.metrics):
            gathered[key] = {row["variant"]: _aggregate(row, i, metric, centres[i]) for row in rows}
    return gathered


def primary_compliance(
    engine: FactsEngine,
    design: ExperimentDesign,
    found: ExperimentFacts,
    *,
    experiment_id: int,
    as_of: datetime,
) -> Mapping[str, Mapping[str, Aggregate]]:
    """`gather_compliance` for the primary metrics, where it can be of use.

    Only a control that sends nothing can tell the effect of being reached, and only once somebody was. Primary metrics
    alone, because each group of metrics costs another pass over its events.
    """
    if design.control.message is not None or not any(arm.reached.delivered for arm in found.arms.values()):
        return {}
    definitions = design.metric_definitions()
    return gather_compliance(
        engine,
        experiment_id=experiment_id,
        definitions={
            use.key: definitions[use.key] for use in design.metrics if use.role == MetricRole.PRIMARY
        },
        as_of=as_of,
        found=found.metrics,
    )


def compliance_query(
    experiment_id: int, group: MetricGroup, *, as_of: datetime, centres: list[tuple[float, float]]
) -> Select[Any]:
    """Per variant, over its mature users: `n`, `d` (users reached), and for metric i the sums of Y, YY, YD, X, XX, XY, DX.

    Y and X are taken from `centres[i]`, a pair of constants near their means.
    """
    a, m = ASSIGNMENTS.c, MESSAGES.c
    end = micros(a.assigned_at) + group.window // MICROSECOND
    people = outcomes(
        experiment_id, group, as_of=as_of, slicing=Slicing(people=ASSIGNMENTS, slice_of=a.user_pk)
    )
    reached = (
        select(m.user_pk)
        .select_from(
            MESSAGES.join(ASSIGNMENTS, and_(a.experiment_id == m.experiment_id, a.user_pk == m.user_pk))
        )
        .where(m.experiment_id == experiment_id, or_(micros(m.delivered_at) < end, micros(m.read_at) < end))
        .group_by(m.user_pk)
        .cte("reached_users")
    )
    p = people.c
    arrived = reached.c.user_pk.is_not(None)
    columns: list[ColumnElement[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        y = p[f"y{i}"] - centres[i][0]
        products = {"y": y, "yy": y * y}
        if metric.covariate is not None:
            x = p[f"x{i}"] - centres[i][1]
            products |= {"x": x, "xx": x * x, "xy": x * y}
        columns += [func.sum(value).label(f"{name}{i}") for name, value in products.items()]
        columns += [
            func.sum(case((arrived, products[letter]), else_=0.0)).label(f"{letter}d{i}")
            for letter in ("y", "x")
            if letter in products
        ]
    return (
        select(
            p.variant,
            func.count().label("n"),
            cast(func.sum(case((arrived, 1), else_=0)), BigInteger).label("d"),
            *columns,
        )
        .select_from(people.outerjoin(reached, reached.c.user_pk == p.slice))
        .group_by(p.variant)
        .order_by(p.variant)
    )


def _centres(by_variant: Mapping[str, Aggregate | Quantile]) -> tuple[float, float]:
    arms = [arm for arm in by_variant.values() if isinstance(arm, Aggregate) and arm.n]
    users = sum(arm.n for arm in arms)
    if not users:
        return 0.0, 0.0
    return (
        sum(arm.n * arm.mean for arm in arms) / users,
        sum(arm.n * (arm.mean_x or 0.0) for arm in arms) / users,
    )


def _aggregate(row: Row, i: int, metric: MetricDefinition, centre: tuple[float, float]) -> Aggregate:
    with_x = metric.covariate is not None
    reached = int(row["d"])
    return Aggregate.from_sums(
        int(row["n"]),
        row[f"y{i}"],
        row[f"yy{i}"],
        d=reached,
        dd=reached,
        yd=row[f"yd{i}"],
        x=row[f"x{i}"] if with_x else None,
        xx=row[f"xx{i}"] if with_x else None,
        xy=row[f"xy{i}"] if with_x else None,
        dx=row[f"xd{i}"] if with_x else None,
        shift_y=centre[0],
        shift_x=centre[1],
    )
