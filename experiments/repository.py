"""All SQL of this floor."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, null, or_, true, update
from sqlmodel import Session, col, select

from experiments.audit import AuditEntry
from experiments.errors import NotFound
from experiments.metrics import MetricDefinition
from experiments.models import CampaignDraft, Epoch, Experiment, Metric
from experiments.vocabulary import ExperimentStatus


def get_experiment(session: Session, key: str, *, for_update: bool = False) -> Experiment:
    """The experiment with this key; raises NotFound. `for_update` holds its row until the transaction ends."""
    query = select(Experiment).where(Experiment.key == key)
    found = session.exec(query.with_for_update() if for_update else query).first()
    if found is None:
        raise NotFound(f"there is no experiment {key!r}", field="key")
    return found


def reread(session: Session, experiment_id: int) -> Experiment:
    """A stored experiment as it is now, whatever this session has seen of it before."""
    return session.get_one(Experiment, experiment_id, populate_existing=True)


def experiment_exists(session: Session, key: str) -> bool:
    return session.exec(select(Experiment.id).where(Experiment.key == key)).first() is not None


def list_experiments(
    session: Session, *, after_id: int, limit: int, status: ExperimentStatus | None = None
) -> Sequence[Experiment]:
    """Up to `limit` experiments with an id above `after_id`, oldest first."""
    query = select(Experiment).where(col(Experiment.id) > after_id).order_by(col(Experiment.id)).limit(limit)
    if status is not None:
        query = query.where(Experiment.status == status)
    return session.exec(query).all()


def newest_experiments(
    session: Session,
    *,
    limit: int,
    before_id: int | None = None,
    statuses: Collection[ExperimentStatus] = (),
    search: str = "",
) -> Sequence[Experiment]:
    """Up to `limit` experiments with an id below `before_id`, newest first: in one of the states, where any are given, and with
    `search` in the key or the name, in either case of its letters.
    """
    query = select(Experiment).where(_named(search)).order_by(col(Experiment.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(Experiment.id) < before_id)
    if statuses:
        query = query.where(col(Experiment.status).in_(statuses))
    return session.exec(query).all()


def count_by_status(session: Session, *, search: str = "") -> dict[str, int]:
    """How many experiments are in each state, of those with `search` in the key or the name; a state that none is in is absent."""
    query = select(Experiment.status, func.count()).where(_named(search)).group_by(Experiment.status)
    return dict(session.exec(query).all())


def _named(search: str) -> ColumnElement[bool]:
    if not search:
        return true()
    found = (
        column.icontains(search, autoescape=True) for column in (col(Experiment.key), col(Experiment.name))
    )
    return or_(*found)


def with_status(session: Session, *statuses: ExperimentStatus) -> Sequence[Experiment]:
    """All experiments in one of these states, highest priority first."""
    query = select(Experiment).where(col(Experiment.status).in_(statuses))
    return session.exec(query.order_by(col(Experiment.priority).desc(), col(Experiment.id))).all()


def ids_of(session: Session, keys: Collection[str]) -> dict[str, int]:
    """Internal ids by key; a key that nobody knows is absent."""
    query = select(Experiment.key, Experiment.id).where(col(Experiment.key).in_(keys))
    return {key: number for key, number in session.exec(query) if number is not None}


def with_keys(session: Session, keys: Collection[str]) -> Sequence[Experiment]:
    """The experiments among these keys that exist."""
    return session.exec(select(Experiment).where(col(Experiment.key).in_(keys))).all()


def hold_unstopped(session: Session) -> None:
    """Hold every experiment that is not stopped until the transaction ends, in the order of ids."""
    query = select(Experiment.id).where(Experiment.status != ExperimentStatus.STOPPED)
    session.exec(query.order_by(col(Experiment.id)).with_for_update(key_share=True)).all()


def current_epoch(session: Session, experiment_id: int) -> Epoch:
    """The open epoch of a started experiment; raises NotFound."""
    query = select(Epoch).where(Epoch.experiment_id == experiment_id, col(Epoch.closed_at).is_(None))
    found = session.exec(query.order_by(col(Epoch.number).desc())).first()
    if found is None:
        raise NotFound("the experiment was never started, so it has no epoch")
    return found


def metric_library(session: Session) -> dict[str, MetricDefinition]:
    """Every metric of the library by key."""
    return {
        metric.key: MetricDefinition.model_validate(metric.definition)
        for metric in session.exec(select(Metric))
    }


def find_metric(session: Session, key: str) -> Metric | None:
    return session.exec(select(Metric).where(Metric.key == key)).first()


def get_metric(session: Session, key: str) -> Metric:
    """The metric of the library with this key. Raises NotFound."""
    found = find_metric(session, key)
    if found is None:
        raise NotFound(f"there is no metric {key!r} in the library", field="key")
    return found


def list_metrics(session: Session, *, after_id: int, limit: int) -> Sequence[Metric]:
    return session.exec(
        select(Metric).where(col(Metric.id) > after_id).order_by(col(Metric.id)).limit(limit)
    ).all()


def find_draft(session: Session, key: str, *, for_update: bool = False) -> CampaignDraft | None:
    """The draft with this key; `for_update` holds its row until the transaction ends."""
    query = select(CampaignDraft).where(CampaignDraft.key == key)
    return session.exec(query.with_for_update() if for_update else query).first()


def list_drafts(
    session: Session, *, before_id: int | None, limit: int, search: str = ""
) -> Sequence[CampaignDraft]:
    """Up to `limit` drafts with an id below `before_id` and with `search` in the key or the name, the newest first."""
    query = select(CampaignDraft).order_by(col(CampaignDraft.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(CampaignDraft.id) < before_id)
    if search:
        name = col(CampaignDraft.document)["name"].as_string()
        found = (column.icontains(search, autoescape=True) for column in (col(CampaignDraft.key), name))
        query = query.where(or_(*found))
    return session.exec(query).all()


def audit_of(
    session: Session, *, subject_kind: str, subject_key: str, before: datetime | None = None
) -> list[dict[str, Any]]:
    """Every entry of the audit log about one subject (of the time `before` somebody else got its name), oldest first, without its
    internal id.
    """
    query = select(AuditEntry).where(*_about(subject_kind, subject_key, before))
    return [
        entry.model_dump(exclude={"id", "subject_kind", "subject_key"})
        for entry in session.exec(query.order_by(col(AuditEntry.id)))
    ]


def forget_in_audit(
    session: Session,
    *,
    subject_kind: str,
    subject_key: str,
    pseudonym: str,
    before: datetime | None = None,
) -> None:
    """Leave of the entries about one subject (`before` as in `audit_of`) who did what kind of thing and when, under another name."""
    session.execute(
        update(AuditEntry)
        .where(*_about(subject_kind, subject_key, before))
        .values(subject_key=pseudonym, before=null(), after=null())
    )


def _about(subject_kind: str, subject_key: str, before: datetime | None) -> tuple[ColumnElement[bool], ...]:
    about = (col(AuditEntry.subject_kind) == subject_kind, col(AuditEntry.subject_key) == subject_key)
    return about if before is None else (*about, col(AuditEntry.at) < before)
