"""A broadcast in waves: people who are there from the start, a bandit over three arms, and buyers at known rates."""

import zlib
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from sqlmodel import col, select

from analysis.bandits.models import Reallocation
from analysis.bandits.reallocation import reallocate_tick
from delivery.planning import planner
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Experiment
from experiments.repository import get_experiment
from targeting.bucketing import hash_unit
from targeting.models import Assignment, Event
from tests.integration.analysis_rows import DAY, add_all
from tests.integration.outbox import settings
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign

KEY = "spring"
COUPON = {"key": "coupon", "weight": 1, "message": {"template": "coupon", "language": "en_US"}}
ORDER = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "1d"}
WINS = {"silence": 0.05, "reminder": 0.07, "coupon": 0.25}
LOSES = {"silence": 0.25, "reminder": 0.08, "coupon": 0.08}
EVEN = {"silence": 0.1, "reminder": 0.1, "coupon": 0.12}
"""With these nothing is ever sure, and the control does not lead."""


def begin(
    database: Database,
    clock: SteppedClock,
    *,
    people: int = 1500,
    allocation: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Experiment:
    """Start it; nothing is planned yet. allocation: a bandit's, unless it names the policy itself."""
    asked = dict(allocation or {})
    if "policy" not in asked:
        asked = {"policy": "thompson", "waves": {"share": 0.25}, **asked}
    with database.transaction() as session:
        add_people(session, clock, range(1, people + 1))
        document = campaign(
            variants=[SILENCE, REMINDER, COUPON],
            metrics=[ORDER],
            allocation=asked,
            **changes,
        )
        return start_campaign(session, clock, document)


def plan(database: Database, clock: SteppedClock) -> planner.Planned:
    return planner.plan_tick(database, clock, settings=settings(), batch=400)


def people_buy(database: Database, clock: SteppedClock, rates: Mapping[str, float]) -> None:
    """Of those who were assigned just now, some buy, three hours later on average. Each by a number of their own."""
    with database.transaction() as session:
        rows = session.exec(select(Assignment).where(Assignment.assigned_at == clock.now())).all()
        found = []
        for row in rows:
            rng = np.random.default_rng(zlib.crc32(f"{row.user_pk}".encode()))
            if rng.random() < rates[row.variant]:
                waits = timedelta(seconds=1 + int(rng.exponential(7200)))
                found.append(
                    {
                        "message_id": f"m{row.user_pk}",
                        "user_pk": row.user_pk,
                        "name": "Order",
                        "at": row.assigned_at + waits,
                        "received_at": row.assigned_at + waits,
                        "properties": {},
                    }
                )
        if found:
            add_all(session, Event, found)


def a_slot(
    database: Database, clock: SteppedClock, rates: Mapping[str, float], *, days: int = 1
) -> Reallocation:
    """Whoever is released is planned and buys; then so many days pass, and the slot is done."""
    plan(database, clock)
    people_buy(database, clock, rates)
    clock.advance(days * DAY)
    (row,) = reallocate_tick(database, clock)
    return row


def within(upto: float, people: range) -> set[int]:
    return {n for n in people if (hash_unit("wave:spring", f"user-{n}", 2) or 0.0) < upto}


def experiment(database: Database) -> Experiment:
    with database.snapshot() as session:
        return get_experiment(session, KEY)


def assigned(database: Database) -> dict[int, Assignment]:
    with database.snapshot() as session:
        rows = session.exec(select(Assignment)).all()
    assert len({row.user_pk for row in rows}) == len(rows)
    return {row.user_pk: row for row in rows}


def arms(database: Database) -> Counter[str]:
    return Counter(row.variant for row in assigned(database).values())


def audited(database: Database, action: str) -> list[AuditEntry]:
    with database.snapshot() as session:
        query = select(AuditEntry).where(AuditEntry.action == action).order_by(col(AuditEntry.id))
        return list(session.exec(query).all())
