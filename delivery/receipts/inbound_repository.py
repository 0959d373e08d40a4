"""SQL of inbound messages: whose they are, who is new, and when people last wrote."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, case, func, or_, select, update
from sqlmodel import Session, SQLModel

from delivery.outbox import dispatch_repository
from targeting import user_repository
from targeting.models import User, UserAlias
from targeting.profile import MAX_ID_LENGTH, WHATSAPP_PREFIX
from targeting.tombstones import digest_of
from targeting.user_repository import Person

_USERS: Final = SQLModel.metadata.tables[str(User.__tablename__)]
_ALIASES: Final = SQLModel.metadata.tables[str(UserAlias.__tablename__)]
MAX_NAME: Final = MAX_ID_LENGTH - len(WHATSAPP_PREFIX)
"""Longest id of WhatsApp's that we keep."""
WA_ID: Final = "wa_id"
SCOPED_ID: Final = "business_scoped_id"


class Stranger(NamedTuple):
    """Somebody whom nobody told us of, by phone number (digits), by business-scoped id, or both."""

    wa_id: str | None
    scoped_id: str | None


def users_of(
    session: Session, *, wa_ids: Collection[str], scoped_ids: Collection[str]
) -> dict[tuple[str, str], int]:
    """Users by (`wa_id`, value) and (`business_scoped_id`, value); a phone number outweighs an alias."""
    found: dict[tuple[str, str], int] = {}
    if wa_ids or scoped_ids:
        query = select(_ALIASES.c.kind, _ALIASES.c.value, _ALIASES.c.user_pk).where(
            or_(
                (_ALIASES.c.kind == WA_ID) & _ALIASES.c.value.in_(wa_ids),
                (_ALIASES.c.kind == SCOPED_ID) & _ALIASES.c.value.in_(scoped_ids),
            )
        )
        found |= {(kind, value): pk for kind, value, pk in session.connection().execute(query)}
    if wa_ids:
        phones = {"+" + wa_id: wa_id for wa_id in wa_ids}
        by_phone = select(_USERS.c.phone, _USERS.c.id).where(_USERS.c.phone.in_(phones))
        found |= {(WA_ID, phones[phone]): pk for phone, pk in session.connection().execute(by_phone)}
    return found


def move_last_inbound(session: Session, heard: Mapping[int, datetime]) -> None:
    """Move `last_inbound_at` and `last_seen_at` forward, never back."""
    if not heard:
        return
    columns = ("last_inbound_at", "last_seen_at")
    at = bindparam("heard", type_=_USERS.c.last_inbound_at.type)
    statement = (
        update(_USERS)
        .where(_USERS.c.id == bindparam("user_pk"))
        .values(
            {
                name: case((func.coalesce(_USERS.c[name] >= at, False), _USERS.c[name]), else_=at)
                for name in columns
            }
        )
    )
    rows = [{"user_pk": pk, "heard": heard[pk]} for pk in sorted(heard)]
    session.connection().execute(statement, rows)


def rename(
    session: Session,
    user_pk: int,
    *,
    old: str | None,
    new_wa_id: str | None,
    names: Collection[tuple[str, str]],
) -> None:
    """Add names (kind, value) to a user; the phone moves from `old` to the new number when nobody has that."""
    known = {(kind, value, user_pk) for kind, value in names}
    if old is not None and len(old) <= MAX_NAME:
        known.add((WA_ID, old, user_pk))
    dispatch_repository.add_aliases(session, known)
    before, after = _phone(old), _phone(new_wa_id)
    if before is None or after is None:
        return
    taken = select(_USERS.c.id).where(_USERS.c.phone == after)
    if session.connection().execute(taken).first() is None:
        statement = update(_USERS).where(_USERS.c.id == user_pk, _USERS.c.phone == before)
        session.connection().execute(statement.values(phone=after))


def add_strangers(
    session: Session, strangers: Sequence[Stranger], *, secret: str, now: datetime
) -> dict[tuple[str, str], int]:
    """Make users of strangers; returns them by (`wa_id`, value) and (`business_scoped_id`, value), as `users_of` does.

    They have a phone number where WhatsApp told it, and no consent. Their id does not tell the number, which readers may not see:
    it is a digest of it, keyed with `secret`. Whoever else stored the same person first, wins.
    """
    if not strangers:
        return {}
    people = {_user_id(stranger, secret): stranger for stranger in strangers}
    newcomers = [
        Person(user_id=user_id, phone=_phone(stranger.wa_id), attributes={})
        for user_id, stranger in people.items()
    ]
    late = user_repository.insert_people(session, newcomers, now=now)
    stored = {person.user_id: user_repository.stored_id(person) for person in newcomers if person not in late}
    names = [
        (kind, value, stored[user_id])
        for user_id, stranger in people.items()
        if user_id in stored
        for kind, value in ((WA_ID, stranger.wa_id), (SCOPED_ID, stranger.scoped_id))
        if value is not None and len(value) <= MAX_NAME
    ]
    for kind in (WA_ID, SCOPED_ID):
        user_repository.put_aliases(session, kind, {value: pk for of, value, pk in names if of == kind})
    return {(kind, value): pk for kind, value, pk in names} | users_of(
        session,
        wa_ids={people[person.user_id].wa_id or "" for person in late},
        scoped_ids={people[person.user_id].scoped_id or "" for person in late},
    )


def _user_id(stranger: Stranger, secret: str) -> str:
    # The same in every process: two that meet the same strangers store them in the same order, and wait instead of deadlocking.
    if stranger.wa_id is None:
        return f"{WHATSAPP_PREFIX}{stranger.scoped_id}"
    return WHATSAPP_PREFIX + digest_of((WA_ID, stranger.wa_id), secret=secret)[:24]


def _phone(wa_id: str | None) -> str | None:
    plain = wa_id is not None and wa_id.isascii() and wa_id.isdigit() and 7 <= len(wa_id) <= 15
    return f"+{wa_id}" if plain else None


def put_scoped_ids(session: Session, owners: Mapping[str, int]) -> None:
    """Let each business-scoped id name its user: from then on a webhook without a phone number finds them."""
    known = {value: pk for value, pk in owners.items() if len(value) <= MAX_NAME}
    if not known:
        return
    query = select(_ALIASES.c.value, _ALIASES.c.user_pk).where(
        _ALIASES.c.kind == SCOPED_ID, _ALIASES.c.value.in_(known)
    )
    before = dict(session.connection().execute(query).all())
    user_repository.put_aliases(
        session, SCOPED_ID, {value: pk for value, pk in known.items() if before.get(value) != pk}
    )


def locales_of(session: Session, user_pks: Collection[int]) -> dict[int, str | None]:
    """The locale of each of these users, null where it is not known."""
    if not user_pks:
        return {}
    query = select(_USERS.c.id, _USERS.c.locale).where(_USERS.c.id.in_(user_pks))
    return dict(session.connection().execute(query).all())
