"""A small world for tests of rules: people, rules that are on, things that happen, and what came of it."""

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from api.tables import metadata
from experiments.clock import Clock
from experiments.database import Database
from targeting import events, users
from targeting.models import Assignment, PendingTrigger, RuleFiring, User
from targeting.rules import service as rules
from targeting.rules.engine import Ticked, rules_tick

ORDERED = "Order Completed"
WHEN_ORDERED = {"type": "event", "event": ORDERED}
_numbers = itertools.count()
TAG = {"type": "add_tag", "tag": "buyer"}


def rule(key: str = "buyers", **changes: Any) -> dict[str, Any]:
    """Whoever orders gets the tag `buyer`."""
    return {"key": key, "trigger": WHEN_ORDERED, "actions": [TAG], **changes}


def put(database: Database, clock: Clock, *documents: Mapping[str, Any], on: bool = True) -> None:
    """Store rules and switch them on."""
    with database.transaction() as session:
        for document in documents:
            key = rules.put(session, clock, actor="test", document=document).rule.key
            if on:
                rules.enable(session, clock, actor="test", key=key)


def person(database: Database, clock: Clock, user_id: str, **attributes: Any) -> None:
    with database.transaction() as session:
        users.upsert(session, clock, actor="test", user_id=user_id, attributes=attributes)


def happens(
    database: Database,
    clock: Clock,
    *user_ids: str,
    name: str = ORDERED,
    at: datetime | None = None,
    message_id: str = "",
    **properties: Any,
) -> None:
    """Each of these users does something, now unless `at` is given."""
    when = at or clock.now()
    calls = [
        events.TrackCall(
            message_id=message_id or f"m{next(_numbers)}",
            user_id=user_id,
            anonymous_id=None,
            event=name,
            at=when,
            properties=properties,
        )
        for user_id in user_ids
    ]
    with database.transaction() as session:
        events.ingest(session, clock, calls=calls, default_region="")


def tick(database: Database, clock: Clock, **options: Any) -> Ticked:
    return rules_tick(database, clock, ineligible=lambda _design: {}, global_holdout=0.0, **options)


def fired(database: Database, key: str = "buyers") -> list[tuple[str, list[dict[str, Any]]]]:
    """Users for whom a rule fired and what its actions came to, oldest first."""
    with database.snapshot() as session:
        rows = rules.firings(session, key=key, limit=10_000)
    return [(user_id, row.outcome["actions"]) for row, user_id in reversed(rows)]


def times_fired(database: Database, key: str = "buyers") -> dict[str, int]:
    return dict(Counter(user_id for user_id, _ in fired(database, key)))


def attributes_of(database: Database, user_id: str) -> dict[str, Any]:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id).attributes


def assigned(database: Database) -> dict[str, tuple[str, str]]:
    """User id -> (variant, source) of every assignment."""
    query = select(col(User.user_id), col(Assignment.variant), col(Assignment.source))
    with database.snapshot() as session:
        rows = session.execute(query.join(User, col(User.id) == col(Assignment.user_pk)))
        return {user_id: (variant, source) for user_id, variant, source in rows}


def waiting(database: Database) -> int:
    with database.snapshot() as session:
        return session.execute(select(func.count()).select_from(PendingTrigger)).scalar_one()


def error_of(database: Database, key: str = "buyers") -> str | None:
    with database.snapshot() as session:
        return rules.find(session, key=key).error


def causes(database: Database) -> list[str]:
    with database.snapshot() as session:
        return list(session.execute(select(col(RuleFiring.cause)).order_by(col(RuleFiring.id))).scalars())


def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table holds."""
    with database.snapshot() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
