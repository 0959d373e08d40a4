"""Who is in a segment: refreshed from its condition, or put on its list by hand. Also: how two segments overlap."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from targeting.models import Segment
from targeting.segments import repository as segment_repository
from targeting.segments.audience_repository import Audience, audience_of, pages
from targeting.segments.repository import Member
from targeting.segments.service import segment_id

STEP: Final = 20_000
"""Users in one transaction of a refresh: a writer of SQLite waits for a fraction of a second at most."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did: members now, and how many joined and left."""

    key: str
    size: int
    joined: int
    left: int
    refreshed_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of the ids put on a list: those that are no user's are `unknown`, by place (from 0) and id."""

    size: int
    added: int
    removed: int
    unknown: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two segments side by side. `jaccard` is both / either; None when both are empty.

    `as_of` says of when the membership is that was compared; None: the condition was evaluated now.
    """

    a: int
    b: int
    both: int
    as_of: tuple[datetime | None, datetime | None]

    @property
    def only_a(self) -> int:
        return self.a - self.both

    @property
    def only_b(self) -> int:
        return self.b - self.both

    @property
    def jaccard(self) -> float | None:
        either = self.a + self.b - self.both
        return self.both / either if either else None


def refresh(database: Database, clock: Clock, *, key: str, step: int = STEP) -> Refreshed:
    """Make the membership of a condition segment anew, `step` users at a time, each step in its own short transaction.

    Only who joins or leaves is written. Two refreshes of one segment at once do no harm. Raises NotFound, and Conflict for
    a list, or when the segment was changed meanwhile.
    """
    began = clock.now()
    joined = left = after = 0
    with database.snapshot() as session:
        segment = segment_repository.find_segment(session, key)
        condition = segment.condition
        if condition is None:
            raise Conflict(f"segment {key!r} is a list; nothing tells who else belongs to it", field="key")
        last = segment_repository.last_user_pk(session)
    while after < last:
        with database.snapshot() as session:
            up_to = segment_repository.pk_after(session, after_pk=after, users=step) or last
            audience = audience_of(session, condition, now=began, field="condition")
            wanted = _wanted(session, audience, after, up_to) if audience.residual else None
        with database.transaction() as session:
            held = _held(session, key, condition)
            if wanted is None:
                came, went = segment_repository.refresh_range(
                    session, segment_id(held), audience.where, after_pk=after, up_to_pk=up_to, now=began
                )
            else:
                came, went = _replace(session, segment_id(held), wanted, after, up_to, began)
        joined, left, after = joined + came, left + went, up_to
    with database.transaction() as session:
        held = _held(session, key, condition)
        held.size = segment_repository.count_members(session, segment_id(held))
        held.refreshed_at = began
        session.add(held)
        return Refreshed(key=key, size=held.size, joined=joined, left=left, refreshed_at=began)


def _wanted(session: Session, audience: Audience, after: int, up_to: int) -> set[int]:
    return {row.id for rows in pages(session, audience, after_pk=after, up_to_pk=up_to) for row in rows}


def _replace(
    session: Session, held_id: int, wanted: set[int], after: int, up_to: int, now: datetime
) -> tuple[int, int]:
    present = set(segment_repository.member_pks(session, held_id, after_pk=after, up_to_pk=up_to))
    came = segment_repository.add_members(session, held_id, wanted - present, now=now)
    return came, segment_repository.remove_members(session, held_id, present - wanted)


def _held(session: Session, key: str, condition: dict[str, Any]) -> Segment:
    segment = segment_repository.hold_segment(session, key)
    if segment.condition != condition:
        raise Conflict(f"segment {key!r} was changed while its membership was refreshed", field="key")
    return segment


def refresh_tick(database: Database, clock: Clock, *, every: timedelta) -> int:
    """Refresh each condition segment whose membership is older than `every`; returns how many were."""
    with database.snapshot() as session:
        keys = segment_repository.stale_segments(session, refreshed_before=clock.now() - every)
    done = 0
    problems: list[str] = []
    for key in keys:
        try:
            refresh(database, clock, key=key)
            done += 1
        except (Conflict, NotFound):
            # Changed or deleted meanwhile: the next tick sees it as it is then.
            continue
        except Invalid as error:
            problems.append(f"segment {key!r}: {error}")
    if problems:
        raise Invalid("; ".join(problems))
    return done


def set_members(session: Session, clock: Clock, *, actor: str, key: str, user_ids: Sequence[str]) -> Listed:
    """Let a list hold exactly these users. Ids that are no user's are told and left out. Raises Conflict for a condition."""
    segment = held_list(session, key)
    known = segment_repository.pks_of(session, set(user_ids))
    now = clock.now()
    pks = set(known.values())
    removed = segment_repository.keep_members(session, segment_id(segment), pks)
    added = segment_repository.add_members(session, segment_id(segment), pks, now=now)
    listed = Listed(
        size=len(pks),
        added=added,
        removed=removed,
        unknown=tuple((place, name) for place, name in enumerate(user_ids) if name not in known),
    )
    note_list(session, clock, segment, actor=actor, what=asdict(listed) | {"unknown": len(listed.unknown)})
    return listed


