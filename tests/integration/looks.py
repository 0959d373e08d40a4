"""A campaign with history: three arms, a funnel that parts company at delivery, and many kept looks at it."""

from datetime import timedelta
from typing import Any

import numpy as np

from analysis.reports import service
from analysis.reports.models import StoredReport
from delivery.models import Message
from experiments import service as experiments
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from tests.integration.analysis_rows import (
    DAY,
    HOUR,
    START,
    VARIANTS,
    Assigned,
    Happened,
    add_all,
    design,
    store,
)

BUYS = {"silence": 0.10, "reminder": 0.13, "coupon": 0.20}
DELIVERED = {"reminder": 0.97, "coupon": 0.80}
METRICS: list[dict[str, Any]] = [
    {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "2d"},
    {
        "key": "revenue",
        "role": "secondary",
        "kind": "mean",
        "event": "Order",
        "value": "revenue",
        "window": "2d",
        "covariate": "28d",
    },
    {"key": "opted_out", "role": "guardrail", "margin": 0.002, "window": "2d"},
]


def campaign(database: Database, clock: SteppedClock, *, users: int = 900, **changes: Any) -> str:
    """Start it at START and let everything happen that will: users come over four days, and buy within two."""
    plain: dict[str, Any] = {
        "name": "Wake up customers who have gone quiet",
        "hypothesis": "A coupon brings back more buyers than a reminder, and both more than silence",
        "metrics": METRICS,
    }
    document = design(**{**plain, **changes})
    with database.transaction() as session:
        key = experiments.create(session, clock, actor="test", document=document).key
        experiments.move(session, clock, actor="test", key=key, move=Move.START)
    rng = np.random.default_rng(7)
    assigned = [
        Assigned(user, VARIANTS[user % 3], START + float(rng.uniform(0, 4)) * DAY)
        for user in range(1, users + 1)
    ]
    happened = []
    for person in assigned:
        happened += [
            _order(rng, person, -float(rng.uniform(0, 20)) * DAY) for _past in range(rng.integers(3))
        ]
        if rng.random() < BUYS[person.variant]:
            happened.append(_order(rng, person, float(rng.uniform(0, 2)) * DAY))
    store(database, assigned=assigned, happened=happened)
    with database.transaction() as session:
        add_all(
            session, Message, [_message(rng, person) for person in assigned if person.variant != "silence"]
        )
    return key


def _order(rng: np.random.Generator, person: Assigned, after: timedelta) -> Happened:
    return Happened(person.user, "Order", person.at + after, {"revenue": round(float(rng.gamma(2, 20)), 2)})


def _message(rng: np.random.Generator, person: Assigned) -> dict[str, Any]:
    sent = person.at + HOUR
    is_delivered = bool(rng.random() < DELIVERED[person.variant])
    is_read = is_delivered and bool(rng.random() < 0.7)
    return {
        "experiment_id": 1,
        "user_pk": person.user,
        "variant": person.variant,
        "step": 0,
        "category": "marketing",
        "priority": 0,
        "state": "read" if is_read else "delivered" if is_delivered else "sent",
        "first_due_at": sent,
        "due_at": sent,
        "accepted_at": sent,
        "delivered_at": sent if is_delivered else None,
        "read_at": sent + HOUR if is_read else None,
        "clicked_at": sent + 2 * HOUR if is_read and rng.random() < 0.3 else None,
    }


def look_often(
    database: Database, clock: SteppedClock, key: str, *, looks: int, every: timedelta
) -> list[StoredReport]:
    """Keep so many looks, one after the other."""
    kept = []
    for _look in range(looks):
        clock.advance(every)
        with database.transaction() as session:
            kept.append(service.refresh_report(session, clock, key=key))
    return kept
