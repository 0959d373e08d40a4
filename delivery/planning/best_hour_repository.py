"""SQL of the best hour: what became of delivered messages, by the quarter of an hour in which they were sent.

Quarters, since that is the finest step by which a zone is away from UTC. Rows are summed in the database; it finds them by
user, through `ix_messages_ledger`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, case, func, or_, select, type_coerce
from sqlmodel import Session, col

from delivery.local_time import zone_of
from delivery.models import Message
from experiments.clock import MICROSECOND
from targeting.models import User
from targeting.repository import highest_user

QUARTER: Final = timedelta(minutes=15)
CHUNK: Final = 5000
"""Users in one statement; databases take a limited number of parameters."""


@dataclass(frozen=True, slots=True)
class Window:
    """Messages sent in (since, until]. What came within `read` and `click` of the sending came soon."""

    since: datetime
    until: datetime
    read: timedelta
    click: timedelta


class Heard(NamedTuple):
    """Delivered messages sent in one quarter of an hour (counted from 1970), and what became of them.

    `user_pk` is 0 where the messages are of several users.
    """

    user_pk: int
    quarter: int
    messages: int
    reads: int
    clicks: int
    read_soon: int
    clicked_soon: int


def heard_of(session: Session, user_pks: Sequence[int], *, window: Window) -> list[Heard]:
    """What became of the messages to these users in the window, by user."""
    user_pk = col(Message.user_pk)
    query = _counts(user_pk, window).group_by(user_pk)
    found: list[Heard] = []
    for start in range(0, len(user_pks), CHUNK):
        chunk = query.where(user_pk.in_(user_pks[start : start + CHUNK]))
        found += map(Heard._make, session.connection().execute(chunk).all())
    return found


def heard_by_zone(session: Session, user_pks: Sequence[int], *, window: Window) -> list[tuple[tzinfo, Heard]]:
    """As `heard_of`, by zone of the users."""
    user_pk, zone = col(Message.user_pk), col(User.time_zone)
    query = (
        _counts(zone, window).join(User, col(User.id) == user_pk).where(user_pk.in_(user_pks)).group_by(zone)
    )
    return [(zone_of(name), Heard(0, *counts)) for name, *counts in session.connection().execute(query)]


def panel(session: Session, *, size: int) -> list[int]:
    """Internal ids spread evenly over all users, at most `size`; those of users that are gone among them do no harm."""
    highest = highest_user(session)
    return list(range(1, highest + 1, -(-highest // size) or 1))


def _counts(who: Any, window: Window) -> Select[Any]:
    sent_at = type_coerce(col(Message.slot_at), BigInteger)
    quarter = sent_at // (QUARTER // MICROSECOND)
    return (
        select(
            who,
            quarter,
            func.count(),
            func.count(col(Message.read_at)),
            func.count(col(Message.clicked_at)),
            _within(Message.read_at, sent_at, window.read),
            _within(Message.clicked_at, sent_at, window.click),
        )
        .select_from(Message)
        .where(
            col(Message.slot_at) > window.since,
            col(Message.slot_at) <= window.until,
            or_(
                col(Message.delivered_at).is_not(None),
                col(Message.read_at).is_not(None),
                col(Message.clicked_at).is_not(None),
            ),
        )
        .group_by(quarter)
    )


def _within(moment: Any, sent_at: ColumnElement[int], length: timedelta) -> ColumnElement[int]:
    """How many of the messages have this moment at most `length` after they were sent."""
    soon = type_coerce(col(moment), BigInteger) - sent_at <= length // MICROSECOND
    return func.coalesce(func.sum(case((soon, 1), else_=0)), 0)
