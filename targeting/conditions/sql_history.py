"""`$event` and `$inSegment` as SQL: what is in the tables of events and of segment members about one row of users.

Each clause is one correlated subquery: over the index of (user, name, time) for events, over the primary key for lists.
"""

import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, FromClause, and_, func, literal, not_, select, type_coerce
from sqlalchemy.sql import true
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import SQLModel

from experiments.clock import to_micros
from targeting import models
from targeting.conditions.history import EventClause
from targeting.conditions.values import micros_of

Bool = ColumnElement[bool]

EVENTS: Final = SQLModel.metadata.tables[str(models.Event.__tablename__)]
_SEGMENTS: Final = SQLModel.metadata.tables[str(models.Segment.__tablename__)]
_MEMBERS: Final = SQLModel.metadata.tables[str(models.SegmentMember.__tablename__)]

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$in": lambda times, values: times.in_(values),
    "$nin": lambda times, values: times.not_in(values),
}


def did(
    clause: EventClause, events: FromClause, keeps: Bool, *, user_pk: ColumnElement[Any], now: datetime
) -> Bool:
    """Whether the user of the row did what the clause says. `keeps` tests the properties of a row of `events`."""
    # As integers, because a window may begin before the first moment that a datetime can hold.
    at = type_coerce(events.c.at, BigInteger)
    present = to_micros(now)
    matching = [events.c.user_pk == user_pk, events.c.name == clause.name, at <= present, keeps]
    if clause.within is not None:
        matching.append(at >= present - micros_of(clause.within))
    if clause.happened is not None:
        found = select(literal(1)).where(*matching).correlate_except(events).exists()
        return found if clause.happened else not_(found)
    times = select(func.count()).select_from(events).where(*matching).correlate_except(events)
    number = times.scalar_subquery()
    return and_(true(), *(_COMPARE[name](number, bound) for name, bound in clause.count.items()))


def in_lists(keys: tuple[str, ...], *, user_pk: ColumnElement[Any]) -> Bool:
    """Whether the user of the row is on one of these lists."""
    wanted = select(_SEGMENTS.c.id).where(_SEGMENTS.c.key.in_(keys)).scalar_subquery()
    member = select(literal(1)).where(_MEMBERS.c.user_pk == user_pk, _MEMBERS.c.segment_id.in_(wanted))
    return member.correlate_except(_MEMBERS).exists()
