"""SQL of audiences: whom a condition means.

What SQL can say of a condition is decided by the database. What is left is a closure that sees a page of users at a time,
together with the events and lists that it asks about, so that no more than a page is ever held.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import BigInteger, ColumnElement, and_, null, or_, select, true, type_coerce
from sqlmodel import Session, SQLModel

from experiments.clock import from_micros, to_micros
from targeting.conditions import compile_condition
from targeting.conditions.indexes import prefilter
from targeting.conditions.needs import Needs, expand_segments, needs_of
from targeting.conditions.scope import Occurrence, Predicate, Scope
from targeting.conditions.sql import compile_sql, is_sql_expressible, split
from targeting.conditions.values import micros_of
from targeting.segments.attribute_repository import indexed_names
from targeting.segments.repository import conditions_by_key
from targeting.user_repository import USERS

SAMPLE: Final = 1000
SCOPED: Final = 200
"""Users whose events are held at the same time."""
_EVENTS: Final = SQLModel.metadata.tables["events"]
_SEGMENTS: Final = SQLModel.metadata.tables["segments"]
_MEMBERS: Final = SQLModel.metadata.tables["segment_members"]
_NO_NEEDS: Final = needs_of({})


class HasAttributes(Protocol):
    """A row of `users`, as far as a closure looks at it."""

    @property
    def id(self) -> int: ...

    @property
    def attributes(self) -> Mapping[str, Any] | None: ...


Row = TypeVar("Row", bound=HasAttributes)


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a condition means: what SQL decides, and what is left to a closure.

    `narrowed` are the same users as `where`, found by indexes on attributes where there are any. To count or to find
    some, ask for `narrowed`; to walk through all of them by id, ask for `where`, which keeps to the order of ids.
    """

    where: ColumnElement[bool]
    narrowed: ColumnElement[bool]
    residual: Predicate | None
    needs: Needs
    now: datetime

    def among(self, where: ColumnElement[bool]) -> "Audience":
        """Those of the audience for whom `where` holds too."""
        return replace(self, where=and_(self.where, where), narrowed=and_(self.narrowed, where))

    def keep(
        self, session: Session, rows: Sequence[Row], check: Callable[[], None] | None = None
    ) -> list[Row]:
        """Those of one page of users who belong to the audience; all of them have passed `where`.

        `check` is called after each user whom a closure looks at, and may raise.
        """
        if self.residual is None:
            return list(rows)
        kept: list[Row] = []
        for row, belongs in self.judged(session, rows):
            if belongs:
                kept.append(row)
            if check is not None:
                check()
        return kept

    def judged(self, session: Session, rows: Sequence[Row]) -> Iterator[tuple[Row, bool]]:
        """Each of one page of users who have passed `where`, and whether they belong to the audience, one by one."""
        residual = self.residual
        for start in range(0, len(rows), SCOPED):
            some = rows[start : start + SCOPED]
            scopes = scopes_of(session, user_pks=[row.id for row in some], needs=self.needs, now=self.now)
            for row in some:
                yield row, residual is None or residual(row.attributes or {}, scopes[row.id])


def audience_of(
    session: Session, condition: dict[str, Any], *, now: datetime, field: str = "audience.condition"
) -> Audience:
    """The audience of a (valid) condition at `now`. Raises Invalid when it names a segment that does not exist."""
    whole = expand_segments(condition, conditions_by_key(session), field=field)
    in_sql, rest = split(whole)
    where: ColumnElement[bool] = true() if in_sql is None else _compiled(in_sql, now, field)
    dialect = session.get_bind().dialect.name
    found = prefilter(in_sql, indexed=indexed_names(session), dialect=dialect, now=now)
    return Audience(
        where=where,
        narrowed=where if found is None else and_(found, where),
        residual=None if rest is None else compile_condition(rest),
        needs=_NO_NEEDS if rest is None else needs_of(rest),
        now=now,
    )


def _compiled(condition: dict[str, Any], now: datetime, field: str) -> ColumnElement[bool]:
    return compile_sql(condition, attributes=USERS.c.attributes, now=now, field=field, user_pk=USERS.c.id)


