"""SQL of rules: their rows, what waits to be evaluated, whom a walk reaches, what has fired."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from experiments.clock import MICROSECOND
from experiments.errors import NotFound
from targeting.models import Event, PendingTrigger, Rule, RuleFiring, RuleVersion, User
from targeting.segments.audience_repository import Audience
from targeting.user_repository import USERS

_PASSING_STATES: Final = ("08", "40", "53", "55", "57")
_PASSING_NAMES: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL")


_AT_ONCE: Final = 100
"""Rules in one statement; SQLite joins 500 of them at most."""


def is_passing(error: BaseException) -> bool:
    """Whether the database, and not the rule, is to blame: busy, a deadlock, a lost connection. Trying again may help."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    name = getattr(error.orig, "sqlite_errorname", None) or ""
    return error.connection_invalidated or state[:2] in _PASSING_STATES or name.startswith(_PASSING_NAMES)


class Pending(NamedTuple):
    """A row of `pending_triggers` with its event, if it is of one."""

    id: int
    user_pk: int
    event_id: int | None
    changes: dict[str, Any] | None
    chain: list[int] | None
    at: datetime
    name: str | None
    event_at: datetime | None
    properties: dict[str, Any] | None


class Reached(NamedTuple):
    """A user whom a walk reaches; `last` is when they were last active (inactivity only)."""

    id: int
    user_id: str
    attributes: dict[str, Any]
    last: datetime | None


class Past(NamedTuple):
    """An event of the past, for a dry run."""

    id: int
    user_pk: int
    at: datetime
    properties: dict[str, Any]


def get_rule(session: Session, key: str, *, for_update: bool = False) -> Rule:
    """The rule with this key; raises NotFound. `for_update` holds its row until the transaction ends."""
    found = find_rule(session, key, for_update=for_update)
    if found is None:
        raise NotFound(f"there is no rule {key!r}", field="key")
    return found


def find_rule(session: Session, key: str, *, for_update: bool = False) -> Rule | None:
    query = select(Rule).where(col(Rule.key) == key).execution_options(populate_existing=True)
    # NO KEY UPDATE: firings, which refer to the row, need not wait for it.
    return session.execute(query.with_for_update(key_share=True) if for_update else query).scalar()


def list_rules(session: Session, *, after_id: int, limit: int, search: str = "") -> Sequence[Rule]:
    query = select(Rule).where(col(Rule.id) > after_id).order_by(col(Rule.id)).limit(limit)
    if search:
        sought = search.lower()
        named = [func.lower(text).contains(sought, autoescape=True) for text in (Rule.key, Rule.name)]
        query = query.where(or_(*named))
    return session.execute(query).scalars().all()


def fired(session: Session, rule_ids: Sequence[int], *, most: int) -> dict[int, tuple[int, datetime]]:
    """Rule -> how many of its newest `most` firings there are, and the time of the latest; none of one that never fired.

    Each rule costs a look at `most` entries of the index at most, however often it has fired.
    """
    newest = [
        select(col(RuleFiring.rule_id), col(RuleFiring.at))
        .where(col(RuleFiring.rule_id) == rule_id)
        .order_by(col(RuleFiring.id).desc())
        .limit(most)
        .subquery()
        for rule_id in rule_ids
    ]
    found: dict[int, tuple[int, datetime]] = {}
    for start in range(0, len(newest), _AT_ONCE):
        counts = [
            select(rows.c.rule_id, func.count(), func.max(rows.c.at)).group_by(rows.c.rule_id)
            for rows in newest[start : start + _AT_ONCE]
        ]
        found |= {row[0]: (row[1], row[2]) for row in session.execute(union_all(*counts))}
    return found


def versions_of(session: Session, rule_id: int, *, after: int, limit: int) -> Sequence[RuleVersion]:
    query = select(RuleVersion).where(col(RuleVersion.rule_id) == rule_id, col(RuleVersion.version) > after)
    return session.execute(query.order_by(col(RuleVersion.version)).limit(limit)).scalars().all()


def delete_rule(session: Session, rule_id: int) -> None:
    """A rule that never fired, with its versions."""
    session.execute(delete(RuleVersion).where(col(RuleVersion.rule_id) == rule_id))
    session.execute(delete(Rule).where(col(Rule.id) == rule_id))


def has_fired(session: Session, rule_id: int) -> bool:
    return bool(session.execute(select(exists().where(col(RuleFiring.rule_id) == rule_id))).scalar_one())


