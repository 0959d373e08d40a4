"""SQL of planning, links and summaries. The sending side has its own."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from delivery.models import Click, Link, Message, WebhookBody
from experiments.models import Experiment
from experiments.vocabulary import WAITING_STATES, Category, ExperimentStatus, MessageState
from targeting.models import Assignment, User


def at_cap(
    *, cap: int, window: timedelta, now: datetime, category: Category = Category.MARKETING
) -> ColumnElement[bool]:
    """Whether a row of `users` has no room for one more message; the SQL twin of `caps.free_at(..) > now`."""
    taken = (
        select(func.count())
        .select_from(Message)
        .where(
            col(Message.user_pk) == col(User.id),
            col(Message.slot_at) > now - window,
            col(Message.category) == category,
        )
        .correlate(User)
        .scalar_subquery()
    )
    return taken >= cap


def insert_messages(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add planned messages; a step that a user has already is an error, since it would be sent twice."""
    if rows:
        session.connection().execute(insert(Message), rows)


def cancel_waiting(session: Session, *, experiment_id: int, reason: str) -> int:
    """Cancel every message that is not yet committed to go out; returns how many."""
    result = session.connection().execute(
        update(Message)
        .where(col(Message.experiment_id) == experiment_id, col(Message.state).in_(WAITING_STATES))
        .values(state=MessageState.CANCELLED, reason=reason, claimed_by=None, lease_until=None)
    )
    return result.rowcount


def link_tokens(session: Session, *, message_pks: Sequence[int]) -> dict[int, str]:
    """The tokens that these messages have already, by message id."""
    query = select(col(Link.message_pk), col(Link.token)).where(col(Link.message_pk).in_(message_pks))
    return dict(session.connection().execute(query).all())


def add_links(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(Link), rows)


def find_link(session: Session, token: str) -> Link | None:
    return session.get(Link, token)


def record_click(session: Session, *, link: Link, at: datetime) -> None:
    """Add a click; the first one of a message dates it."""
    connection = session.connection()
    connection.execute(insert(Click).values(token=link.token, at=at))
    connection.execute(
        update(Message)
        .where(col(Message.id) == link.message_pk, col(Message.clicked_at).is_(None))
        .values(clicked_at=at)
    )


class Tally(NamedTuple):
    """One line of the books: `number` of planned assignments (`state` is null) or of messages of a variant.

    `clicked` of them were clicked on at least once.
    """

    experiment_id: int
    variant: str
    state: str | None
    reason: str | None
    number: int
    clicked: int = 0


def tallies(session: Session, *, experiment_id: int | None = None) -> list[Tally]:
    """Planned assignments and messages, counted by what became of them.

    One statement, so that both are counted in the same state of the database.
    """
    planned = (
        select(
            col(Assignment.experiment_id),
            col(Assignment.variant),
            null().label("state"),
            null().label("reason"),
            func.count(),
            literal(0),
        )
        .where(col(Assignment.planned_at).is_not(None))
        .group_by(col(Assignment.experiment_id), col(Assignment.variant))
    )
    by = (
        col(Message.experiment_id),
        col(Message.variant),
        col(Message.state),
        col(Message.reason),
    )
    messages = select(*by, func.count(), func.count(col(Message.clicked_at))).group_by(*by)
    if experiment_id is not None:
        planned = planned.where(col(Assignment.experiment_id) == experiment_id)
        messages = messages.where(col(Message.experiment_id) == experiment_id)
    both: CompoundSelect[Any] = union_all(planned, messages)
    return [Tally(*row) for row in session.connection().execute(both)]


def fullest_window(session: Session, *, window: timedelta) -> int:
    """The most slots that any user has taken inside any stretch of `window`; what a cap promises to bound."""
    later, earlier = aliased(Message), aliased(Message)
    length = window // timedelta(microseconds=1)
    slots = (
        select(func.count().label("slots"))
        .select_from(later)
        .join(earlier, col(earlier.user_pk) == col(later.user_pk))
        .where(
            type_coerce(col(earlier.slot_at), BigInteger)
            > type_coerce(col(later.slot_at), BigInteger) - length,
            col(earlier.slot_at) <= col(later.slot_at),
        )
        .group_by(col(later.id))
        .subquery()
    )
    return int(session.connection().execute(select(func.coalesce(func.max(slots.c.slots), 0))).scalar_one())


def started_experiments(session: Session) -> Sequence[Experiment]:
    """Experiments that were ever started, oldest first."""
    query = select(Experiment).where(col(Experiment.started_at).is_not(None)).order_by(col(Experiment.id))
    return session.scalars(query).all()


def messages_by_state(session: Session) -> dict[tuple[str, str], int]:
    """How many messages there are, by key of the experiment and state. Read from an index alone."""
    by = (col(Message.experiment_id), col(Message.state))
    counts = select(*by, func.count().label("number")).group_by(*by).subquery()
    query = select(col(Experiment.key), counts.c.state, counts.c.number).join(
        counts, counts.c.experiment_id == col(Experiment.id)
    )
    return {(key, state): number for key, state, number in session.connection().execute(query)}


def oldest_due(session: Session, *, now: datetime) -> datetime | None:
    """When the message that has waited longest became due; None when nothing is. Only running experiments count."""
    query = (
        select(col(Message.due_at))
        .join(Experiment, col(Experiment.id) == col(Message.experiment_id))
        .where(
            col(Message.state) == MessageState.PLANNED,
            col(Message.due_at) <= now,
            col(Experiment.status) == ExperimentStatus.RUNNING,
        )
        .order_by(col(Message.due_at))
        .limit(1)
    )
    return session.connection().execute(query).scalar_one_or_none()


def webhooks_waiting(session: Session) -> int:
    """Webhooks that came in and that nothing has been made of yet."""
    query = select(func.count()).select_from(WebhookBody).where(col(WebhookBody.projected_at).is_(None))
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


def messages_page(
    session: Session, *, experiment_id: int, after_id: int, limit: int, state: MessageState | None
) -> list[MessageRow]:
    """Up to `limit` messages of an experiment with an id above `after_id`, oldest first."""
    messages = Message.metadata.tables["messages"].c
    query = (
        select(*(col(User.user_id) if name == "user_id" else messages[name] for name in MessageRow._fields))
        .select_from(Message)
        .join(User, col(User.id) == messages.user_pk)
        .where(messages.experiment_id == experiment_id, messages.id > after_id)
        .order_by(messages.id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(messages.state == state)
    return [MessageRow(*row) for row in session.connection().execute(query).all()]
