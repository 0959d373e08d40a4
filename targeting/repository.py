"""SQL of enrolment and assignments. Audiences, users, consent and events have repositories of their own."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, literal, not_, null, select, update
from sqlmodel import Session, SQLModel, col

from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.audience_repository import Audience
from targeting.models import Enrolment
from targeting.user_repository import USERS, insert_into

_ASSIGNMENTS: Final = SQLModel.metadata.tables["assignments"]
_CONSENTS: Final = SQLModel.metadata.tables["consents"]


def lock_for_enrolment(session: Session, *, experiment_id: int, peers: Collection[int] = ()) -> bool:
    """Hold this experiment, and its peers of the same layer, until the transaction ends; False when it does not run.

    Taken in the order of ids, so that two experiments of one layer wait for each other instead of deadlocking, and
    never give one user to both.
    """
    query = select(col(Experiment.id), col(Experiment.status)).where(
        col(Experiment.id).in_({experiment_id, *peers})
    )
    rows = session.execute(query.order_by(col(Experiment.id)).with_for_update(key_share=True)).all()
    return dict(rows).get(experiment_id) == ExperimentStatus.RUNNING


def enrolment_of(session: Session, *, experiment_id: int, now: datetime) -> Enrolment:
    """How far enrolment has come; begins it when it has not begun."""
    found = session.get(Enrolment, experiment_id, populate_existing=True)
    if found is None:
        found = Enrolment(experiment_id=experiment_id, started_at=now, counts={})
        session.add(found)
    return found


def is_enrolled(session: Session, *, experiment_id: int) -> bool:
    """Whether the whole audience has been looked at."""
    query = select(col(Enrolment.finished_at)).where(col(Enrolment.experiment_id) == experiment_id)
    return session.execute(query).scalar() is not None


class Candidate(NamedTuple):
    """A user of the audience; `reason` is why they cannot take part, null when they can."""

    id: int
    user_id: str
    reason: str | None
    attributes: dict[str, Any] | None


def candidates(
    session: Session,
    audience: Audience,
    *,
    reasons: Mapping[str, ColumnElement[bool]],
    after_pk: int,
    limit: int,
) -> Sequence[Candidate]:
    """The next users who pass `audience.where`, by id; the first of `reasons` that holds excludes.

    Attributes are read only when the closure still has to see them.
    """
    reason: ColumnElement[Any] = (
        case(*((condition, literal(name)) for name, condition in reasons.items()), else_=null())
        if reasons
        else null()
    )
    attributes: ColumnElement[Any] = null() if audience.residual is None else USERS.c.attributes
    query = (
        select(USERS.c.id, USERS.c.user_id, reason, attributes)
        .where(and_(USERS.c.id > after_pk, audience.where))
        .order_by(USERS.c.id)
        .limit(limit)
    )
    return [Candidate(*row) for row in session.connection().execute(query).all()]


def lacks_phone() -> ColumnElement[bool]:
    return USERS.c.phone.is_(None)


def lacks_consent(category: str) -> ColumnElement[bool]:
    """Whether a row of `users` has not granted consent to this category, or has withdrawn it."""
    return not_(
        exists().where(
            _CONSENTS.c.user_pk == USERS.c.id, _CONSENTS.c.category == category, _CONSENTS.c.granted
        )
    )


def is_assigned_in(experiment_ids: Collection[int]) -> ColumnElement[bool]:
    """Whether a row of `users` takes part in one of these experiments."""
    return exists().where(
        _ASSIGNMENTS.c.user_pk == USERS.c.id, _ASSIGNMENTS.c.experiment_id.in_(experiment_ids)
    )


def insert_assignments(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add assignments; a user who is assigned already stays as they are. Returns how many were added."""
    if not rows:
        return 0
    statement = insert_into(session, _ASSIGNMENTS).on_conflict_do_nothing()
    result = session.connection().execute(statement, rows, execution_options={"preserve_rowcount": True})
    return result.rowcount


class Unplanned(NamedTuple):
    """An assignment that delivery has not looked at yet."""

    id: int
    user_pk: int
    variant: str
    assigned_at: datetime
    time_zone: str | None


def unplanned(session: Session, *, experiment_id: int, limit: int) -> list[Unplanned]:
    """The oldest assignments of an experiment that have no plan yet."""
    query = (
        select(
            _ASSIGNMENTS.c.id,
            _ASSIGNMENTS.c.user_pk,
            _ASSIGNMENTS.c.variant,
            _ASSIGNMENTS.c.assigned_at,
            USERS.c.time_zone,
        )
        .join(USERS, USERS.c.id == _ASSIGNMENTS.c.user_pk)
        .where(_ASSIGNMENTS.c.experiment_id == experiment_id, _ASSIGNMENTS.c.planned_at.is_(None))
        .order_by(_ASSIGNMENTS.c.id)
        .limit(limit)
    )
    return [Unplanned(*row) for row in session.connection().execute(query).all()]


def mark_planned(session: Session, *, ids: Sequence[int], at: datetime) -> int:
    """Note that these assignments have their plan; returns how many had none before."""
    result = session.connection().execute(
        update(_ASSIGNMENTS)
        .where(_ASSIGNMENTS.c.id.in_(ids), _ASSIGNMENTS.c.planned_at.is_(None))
        .values(planned_at=at)
    )
    return result.rowcount
