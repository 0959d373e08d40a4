"""All SQL of users, aliases and consent. Everything takes many rows at a time: one statement, not one per user."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import ColumnElement, Table, and_, exists, not_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, SQLModel, col, select

from experiments.clock import from_micros, to_micros
from targeting.models import Consent, ConsentRecord, User, UserAlias
from targeting.profile import WHATSAPP_PREFIX


class TakenMeanwhileError(Exception):
    """Another transaction stored the same user or phone first; roll back and start again."""


RACED: Final = (IntegrityError, OperationalError, TakenMeanwhileError)
"""What the database raises when another transaction was quicker; a new transaction may succeed."""

USERS: Final = SQLModel.metadata.tables["users"]
_ALIASES: Final = SQLModel.metadata.tables["user_aliases"]
_CONSENTS: Final = SQLModel.metadata.tables["consents"]
_CONSENT_RECORDS: Final = SQLModel.metadata.tables["consent_records"]


@dataclass(slots=True, eq=False)
class Person:
    """A row of `users` while it is being worked on. `id` is None until it is stored; two are equal if they are one."""

    user_id: str
    id: int | None = None
    last_seen_at: datetime | None = None
    phone: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    attributes: Mapping[str, Any] | None = None


_PERSON_COLUMNS: Final = (
    USERS.c.user_id,
    USERS.c.id,
    USERS.c.last_seen_at,
    USERS.c.phone,
    USERS.c.time_zone,
    USERS.c.locale,
    USERS.c.attributes,
)


# One row that holds all: the driver gives up the interpreter for each row that it fetches.
_WHO_SQLITE: Final = (
    "SELECT json_group_array(json_array(user_id, id, last_seen_at)) FROM users "
    "WHERE user_id IN (SELECT value FROM json_each(?))"
)


def stored_id(person: Person) -> int:
    """The internal id of a person that has been stored."""
    assert person.id is not None  # noqa: S101  # insert_people fills it in or reports the person
    return person.id


def insert_into(session: Session, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """INSERT in the dialect of this session's database, so that ON CONFLICT can be said."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def find_user(session: Session, user_id: str) -> User | None:
    """The user as the database has it now, also when this session read it before."""
    query = select(User).where(User.user_id == user_id).execution_options(populate_existing=True)
    return session.exec(query).first()


def list_users(session: Session, *, after_id: int, limit: int) -> Sequence[User]:
    return session.exec(select(User).where(col(User.id) > after_id).order_by(col(User.id)).limit(limit)).all()


def find_by_phone(session: Session, phone: str) -> User | None:
    return session.exec(select(User).where(User.phone == phone)).first()


def search_users(session: Session, *, prefix: str, after_id: int, limit: int) -> Sequence[User]:
    """Users whose user id begins with `prefix`, in the order of user ids, behind the user with the internal id `after_id`.

    One stretch of the index on user ids, read from where the page begins.
    """
    last = session.exec(select(User.user_id).where(User.id == after_id)).first() if after_id else None
    # One lower bound: of two, SQLite begins at the first and reads on to the other.
    begins = col(User.user_id) >= prefix if last is None or last < prefix else col(User.user_id) > last
    query = select(User).where(begins)
    end = _behind(prefix)
    if end is not None:
        query = query.where(col(User.user_id) < end)
    return session.exec(query.order_by(col(User.user_id)).limit(limit)).all()


def _behind(prefix: str) -> str | None:
    """The least text that is greater than every text beginning with `prefix`, code point by code point; None: there is none.

    >>> _behind("ab"), _behind("a\U0010ffff"), _behind("\ud7ff") == "\ue000"
    ('ac', 'b', True)
    """
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    following = ord(head[-1]) + 1
    # Half a surrogate pair is no text.
    return head[:-1] + chr(0xE000 if following == 0xD800 else following)


def people(session: Session, user_ids: Collection[str], *, to_change: bool) -> dict[str, Person]:
    """Those of `user_ids` that exist, by user id.

    `to_change` brings whole rows and holds them, in the order of `id`, to the end of the transaction; without it
    only `user_id`, `id` and `last_seen_at` are filled in, and nothing is held.
    """
    if not user_ids:
        return {}
    if not to_change and session.get_bind().dialect.name == "sqlite":
        ids = msgspec.json.encode(sorted(user_ids)).decode()
        rows = json.loads(session.connection().exec_driver_sql(_WHO_SQLITE, (ids,)).scalar_one())
        return {
            row[0]: Person(row[0], row[1], None if row[2] is None else from_micros(row[2])) for row in rows
        }
    query = sqlalchemy.select(*_columns(to_change)).where(USERS.c.user_id.in_(user_ids))
    return {row[0]: Person(*row) for row in session.execute(_held(query) if to_change else query).all()}


