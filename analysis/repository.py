"""SQL of stored reports, and of the few rows that a report reads beside its facts."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select

from analysis.models import StoredReport
from experiments.models import Epoch, Experiment
from targeting.models import Enrolment


def newest_report(session: Session, experiment_id: int) -> StoredReport | None:
    """The last report of an experiment; None when it was never looked at."""
    query = select(StoredReport).where(StoredReport.experiment_id == experiment_id)
    return session.exec(query.order_by(col(StoredReport.as_of).desc(), col(StoredReport.id).desc())).first()


def started_experiments(session: Session) -> Sequence[tuple[Experiment, datetime | None]]:
    """Every experiment that was ever started, and when it was last looked at."""
    last = (
        select(func.max(StoredReport.as_of))
        .where(StoredReport.experiment_id == Experiment.id)
        .correlate(Experiment)
        .scalar_subquery()
    )
    query = select(Experiment, last).where(col(Experiment.started_at).is_not(None))
    return session.exec(query.order_by(col(Experiment.id))).all()


def informations(session: Session, experiment_id: int) -> Sequence[float]:
    """The information fractions at which an experiment was looked at, each once, ascending."""
    query = select(StoredReport.information).where(StoredReport.experiment_id == experiment_id).distinct()
    return session.exec(query.order_by(col(StoredReport.information))).all()


def epochs_of(session: Session, experiment_id: int) -> Sequence[Epoch]:
    """Every epoch of an experiment, also the closed ones, in order."""
    return session.exec(
        select(Epoch).where(Epoch.experiment_id == experiment_id).order_by(col(Epoch.number))
    ).all()


def enrolment_of(session: Session, experiment_id: int) -> Enrolment | None:
    """How far enrolment has come; None before its first batch."""
    return session.get(Enrolment, experiment_id)
