"""SQL of the ledger: which slots users have taken, what they did with their messages, and who waits for a slot."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    bindparam,
    distinct,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlmodel import Session, SQLModel, col

from delivery.limits.adaptive import Signal
from delivery.limits.caps import windows
from delivery.limits.policy import DeliveryPolicy
from delivery.limits.standing import Slot
from delivery.limits.tier import SERVICE_WINDOW, TIER_WINDOW, Leaving
from delivery.models import Message
from delivery.outbox.dispatch_repository import Recipient
from delivery.outbox.id_lists import among
from delivery.whatsapp.error_table import MARKETING_CAP
from experiments.clock import MICROSECOND
from experiments.models import Experiment
from experiments.vocabulary import (
    OPTED_OUT_EVENT,
    WAITING_STATES,
    Category,
    ExperimentStatus,
    MessageState,
)
from targeting.models import Event, User

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]
_USERS: Final = SQLModel.metadata.tables[str(User.__tablename__)]
_EXPERIMENTS: Final = SQLModel.metadata.tables[str(Experiment.__tablename__)]
_TIER: Final = 0x7057_71E2
"""Key of the advisory lock on PostgreSQL under which people are counted; SQLite has one writer at a time anyway."""


_SERVICE_MICROS: Final = literal(SERVICE_WINDOW // MICROSECOND, BigInteger)


def _as_micros(column: ColumnElement[datetime]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger)


def _counts(messages: FromClause) -> ColumnElement[bool]:
    """`tier.counts` of a row of `messages` and its user."""
    inbound = _USERS.c.last_inbound_at
    return or_(
        inbound.is_(None),
        messages.c.slot_at < inbound,
        _as_micros(messages.c.slot_at) >= _as_micros(inbound) + _SERVICE_MICROS,
    )


class Waiting(NamedTuple):
    """A message that is not yet committed to go out."""

    id: int
    user_pk: int
    experiment_id: int
    variant: str
    step: int
    category: str
    priority: int
    due_at: datetime
    expires_at: datetime


def at_cap(policy: DeliveryPolicy, *, category: str, now: datetime) -> ColumnElement[bool]:
    """Whether a row of `users` has no room for one more message under the rolling caps, without their adaptation.

    The SQL twin of `caps.all_free_at(..) > now`, for deciding who may enrol.
    """

    def is_full(cap: int, window: timedelta) -> ColumnElement[bool]:
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

    limits = windows(policy.caps(category))
    return or_(false(), *(is_full(limit.count, limit.window) for limit in limits))


def person(session: Session, user_pk: int) -> Recipient | None:
    """Whom a message would go to; not held, so that it can be asked where nothing may be written."""
    query = select(*(_USERS.c[name] for name in Recipient._fields)).where(_USERS.c.id == user_pk)
    row = session.connection().execute(query).one_or_none()
    return None if row is None else Recipient(*row)


_SLOTS: Final = select(
    *(_MESSAGES.c.user_pk, _MESSAGES.c.experiment_id, _MESSAGES.c.category, _MESSAGES.c.slot_at),
    *(_MESSAGES.c.lease_until, _MESSAGES.c.state),
).where(among(_MESSAGES.c.user_pk), _MESSAGES.c.slot_at > bindparam("since"))


def slots(session: Session, user_pks: Collection[int], *, since: datetime) -> list[Slot]:
    """Every place that these users have taken after `since`."""
    rows = session.connection().execute(_SLOTS, {"ids": user_pks, "since": since}).all()
    return [
        Slot(user_pk, experiment_id, category, at, lease if state == MessageState.INFLIGHT else None)
        for user_pk, experiment_id, category, at, lease, state in rows
    ]


_WAITING: Final = (
    select(*(_MESSAGES.c[name] for name in Waiting._fields))
    .join(_EXPERIMENTS, _EXPERIMENTS.c.id == _MESSAGES.c.experiment_id)
    .where(
        among(_MESSAGES.c.user_pk),
        _MESSAGES.c.state.in_(WAITING_STATES),
        _EXPERIMENTS.c.status == ExperimentStatus.RUNNING,
    )
)


def waiting(session: Session, user_pks: Collection[int]) -> list[Waiting]:
    """Messages of these users that running experiments want to send, due or not."""
    return [Waiting(*row) for row in session.connection().execute(_WAITING, {"ids": user_pks}).all()]


def signals(session: Session, user_pks: Collection[int], *, since: datetime) -> list[Signal]:
    """What these users did with marketing after `since`, and when they had enough of it."""
    at = func.coalesce(_MESSAGES.c.slot_at, _MESSAGES.c.failed_at, type_=_MESSAGES.c.slot_at.type)
    of_messages = select(
        *(_MESSAGES.c.user_pk, at, _MESSAGES.c.delivered_at, _MESSAGES.c.read_at, _MESSAGES.c.clicked_at),
        _MESSAGES.c.error_code,
    ).where(
        _MESSAGES.c.user_pk.in_(user_pks),
        _MESSAGES.c.category == Category.MARKETING,
        at > since,
    )
    connection = session.connection()
    found = [
        Signal(
            user_pk,
            moment,
            delivered=delivered_at is not None or read_at is not None,
            read=read_at is not None,
            clicked=clicked_at is not None,
            refused=code == MARKETING_CAP,
        )
        for user_pk, moment, delivered_at, read_at, clicked_at, code in connection.execute(of_messages)
    ]
    opted_out = select(col(Event.user_pk), col(Event.at)).where(
        col(Event.user_pk).in_(user_pks), col(Event.name) == OPTED_OUT_EVENT, col(Event.at) > since
    )
    return found + [Signal(user_pk, at, opted_out=True) for user_pk, at in connection.execute(opted_out)]


def lock_tier(session: Session) -> None:
    """One worker at a time counts people and takes slots, until its transaction ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(select(func.pg_advisory_xact_lock(_TIER)))


