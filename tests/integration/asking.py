"""Asking why, and campaigns to ask about."""

from typing import Any

from sqlmodel import col, select

from delivery.models import Message
from delivery.planning import planner
from delivery.watch.why import ExperimentWhy, why
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Assignment
from tests.integration.people import REMINDER, SILENCE, campaign, start_campaign

SETTINGS = Settings(whatsapp_phone_number_id="1")
ONE_ARM = [SILENCE, REMINDER | {"weight": 1_000_000}]


def ask(database: Database, clock: SteppedClock, user: int, key: str = "spring") -> ExperimentWhy:
    with database.snapshot() as session:
        (found,) = why(session, clock, user_id=f"user-{user}", experiment=key, settings=SETTINGS).experiments
    return found


def begin(database: Database, clock: SteppedClock, key: str = "spring", **changes: Any) -> None:
    with database.transaction() as session:
        start_campaign(session, clock, campaign(key, **changes))


def plan(database: Database, clock: SteppedClock) -> None:
    planner.plan_tick(database, clock, settings=SETTINGS)


def change(database: Database, user: int, **values: Any) -> None:
    """Change the first message of a user."""
    with database.transaction() as session:
        row = session.exec(select(Message).where(Message.user_pk == user).order_by(col(Message.step))).first()
        assert row is not None
        for name, value in values.items():
            setattr(row, name, value)


def somebody_in(database: Database, variant: str) -> int:
    with database.snapshot() as session:
        return (
            session.exec(
                select(Assignment.user_pk)
                .where(Assignment.variant == variant)
                .order_by(col(Assignment.user_pk))
            ).first()
            or 0
        )