def firings_of(
    session: Session, rule_id: int, *, before_id: int | None, limit: int
) -> Sequence[tuple[RuleFiring, str]]:
    """Firings of one rule with the users' outside ids, newest first."""
    query = select(RuleFiring, col(User.user_id)).join(User, col(User.id) == col(RuleFiring.user_pk))
    query = query.where(col(RuleFiring.rule_id) == rule_id)
    if before_id is not None:
        query = query.where(col(RuleFiring.id) < before_id)
    rows = session.execute(query.order_by(col(RuleFiring.id).desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


def outcomes_of(
    session: Session, rule_id: int, *, among: Collection[int] | None = None, but: Collection[int] = ()
) -> list[tuple[dict[str, Any], int]]:
    """What the firings of one rule came to, each different outcome with the number of its firings; of all users, or of those
    `among` these, `but` these.
    """
    query = select(col(RuleFiring.outcome), func.count()).where(col(RuleFiring.rule_id) == rule_id)
    if among is not None:
        query = query.where(col(RuleFiring.user_pk).in_(among))
    query = query.where(col(RuleFiring.user_pk).not_in(but))
    return [(row[0], row[1]) for row in session.execute(query.group_by(col(RuleFiring.outcome)))]


_HAS_WORK: Final = select(
    or_(exists(select(col(PendingTrigger.id))), exists().where(col(Rule.next_walk_at) <= bindparam("now")))
)


def has_work(session: Session, *, now: datetime) -> bool:
    """Whether anything waits to be evaluated or walked."""
    return bool(session.execute(_HAS_WORK, {"now": now}).scalar_one())


def count_pending(session: Session) -> int:
    return int(session.execute(select(func.count()).select_from(PendingTrigger)).scalar_one())


def count_parked(session: Session) -> int:
    query = select(func.count()).select_from(Rule).where(col(Rule.parked_at).is_not(None))
    return int(session.execute(query).scalar_one())


def claim_pending(session: Session, *, limit: int) -> list[Pending]:
    """The oldest that nobody else has claimed, held until the transaction ends."""
    query = (
        select(
            col(PendingTrigger.id),
            col(PendingTrigger.user_pk),
            col(PendingTrigger.event_id),
            col(PendingTrigger.changes),
            col(PendingTrigger.chain),
            col(PendingTrigger.at),
            col(Event.name),
            col(Event.at).label("event_at"),
            col(Event.properties),
        )
        .join(Event, col(Event.id) == col(PendingTrigger.event_id), isouter=True)
        .order_by(col(PendingTrigger.id))
        .limit(limit)
        .with_for_update(of=PendingTrigger, skip_locked=True)
    )
    return [Pending(*row) for row in session.execute(query)]


def delete_pending(session: Session, ids: Collection[int]) -> None:
    session.execute(delete(PendingTrigger).where(col(PendingTrigger.id).in_(ids)))


def waiting_rules(session: Session, waits_for: Collection[str]) -> Sequence[Rule]:
    """The rules that wait for one of these, in the order in which they were made."""
    query = select(Rule).where(col(Rule.waits_for).in_(waits_for)).order_by(col(Rule.id))
    return session.execute(query.execution_options(populate_existing=True)).scalars().all()


def walking_rules(session: Session, *, now: datetime) -> Sequence[Rule]:
    """The rules whose walk over the users is due or under way."""
    query = select(Rule).where(col(Rule.next_walk_at) <= now).order_by(col(Rule.id))
    return session.execute(query).scalars().all()


def hold_rule(session: Session, rule_id: int) -> Rule | None:
    """The rule as it is now, held until the transaction ends; None when somebody else holds it."""
    query = select(Rule).where(col(Rule.id) == rule_id).execution_options(populate_existing=True)
    return session.execute(query.with_for_update(key_share=True, skip_locked=True)).scalar()


def hold_users(session: Session, user_pks: Collection[int]) -> dict[int, dict[str, Any]]:
    """Attributes of these users by internal id; their rows are held, in the order of ids, until the transaction ends."""
    query = select(col(User.id), col(User.attributes)).where(col(User.id).in_(user_pks))
    rows = session.execute(query.order_by(col(User.id)).with_for_update(key_share=True))
    return {row[0]: row[1] or {} for row in rows}


def set_attributes(session: Session, attributes: Mapping[int, Mapping[str, Any]], *, now: datetime) -> None:
    """Give users these attributes in place of theirs: internal id -> all attributes."""
    if attributes:
        statement = update(USERS).where(USERS.c.id == bindparam("pk"))
        session.connection().execute(
            statement.values(attributes=bindparam("new"), updated_at=now),
            [{"pk": pk, "new": attributes[pk]} for pk in sorted(attributes)],
        )


def last_fired(session: Session, rule_id: int, user_pks: Collection[int]) -> dict[int, datetime]:
    """When a rule last fired for each of these users; no entry for those for whom it never did."""
    query = select(col(RuleFiring.user_pk), func.max(col(RuleFiring.at))).where(
        col(RuleFiring.rule_id) == rule_id, col(RuleFiring.user_pk).in_(user_pks)
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(col(RuleFiring.user_pk)))}


def add_firings(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(RuleFiring), rows)


def last_of_stretch(session: Session, *, after_pk: int, length: int) -> int | None:
    """The internal id of the `length`-th user after one (or of the last there is); None behind the last user."""
    ids = select(col(User.id)).where(col(User.id) > after_pk).order_by(col(User.id)).limit(length).subquery()
    return session.execute(select(func.max(ids.c.id))).scalar()


def last_active(event: str | None) -> ColumnElement[Any]:
    """When a row of `users` was last seen or, with `event`, last did that."""
    if event is None:
        return USERS.c.last_seen_at
    newest = select(func.max(col(Event.at))).where(
        col(Event.user_pk) == col(User.id), col(Event.name) == event
    )
    return newest.scalar_subquery()


def silent(last: ColumnElement[Any], *, since: datetime) -> ColumnElement[bool]:
    """Whether the last activity was at `since` or before."""
    return last <= since


def not_fired_in_silence(rule_id: int, last: ColumnElement[Any], *, after: timedelta) -> ColumnElement[bool]:
    """Whether the rule has not fired since a user had been silent for `after`."""
    fell_silent = type_coerce(last, BigInteger) + literal(after // MICROSECOND, BigInteger)
    return not_(
        exists().where(
            col(RuleFiring.rule_id) == rule_id,
            col(RuleFiring.user_pk) == col(User.id),
            type_coerce(col(RuleFiring.at), BigInteger) >= fell_silent,
        )
    )


def not_fired_for(rule_id: int, *, cause: str) -> ColumnElement[bool]:
    """Whether the rule has not fired for a row of `users` on this occasion."""
    return not_(
        exists().where(
            col(RuleFiring.rule_id) == rule_id,
            col(RuleFiring.user_pk) == col(User.id),
            col(RuleFiring.cause) == cause,
        )
    )


def reached(
    session: Session,
    audience: Audience,
    *,
    where: Sequence[ColumnElement[bool]],
    last: ColumnElement[Any] | None,
    limit: int | None = None,
) -> list[Reached]:
    """Users who pass `audience.where` and `where`, by internal id; the audience's closure has not seen them yet."""
    query = select(
        col(User.id),
        col(User.user_id),
        col(User.attributes),
        literal(None, BigInteger) if last is None else last,
    ).where(audience.where, *where)
    rows = session.execute(query.order_by(col(User.id)).limit(limit))
    return [Reached(row[0], row[1], row[2] or {}, row[3]) for row in rows]


def count_users(session: Session, where: Sequence[ColumnElement[bool]]) -> int:
    return int(session.execute(select(func.count()).select_from(User).where(*where)).scalar_one())


def between(after_pk: int, upto_pk: int) -> ColumnElement[bool]:
    return col(User.id).between(after_pk + 1, upto_pk)


def among(user_pks: Collection[int]) -> ColumnElement[bool]:
    return col(User.id).in_(user_pks)


def past_events(
    session: Session, *, name: str, until: datetime, after: tuple[datetime, int], limit: int
) -> list[Past]:
    """Events of one name in the order of their time, from the one behind `after` (time, id) on."""
    at, last_id = after
    query = select(col(Event.id), col(Event.user_pk), col(Event.at), col(Event.properties)).where(
        col(Event.name) == name,
        col(Event.at).between(at, until),
        or_(col(Event.at) > at, col(Event.id) > last_id),
    )
    rows = session.execute(query.order_by(col(Event.at), col(Event.id)).limit(limit))
    return [Past(row[0], row[1], row[2], row[3] or {}) for row in rows]


def people(session: Session, user_pks: Collection[int]) -> dict[int, tuple[str, dict[str, Any]]]:
    """Outside id and attributes of these users, by internal id."""
    query = select(col(User.id), col(User.user_id), col(User.attributes)).where(col(User.id).in_(user_pks))
    return {row[0]: (row[1], row[2] or {}) for row in session.execute(query)}