def people_by_alias(
    session: Session, kind: str, values: Collection[str], *, to_change: bool
) -> dict[str, Person]:
    """Whom each known alias names, by alias; `to_change` as in `people`."""
    if not values:
        return {}
    query = (
        sqlalchemy.select(*_columns(to_change), _ALIASES.c.value)
        .join_from(_ALIASES, USERS, _ALIASES.c.user_pk == USERS.c.id)
        .where(_ALIASES.c.kind == kind, _ALIASES.c.value.in_(values))
    )
    return {row[-1]: Person(*row[:-1]) for row in session.execute(_held(query) if to_change else query)}


def _columns(to_change: bool) -> tuple[sqlalchemy.Column[Any], ...]:
    return _PERSON_COLUMNS if to_change else _PERSON_COLUMNS[:3]


def _held(query: sqlalchemy.Select[Any]) -> sqlalchemy.Select[Any]:
    # NO KEY UPDATE: adding events and consents, which refer to the row, need not wait for it.
    return query.order_by(USERS.c.id).with_for_update(of=USERS, key_share=True)


def owners_of(session: Session, phones: Collection[str]) -> dict[str, str]:
    """Who has each of these phone numbers: phone -> user id."""
    if not phones:
        return {}
    rows = session.execute(select(USERS.c.phone, USERS.c.user_id).where(USERS.c.phone.in_(phones)))
    return {row[0]: row[1] for row in rows}


def strangers_among(session: Session, owners: Mapping[str, str]) -> list[Person]:
    """Those owners of phone numbers who wrote to us before anybody told us of them, to change."""
    provisional = {user_id for user_id in owners.values() if user_id.startswith(WHATSAPP_PREFIX)}
    return list(people(session, provisional, to_change=True).values())


def insert_people(session: Session, newcomers: Sequence[Person], *, now: datetime) -> list[Person]:
    """Store new users and fill in their `id`; returns those that another transaction stored first (or took the phone of)."""
    if not newcomers:
        return []
    # Sorted, so that two transactions that add the same people wait for each other instead of deadlocking.
    rows = [_row(person, now) | {"created_at": now} for person in sorted(newcomers, key=lambda p: p.user_id)]
    statement = insert_into(session, USERS).on_conflict_do_nothing().returning(USERS.c.user_id, USERS.c.id)
    ids = {row[0]: row[1] for row in session.execute(statement, rows)}
    for person in newcomers:
        person.id = ids.get(person.user_id)
    return [person for person in newcomers if person.id is None]


def insert_all_people(session: Session, newcomers: Sequence[Person], *, now: datetime) -> None:
    """As `insert_people`, for a caller that starts its transaction again when somebody else was quicker."""
    if insert_people(session, newcomers, now=now):
        raise TakenMeanwhileError


def free_phones(session: Session, user_pks: Collection[int]) -> None:
    """Take these users' numbers away, before they get others: so two users can swap theirs within one batch."""
    if user_pks:
        session.execute(update(USERS).where(USERS.c.id.in_(user_pks)).values(phone=None))


def update_people(session: Session, changed: Sequence[Person], *, now: datetime) -> None:
    """Write users that exist already. Raises one of `RACED` when somebody else took a number in the meantime."""
    if not changed:
        return
    statement = insert_into(session, USERS)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[USERS.c.id],
            set_={
                name: new[name]
                for name in (
                    "user_id",
                    "phone",
                    "time_zone",
                    "locale",
                    "attributes",
                    "updated_at",
                    "last_seen_at",
                )
            },
        ),
        [
            _row(person, now) | {"id": person.id, "created_at": now, "last_seen_at": person.last_seen_at}
            for person in changed
        ],
    )


def _row(person: Person, now: datetime) -> dict[str, Any]:
    return {
        "user_id": person.user_id,
        "phone": person.phone,
        "time_zone": person.time_zone,
        "locale": person.locale,
        "attributes": person.attributes or {},
        "updated_at": now,
        "last_seen_at": person.last_seen_at,
    }


_MOVE_LAST_SEEN: Final = {
    "sqlite": "UPDATE users SET last_seen_at = seen.at FROM (SELECT json_extract(value, '$[0]') AS pk, "
    "json_extract(value, '$[1]') AS at FROM json_each(?)) AS seen "
    "WHERE users.id = seen.pk AND (users.last_seen_at IS NULL OR users.last_seen_at < seen.at)",
    "postgresql": "UPDATE users SET last_seen_at = seen.at FROM (SELECT CAST(item ->> 0 AS BIGINT) AS pk, "
    "CAST(item ->> 1 AS BIGINT) AS at FROM jsonb_array_elements(CAST(%s AS JSONB)) AS item) AS seen "
    "WHERE users.id = seen.pk AND (users.last_seen_at IS NULL OR users.last_seen_at < seen.at)",
}


