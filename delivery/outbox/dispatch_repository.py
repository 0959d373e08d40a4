"""SQL of dispatch: recover, claim, what a reservation must know, save; and the breakers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Update, bindparam, func, select, update
from sqlmodel import Session, SQLModel, col

from delivery.models import Breaker, Message
from delivery.outbox.id_lists import TEXTS, among, one_of
from delivery.outbox.story import Story
from experiments.models import Experiment
from experiments.stopped_arms import why_silenced
from experiments.vocabulary import MessageState
from targeting.models import Consent, User, UserAlias
from targeting.user_repository import insert_into

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]
_EXPERIMENTS: Final = SQLModel.metadata.tables[str(Experiment.__tablename__)]
_USERS: Final = SQLModel.metadata.tables[str(User.__tablename__)]
_ALIASES: Final = SQLModel.metadata.tables[str(UserAlias.__tablename__)]
_CONSENTS: Final = SQLModel.metadata.tables[str(Consent.__tablename__)]
_BREAKERS: Final = SQLModel.metadata.tables[str(Breaker.__tablename__)]
_COLUMNS: Final = tuple(_MESSAGES.c[name] for name in Story._fields)
_FIXED: Final = frozenset(
    {"id", "experiment_id", "user_pk", "variant", "step", "category", "first_due_at", "expires_at"}
)


class Recipient(NamedTuple):
    """What a message is made of, and whom it goes to."""

    user_id: str
    phone: str | None
    time_zone: str | None
    attributes: Mapping[str, Any]
    locale: str | None = None
    last_inbound_at: datetime | None = None


def definitions(session: Session, ids: Collection[int]) -> dict[int, Experiment]:
    return {
        experiment.id: experiment
        for experiment in session.scalars(select(Experiment).where(col(Experiment.id).in_(ids)))
        if experiment.id is not None
    }


class ExperimentNow(NamedTuple):
    """silenced: the variants whose users are sent nothing any more, each with the reason."""

    status: str
    silenced: Mapping[str, str]


_NOW: Final = select(*(_EXPERIMENTS.c[name] for name in ("id", "status", "silenced", "stopped_arms"))).where(
    among(_EXPERIMENTS.c.id)
)


def experiments_now(session: Session, ids: Collection[int]) -> dict[int, ExperimentNow]:
    """Whether each experiment runs now, and which of its variants are silenced."""
    return {
        experiment_id: ExperimentNow(status, why_silenced(silenced, stopped))
        for experiment_id, status, silenced, stopped in session.connection().execute(_NOW, {"ids": ids})
    }


_RECIPIENTS: Final = (
    select(*(_USERS.c[name] for name in ("id", *Recipient._fields)))
    .where(among(_USERS.c.id))
    .order_by(_USERS.c.id)
    .with_for_update(key_share=True)
)


def recipients(session: Session, user_pks: Collection[int]) -> dict[int, Recipient]:
    """Whom messages go to, held in the order of their ids.

    Under this lock caps are counted and consent is read, so that two workers cannot both take a user's last slot. Adding
    events for these users goes on meanwhile.
    """
    rows = session.connection().execute(_RECIPIENTS, {"ids": user_pks}).all()
    return {row[0]: Recipient(*row[1:]) for row in rows}


_SENDS: Final = 0x7057_5E0D
"""Key of the advisory lock on PostgreSQL that sends share while they begin; SQLite has one writer at a time anyway."""


_SHARE_SENDS: Final = select(func.pg_advisory_xact_lock_shared(_SENDS))
_HOLD_SENDS: Final = select(func.pg_advisory_xact_lock(_SENDS))


def begin_sends(session: Session) -> None:
    """POSTs begin in this transaction: wait for whoever stops everything, and keep them waiting until it ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_SHARE_SENDS)


def hold_sends(session: Session) -> None:
    """Wait until what is just beginning has begun; from then on no POST begins anywhere until this transaction ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_HOLD_SENDS)


_PHONES: Final = (
    select(_USERS.c.id, _USERS.c.phone)
    .where(among(_USERS.c.id))
    .order_by(_USERS.c.id)
    .with_for_update(key_share=True, skip_locked=True)
)


def lock_phones(session: Session, user_pks: Collection[int]) -> dict[int, str | None]:
    """The phones of these users, held against changes; without those whom another transaction holds just now."""
    return dict(session.connection().execute(_PHONES, {"ids": user_pks}).all())


_CONSENTED: Final = select(_CONSENTS.c.user_pk, _CONSENTS.c.category).where(
    among(_CONSENTS.c.user_pk), _CONSENTS.c.granted.is_(True)
)


def consented(session: Session, user_pks: Collection[int]) -> set[tuple[int, str]]:
    """User and category of every consent that is granted now."""
    rows = session.connection().execute(_CONSENTED, {"ids": user_pks}).all()
    return {(user_pk, category) for user_pk, category in rows}


_STORIES: Final = select(*_COLUMNS).where(among(_MESSAGES.c.id)).order_by(_MESSAGES.c.id)
_HELD: Final = _STORIES.with_for_update()
_CLAIMED: Final = _HELD.where(
    _MESSAGES.c.state == MessageState.CLAIMED, _MESSAGES.c.claimed_by == bindparam("worker")
)


def claimed_by(session: Session, message_ids: Collection[int], *, worker: str) -> list[Story]:
    """Those of these messages that are still this worker's, held; an expired claim may have gone to somebody else."""
    rows = session.connection().execute(_CLAIMED, {"ids": message_ids, "worker": worker}).all()
    return [Story._make(row) for row in rows]


