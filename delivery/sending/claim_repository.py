"""SQL of claiming: what other workers left behind, what runs, and which due messages a worker takes."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, and_, not_, or_, select, text, update
from sqlmodel import Session, SQLModel

from delivery.models import Message
from delivery.outbox.holding import held_ids, without_index
from delivery.outbox.id_lists import among
from delivery.outbox.story import NO_ANSWER
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus, MessageState
from targeting.models import User

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]
_EXPERIMENTS: Final = SQLModel.metadata.tables[str(Experiment.__tablename__)]
_USERS: Final = SQLModel.metadata.tables[str(User.__tablename__)]
# Written out, because a database uses a partial index only when it sees the same condition, not a parameter.
_PLANNED: Final = text("messages.state = 'planned'")
_LEASED: Final = text("state IN ('claimed', 'inflight')")
# The plus takes the index by experiment out of the choice: without statistics SQLite would use it, and sort the whole
# backlog for each batch, instead of walking along the due times.
_IN_DUE_ORDER: Final = without_index(_MESSAGES.c.experiment_id)
_SPARE: Final = 4
"""Most candidates looked at for each message claimed."""


class Running(NamedTuple):
    id: int
    priority: int
    changed_at: datetime
    silenced: Sequence[str] | None


def return_expired_claims(session: Session, *, now: datetime) -> int:
    """Claims of workers that are gone are planned again: nothing had been committed to go out."""
    result = session.connection().execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(_ended_leases("claimed", now)))
        .values(state=MessageState.PLANNED, claimed_by=None, lease_until=None)
    )
    return result.rowcount


def give_up_waiting(session: Session, *, now: datetime) -> int:
    """Messages in flight that no status ever came for end as unknown. They keep their slot: they may have arrived."""
    result = session.connection().execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(_ended_leases("inflight", now)))
        .values(state=MessageState.UNKNOWN, reason=NO_ANSWER, lease_until=None)
    )
    return result.rowcount


def _ended_leases(state: str, now: datetime) -> Select[tuple[int]]:
    """Who holds one of them is just writing what became of it: it is passed over."""
    return held_ids(_LEASED, text(f"state = '{state}'"), _MESSAGES.c.lease_until <= now, skip_locked=True)


def running(session: Session) -> list[Running]:
    """Running experiments, highest priority first."""
    columns = (_EXPERIMENTS.c[name] for name in ("id", "priority", "updated_at", "silenced"))
    query = select(*columns).where(_EXPERIMENTS.c.status == ExperimentStatus.RUNNING)
    rows = session.connection().execute(query.order_by(_EXPERIMENTS.c.priority.desc(), _EXPERIMENTS.c.id))
    return [Running(*row) for row in rows]


def claim(
    session: Session,
    *,
    experiments: Sequence[Running],
    blocked: Sequence[tuple[int, str]],
    now: datetime,
    worker: str,
    lease_until: datetime,
    limit: int,
) -> list[tuple[int, int]]:
    """Claim up to `limit` due messages, one per user at most: (message id, user), in the order they should go out.

    Order: priority of the experiment, due time, id. Rows that another worker is just claiming are passed over.
    """
    chosen: dict[int, int] = {}
    levels = sorted({experiment.priority for experiment in experiments}, reverse=True)
    for level in levels:
        ids = [experiment.id for experiment in experiments if experiment.priority == level]
        # A user has one message in a batch at most: where many have several, more candidates are looked at.
        for most in (limit, _SPARE * limit):
            due = _due(session, ids, level, blocked, now, limit=most)
            for message_id, user_pk in due:
                if len(chosen) < limit:
                    chosen.setdefault(user_pk, message_id)
            if len(chosen) >= limit or len(due) < most:
                break
        if len(chosen) >= limit:
            break
    if not chosen:
        return []
    claimed = session.connection().execute(
        update(_MESSAGES)
        .where(among(_MESSAGES.c.id), _PLANNED)
        .values(state=MessageState.CLAIMED, claimed_by=worker, lease_until=lease_until)
        .returning(_MESSAGES.c.id),
        {"ids": chosen.values()},
    )
    ours = set(claimed.scalars())
    return [(message_id, user_pk) for user_pk, message_id in chosen.items() if message_id in ours]


def _due(
    session: Session,
    experiment_ids: Sequence[int],
    priority: int,
    blocked: Sequence[tuple[int, str]],
    now: datetime,
    *,
    limit: int,
) -> Sequence[Any]:
    query = (
        select(_MESSAGES.c.id, _MESSAGES.c.user_pk)
        .where(
            _PLANNED,
            _MESSAGES.c.priority == priority,
            _MESSAGES.c.due_at <= now,
            _IN_DUE_ORDER.in_(experiment_ids),
        )
        .order_by(_MESSAGES.c.due_at, _MESSAGES.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    held = [pair for pair in blocked if pair[0] in set(experiment_ids)]
    if held:
        query = query.where(
            not_(
                or_(
                    *(
                        and_(_MESSAGES.c.experiment_id == experiment_id, _MESSAGES.c.variant == variant)
                        for experiment_id, variant in held
                    )
                )
            )
        )
    return session.connection().execute(query).all()


class Addressed(NamedTuple):
    """A message, and whom it is for under the outside world's name."""

    id: int
    experiment_id: int
    variant: str
    user_id: str


_ADDRESSED: Final = (
    select(_MESSAGES.c.id, _MESSAGES.c.experiment_id, _MESSAGES.c.variant, _USERS.c.user_id)
    .join(_USERS, _USERS.c.id == _MESSAGES.c.user_pk)
    .where(among(_MESSAGES.c.id))
)


def addressed(session: Session, message_ids: Collection[int]) -> list[Addressed]:
    """Whom these messages are for."""
    return [Addressed(*row) for row in session.connection().execute(_ADDRESSED, {"ids": message_ids})]