def move_last_seen(session: Session, seen: Mapping[int, datetime]) -> None:
    """Move `last_seen_at` forward, never back. All in one step of the database, since every event comes by here."""
    if not seen:
        return
    rows = msgspec.json.encode([(pk, to_micros(seen[pk])) for pk in sorted(seen)]).decode()
    connection = session.connection()
    connection.exec_driver_sql(_MOVE_LAST_SEEN[connection.dialect.name], (rows,))


def put_aliases(session: Session, kind: str, owners: Mapping[str, int]) -> None:
    """Let each alias name its user from now on: alias -> internal id."""
    if not owners:
        return
    statement = insert_into(session, _ALIASES)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[_ALIASES.c.kind, _ALIASES.c.value], set_={"user_pk": statement.excluded.user_pk}
        ),
        [{"kind": kind, "value": value, "user_pk": owners[value]} for value in sorted(owners)],
    )


def aliases_of(session: Session, user_pk: int) -> Sequence[UserAlias]:
    query = select(UserAlias).where(UserAlias.user_pk == user_pk)
    return session.exec(query.order_by(UserAlias.kind, UserAlias.value)).all()


def consents_of(session: Session, user_pk: int) -> list[Consent]:
    query = select(Consent).where(Consent.user_pk == user_pk).order_by(Consent.category)
    return list(session.exec(query.execution_options(populate_existing=True)).all())


def consents_of_many(session: Session, user_pks: Collection[int]) -> Sequence[Consent]:
    query = select(Consent).where(col(Consent.user_pk).in_(user_pks))
    return session.exec(query.order_by(col(Consent.user_pk), col(Consent.category))).all()


def ledger_of(session: Session, user_pk: int) -> list[ConsentRecord]:
    """Every grant and withdrawal of one user, oldest first."""
    query = select(ConsentRecord).where(ConsentRecord.user_pk == user_pk)
    return list(session.exec(query.order_by(col(ConsentRecord.id))).all())


def ledger_page(session: Session, user_pk: int, *, before_id: int | None, limit: int) -> list[ConsentRecord]:
    """The same, the newest first, those older than the row `before_id`."""
    query = select(ConsentRecord).where(ConsentRecord.user_pk == user_pk)
    if before_id is not None:
        query = query.where(col(ConsentRecord.id) < before_id)
    return list(session.exec(query.order_by(col(ConsentRecord.id).desc()).limit(limit)).all())


def lock_people(session: Session, user_pks: Collection[int]) -> set[int]:
    """Hold these users' rows to the end of the transaction; returns the ids that exist.

    Consent is decided under this lock: a grant and a withdrawal of one user never happen at the same time.
    """
    query = select(USERS.c.id).where(USERS.c.id.in_(user_pks)).order_by(USERS.c.id)
    return set(session.execute(query.with_for_update(key_share=True)).scalars())


def lacks_phone() -> ColumnElement[bool]:
    return USERS.c.phone.is_(None)


def lacks_consent(category: str) -> ColumnElement[bool]:
    """Whether a row of `users` has not granted consent to this category, or has withdrawn it."""
    return not_(
        exists().where(
            _CONSENTS.c.user_pk == USERS.c.id, _CONSENTS.c.category == category, _CONSENTS.c.granted
        )
    )


def may_be_messaged(category: str) -> ColumnElement[bool]:
    """Whether a row of `users` has a phone number and has agreed to this category."""
    return and_(not_(lacks_phone()), not_(lacks_consent(category)))


def current_consents(session: Session, user_pks: Collection[int]) -> dict[tuple[int, str], bool]:
    """(internal id, category) -> granted, for these users; no entry where nobody asked."""
    query = select(_CONSENTS.c.user_pk, _CONSENTS.c.category, _CONSENTS.c.granted)
    rows = session.execute(query.where(_CONSENTS.c.user_pk.in_(user_pks)))
    return {(user_pk, category): granted for user_pk, category, granted in rows}


def save_consents(session: Session, records: Sequence[Mapping[str, Any]]) -> None:
    """Add `records` (user_pk, category, granted, at, source, evidence) to the ledger and make them the present state."""
    if not records:
        return
    session.execute(_CONSENT_RECORDS.insert(), records)
    statement = insert_into(session, _CONSENTS)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[_CONSENTS.c.user_pk, _CONSENTS.c.category],
            set_={"granted": statement.excluded.granted, "changed_at": statement.excluded.changed_at},
        ),
        [
            {
                "user_pk": record["user_pk"],
                "category": record["category"],
                "granted": record["granted"],
                "changed_at": record["at"],
            }
            for record in sorted(records, key=lambda record: (record["user_pk"], record["category"]))
        ],
    )
