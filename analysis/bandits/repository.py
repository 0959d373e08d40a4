"""SQL of reallocations, and of what guards saw."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from analysis.bandits.models import GuardLook, Reallocation
from experiments.models import Epoch, Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.user_repository import insert_into

_LIVE: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)
_LOOKS: Final = SQLModel.metadata.tables[str(GuardLook.__tablename__)]
_REALLOCATIONS: Final = SQLModel.metadata.tables[str(Reallocation.__tablename__)]


def live_experiments(session: Session) -> Sequence[tuple[Experiment, int]]:
    """Experiments that run or are paused and have shipped nothing, by id, and the newest slot that something was done for; 0 when there is none."""
    newest = (
        select(func.coalesce(func.max(Reallocation.slot), 0))
        .where(Reallocation.experiment_id == Experiment.id)
        .correlate(Experiment)
        .scalar_subquery()
    )
    query = select(Experiment, newest).where(
        col(Experiment.status).in_(_LIVE), col(Experiment.shipped_at).is_(None)
    )
    return session.exec(query.order_by(col(Experiment.id))).all()


def claim(session: Session, row: Reallocation) -> bool:
    """Store the row of a slot; False when the slot has one. Waits for whoever is just storing the same one."""
    values = row.model_dump(exclude={"id"})
    statement = insert_into(session, _REALLOCATIONS).values(values).on_conflict_do_nothing()
    row.id = session.connection().execute(statement.returning(_REALLOCATIONS.c.id)).scalar()
    return row.id is not None


def reallocations_of(session: Session, experiment_id: int, *, limit: int) -> Sequence[Reallocation]:
    """Up to `limit` reallocations, newest first."""
    query = select(Reallocation).where(Reallocation.experiment_id == experiment_id)
    return session.exec(query.order_by(col(Reallocation.slot).desc()).limit(limit)).all()


def newest_epochs(session: Session, experiment_id: int, *, limit: int) -> Sequence[Epoch]:
    """Up to `limit` epochs, newest first."""
    query = select(Epoch).where(Epoch.experiment_id == experiment_id)
    return session.exec(query.order_by(col(Epoch.number).desc()).limit(limit)).all()


def is_live(experiment: Experiment) -> bool:
    return experiment.status in _LIVE


def guarded_experiments(session: Session) -> Sequence[tuple[Experiment, GuardLook | None]]:
    """Experiments that run or are paused, by id, and the last look of their guards."""
    query = (
        select(Experiment, GuardLook)
        .outerjoin(GuardLook, col(GuardLook.experiment_id) == col(Experiment.id))
        .where(col(Experiment.status).in_(_LIVE))
        .order_by(col(Experiment.id))
    )
    return session.exec(query).all()


def put_look(session: Session, look: GuardLook) -> None:
    """Keep what the guards saw, in place of what they saw before."""
    row = look.model_dump()
    statement = insert_into(session, _LOOKS).values(row)
    others = {name: statement.excluded[name] for name in row if name != "experiment_id"}
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=[_LOOKS.c.experiment_id], set_=others)
    )


def last_verdicts(session: Session, experiment_id: int) -> Sequence[Mapping[str, Any]]:
    """What the guards said when they last looked; nothing when they have not."""
    found = session.get(GuardLook, experiment_id)
    return () if found is None else found.verdicts
