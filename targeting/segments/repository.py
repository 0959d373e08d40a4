"""SQL of segments and of who is in them. Whom a condition means is `audience_repository`'s business."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Text, and_, case, cast, delete, exists, func, literal, or_, select
from sqlmodel import Session, SQLModel, col

from experiments.errors import NotFound
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.models import Rule, Segment
from targeting.user_repository import USERS, insert_into

_SEGMENTS: Final = SQLModel.metadata.tables["segments"]
_MEMBERS: Final = SQLModel.metadata.tables["segment_members"]


def find_segment(session: Session, key: str) -> Segment:
    """The segment as the database has it now; raises NotFound."""
    query = select(Segment).where(col(Segment.key) == key).execution_options(populate_existing=True)
    found: Segment | None = session.scalars(query).first()
    if found is None:
        raise NotFound(f"there is no segment {key!r}", field="key")
    return found


def hold_segment(session: Session, key: str) -> Segment:
    """The segment, held to the end of the transaction against change and deletion; raises NotFound."""
    session.execute(select(col(Segment.id)).where(col(Segment.key) == key).with_for_update(key_share=True))
    return find_segment(session, key)


def list_segments(session: Session, *, after_id: int, limit: int, search: str = "") -> Sequence[Segment]:
    query = select(Segment).where(col(Segment.id) > after_id).order_by(col(Segment.id)).limit(limit)
    if search:
        sought = search.lower()
        named = [func.lower(text).contains(sought, autoescape=True) for text in (Segment.key, Segment.name)]
        query = query.where(or_(*named))
    return session.scalars(query).all()


def lock_segments(session: Session) -> None:
    """Hold all segments to the end of the transaction, so that no two changes together make a circle."""
    session.execute(select(col(Segment.id)).order_by(col(Segment.id)).with_for_update(key_share=True)).all()


def conditions_by_key(session: Session) -> Callable[[str], dict[str, Any] | None]:
    """Looks up the condition of a segment by its key: None for a list; raises NotFound for an unknown key."""

    def lookup(key: str) -> dict[str, Any] | None:
        row = session.execute(select(_SEGMENTS.c.condition).where(_SEGMENTS.c.key == key)).first()
        if row is None:
            raise NotFound(f"there is no segment {key!r}", field="key")
        condition: dict[str, Any] | None = row[0]
        return condition

    return lookup


def is_member(segment_id: int) -> ColumnElement[bool]:
    """Whether a row of `users` is in a segment, as its membership stands."""
    return exists().where(_MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk == USERS.c.id)


def count_members(session: Session, segment_id: int) -> int:
    query = select(func.count()).select_from(_MEMBERS).where(_MEMBERS.c.segment_id == segment_id)
    return int(session.execute(query).scalar_one())


class Member(NamedTuple):
    """A user in a segment, and since when."""

    id: int
    user_id: str
    added_at: datetime


def members_of(session: Session, segment_id: int, *, after_pk: int, limit: int) -> Sequence[Member]:
    """The next members, by internal id."""
    query = (
        select(_MEMBERS.c.user_pk, USERS.c.user_id, _MEMBERS.c.added_at)
        .join(USERS, USERS.c.id == _MEMBERS.c.user_pk)
        .where(_MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk > after_pk)
        .order_by(_MEMBERS.c.user_pk)
        .limit(limit)
    )
    return [Member(*row) for row in session.execute(query)]


def member_pks(session: Session, segment_id: int, *, after_pk: int, up_to_pk: int) -> Sequence[int]:
    """Internal ids of the members whose id is in (after_pk, up_to_pk]."""
    query = select(_MEMBERS.c.user_pk).where(_members_in(segment_id, after_pk, up_to_pk))
    return session.execute(query.order_by(_MEMBERS.c.user_pk)).scalars().all()


def next_member_pks(session: Session, segment_id: int, *, after_pk: int, limit: int) -> Sequence[int]:
    """Internal ids of the next members."""
    mine = and_(_MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk > after_pk)
    query = select(_MEMBERS.c.user_pk).where(mine).order_by(_MEMBERS.c.user_pk).limit(limit)
    return session.execute(query).scalars().all()


def last_user_pk(session: Session) -> int:
    return session.execute(select(func.max(USERS.c.id))).scalar() or 0


def pk_after(session: Session, *, after_pk: int, users: int) -> int | None:
    """The internal id of the `users`-th user after this one; None when there are not so many."""
    query = select(USERS.c.id).where(USERS.c.id > after_pk).order_by(USERS.c.id).offset(users - 1).limit(1)
    return session.execute(query).scalar()


def pks_of(session: Session, user_ids: Collection[str]) -> dict[str, int]:
    """User id -> internal id, of those who exist."""
    query = select(USERS.c.user_id, USERS.c.id).where(USERS.c.user_id.in_(user_ids))
    return {row.user_id: row.id for row in session.execute(query)}


def add_members(session: Session, segment_id: int, user_pks: Collection[int], *, now: datetime) -> int:
    """Put users into a segment; returns how many were not in it."""
    if not user_pks:
        return 0
    rows = [{"segment_id": segment_id, "user_pk": pk, "added_at": now} for pk in sorted(user_pks)]
    statement = insert_into(session, _MEMBERS).on_conflict_do_nothing()
    result = session.connection().execute(statement, rows, execution_options={"preserve_rowcount": True})
    return result.rowcount


def remove_members(session: Session, segment_id: int, user_pks: Collection[int]) -> int:
    if not user_pks:
        return 0
    statement = delete(_MEMBERS).where(_MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk.in_(user_pks))
    return session.connection().execute(statement).rowcount


def keep_members(session: Session, segment_id: int, user_pks: Collection[int]) -> int:
    """Remove everybody but these users; returns how many were removed."""
    others = and_(_MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk.not_in(user_pks))
    return session.connection().execute(delete(_MEMBERS).where(others)).rowcount


def count_combinations(
    session: Session, conditions: Sequence[ColumnElement[bool]], *, among: Sequence[int] | None = None
) -> dict[tuple[bool, ...], int]:
    """How many users there are for whom just these hold and the others do not, in one pass over users.

    `among`: look at the users with these internal ids only.
    """
    marks = [case((holds, 1), else_=0).label(f"mark_{at}") for at, holds in enumerate(conditions)]
    named = [mark.name for mark in marks]
    query = select(*marks, func.count().label("users")).select_from(USERS).group_by(*named)
    if among is not None:
        query = query.where(USERS.c.id.in_(among))
    return {tuple(map(bool, row[:-1])): row.users for row in session.execute(query)}


def clear_members(session: Session, segment_id: int) -> int:
    statement = delete(_MEMBERS).where(_MEMBERS.c.segment_id == segment_id)
    return session.connection().execute(statement).rowcount


def refresh_range(
    session: Session,
    segment_id: int,
    where: ColumnElement[bool],
    *,
    after_pk: int,
    up_to_pk: int,
    now: datetime,
) -> tuple[int, int]:
    """Among users with an internal id in (after_pk, up_to_pk], those for whom `where` holds become the members.

    Returns (joined, left). Who stays a member keeps the time at which they joined.
    """
    in_range = and_(USERS.c.id > after_pk, USERS.c.id <= up_to_pk)
    wanted = select(literal(segment_id), USERS.c.id, literal(now, _MEMBERS.c.added_at.type)).where(
        in_range, where
    )
    joined = session.connection().execute(
        insert_into(session, _MEMBERS)
        .from_select(["segment_id", "user_pk", "added_at"], wanted)
        .on_conflict_do_nothing(),
        execution_options={"preserve_rowcount": True},
    )
    belongs = exists().where(USERS.c.id == _MEMBERS.c.user_pk, where)
    left = session.connection().execute(
        delete(_MEMBERS).where(_members_in(segment_id, after_pk, up_to_pk), ~belongs)
    )
    return joined.rowcount, left.rowcount


def _members_in(segment_id: int, after_pk: int, up_to_pk: int) -> ColumnElement[bool]:
    return and_(
        _MEMBERS.c.segment_id == segment_id, _MEMBERS.c.user_pk > after_pk, _MEMBERS.c.user_pk <= up_to_pk
    )


def stale_segments(session: Session, *, refreshed_before: datetime) -> Sequence[str]:
    """Keys of condition segments whose membership is older than that, or was never worked out; the oldest first."""
    query = (
        select(_SEGMENTS.c.key)
        .where(
            _SEGMENTS.c.condition.is_not(None),
            or_(_SEGMENTS.c.refreshed_at.is_(None), _SEGMENTS.c.refreshed_at <= refreshed_before),
        )
        .order_by(_SEGMENTS.c.refreshed_at.is_not(None), _SEGMENTS.c.refreshed_at, _SEGMENTS.c.id)
    )
    return session.execute(query).scalars().all()


def documents_with(session: Session, text: str) -> Iterator[tuple[str, str, Any]]:
    """(what it is, its key, its JSON) of the segments, rules and live experiments whose JSON holds this text."""
    quoted = f'"{text}"'
    live = col(Experiment.status) != ExperimentStatus.STOPPED
    for kind, key, document, also in (
        ("experiment", col(Experiment.key), col(Experiment.definition), live),
        ("segment", col(Segment.key), col(Segment.condition), col(Segment.condition).is_not(None)),
        ("rule", col(Rule.key), col(Rule.definition), col(Rule.key).is_not(None)),
    ):
        holds = cast(document, Text).contains(quoted, autoescape=True)
        for name, content in session.execute(select(key, document).where(also, holds).order_by(key)):
            yield kind, name, content


def delete_segment(session: Session, segment: Segment) -> None:
    """Forget a segment and who was in it."""
    assert segment.id is not None  # noqa: S101  # a stored row has an id
    clear_members(session, segment.id)
    session.delete(segment)
    session.flush()
