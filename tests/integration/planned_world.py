"""People with a past, for tests of plans: 350 in the audience, 300 of whom can take part, and what they bought."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlmodel import Session

from analysis.planning.plan_findings import CampaignPlan
from analysis.planning.plan_inputs import Assumptions
from analysis.planning.planning import plan_campaign
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Event
from tests.integration.analysis_rows import Happened
from tests.integration.people import add_people, campaign

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ABLE = 300
METRICS = [
    {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "14d"},
    {
        "key": "revenue",
        "role": "secondary",
        "kind": "mean",
        "event": "Order",
        "value": "revenue",
        "window": "14d",
        "covariate": "28d",
    },
    {"key": "opted_out", "role": "guardrail", "margin": 0.002, "window": "14d"},
]
PLAN = {"method": "spending", "alpha": 0.05, "power": 0.8, "mde": 0.5}


def document(**changes: Any) -> dict[str, Any]:
    parts = {"audience": {"condition": {"country": "NL"}}, "metrics": METRICS, "plan": PLAN}
    return campaign(**{**parts, **changes})


def settle(session: Session, clock: SteppedClock) -> list[Happened]:
    """Users 1..300 can take part; 301..340 did not agree, 341..350 have no phone, 351..380 are elsewhere. Returns what they did."""
    add_people(session, clock, range(1, ABLE + 1))
    add_people(session, clock, range(301, 341), consent=())
    add_people(session, clock, range(341, 351), phone=False)
    add_people(session, clock, range(351, 381), attributes={"country": "BR"})
    rng, now = np.random.default_rng(5), clock.now()
    happened = []
    for user in range(1, 381):
        loyal = float(rng.gamma(2.0))
        for _ in range(rng.poisson(0.25 * loyal)):
            at = now - rng.uniform(0, 42) * DAY
            happened.append(
                Happened(user, "Order", at, {"revenue": round(10 * loyal + float(rng.normal(0, 3)), 2)})
            )
    record(session, happened)
    return happened


def record(session: Session, happened: list[Happened]) -> None:
    rows = [
        {
            "message_id": f"m-{row.name}-{i}",
            "user_pk": row.user,
            "name": row.name,
            "at": row.at,
            "received_at": row.at,
            "properties": row.properties,
        }
        for i, row in enumerate(happened)
    ]
    session.connection().execute(insert(Event), rows)


def send(session: Session, *, user: int, at: datetime, state: str, experiment_id: int, step: int) -> None:
    """A message of the past."""
    session.add(
        Message(
            experiment_id=experiment_id,
            user_pk=user,
            variant="reminder",
            step=step,
            category="marketing",
            state=state,
            first_due_at=at,
            due_at=at,
            slot_at=at,
        )
    )


def plan(
    database: Database,
    clock: SteppedClock,
    said: dict[str, Any],
    *,
    simulate: int = 0,
    settings: Settings | None = None,
    **assumptions: Any,
) -> CampaignPlan:
    with database.snapshot() as session:
        return plan_campaign(
            session,
            clock,
            document=said,
            settings=settings or Settings(),
            rng=np.random.default_rng(1),
            assumptions=Assumptions.model_validate(assumptions),
            simulate=simulate,
        )
