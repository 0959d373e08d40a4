"""SQL of the books and of what goes on in delivery: counts, read from indexes alone."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import CompoundSelect, Integer, cast, func, null, select, text, union_all
from sqlmodel import Session, SQLModel, col

from delivery.models import Message, WebhookBody
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus, MessageState
from targeting.models import Assignment, User

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]
_BODIES: Final = SQLModel.metadata.tables[str(WebhookBody.__tablename__)]
# Written out, because a database uses a partial index only when it sees the same condition, not a parameter.
_PLANNED: Final = text("messages.state = 'planned'")
_LEASED: Final = text("messages.state IN ('claimed', 'inflight')")

_UNSEEN: Final = text("webhook_bodies.projected_at IS NULL AND webhook_bodies.unmatched IS NULL")
_LEFT_OVER: Final = text("webhook_bodies.projected_at IS NULL AND webhook_bodies.unmatched IS NOT NULL")


class Tally(NamedTuple):
    """One line of the books: `number` of messages of a variant, or (`state` is null) of occasions that were planned for it.

    `code` is WhatsApp's error code.
    """

    experiment_id: int
    variant: str
    state: str | None
    reason: str | None
    code: int | None
    number: int


def tallies(session: Session, *, of: Collection[int] | None = None) -> list[Tally]:
    """Planned occasions and messages, counted by what became of them. of: ids of experiments; None: all.

    One statement, so that both are counted in the same state of the database.
    """
    owner = (col(Assignment.experiment_id), col(Assignment.variant))
    # Summed as BIGINT, PostgreSQL would answer with a NUMERIC.
    occasions = cast(func.sum(col(Assignment.occasions)), Integer)
    planned = select(*owner, null(), null(), cast(null(), Integer), occasions).group_by(*owner)
    # In the order of their index, so that nothing has to be sorted.
    by = (
        col(Message.experiment_id),
        col(Message.state),
        col(Message.variant),
        col(Message.reason),
        col(Message.error_code),
    )
    messages = select(by[0], by[2], by[1], by[3], by[4], func.count()).group_by(*by)
    if of is not None:
        planned = planned.where(col(Assignment.experiment_id).in_(of))
        messages = messages.where(col(Message.experiment_id).in_(of))
    both: CompoundSelect[Any] = union_all(planned, messages)
    return [Tally(*row) for row in session.connection().execute(both)]


def clicked(session: Session, *, experiment_id: int | None = None) -> int:
    """Messages that were clicked on at least once."""
    query = select(func.count()).select_from(Message).where(col(Message.clicked_at).is_not(None))
    if experiment_id is not None:
        query = query.where(col(Message.experiment_id) == experiment_id)
    return session.connection().execute(query).scalar_one()


def started_experiments(session: Session) -> Sequence[Experiment]:
    """Experiments that were ever started, oldest first."""
    query = select(Experiment).where(col(Experiment.started_at).is_not(None)).order_by(col(Experiment.id))
    return session.scalars(query).all()


class Queue(NamedTuple):
    """Planned messages: of running experiments, due now or later, and of paused ones. `oldest`: when the first became due."""

    due: int
    later: int
    paused: int
    oldest: datetime | None


def queue(session: Session, *, now: datetime) -> Queue:
    """The queue of all experiments. Reads messages themselves only of paused experiments, if these have any that are due."""
    planned = _planned(session)
    columns = (col(Experiment.id), col(Experiment.priority), col(Experiment.status))
    rows = session.connection().execute(select(*columns).where(columns[0].in_(planned.keys()))).all()
    running = {row.id: row.priority for row in rows if row.status == ExperimentStatus.RUNNING}
    paused = [row.id for row in rows if row.id not in running]
    due = _count_due(session, {row.priority for row in rows}, now)
    if paused and due:
        due -= _count_due_of(session, paused, now)
    levels = set(running.values()) if due else set()
    first = [_first_due(session, level, running.keys(), now) for level in sorted(levels)]
    return Queue(
        due=due,
        later=sum(planned[pk] for pk in running) - due,
        paused=sum(planned[pk] for pk in paused),
        oldest=min((at for at in first if at is not None), default=None),
    )


def _planned(session: Session) -> dict[int, int]:
    """How many messages of each experiment are planned."""
    owner = _MESSAGES.c.experiment_id
    query = select(owner, func.count()).where(_MESSAGES.c.state == MessageState.PLANNED).group_by(owner)
    return dict(session.connection().execute(query).all())


def _count_due(session: Session, levels: Collection[int], now: datetime) -> int:
    query = select(func.count()).select_from(_MESSAGES)
    query = query.where(_PLANNED, _MESSAGES.c.priority.in_(levels), _MESSAGES.c.due_at <= now)
    return session.connection().execute(query).scalar_one()


def _count_due_of(session: Session, experiment_ids: Collection[int], now: datetime) -> int:
    query = select(func.count()).select_from(_MESSAGES)
    query = query.where(_PLANNED, _MESSAGES.c.experiment_id.in_(experiment_ids), _MESSAGES.c.due_at <= now)
    return session.connection().execute(query).scalar_one()


def _first_due(
    session: Session, level: int, experiment_ids: Collection[int], now: datetime
) -> datetime | None:
    query = (
        select(_MESSAGES.c.due_at)
        .where(
            _PLANNED,
            _MESSAGES.c.priority == level,
            _MESSAGES.c.due_at <= now,
            # The sum takes the index by experiment out of the choice: this walks along the due times.
            (_MESSAGES.c.experiment_id + 0).in_(experiment_ids),
        )
        .order_by(_MESSAGES.c.due_at)
        .limit(1)
    )
    found: datetime | None = session.connection().execute(query).scalar_one_or_none()
    return found


def accepted_since(session: Session, *, since: datetime) -> int:
    """Messages that went out after `since` and were not refused, less those whose POST is still under way."""
    slots = select(func.count()).where(_MESSAGES.c.slot_at.is_not(None), _MESSAGES.c.slot_at > since)
    flying = select(func.count()).where(
        _LEASED, text("messages.state = 'inflight'"), _MESSAGES.c.slot_at > since
    )
    connection = session.connection()
    taken, under_way = connection.execute(slots).scalar_one(), connection.execute(flying).scalar_one()
    return max(0, taken - under_way)


class Inbox(NamedTuple):
    """Webhooks: not looked at yet, since when the oldest waits; looked at, with statuses that wait for a message not known yet;
    ended in an error.
    """

    waiting: int
    oldest: datetime | None
    unmatched: int
    errors: int


def inbox(session: Session) -> Inbox:
    connection = session.connection()
    waiting = webhooks_waiting(session)
    first = select(_BODIES.c.received_at).where(_UNSEEN)
    unmatched = select(func.count()).select_from(_BODIES).where(_LEFT_OVER)
    errors = select(func.count()).where(_BODIES.c.error.is_not(None))
    return Inbox(
        waiting=waiting,
        oldest=connection.execute(first.order_by(_BODIES.c.id).limit(1)).scalar() if waiting else None,
        unmatched=connection.execute(unmatched).scalar_one(),
        errors=connection.execute(errors).scalar_one(),
    )


def webhooks_waiting(session: Session) -> int:
    """Webhooks that came in and that nobody has looked at yet."""
    query = select(func.count()).select_from(_BODIES).where(_UNSEEN)
    return session.connection().execute(query).scalar_one()


class MessageRow(NamedTuple):
    """A message as people look at it."""

    id: int
    user_id: str
    variant: str
    step: int
    state: str
    reason: str | None
    error_code: int | None
    due_at: datetime
    accepted_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    failed_at: datetime | None
    first_failed_at: datetime | None


def messages_page(
    session: Session, *, experiment_id: int, after_id: int, limit: int, state: MessageState | None
) -> list[MessageRow]:
    """Up to `limit` messages of an experiment with an id above `after_id`, oldest first."""
    columns = _MESSAGES.c
    query = (
        select(*(col(User.user_id) if name == "user_id" else columns[name] for name in MessageRow._fields))
        .select_from(_MESSAGES)
        .join(User, col(User.id) == columns.user_pk)
        .where(columns.experiment_id == experiment_id, columns.id > after_id)
        .order_by(columns.id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(columns.state == state)
    return [MessageRow(*row) for row in session.connection().execute(query).all()]