def people_written_to(session: Session, *, limit: int, spare: int, now: datetime) -> Leaving:
    """Who counts towards the tier now, and when the people around rank `limit` stop to; `spare` ranks before it.

    People and their times are only looked for where there may be too little room for `spare` more; as long as there are fewer
    slots than that, these are counted in their place, from an index alone.
    """
    connection = session.connection()
    recent = _MESSAGES.c.slot_at > now - TIER_WINDOW
    taken = connection.execute(select(func.count()).select_from(_MESSAGES).where(recent)).scalar_one()
    if taken + spare < limit:
        return Leaving(taken, 0, ())
    counted = people_counted(session, now=now)
    if counted + spare < limit:
        return Leaving(counted, 0, ())
    first = max(0, limit - 1 - spare)
    return Leaving(counted, first, _leaving(session, counted, first, spare + 2, now=now))


def _leaving(session: Session, counted: int, first: int, number: int, *, now: datetime) -> Sequence[datetime]:
    """When the people of the ranks from `first` on stop counting, latest first; `number` of them, of `counted` in all.

    Walks along the slots of the day from the end that is nearer, until it has met them: near the bound that is the end of those who
    leave next, so that few slots are read. A slot is its person's place when it is the last of theirs that counts.
    """
    end = min(first + number, counted)
    if end <= first:
        return ()
    own, later = _MESSAGES, _MESSAGES.alias("later")
    follows = or_(later.c.slot_at > own.c.slot_at, later.c.id > own.c.id)
    is_last = ~exists().where(
        later.c.user_pk == own.c.user_pk, later.c.slot_at >= own.c.slot_at, follows, _counts(later)
    ).correlate(own, _USERS)
    backwards = counted - end < first
    query = (
        select(own.c.slot_at)
        .join(_USERS, _USERS.c.id == own.c.user_pk)
        .where(own.c.slot_at.is_not(None), own.c.slot_at > now - TIER_WINDOW, _counts(own), is_last)
        .order_by(own.c.slot_at if backwards else own.c.slot_at.desc())
        .offset(counted - end if backwards else first)
        .limit(end - first)
    )
    times = [at + TIER_WINDOW for at in session.connection().execute(query).scalars()]
    return times[::-1] if backwards else times


def people_counted(session: Session, *, now: datetime) -> int:
    """How many people count towards the tier now.

    Everybody with a slot is counted from an index alone, and those are taken off whose slots were all within their window:
    few have written to us in the last two days, and only these are looked at.
    """
    of_today = _MESSAGES.c.slot_at > now - TIER_WINDOW
    # Grouped in place of distinct, SQLite would walk along the users, through all messages that there ever were.
    everybody = select(func.count(distinct(_MESSAGES.c.user_pk))).where(
        _MESSAGES.c.slot_at.is_not(None), of_today
    )
    own = select(_MESSAGES.c.id).where(_MESSAGES.c.user_pk == _USERS.c.id, of_today)
    exempt = (
        select(func.count())
        .select_from(_USERS)
        .where(
            _USERS.c.last_inbound_at > now - TIER_WINDOW - SERVICE_WINDOW,
            own.exists(),
            ~own.where(_counts(_MESSAGES)).exists(),
        )
    )
    # One statement: whoever sends holds no snapshot, and a person who writes in between would be in neither number.
    query = select(everybody.scalar_subquery() - exempt.scalar_subquery())
    return int(session.connection().execute(query).scalar_one())


def save_decisions(session: Session, decisions: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep what was decided about messages, by id, with the numbers behind it."""
    if decisions:
        statement = (
            update(_MESSAGES)
            .where(_MESSAGES.c.id == bindparam("message_id"))
            .values(decision=bindparam("made"))
        )
        rows = [{"message_id": key, "made": dict(decisions[key])} for key in sorted(decisions)]
        session.connection().execute(statement, rows)
