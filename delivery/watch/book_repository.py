"""SQL of what the books said: one row for each experiment, as last checked."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, case, or_, select, type_coerce
from sqlmodel import Session, SQLModel, col

from delivery.models import Balance
from delivery.watch.summary_repository import Tally
from experiments.clock import MICROSECOND
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.user_repository import insert_into

_BALANCES: Final = SQLModel.metadata.tables[str(Balance.__tablename__)]


def unchecked(session: Session, *, now: datetime, rest: timedelta) -> Sequence[Experiment]:
    """Experiments to check, the one that has waited longest first: those that run or are paused, and behind them those that
    were stopped, once more than `rest` has passed since their last check.
    """
    checked = _BALANCES.c.checked_at
    is_stopped = case((col(Experiment.status) == ExperimentStatus.STOPPED, 1), else_=0)
    query = (
        select(Experiment)
        .outerjoin(_BALANCES, _BALANCES.c.experiment_id == col(Experiment.id))
        .where(
            col(Experiment.started_at).is_not(None),
            or_(
                is_stopped == 0,
                checked.is_(None),
                checked < col(Experiment.stopped_at),
                checked < now - rest,
            ),
        )
        .order_by(is_stopped, checked.is_not(None), checked, col(Experiment.id))
    )
    return session.scalars(query).all()


def find(session: Session, experiment_id: int) -> Balance | None:
    return session.get(Balance, experiment_id)


def put(session: Session, balance: Balance) -> None:
    """Keep what the books of an experiment said, in place of what they said before."""
    row = balance.model_dump()
    statement = insert_into(session, _BALANCES).values(row)
    others = {name: statement.excluded[name] for name in row if name != "experiment_id"}
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=[_BALANCES.c.experiment_id], set_=others)
    )


def lines_at_rest(
    session: Session, *, now: datetime, settled: timedelta, oldest: timedelta
) -> dict[int, list[Tally]]:
    """What the books said of experiments that had been stopped for `settled` when they were checked, no longer than `oldest` ago, by id."""
    checked = _BALANCES.c.checked_at
    query = (
        select(_BALANCES.c.experiment_id, _BALANCES.c.lines)
        .join(Experiment, col(Experiment.id) == _BALANCES.c.experiment_id)
        .where(
            col(Experiment.status) == ExperimentStatus.STOPPED,
            type_coerce(checked, BigInteger)
            >= type_coerce(col(Experiment.stopped_at), BigInteger) + settled // MICROSECOND,
            checked >= now - oldest,
            _BALANCES.c.lines.is_not(None),
        )
        .order_by(_BALANCES.c.experiment_id)
    )
    rows = session.connection().execute(query)
    return {pk: [Tally(pk, *line) for line in lines] for pk, lines in rows}


class Kept(NamedTuple):
    """What the books of an experiment said when they were last checked."""

    experiment: str
    checked_at: datetime
    slots: int
    messages: int
    broken_at: datetime | None


def kept(session: Session) -> list[Kept]:
    """Of all experiments that were ever checked, oldest first."""
    columns = (_BALANCES.c[name] for name in Kept._fields[1:])
    query = (
        select(col(Experiment.key), *columns)
        .join(_BALANCES, _BALANCES.c.experiment_id == col(Experiment.id))
        .order_by(col(Experiment.id))
    )
    return [Kept(*row) for row in session.connection().execute(query)]


def broken(session: Session) -> list[Kept]:
    """Those whose books did not hold when they were last checked."""
    return [each for each in kept(session) if each.broken_at is not None]
