"""A made-up experiment with all that facts can meet, and the comparison of what two engines say of it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import insert, text

from analysis.facts import facts
from analysis.facts.engines import FactsCopy, FactsEngine, SessionFacts, open_replica
from analysis.facts.facts import ExperimentFacts
from analysis.stats.aggregates import Aggregate
from delivery.models import Message
from experiments.database import Database
from experiments.metrics import MetricDefinition
from experiments.settings import Settings
from targeting.models import Assignment
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, add_all, store

WEEK = timedelta(days=7)
AS_OF = START + 12 * DAY + 12 * HOUR
ODD_EVENT = "Order 'n' \\ \"Pay\" 😀 %s :x --"
VARIANTS = ("silence", "coupon", "=SUM(A1)", "'tis", "détente")
METRICS = {
    "bought": MetricDefinition(kind="proportion", event="Order", window=WEEK),
    "orders": MetricDefinition(kind="count", event="Order", window=WEEK, covariate=14 * DAY),
    "revenue": MetricDefinition(kind="mean", event="Order", value="revenue", window=WEEK, covariate=28 * DAY),
    "total": MetricDefinition(kind="mean", event=ODD_EVENT, value="order total", window=2 * DAY),
    "risky": MetricDefinition(kind="count", event="=1+1", window=3 * DAY, covariate=3 * DAY),
    "quoted": MetricDefinition(kind="proportion", event="'=1+1", window=3 * DAY),
    "never": MetricDefinition(kind="mean", event="Never", value="x", window=DAY, covariate=DAY),
}
ODD_VALUES: Sequence[Any] = (
    None, "12.5", "abc", "", "NaN", True, False, [3], {"a": 1}, -7.25, 0, -0.0, 3, 1e-3, 12345678,
)  # fmt: skip
ABSURD = ("1e400", "-1e400", "1e-400", "1e200", "9" * 400)
STAGES = ("accepted_at", "sent_at", "delivered_at", "read_at", "failed_at", "clicked_at")


ENDS: Final = (
    ("suppressed", "cap"), ("suppressed", None), ("suppressed", "-1"), ("suppressed", "undeliverable"),
    ("planned", "meta_cap"), ("failed", "retry"), ("sent", None), ("sent", None),
)  # fmt: skip
"""State and reason of a message."""


def a_world(
    database: Database, seed: int, *, users: int = 240, events: int = 1600, huge: bool = False
) -> None:
    """Everything happens on the full hour, so that edges of windows are hit often. Every tenth user is a tester."""
    rng = np.random.default_rng(seed)
    happened = []
    for _ in range(events):
        properties: dict[str, Any] = {"päid": "x", "a.b": 1, "$": [], "order total": float(rng.normal(20, 5))}
        draw = int(rng.integers(40))
        if draw < len(ODD_VALUES):
            properties["revenue"] = ODD_VALUES[draw]
        elif draw > len(ODD_VALUES):
            properties["revenue"] = float(rng.normal(1e6, 3))
        elif huge:
            properties["revenue"] = (1e99, -1e99, 12345678901234567)[rng.integers(3)]
        name = ("Order", "order", ODD_EVENT, "=1+1", "'=1+1", 'Other\n,\r"')[rng.integers(6)]
        happened.append(Happened(int(rng.integers(1, users + 1)), name, _hour(rng, -800, 320), properties))
    store(database, happened=happened, users=users)
    with database.transaction() as session:
        for number in (1, 2):
            session.connection().execute(
                text(
                    "INSERT INTO experiments (id, key, name, status, priority, definition, created_at, updated_at) "
                    f"VALUES ({number}, 'e{number}', '', 'running', 0, '{{}}', 0, 0)"
                )
            )
        assigned = [
            {
                "experiment_id": experiment,
                "user_pk": user,
                "variant": VARIANTS[rng.integers(len(VARIANTS))],
                "epoch": 1 + int(rng.integers(3)),
                "propensity": 0.2,
                "forced": user % 10 == 0,
                "assigned_at": _hour(rng, 0, 160),
            }
            for experiment in (1, 2)
            for user in range(1, users - 20)
        ]
        add_all(session, Assignment, assigned)
        for i, row in enumerate(assigned[: 2 * users : 2]):
            session.connection().execute(insert(Message), _message(rng, row, step=i % 2))
        for user, number in enumerate(ABSURD, start=1):
            session.connection().execute(
                text(f"UPDATE events SET properties = '{{\"revenue\": {number}}}' WHERE id = {user}")
            )


def _message(rng: np.random.Generator, row: dict[str, Any], *, step: int) -> dict[str, Any]:
    kept = {column: row[column] for column in ("experiment_id", "user_pk", "variant")}
    stages = {stage: _hour(rng, 0, 330) for stage in STAGES if rng.random() < 0.5}
    state, reason = ENDS[rng.integers(len(ENDS))]
    if "accepted_at" in stages:
        stages["slot_at"] = stages["accepted_at"]
    return {
        **kept, **stages, "step": step, "category": "marketing", "priority": 0, "tries": 0, "state": state, "reason": reason,
        "first_due_at": START, "due_at": START,
    }  # fmt: skip


def _hour(rng: np.random.Generator, first: int, last: int) -> datetime:
    return START + int(rng.integers(first, last)) * HOUR


def the_same(one: ExperimentFacts, other: ExperimentFacts) -> None:
    """Counts are equal and moments agree to 1e-9; so is everything that both know of."""
    assert other.arms == one.arms
    assert {key: set(arms) for key, arms in other.metrics.items()} == {
        key: set(arms) for key, arms in one.metrics.items()
    }
    for key, arms in one.metrics.items():
        for variant, mine in arms.items():
            theirs, ours = _known(other.metrics[key][variant]), _known(mine)
            assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-12), (key, variant)


def _known(found: Aggregate) -> dict[str, float]:
    return {name: value for name, value in asdict(found).items() if value is not None}


def gather(engine: FactsEngine, experiment: int = 1) -> ExperimentFacts:
    return facts.gather(engine, experiment_id=experiment, definitions=METRICS, as_of=AS_OF)


def here(database: Database, experiment: int = 1) -> ExperimentFacts:
    with database.snapshot() as session:
        return gather(SessionFacts(session), experiment)


def opened(url: str) -> FactsCopy:
    engine = open_replica(Settings(facts_url=url))
    assert isinstance(engine, FactsCopy)
    return engine


NAMES = (
    "plain", "a.b", "$", "$.x", "/", "~", "~1", "'", "''", '"', "\\", "\\\\", "\\'", "`", "*", "[0]", "007", "détente", "日本", "😀",
    "a'b\"c\\d`e", "tab\t", "line\n", "%s", "%(x)s", ":x", "{}", "?", "--", "/*", "'; DROP TABLE events; --", "' OR ''='", "\\' OR 1=1 --",
    "=1+1", "'quoted", "@x", "İ", "e\u0301",
)  # fmt: skip


def named(database: Database, names: Sequence[str]) -> None:
    """One user; of each name one event with a property of that name, worth its place in the list."""
    happened = [
        Happened(1, name, START + HOUR, {name: i, "other": 99}) for i, name in enumerate(names, start=1)
    ]
    store(database, assigned=[Assigned(1, "coupon", START)], happened=happened)


def worth(engine: FactsEngine, name: str) -> float:
    """What the events and properties of one name amount to. The names that a design may use are tamer than these."""
    metric = MetricDefinition.model_construct(
        kind="mean", event=name, value=name, window=WEEK, covariate=None
    )
    (group,) = facts.group_metrics({"m": metric})
    (row,) = engine.fetch(facts.metric_query(1, group, as_of=START + 8 * DAY))
    return float(row["shift_y0"] + row["y0"])