_HOLD: Final = select(_MESSAGES.c.id).where(among(_MESSAGES.c.id)).order_by(_MESSAGES.c.id).with_for_update()


def hold(session: Session, message_ids: Collection[int]) -> None:
    """Keep these messages from others until the transaction ends, in the order of their ids; SQLite has one writer anyway."""
    if message_ids and session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_HOLD, {"ids": message_ids})


def stories(session: Session, message_ids: Collection[int], *, hold: bool = True) -> dict[int, Story]:
    """Messages by id; with `hold`, kept from others until the transaction ends, in the order of their ids."""
    if not message_ids:
        return {}
    rows = session.connection().execute(_HELD if hold else _STORIES, {"ids": message_ids}).all()
    return {row[0]: Story._make(row) for row in rows}


_OWNERS: Final = select(_MESSAGES.c.wamid, _MESSAGES.c.id).where(one_of(_MESSAGES.c.wamid, TEXTS))


def owners_of_wamids(session: Session, wamids: Collection[str]) -> dict[str, int]:
    """Which message has each of these ids of WhatsApp's."""
    if not wamids:
        return {}
    return dict(session.connection().execute(_OWNERS, {"texts": wamids}).all())


class AcceptedRow(NamedTuple):
    """WhatsApp took this attempt of a message, and gave it this id."""

    id: int
    attempt: int
    wamid: str


_ACCEPT: Final = (
    update(_MESSAGES)
    .where(
        _MESSAGES.c.id == bindparam("message_id"),
        _MESSAGES.c.state == MessageState.INFLIGHT,
        _MESSAGES.c.tries == bindparam("attempt"),
        _MESSAGES.c.wamid.is_(None),
        _MESSAGES.c.accepted_at.is_(None),
    )
    .values(
        state=MessageState.ACCEPTED,
        reason=None,
        lease_until=None,
        wamid=bindparam("new_wamid"),
        accepted_at=bindparam("at"),
    )
)


def accept(session: Session, rows: Collection[AcceptedRow], *, at: datetime) -> bool:
    """Move messages that wait for exactly this answer; whether all did. Those that did not are left as they are."""
    if not rows:
        return True
    parameters = [
        {"message_id": row.id, "attempt": row.attempt, "new_wamid": row.wamid, "at": at}
        for row in sorted(rows)
    ]
    return session.connection().execute(_ACCEPT, parameters).rowcount == len(rows)


Change = tuple[Story, Story]
"""A message as it was read and as it is to be."""


def save(session: Session, changes: Iterable[Change]) -> int:
    """Write what differs, of messages that this transaction holds; returns how many messages differ."""
    rows = [(after.id, _difference(before, after)) for before, after in changes]
    return _save(session, [(message_id, values) for message_id, values in rows if values])


def save_begun(session: Session, begun: Iterable[tuple[Change, Sequence[str]]]) -> None:
    """Write messages that go out, with the text of their parameters."""
    _save(
        session,
        [
            (after.id, _difference(before, after) | {"parameters": list(parameters)})
            for (before, after), parameters in begun
        ],
    )


def _difference(before: Story, after: Story) -> dict[str, Any]:
    if before is after:
        return {}
    pairs = zip(Story._fields, before, after, strict=True)
    return {name: new for name, old, new in pairs if old != new and name not in _FIXED}


def _save(session: Session, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
    """One statement for all rows that change the same columns; most batches need one or two."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for message_id, values in sorted(rows, key=lambda row: row[0]):
        named = {f"new_{name}": value for name, value in values.items()}
        alike.setdefault(tuple(values), []).append(named | {"message_id": message_id})
    for columns, parameters in alike.items():
        session.connection().execute(_update_of(columns), parameters)
    return len(rows)


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(_MESSAGES).where(_MESSAGES.c.id == bindparam("message_id")).values(values)


def add_aliases(session: Session, aliases: Collection[tuple[str, str, int]]) -> None:
    """Remember other names of users (kind, value, user); a name that is known already stays with whom it names."""
    if aliases:
        statement = insert_into(session, _ALIASES).on_conflict_do_nothing()
        rows = [
            {"kind": kind, "value": value, "user_pk": user_pk} for kind, value, user_pk in sorted(aliases)
        ]
        session.connection().execute(statement, rows)


_ALL_BREAKERS: Final = select(_BREAKERS).order_by(_BREAKERS.c.kind, _BREAKERS.c.key)


def breakers(session: Session) -> Sequence[Breaker]:
    """Every breaker, open or closed."""
    return [Breaker(**row) for row in session.connection().execute(_ALL_BREAKERS).mappings()]


def breaker(session: Session, kind: str, key: str) -> Breaker | None:
    query = select(Breaker).where(col(Breaker.kind) == kind, col(Breaker.key) == key)
    return session.scalars(query.execution_options(populate_existing=True)).first()


def template_keys(session: Session, *, prefix: str) -> set[str]:
    """Keys of template breakers that begin with `prefix`."""
    query = select(col(Breaker.key)).where(
        col(Breaker.kind) == "template", col(Breaker.key).startswith(prefix, autoescape=True)
    )
    return set(session.scalars(query))


def put_breaker(session: Session, row: Breaker) -> None:
    """Store a breaker, new or changed; two workers may open the same one at once."""
    values = row.model_dump()
    statement = insert_into(session, _BREAKERS).values(values)
    session.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["kind", "key"],
            set_={name: value for name, value in values.items() if name not in ("kind", "key")},
        )
    )
