"""SQL of questions about one user: where they stand in which experiments, and their messages."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlmodel import Session, col

from delivery.models import Message
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.models import Assignment

_TAKES_PART: Final = select(col(Assignment.experiment_id))


def experiments_for(session: Session, user_pk: int, *, limit: int) -> Sequence[Experiment]:
    """Up to `limit` experiments that the user takes part in, or that are not over; the newest start first."""
    query = (
        select(Experiment)
        .where(
            col(Experiment.started_at).is_not(None),
            col(Experiment.status).in_((ExperimentStatus.RUNNING, ExperimentStatus.PAUSED))
            | col(Experiment.id).in_(_TAKES_PART.where(col(Assignment.user_pk) == user_pk)),
        )
        .order_by(col(Experiment.started_at).desc(), col(Experiment.id).desc())
        .limit(limit)
    )
    return session.scalars(query).all()


def assignment_of(session: Session, *, experiment_id: int, user_pk: int) -> Assignment | None:
    query = select(Assignment).where(
        col(Assignment.experiment_id) == experiment_id, col(Assignment.user_pk) == user_pk
    )
    return session.scalars(query).one_or_none()


def messages_of(session: Session, *, experiment_id: int, user_pk: int, limit: int) -> list[Message]:
    """Up to `limit` messages of a user in an experiment: the latest, in the order of their steps."""
    query = (
        select(Message)
        .where(col(Message.experiment_id) == experiment_id, col(Message.user_pk) == user_pk)
        .order_by(col(Message.step).desc())
        .limit(limit)
    )
    return list(session.scalars(query).all())[::-1]
