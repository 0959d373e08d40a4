"""All SQL of the runs of imports."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from experiments.clock import format_moment
from targeting.models import ImportRun


def add_run(session: Session, run: ImportRun) -> int:
    session.add(run)
    session.flush()
    assert run.id is not None  # noqa: S101  # the database has just given it
    return run.id


def find_run(session: Session, run_id: int) -> ImportRun | None:
    return session.get(ImportRun, run_id)


def note_rows(session: Session, run_id: int, *, rows: int, at: datetime) -> None:
    """So many rows of a run that is under way are done by now."""
    told = {"rows": rows, "at": format_moment(at)}
    session.execute(update(ImportRun).where(col(ImportRun.id) == run_id).values(summary=told))


def list_runs(
    session: Session, *, before_id: int | None, limit: int, source: str | None = None
) -> Sequence[ImportRun]:
    """The newest first."""
    query = select(ImportRun).order_by(col(ImportRun.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(ImportRun.id) < before_id)
    if source is not None:
        query = query.where(ImportRun.source == source)
    return session.exec(query).all()


def last_quality(session: Session, source: str) -> Mapping[str, Any] | None:
    """The quality of the last import of this source that ended well and brought rows."""
    query = (
        select(ImportRun.quality)
        .where(
            ImportRun.source == source,
            col(ImportRun.finished_at).is_not(None),
            col(ImportRun.error).is_(None),
            col(ImportRun.quality).is_not(None),
        )
        .order_by(col(ImportRun.id).desc())
        .limit(1)
    )
    return session.exec(query).first()
