"""Rows for the tests of analysis: written down in Python, stored as they are, and counted again in Python."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from experiments.database import Database
from experiments.metrics import MetricDefinition
from experiments.models import Epoch, Experiment
from experiments.vocabulary import ExperimentStatus, MetricKind
from targeting.models import Assignment, Enrolment, Event, User

START = datetime(2026, 12, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
VARIANTS = ("silence", "reminder", "coupon")


@dataclass(frozen=True)
class Assigned:
    user: int
    variant: str
    at: datetime
    experiment: int = 1
    epoch: int = 1


@dataclass(frozen=True)
class Happened:
    user: int
    name: str
    at: datetime
    properties: dict[str, Any] = field(default_factory=dict)


def design(**changes: Any) -> dict[str, Any]:
    """A valid campaign of three equal arms; `changes` replace whole fields."""
    message = {"template": "spring", "language": "en_US"}
    document: dict[str, Any] = {
        "key": "spring",
        "name": "Spring",
        "variants": [
            {"key": "silence", "control": True},
            {"key": "reminder", "message": message},
            {"key": "coupon", "message": message},
        ],
        "metrics": [
            {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "7d"},
            {
                "key": "revenue",
                "role": "secondary",
                "kind": "mean",
                "event": "Order",
                "value": "revenue",
                "window": "7d",
                "covariate": "28d",
            },
            {"key": "opted_out", "role": "guardrail", "margin": 0.002},
        ],
        "plan": {"method": "spending", "mde": 0.1},
    }
    return {**document, **changes}


def store(
    database: Database,
    *,
    assigned: Sequence[Assigned] = (),
    happened: Sequence[Happened] = (),
    users: int = 0,
) -> None:
    """Users 1..n, experiments (running, without a design) as the assignments need them, assignments and events."""
    people = max([users, *(row.user for row in assigned), *(row.user for row in happened)])
    experiments = sorted({row.experiment for row in assigned})
    with database.transaction() as session:
        known = {key for (key,) in session.connection().exec_driver_sql("SELECT id FROM experiments")}
        add_all(
            session,
            Experiment,
            [
                {
                    "id": number,
                    "key": f"experiment-{number}",
                    "name": "",
                    "status": str(ExperimentStatus.RUNNING),
                    "priority": 0,
                    "definition": {},
                    "created_at": START,
                    "updated_at": START,
                }
                for number in experiments
                if number not in known
            ],
        )
        add_all(
            session,
            User,
            [
                {"id": i, "user_id": f"u{i}", "attributes": {}, "created_at": START, "updated_at": START}
                for i in range(1, people + 1)
            ],
        )
        add_all(
            session,
            Assignment,
            [
                {
                    "experiment_id": row.experiment,
                    "user_pk": row.user,
                    "variant": row.variant,
                    "epoch": row.epoch,
                    "propensity": 1 / 3,
                    "assigned_at": row.at,
                }
                for row in assigned
            ],
        )
        add_all(
            session,
            Event,
            [
                {
                    "message_id": f"m{i}",
                    "user_pk": row.user,
                    "name": row.name,
                    "at": row.at,
                    "received_at": row.at,
                    "properties": row.properties,
                }
                for i, row in enumerate(happened)
            ],
        )


def add_all(session: Any, model: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(model), rows)


def enrolment(
    database: Database, *, last_user: int, finished_at: datetime | None, experiment_id: int = 1
) -> None:
    with database.transaction() as session:
        session.add(
            Enrolment(
                experiment_id=experiment_id,
                last_user_pk=last_user,
                started_at=START,
                finished_at=finished_at,
            )
        )


def epoch(database: Database, number: int, weights: dict[str, float], *, experiment_id: int = 1) -> None:
    with database.transaction() as session:
        session.add(
            Epoch(experiment_id=experiment_id, number=number, weights=weights, opened_at=START, reason="test")
        )


def outcomes(
    metric: MetricDefinition,
    assigned: Sequence[Assigned],
    happened: Sequence[Happened],
    *,
    as_of: datetime,
    variant: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Outcome and covariate of every mature user of one variant, counted one by one."""
    y, x = [], []
    for person in assigned:
        if person.variant != variant or person.at + metric.window > as_of:
            continue
        mine = [event for event in happened if event.user == person.user and event.name == metric.event]
        y.append(_amount(metric, [e for e in mine if person.at <= e.at < person.at + metric.window]))
        if metric.covariate is not None:
            x.append(_amount(metric, [e for e in mine if person.at - metric.covariate <= e.at < person.at]))
    return np.array(y, dtype=float), np.array(x, dtype=float)


def _amount(metric: MetricDefinition, events: list[Happened]) -> float:
    if metric.kind == MetricKind.PROPORTION:
        return float(bool(events))
    if metric.kind == MetricKind.COUNT:
        return float(len(events))
    values = [event.properties.get(metric.value or "") for event in events]
    return float(sum(v for v in values if isinstance(v, int | float) and not isinstance(v, bool)))
