"""SQL of the delivery policy: its versions, which are only ever added, and the messages that one put off."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import case, literal, update
from sqlmodel import Session, SQLModel, col, select

from delivery.models import Message, PolicyVersion
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus, MessageState

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]


def newest_document(session: Session) -> dict[str, Any] | None:
    query = select(col(PolicyVersion.document)).order_by(col(PolicyVersion.id).desc()).limit(1)
    return session.scalars(query).first()


def add(session: Session, version: PolicyVersion) -> None:
    session.add(version)
    session.flush()


def versions(session: Session, *, before_id: int | None, limit: int) -> Sequence[PolicyVersion]:
    query = select(PolicyVersion).order_by(col(PolicyVersion.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(PolicyVersion.id) < before_id)
    return session.scalars(query).all()


def look_again(session: Session, *, reasons: Collection[str], now: datetime) -> int:
    """Make planned messages that were put off past `now` for one of these reasons due at once; returns how many.

    By experiment, state and reason in the index of the books, so that of a message that was not put off only its entry there
    is read. Held in the order of their ids, as everywhere.
    """
    alive = select(col(Experiment.id)).where(
        col(Experiment.status).in_((ExperimentStatus.RUNNING, ExperimentStatus.PAUSED))
    )
    put_off = (
        select(_MESSAGES.c.id)
        .where(
            _MESSAGES.c.experiment_id.in_(alive),
            _MESSAGES.c.state == MessageState.PLANNED,
            _MESSAGES.c.reason.in_(reasons),
            _MESSAGES.c.due_at > now,
        )
        .order_by(_MESSAGES.c.id)
        .with_for_update(key_share=True)
    )
    first = _MESSAGES.c.first_due_at
    statement = (
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(put_off))
        .values(due_at=case((first > now, first), else_=literal(now, first.type)))
    )
    return session.connection().execute(statement).rowcount
