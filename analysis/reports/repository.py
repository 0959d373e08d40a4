"""SQL of stored reports, and of the few rows that a report reads beside its facts."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlmodel import Session, col, func, select

from analysis.reports.models import StoredReport
from experiments.errors import NotFound
from experiments.models import Epoch, Experiment
from targeting.models import Enrolment


def newest_report(session: Session, experiment_id: int) -> StoredReport | None:
    """The last report of an experiment; None when it was never looked at."""
    query = select(StoredReport).where(StoredReport.experiment_id == experiment_id)
    newest = query.order_by(col(StoredReport.as_of).desc(), col(StoredReport.id).desc())
    # Without the limit every look there ever was would be read, with all that it was made from.
    return session.exec(newest.limit(1)).first()


def newest_digests(session: Session, experiment_ids: Collection[int]) -> Sequence[Row[Any]]:
    """Of the last report of each of these experiments: what a list shows of it (`digest.digest_of`). Those without one are absent."""
    last = (
        select(StoredReport.id)
        .where(StoredReport.experiment_id == Experiment.id)
        .order_by(col(StoredReport.as_of).desc(), col(StoredReport.id).desc())
        .limit(1)
        .correlate(Experiment)
        .scalar_subquery()
    )
    body: Any = StoredReport.body
    parts = [body[name].label(name) for name in ("arms", "health", "metrics", "decision", "method")]
    columns: tuple[Any, ...] = (
        StoredReport.id,
        StoredReport.experiment_id,
        StoredReport.as_of,
        body["alpha"].as_float().label("alpha"),
        *parts,
    )
    query: Any = select(*columns)
    ids = select(last).where(col(Experiment.id).in_(experiment_ids))
    found: Sequence[Row[Any]] = session.exec(query.where(col(StoredReport.id).in_(ids))).all()
    return found


def started_experiments(
    session: Session,
) -> Sequence[tuple[Experiment, Enrolment | None, datetime | None]]:
    """Every experiment that was ever started, how far its audience was walked, and when it was last looked at."""
    last = (
        select(func.max(StoredReport.as_of))
        .where(StoredReport.experiment_id == Experiment.id)
        .correlate(Experiment)
        .scalar_subquery()
    )
    walked = select(Experiment, Enrolment, last).outerjoin(
        Enrolment, col(Enrolment.experiment_id) == col(Experiment.id)
    )
    query = walked.where(col(Experiment.started_at).is_not(None))
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


def enrolments_of(session: Session, experiment_ids: Collection[int]) -> dict[int, Enrolment]:
    """How far enrolment has come, by the id of the experiment; those that nobody was enrolled for are absent."""
    query = select(Enrolment).where(col(Enrolment.experiment_id).in_(experiment_ids))
    return {found.experiment_id: found for found in session.exec(query)}


def enrolment_of(session: Session, experiment_id: int) -> Enrolment | None:
    """How far enrolment has come; None before its first batch."""
    return session.get(Enrolment, experiment_id)


def reports_of(
    session: Session, experiment_id: int, *, before_id: int | None, limit: int
) -> Sequence[Row[Any]]:
    """Up to `limit` stored reports with an id below `before_id`, newest first: what a list says of each, without its body."""
    body: Any = StoredReport.body
    query = _parts_of(
        experiment_id,
        StoredReport.information,
        body["method"].label("method"),
        body["decision"].label("decision"),
        StoredReport.hashes,
        StoredReport.made_with,
    )
    if before_id is not None:
        query = query.where(col(StoredReport.id) < before_id)
    found: Sequence[Row[Any]] = session.exec(query.order_by(col(StoredReport.id).desc()).limit(limit)).all()
    return found


def report_ids(session: Session, experiment_id: int, *, until: datetime | None = None) -> Sequence[int]:
    """The ids of all stored reports of an experiment (as of `until` or before), oldest first."""
    query = select(StoredReport.id).where(StoredReport.experiment_id == experiment_id)
    if until is not None:
        query = query.where(StoredReport.as_of <= until)
    return [number for number in session.exec(query.order_by(col(StoredReport.id))) if number is not None]


def findings_after(session: Session, experiment_id: int, *, after_id: int, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` looks with an id above `after_id`, oldest first: id, as_of, information and metrics of each."""
    query = (
        _findings(experiment_id)
        .where(col(StoredReport.id) > after_id)
        .order_by(col(StoredReport.id))
        .limit(limit)
    )
    found: Sequence[Row[Any]] = session.exec(query).all()
    return found


def findings_of(session: Session, experiment_id: int, ids: Collection[int]) -> Sequence[Row[Any]]:
    """The same of the looks with these ids."""
    found: Sequence[Row[Any]] = session.exec(
        _findings(experiment_id).where(col(StoredReport.id).in_(ids)).order_by(col(StoredReport.id))
    ).all()
    return found


def _findings(experiment_id: int) -> Any:
    body: Any = StoredReport.body
    # As a float: SQLite writes a single number that it takes out of a document with 15 digits.
    information = body["information"].as_float().label("information")
    return _parts_of(experiment_id, information, body["metrics"].label("metrics"))


def _parts_of(experiment_id: int, *parts: Any) -> Any:
    # The database takes the parts out of the documents: the rest of them never travels.
    columns: tuple[Any, ...] = (StoredReport.id, StoredReport.as_of, *parts)
    query: Any = select(*columns)
    return query.where(StoredReport.experiment_id == experiment_id)


def get_report(session: Session, report_id: int, *, experiment_id: int | None = None) -> StoredReport:
    """The stored report with this id, of this experiment where one is given; raises NotFound."""
    found = session.get(StoredReport, report_id)
    if found is None:
        raise NotFound(f"there is no report {report_id}", field="report_id")
    if experiment_id not in (None, found.experiment_id):
        raise NotFound(f"report {report_id} is one of another experiment", field="report_id")
    return found