def audience_with(session: Session, condition: dict[str, Any], *, attribute: str, now: datetime) -> Audience:
    """Those of an audience who have an attribute with this name that is not null."""
    everyone = audience_of(session, condition, now=now)
    named = {attribute: {"$exists": True}}
    # A dot would be read as a path, a dollar as an operator, and some names have no spelling in SQL.
    if not attribute.startswith("$") and "." not in attribute and is_sql_expressible(named):
        has = _compiled(named, now, "attribute")
        return everyone.among(has)
    residual = everyone.residual

    def keeps(attributes: Any, scope: Scope) -> bool:
        return attributes.get(attribute) is not None and (residual is None or residual(attributes, scope))

    return replace(everyone, residual=keeps)


def scopes_of(
    session: Session, *, user_pks: Collection[int], needs: Needs, now: datetime
) -> dict[int, Scope]:
    """What surrounds each of these users, as far as a condition with these needs asks for it.

    Reads the events and lists of these users only, by index. The events of one user within the time that the condition
    looks back are held, so pass few users at a time (`SCOPED`).
    """
    if not needs.events and not needs.segments:
        alone = Scope(now=now)
        return dict.fromkeys(user_pks, alone)
    events = _events_of(session, user_pks, needs, now) if needs.events else {}
    lists = _lists_of(session, user_pks, needs) if needs.segments else {}
    return {
        pk: Scope(now=now, events=events.get(pk, {}), segments=lists.get(pk, frozenset())) for pk in user_pks
    }


def _events_of(
    session: Session, user_pks: Collection[int], needs: Needs, now: datetime
) -> dict[int, dict[str, list[Occurrence]]]:
    # As integers, because a window may begin before the first moment that a datetime can hold.
    at = type_coerce(_EVENTS.c.at, BigInteger)
    present = to_micros(now)
    named = [
        _EVENTS.c.name == name
        if within is None
        else and_(_EVENTS.c.name == name, at >= present - micros_of(within))
        for name, within in needs.events.items()
    ]
    query = select(_EVENTS.c.user_pk, _EVENTS.c.name, at, _EVENTS.c.properties).where(
        _EVENTS.c.user_pk.in_(user_pks), or_(*named), at <= present
    )
    found: dict[int, dict[str, list[Occurrence]]] = defaultdict(lambda: defaultdict(list))
    for pk, name, micros, properties in session.connection().execute(query):
        found[pk][name].append(Occurrence(from_micros(micros), properties))
    return found


def _lists_of(session: Session, user_pks: Collection[int], needs: Needs) -> dict[int, set[str]]:
    query = (
        select(_MEMBERS.c.user_pk, _SEGMENTS.c.key)
        .join(_SEGMENTS, _SEGMENTS.c.id == _MEMBERS.c.segment_id)
        .where(_MEMBERS.c.user_pk.in_(user_pks), _SEGMENTS.c.key.in_(needs.segments))
    )
    found: dict[int, set[str]] = defaultdict(set)
    for pk, key in session.connection().execute(query):
        found[pk].add(key)
    return found


def pages(
    session: Session,
    audience: Audience,
    *,
    page: int = SAMPLE,
    after_pk: int = 0,
    up_to_pk: int | None = None,
    ids_only: bool = False,
    check: Callable[[], None] | None = None,
) -> Iterator[Sequence[Any]]:
    """The audience by internal id, as pages of rows (id, user_id, attributes) of at most `page` each.

    `ids_only`: nobody looks at the attributes, so they are only read where a closure has to see them.
    `check` as in `Audience.keep`.
    """
    unread: ColumnElement[Any] = null().label("attributes")
    attributes = unread if ids_only and audience.residual is None else USERS.c.attributes
    while True:
        query = select(USERS.c.id, USERS.c.user_id, attributes).where(USERS.c.id > after_pk, audience.where)
        if up_to_pk is not None:
            query = query.where(USERS.c.id <= up_to_pk)
        rows = session.connection().execute(query.order_by(USERS.c.id).limit(page)).all()
        yield audience.keep(session, rows, check)
        if len(rows) < page:
            return
        after_pk = rows[-1].id


def somebody_in(session: Session, audience: Audience) -> bool:
    """Whether the audience holds anybody at all."""
    page = 1 if audience.residual is None else SAMPLE
    return next(attributes_in(session, audience, page=page), None) is not None


def attributes_in(session: Session, audience: Audience, *, page: int = SAMPLE) -> Iterator[Mapping[str, Any]]:
    """The attributes of one user of the audience after the other, read `page` at a time."""
    for rows in pages(session, audience, page=page):
        yield from (row.attributes for row in rows)
