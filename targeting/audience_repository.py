"""SQL of audiences: whom a condition means, page by page.

What SQL can say of a condition is decided by the database; what is left is a closure that sees a page of users at a time,
so that no more than a page is ever held.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import ColumnElement, and_, select, true
from sqlmodel import Session

from targeting.condition_sql import compile_sql, is_sql_expressible, split
from targeting.conditions import Predicate, Scope, compile_condition
from targeting.user_repository import USERS

SAMPLE: Final = 1000


class HasAttributes(Protocol):
    """A row of `users`, as far as a closure looks at it."""

    @property
    def id(self) -> int: ...

    @property
    def attributes(self) -> Mapping[str, Any] | None: ...


Row = TypeVar("Row", bound=HasAttributes)


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a condition means: what SQL decides, and what is left to a closure over the attributes."""

    where: ColumnElement[bool]
    residual: Predicate | None
    now: datetime

    def keep(self, session: Session, rows: Sequence[Row]) -> list[Row]:
        """Those of one page of users who belong to the audience; all of them have passed `where`."""
        residual = self.residual
        if residual is None:
            return list(rows)
        scope = Scope(now=self.now)
        return [row for row in rows if residual(row.attributes or {}, scope)]


def audience_of(session: Session, condition: dict[str, Any], *, now: datetime) -> Audience:
    """The audience of a (valid) condition at `now`."""
    in_sql, rest = split(condition)
    return Audience(
        where=true() if in_sql is None else compile_sql(in_sql, attributes=USERS.c.attributes, now=now),
        residual=None if rest is None else compile_condition(rest),
        now=now,
    )


def audience_with(session: Session, condition: dict[str, Any], *, attribute: str, now: datetime) -> Audience:
    """Those of an audience who have an attribute with this name that is not null."""
    everyone = audience_of(session, condition, now=now)
    named = {attribute: {"$exists": True}}
    # A dot would be read as a path, and some names have no spelling in SQL.
    if "." not in attribute and is_sql_expressible(named):
        has = compile_sql(named, attributes=USERS.c.attributes, now=now)
        return Audience(and_(everyone.where, has), everyone.residual, now)
    residual = everyone.residual

    def keeps(attributes: Any, scope: Scope) -> bool:
        return attributes.get(attribute) is not None and (residual is None or residual(attributes, scope))

    return Audience(everyone.where, keeps, now)


def somebody_in(session: Session, audience: Audience) -> bool:
    """Whether the audience holds anybody at all."""
    page = 1 if audience.residual is None else SAMPLE
    return next(attributes_in(session, audience, page=page), None) is not None


def attributes_in(session: Session, audience: Audience, *, page: int = SAMPLE) -> Iterator[Mapping[str, Any]]:
    """The attributes of one user of the audience after the other, read `page` at a time."""
    last = 0
    while True:
        query = (
            select(USERS.c.id, USERS.c.attributes)
            .where(USERS.c.id > last, audience.where)
            .order_by(USERS.c.id)
            .limit(page)
        )
        rows = session.connection().execute(query).all()
        yield from (row.attributes for row in audience.keep(session, rows))
        if len(rows) < page:
            return
        last = rows[-1].id
