"""SQL of a person's own data: everything about one user read out, or taken away."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, literal, select, update
from sqlmodel import Session, SQLModel

from experiments.models import Experiment
from targeting.models import (
    Assignment,
    Consent,
    ConsentRecord,
    Event,
    PendingTrigger,
    Rule,
    RuleFiring,
    Segment,
    SegmentMember,
    Tombstone,
    User,
    UserAlias,
)
from targeting.user_repository import insert_into

_TABLES: Final = SQLModel.metadata.tables
_USERS = _TABLES[str(User.__tablename__)]
_ALIASES = _TABLES[str(UserAlias.__tablename__)]
_CONSENTS = _TABLES[str(Consent.__tablename__)]
_LEDGER = _TABLES[str(ConsentRecord.__tablename__)]
_EVENTS = _TABLES[str(Event.__tablename__)]
_ASSIGNMENTS = _TABLES[str(Assignment.__tablename__)]
_PENDING = _TABLES[str(PendingTrigger.__tablename__)]
_FIRINGS = _TABLES[str(RuleFiring.__tablename__)]
_MEMBERS = _TABLES[str(SegmentMember.__tablename__)]
_TOMBSTONES = _TABLES[str(Tombstone.__tablename__)]
_EXPERIMENTS = _TABLES[str(Experiment.__tablename__)]
_SEGMENTS = _TABLES[str(Segment.__tablename__)]
_RULES = _TABLES[str(Rule.__tablename__)]
_PAGE: Final = 1000


def add_tombstones(session: Session, digests: Mapping[str, str], *, now: datetime) -> None:
    """`digests` maps each digest to its kind; one that is there already stays."""
    if digests:
        session.execute(
            insert_into(session, _TOMBSTONES).on_conflict_do_nothing(),
            [{"digest": digest, "kind": kind, "erased_at": now} for digest, kind in digests.items()],
        )


def any_tombstone(session: Session) -> bool:
    return session.execute(select(literal(1)).select_from(_TOMBSTONES).limit(1)).first() is not None


def known_digests(session: Session, digests: Collection[str]) -> list[str]:
    query = select(_TOMBSTONES.c.digest).where(_TOMBSTONES.c.digest.in_(digests))
    return list(session.execute(query).scalars())


def remove_tombstones(session: Session, digests: Collection[str]) -> int:
    removed = session.execute(
        delete(_TOMBSTONES).where(_TOMBSTONES.c.digest.in_(digests)).returning(_TOMBSTONES.c.digest)
    )
    return len(removed.all())


def everything_about(session: Session, user_pk: int) -> dict[str, list[dict[str, Any]]]:
    """Rows about one user by what they are, without internal ids, oldest first."""
    queries = {
        "aliases": select(_ALIASES.c.kind, _ALIASES.c.value).where(_ALIASES.c.user_pk == user_pk),
        "consents": select(_CONSENTS.c.category, _CONSENTS.c.granted, _CONSENTS.c.changed_at).where(
            _CONSENTS.c.user_pk == user_pk
        ),
        "consent_ledger": select(
            _LEDGER.c.category, _LEDGER.c.granted, _LEDGER.c.at, _LEDGER.c.source, _LEDGER.c.evidence
        )
        .where(_LEDGER.c.user_pk == user_pk)
        .order_by(_LEDGER.c.id),
        "events": select(
            _EVENTS.c.message_id, _EVENTS.c.name, _EVENTS.c.at, _EVENTS.c.received_at, _EVENTS.c.properties
        )
        .where(_EVENTS.c.user_pk == user_pk)
        .order_by(_EVENTS.c.id),
        "assignments": select(
            _EXPERIMENTS.c.key.label("experiment"),
            _ASSIGNMENTS.c.variant,
            _ASSIGNMENTS.c.propensity,
            _ASSIGNMENTS.c.forced,
            _ASSIGNMENTS.c.source,
            _ASSIGNMENTS.c.assigned_at,
        )
        .join(_EXPERIMENTS, _EXPERIMENTS.c.id == _ASSIGNMENTS.c.experiment_id)
        .where(_ASSIGNMENTS.c.user_pk == user_pk)
        .order_by(_ASSIGNMENTS.c.id),
        "segments": select(_SEGMENTS.c.key.label("segment"), _MEMBERS.c.added_at)
        .join(_SEGMENTS, _SEGMENTS.c.id == _MEMBERS.c.segment_id)
        .where(_MEMBERS.c.user_pk == user_pk),
        "rules": select(_RULES.c.key.label("rule"), _FIRINGS.c.cause, _FIRINGS.c.at, _FIRINGS.c.outcome)
        .join(_RULES, _RULES.c.id == _FIRINGS.c.rule_id)
        .where(_FIRINGS.c.user_pk == user_pk)
        .order_by(_FIRINGS.c.id),
    }
    return {name: [dict(row) for row in session.execute(query).mappings()] for name, query in queries.items()}


def aliases_of(session: Session, user_pk: int) -> list[tuple[str, str]]:
    query = select(_ALIASES.c.kind, _ALIASES.c.value).where(_ALIASES.c.user_pk == user_pk)
    return [(kind, value) for kind, value in session.execute(query)]


def forget(session: Session, user_pk: int, *, pseudonym: str, now: datetime) -> None:
    """Leave of a user only an empty row under `pseudonym`, to which assignments and messages still belong."""
    for table in (_ALIASES, _PENDING, _MEMBERS):
        session.execute(delete(table).where(table.c.user_pk == user_pk))
    session.execute(
        update(_CONSENTS).where(_CONSENTS.c.user_pk == user_pk).values(granted=False, changed_at=now)
    )
    session.execute(update(_LEDGER).where(_LEDGER.c.user_pk == user_pk).values(evidence=""))
    session.execute(update(_FIRINGS).where(_FIRINGS.c.user_pk == user_pk).values(outcome={"actions": []}))
    session.execute(
        update(_USERS)
        .where(_USERS.c.id == user_pk)
        .values(
            user_id=pseudonym,
            phone=None,
            time_zone=None,
            locale=None,
            attributes={},
            last_seen_at=None,
            last_inbound_at=None,
            updated_at=now,
        )
    )


def strip_events(session: Session, user_pk: int, *, kept: Collection[str]) -> None:
    """Of each event leave its name, its time, and the numbers among the properties that metrics add up (`kept`)."""
    after = 0
    while True:
        rows: Sequence[Any] = session.execute(
            select(_EVENTS.c.id, _EVENTS.c.properties)
            .where(_EVENTS.c.user_pk == user_pk, _EVENTS.c.id > after)
            .order_by(_EVENTS.c.id)
            .limit(_PAGE)
        ).all()
        if not rows:
            return
        after = rows[-1].id
        session.connection().execute(
            update(_EVENTS)
            .where(_EVENTS.c.id == bindparam("pk"))
            .values(
                message_id=bindparam("name_left"),
                properties=bindparam("left", type_=_EVENTS.c.properties.type),
            ),
            [
                {"pk": pk, "name_left": f"erased:{pk}", "left": _numbers(properties or {}, kept)}
                for pk, properties in rows
            ],
        )


def _numbers(properties: Mapping[str, Any], kept: Collection[str]) -> dict[str, float]:
    return {
        name: value
        for name, value in properties.items()
        if name in kept and isinstance(value, int | float) and not isinstance(value, bool)
    }
