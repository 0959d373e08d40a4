"""SQL of a person's own data on this floor: read out, or taken away."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import case, literal, null, select, update
from sqlmodel import Session, SQLModel

from delivery.models import Click, Link, Message, WebhookBody
from delivery.outbox.holding import held_ids
from experiments.database import bytes_hold
from experiments.models import Experiment
from experiments.vocabulary import WAITING_STATES, MessageState

_TABLES: Final = SQLModel.metadata.tables
_MESSAGES = _TABLES[str(Message.__tablename__)]
_LINKS = _TABLES[str(Link.__tablename__)]
_CLICKS = _TABLES[str(Click.__tablename__)]
_BODIES = _TABLES[str(WebhookBody.__tablename__)]
_EXPERIMENTS = _TABLES[str(Experiment.__tablename__)]
_TOLD: Final = (
    *("variant", "step", "category", "state", "reason", "error_code", "wamid", "parameters", "due_at"),
    *("accepted_at", "sent_at", "delivered_at", "read_at", "failed_at", "first_failed_at", "clicked_at"),
)


def messages_of(session: Session, user_pk: int) -> list[dict[str, Any]]:
    query = (
        select(_EXPERIMENTS.c.key.label("experiment"), *(_MESSAGES.c[name] for name in _TOLD))
        .join(_EXPERIMENTS, _EXPERIMENTS.c.id == _MESSAGES.c.experiment_id)
        .where(_MESSAGES.c.user_pk == user_pk)
        .order_by(_MESSAGES.c.id)
    )
    return [dict(row) for row in session.execute(query).mappings()]


def clicks_of(session: Session, user_pk: int) -> list[dict[str, Any]]:
    query = (
        select(_LINKS.c.url, _CLICKS.c.at)
        .join(_LINKS, _LINKS.c.token == _CLICKS.c.token)
        .join(_MESSAGES, _MESSAGES.c.id == _LINKS.c.message_pk)
        .where(_MESSAGES.c.user_pk == user_pk)
        .order_by(_CLICKS.c.id)
    )
    return [dict(row) for row in session.execute(query).mappings()]


def forget_messages(session: Session, user_pk: int, *, reason: str) -> None:
    """Cancel what waits, and take away what messages said and WhatsApp's ids, which hold the phone number."""
    waits = _MESSAGES.c.state.in_(WAITING_STATES)
    session.execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(held_ids(_MESSAGES.c.user_pk == user_pk)))
        .values(
            parameters=null(),
            wamid=null(),
            state=case((waits, literal(MessageState.CANCELLED)), else_=_MESSAGES.c.state),
            reason=case((waits, literal(reason)), else_=_MESSAGES.c.reason),
            claimed_by=case((waits, null()), else_=_MESSAGES.c.claimed_by),
            lease_until=case((waits, null()), else_=_MESSAGES.c.lease_until),
        )
    )


def forget_bodies(session: Session, marks: Collection[str]) -> None:
    """Empty every webhook that was made sense of and names one of `marks`. Reads the whole table: rare, and thorough."""
    for mark in sorted(marks):
        session.execute(
            update(_BODIES)
            .where(_BODIES.c.projected_at.is_not(None), bytes_hold(session, _BODIES.c.body, mark.encode()))
            .values(body=b"", unmatched=null())
        )
