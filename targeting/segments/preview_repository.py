"""SQL of previews: counting that stops when its time is over, and a few users out of a random draw."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from targeting.segments.audience_repository import Audience, pages
from targeting.user_repository import USERS, may_be_messaged

CHUNK: Final = 1_000
"""Ids in one statement: some tens of milliseconds, and few beside the 32,766 parameters that SQLite takes."""
_STEPS: Final = 10_000
"""Instructions of SQLite between two looks at the clock: well under a millisecond."""
_CANCELED: Final = "57014"

Seconds = Callable[[], float]


class OutOfTimeError(Exception):
    """A query was stopped; the session can be used as before."""


class Found(NamedTuple):
    """A user as a preview shows them. The phone number is not part of it."""

    id: int
    user_id: str
    attributes: dict[str, Any]
    created_at: datetime


@contextmanager
def within(session: Session, seconds: float, monotonic: Seconds) -> Iterator[None]:
    """Read for so long at most; the statement that is running then is stopped in the database: raises OutOfTimeError."""
    if seconds <= 0:
        raise OutOfTimeError
    connection = session.connection()
    guard = _sqlite_guard if connection.dialect.name == "sqlite" else _postgresql_guard
    with guard(session, seconds, monotonic):
        yield


@contextmanager
def _sqlite_guard(session: Session, seconds: float, monotonic: Seconds) -> Iterator[None]:
    raw = session.connection().connection.driver_connection
    assert raw is not None  # noqa: S101  # a session in a transaction has a connection
    deadline = monotonic() + seconds
    raw.set_progress_handler(lambda: monotonic() > deadline, _STEPS)
    try:
        yield
    except OperationalError as error:
        if "interrupted" not in str(error.orig):
            raise
        raise OutOfTimeError from error
    finally:
        raw.set_progress_handler(None, 0)


@contextmanager
def _postgresql_guard(session: Session, seconds: float, _monotonic: Seconds) -> Iterator[None]:
    # The savepoint is always taken back: nothing was written, and the time limit goes with it.
    connection = session.connection()
    savepoint = connection.begin_nested()
    try:
        connection.execute(text(f"SET LOCAL statement_timeout = {math.ceil(seconds * 1000)}"))
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _CANCELED:
            raise
        raise OutOfTimeError from error
    finally:
        savepoint.rollback()


def count_of(session: Session, audience: Audience, *, seconds: float, monotonic: Seconds) -> int:
    """How many users an audience holds. Raises OutOfTimeError when that takes longer than `seconds`."""
    check = _checking(monotonic() + seconds, monotonic)
    with within(session, seconds, monotonic):
        if audience.residual is None:
            query = select(func.count()).select_from(USERS).where(audience.narrowed)
            return int(session.connection().execute(query).scalar_one())
        return sum(map(len, pages(session, audience, check=check)))


def first_of(
    session: Session, audience: Audience, *, limit: int, seconds: float, monotonic: Seconds
) -> list[Found]:
    """Some users of an audience. Raises OutOfTimeError when finding them takes longer than `seconds`."""
    check = _checking(monotonic() + seconds, monotonic)
    found: list[Found] = []
    with within(session, seconds, monotonic):
        if audience.residual is None:
            return _rows(session, select(*_SHOWN).where(audience.narrowed).limit(limit))
        for page in pages(session, audience, check=check):
            if page:
                chosen = [row.id for row in page[: limit - len(found)]]
                found += _rows(session, select(*_SHOWN).where(USERS.c.id.in_(chosen)))
            if len(found) >= limit:
                break
            check()
    return found


def _checking(deadline: float, monotonic: Seconds) -> Callable[[], None]:
    """Raises OutOfTimeError after the deadline. A statement is stopped by the database, closures only by this."""

    def check() -> None:
        if monotonic() > deadline:
            raise OutOfTimeError

    return check


_SHOWN: Final = (USERS.c.id, USERS.c.user_id, USERS.c.attributes, USERS.c.created_at)


def _rows(session: Session, query: Any) -> list[Found]:
    return [Found(*row) for row in session.connection().execute(query)]


def among(
    session: Session, audience: Audience, user_pks: Sequence[int], *, deadline: float, monotonic: Seconds
) -> tuple[int, list[int]]:
    """Look at up to `CHUNK` internal ids, in this order: (how many were looked at, those that are users of the audience).

    All are looked at unless the deadline passes while a closure looks; one is looked at however late it is.
    """
    attributes = USERS.c.attributes if audience.residual is not None else None
    columns = (USERS.c.id,) if attributes is None else (USERS.c.id, attributes)
    query = select(*columns).where(USERS.c.id.in_(user_pks), audience.where)
    rows = session.connection().execute(query).all()
    if audience.residual is None:
        return len(user_pks), [row.id for row in rows]
    # In the order of the draw, so that those who were looked at when time is over are a draw as well.
    place = {pk: index for index, pk in enumerate(user_pks)}
    found: list[int] = []
    for row, belongs in audience.judged(session, sorted(rows, key=lambda row: place[row.id])):
        if belongs:
            found.append(row.id)
        if monotonic() > deadline:
            return place[row.id] + 1, found
    return len(user_pks), found


def shown(session: Session, user_pks: Sequence[int]) -> list[Found]:
    """These users, as a preview shows them."""
    return _rows(session, select(*_SHOWN).where(USERS.c.id.in_(user_pks)).order_by(USERS.c.id))


def count_messageable(session: Session, user_pks: Sequence[int], *, category: str) -> int:
    """How many of these users have a phone number and have agreed to messages of this category."""
    total = 0
    for start in range(0, len(user_pks), CHUNK):
        query = select(func.count()).select_from(USERS)
        some = query.where(USERS.c.id.in_(user_pks[start : start + CHUNK]), may_be_messaged(category))
        total += int(session.connection().execute(some).scalar_one())
    return total
