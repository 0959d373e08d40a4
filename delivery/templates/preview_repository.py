"""SQL of previews: the users whose messages are shown. Their phone numbers are not read."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlmodel import Session

from targeting.user_repository import USERS


class Reader(NamedTuple):
    """A user as a preview sees them."""

    id: int
    user_id: str
    time_zone: str | None
    locale: str | None
    attributes: Mapping[str, Any]
    last_inbound_at: datetime | None


_CHUNK: Final = 1000
_COLUMNS: Final = tuple(USERS.c[name] for name in Reader._fields)


def readers(session: Session, user_pks: Sequence[int]) -> list[Reader]:
    """These users, in this order."""
    found: dict[int, Reader] = {}
    for start in range(0, len(user_pks), _CHUNK):
        query = select(*_COLUMNS).where(USERS.c.id.in_(user_pks[start : start + _CHUNK]))
        found |= {row.id: Reader(*row) for row in session.connection().execute(query)}
    return [found[pk] for pk in user_pks if pk in found]


def readers_by_id(session: Session, user_ids: Collection[str]) -> dict[str, Reader]:
    """These users, by the outside world's ids."""
    query = select(*_COLUMNS).where(USERS.c.user_id.in_(user_ids))
    return {row.user_id: Reader(*row) for row in session.connection().execute(query)}