def members_of(session: Session, *, key: str, after_pk: int, limit: int) -> Sequence[Member]:
    """Who is in a segment, by internal id: on its list, or found by its last refresh. Raises NotFound."""
    segment = segment_repository.find_segment(session, key)
    return segment_repository.members_of(session, segment_id(segment), after_pk=after_pk, limit=limit)


def held_list(session: Session, key: str) -> Segment:
    """A list segment, held to the end of the transaction; raises Conflict when it is a condition."""
    segment = segment_repository.hold_segment(session, key)
    if segment.condition is not None:
        raise Conflict(
            f"segment {key!r} is a condition; its members follow from it and cannot be set", field="key"
        )
    return segment


def note_list(session: Session, clock: Clock, segment: Segment, *, actor: str, what: dict[str, Any]) -> int:
    """Write down that a list changed: its size and time on the segment, and in the audit log. Returns the size."""
    segment.size = segment_repository.count_members(session, segment_id(segment))
    segment.refreshed_at = clock.now()
    session.add(segment)
    audit.record(
        session,
        clock,
        actor=actor,
        action="segment.members",
        subject_kind="segment",
        subject_key=segment.key,
        after=what,
    )
    return segment.size


def overlap(session: Session, clock: Clock, *, a: str, b: str) -> Overlap:
    """Compare two segments. Conditions that SQL can say are evaluated now, others by their last refresh.

    Raises NotFound, Conflict when such another one was never refreshed.
    """
    first, as_of_a = compared(session, clock, a, "a")
    second, as_of_b = compared(session, clock, b, "b")
    sizes = segment_repository.count_combinations(session, [first, second])
    both, only_a, only_b = (sizes.get(marks, 0) for marks in ((True, True), (True, False), (False, True)))
    return Overlap(a=both + only_a, b=both + only_b, both=both, as_of=(as_of_a, as_of_b))


def compared(session: Session, clock: Clock, key: str, field: str) -> tuple[Any, datetime | None]:
    """Whether a row of `users` is in a segment, and of when its membership is (None: the condition is evaluated now)."""
    try:
        segment = segment_repository.find_segment(session, key)
    except NotFound as error:
        raise NotFound(error.message, field=field) from error
    if segment.condition is not None:
        audience = audience_of(session, segment.condition, now=clock.now(), field=field)
        if audience.residual is None:
            return audience.where, None
        if segment.refreshed_at is None:
            raise Conflict(
                f"segment {key!r} holds what the database cannot say by itself, and was never refreshed; refresh it first",
                field=field,
            )
    return segment_repository.is_member(segment_id(segment)), segment.refreshed_at
