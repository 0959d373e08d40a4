"""What a bandit knows, against the same rows counted one by one in Python: on both databases, and in a copy on DuckDB."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import Session, col, select

from analysis.facts.allocation_facts import (
    BINS,
    AllocationFacts,
    edges_of,
    gather_allocation,
    gather_drawn,
)
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.warehouse.export import export_facts
from delivery.models import Message
from experiments.clock import MICROSECOND, SteppedClock
from experiments.database import Database
from experiments.metrics import MetricDefinition
from targeting.models import Assignment, Event
from tests.integration.analysis_rows import DAY, START
from tests.integration.metric_oracle import STAGES, is_number
from tests.integration.warehouse_rows import AS_OF, VARIANTS, a_world, opened

WEEK = timedelta(days=7)
PARTS = ("users", "converters", "total", "total_squares", "delivered", "delays")
METRICS = {
    "bought": MetricDefinition(kind="proportion", event="Order", window=WEEK, covariate=DAY),
    "orders": MetricDefinition(kind="count", event="Order", window=WEEK),
    "revenue": MetricDefinition(kind="mean", event="Order", value="order total", window=WEEK),
    "capped": MetricDefinition(
        kind="sum", event="Order", value="order total", window=3 * DAY, cap={"value": 22.5}
    ),
    "large": MetricDefinition(
        kind="proportion", event="Order", window=WEEK, where={"order total": {"$gte": 20}}
    ),
    "clicked": MetricDefinition(kind="proportion", message="clicked", window=WEEK),
    "delivered": MetricDefinition(kind="count", message="delivered", window=WEEK),
    "cost": MetricDefinition(kind="sum", message="delivered", price=0.07, window=WEEK),
    "blocked": MetricDefinition(kind="proportion", message="blocked", window=WEEK),
}


def gather(engine: FactsEngine, metric: MetricDefinition, *, as_of: datetime = AS_OF) -> AllocationFacts:
    return gather_allocation(
        engine, experiment_id=1, metric=metric, variants=VARIANTS, as_of=as_of, with_messages=True
    )


def counted(session: Session, metric: MetricDefinition, *, as_of: datetime = AS_OF) -> dict[str, np.ndarray]:
    """The same facts, one user and one event at a time."""
    people = session.exec(
        select(Assignment).where(
            Assignment.experiment_id == 1,
            col(Assignment.forced).is_(False),
            col(Assignment.assigned_at) <= as_of,
        )
    ).all()
    epochs = sorted({person.epoch for person in people})
    shape = (len(epochs), len(VARIANTS), BINS + 1)
    found = {name: np.zeros(shape) for name in PARTS[:-1]} | {"delays": np.zeros((*shape[1:], BINS))}
    edges = [edge * MICROSECOND for edge in edges_of(metric.window)]
    sent, events = defaultdict(list), defaultdict(list)
    for message in session.exec(select(Message).where(Message.experiment_id == 1)):
        sent[message.user_pk].append(message)
    for event in session.exec(select(Event).where(Event.name == (metric.event or ""))):
        events[event.user_pk].append(event)
    for person in people:
        variant = VARIANTS.index(person.variant)
        age = sum(as_of - person.assigned_at >= edge for edge in edges[1:])
        at = (epochs.index(person.epoch), variant, age)
        end = person.assigned_at + edges[age]
        messages = sent[person.user_pk]
        happened = _happened(metric, person, events[person.user_pk], messages, end=end)
        value = _value(metric, [amount for _, amount in happened])
        found["users"][at] += 1
        found["converters"][at] += bool(happened)
        found["total"][at] += value
        found["total_squares"][at] += value**2
        found["delivered"][at] += sum(_reached("delivered", message) < end for message in messages)
        times = sorted(max(moment, person.assigned_at) for moment, _ in happened)
        for moment in times[:1] if metric.is_share else times:
            delay = sum(moment - person.assigned_at >= edge for edge in edges[1:-1])
            found["delays"][variant, age, delay] += 1
    return found


def _happened(
    metric: MetricDefinition,
    person: Assignment,
    events: Sequence[Event],
    messages: Sequence[Message],
    *,
    end: datetime,
) -> list[tuple[datetime, float]]:
    if metric.message is not None:
        reached = [(_reached(metric.message, message), metric.price or 1.0) for message in messages]
        return [(moment, worth) for moment, worth in reached if moment < end]
    least = metric.where["order total"]["$gte"] if metric.where else -np.inf
    return [
        (event.at, _amount(metric, event.properties))
        for event in events
        if person.assigned_at <= event.at < end and float(event.properties.get("order total", 0)) >= least
    ]


def _amount(metric: MetricDefinition, properties: dict[str, Any]) -> float:
    if metric.value is None:
        return 1.0
    value = properties.get(metric.value)
    return float(value) if value is not None and is_number(value) else 0.0


def _value(metric: MetricDefinition, amounts: list[float]) -> float:
    if metric.is_share:
        return float(bool(amounts))
    cap = metric.cap.value if metric.cap is not None and metric.cap.value is not None else np.inf
    return float(min(sum(amounts), cap))


def _reached(stage: str, message: Message) -> datetime:
    """When a message got so far; the end of time when it did not."""
    never = START + 10_000 * DAY
    if stage == "blocked":
        blocked = message.state == "suppressed" and message.reason in {"opted_out", "undeliverable"}
        return message.failed_at if blocked and message.failed_at is not None else never
    moments = [getattr(message, column) for column in STAGES[stage]]
    return min((moment for moment in moments if moment is not None), default=never)


def the_same(facts: AllocationFacts, expected: dict[str, np.ndarray]) -> None:
    for name in PARTS:
        assert getattr(facts, name) == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("key", METRICS)
def test_every_cell_and_every_delay_agrees_with_counting(database: Database, key: str) -> None:
    a_world(database, 11)
    metric = METRICS[key]
    with database.transaction() as session:
        for number, message in enumerate(session.exec(select(Message)).all()):
            if number % 3 == 0:
                message.state, message.reason = "suppressed", ("opted_out", "undeliverable")[number % 2]
    # In the middle of it, off the hour, and on the edge of a bin.
    for as_of in (AS_OF - 6 * DAY, AS_OF + timedelta(minutes=7, microseconds=1), START + WEEK):
        with database.snapshot() as session:
            facts = gather(SessionFacts(session), metric, as_of=as_of)
            expected = counted(session, metric, as_of=as_of)
        the_same(facts, expected)
        assert facts.users.sum() > 50
        assert facts.epochs == (1, 2, 3)
        assert facts.delays.sum() > 0
        # Nobody is watched for longer than the age says.
        ages, delays = np.nonzero(facts.delays.sum(axis=0))
        assert (delays < ages).all()
        if metric.is_share:
            assert facts.delays.sum() == facts.converters.sum() == facts.total.sum()


def test_a_copy_says_the_same(database: Database, tmp_path: Path) -> None:
    a_world(database, 12)
    export_facts(database, SteppedClock(AS_OF), folder=tmp_path, format_="parquet", page=700)
    engine = opened(f"duckdb:///{tmp_path}")
    for metric in METRICS.values():
        with database.snapshot() as session:
            ours = gather(SessionFacts(session), metric)
        the_same(gather(engine, metric), {name: getattr(ours, name) for name in PARTS})
    engine.dispose()


def test_an_experiment_that_nobody_is_in_yet_has_no_epochs(database: Database) -> None:
    with database.snapshot() as session:
        facts = gather(SessionFacts(session), METRICS["bought"])
        assert gather_drawn(SessionFacts(session), experiment_id=1, as_of=AS_OF) == ()
    assert facts.epochs == ()
    assert facts.users.shape == (0, len(VARIANTS), BINS + 1)
    assert facts.delays.shape == (len(VARIANTS), BINS + 1, BINS)


def test_variants_that_are_not_asked_for_are_left_out(database: Database) -> None:
    a_world(database, 13)
    with database.snapshot() as session:
        engine = SessionFacts(session)
        some = gather_allocation(
            engine, experiment_id=1, metric=METRICS["bought"], variants=VARIANTS[:2], as_of=AS_OF
        )
        whole = gather(engine, METRICS["bought"])
    assert np.array_equal(some.users, whole.users[:, :2])
    assert np.array_equal(some.delays, whole.delays[:2])
    assert not some.delivered.any()


def test_what_was_drawn_is_told_with_the_logged_propensities(database: Database) -> None:
    a_world(database, 14)
    with database.transaction() as session:
        one = session.exec(
            select(Assignment).where(Assignment.experiment_id == 1, col(Assignment.forced).is_(False))
        ).first()
        assert one is not None
        one.propensity = 0.75
    with database.snapshot() as session:
        drawn = gather_drawn(SessionFacts(session), experiment_id=1, as_of=AS_OF)
        people = session.exec(
            select(Assignment).where(Assignment.experiment_id == 1, col(Assignment.forced).is_(False))
        ).all()
    assert sum(cell.users for cell in drawn) == len(people)
    for cell in drawn:
        mine = [p for p in people if (p.epoch, p.variant) == (cell.epoch, cell.variant)]
        assert cell.users == len(mine)
        assert cell.least == 0.2
        assert cell.most == (0.75 if one.id in {person.id for person in mine} else 0.2)
