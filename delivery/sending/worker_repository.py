"""SQL of the workers that send."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlmodel import Session, SQLModel, col

from delivery.models import Worker
from targeting.user_repository import insert_into

_WORKERS: Final = SQLModel.metadata.tables[str(Worker.__tablename__)]


_LOCK: Final = select(func.pg_advisory_xact_lock(0x7057_BEA7))


def lock(session: Session) -> None:
    """One worker at a time says that it is alive, until its transaction ends; SQLite has one writer at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_LOCK)


def put(session: Session, worker: Worker) -> None:
    """Store a worker; one that is known keeps when it began."""
    statement = insert_into(session, _WORKERS).values(worker.model_dump())
    new = statement.excluded
    session.connection().execute(
        statement.on_conflict_do_update(
            index_elements=[_WORKERS.c.name], set_={"number": new.number, "seen_at": new.seen_at}
        )
    )


def forget(session: Session, *, before: datetime) -> None:
    session.connection().execute(delete(_WORKERS).where(_WORKERS.c.seen_at < before))


def remove(session: Session, *, name: str) -> None:
    session.connection().execute(delete(_WORKERS).where(_WORKERS.c.name == name))


def count(session: Session, *, number: str, since: datetime) -> int:
    query = select(func.count()).select_from(_WORKERS)
    query = query.where(_WORKERS.c.number == number, _WORKERS.c.seen_at > since)
    return session.connection().execute(query).scalar_one()


def seen(session: Session, *, since: datetime) -> Sequence[Worker]:
    query = select(Worker).where(col(Worker.seen_at) > since).order_by(col(Worker.number), col(Worker.name))
    return session.scalars(query).all()
