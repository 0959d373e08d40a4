"""Segments: named conditions, or lists of users.

A condition segment means whoever meets its condition at the moment; where a condition names one (`$inSegment`), the
segment's condition is written out in its place. Its membership (`membership.refresh`) is a copy for counting, listing and
comparing. A list segment holds the users that were put on it, until somebody takes them off.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.errors import Conflict, Invalid, NotFound
from targeting.conditions.history import read_segments
from targeting.conditions.needs import expand_segments
from targeting.conditions.text import condition_of
from targeting.models import Segment
from targeting.segments import repository as segment_repository
from targeting.segments.condition_reading import warnings_about

__all__ = [
    "Segment",
    "check",
    "delete",
    "find",
    "list_segments",
    "put",
    "segment_id",
    "used_by",
    "warnings_of",
]

Lookup = Callable[[str], dict[str, Any] | None]
RESERVED: Final = frozenset({"preview", "overlap"})
_NAMED_BY: Final = 5


_audit = partial(audit.record, subject_kind="segment")


def find(session: Session, *, key: str) -> Segment:
    """The segment with this key; raises NotFound."""
    return segment_repository.find_segment(session, key)


def list_segments(session: Session, *, after_id: int, limit: int, search: str = "") -> Sequence[Segment]:
    """Up to `limit` segments with an internal id above `after_id`, oldest first; those whose key or name holds `search`."""
    return segment_repository.list_segments(session, after_id=after_id, limit=limit, search=search)


def put(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    name: str,
    condition: dict[str, Any] | str | None,
) -> Segment:
    """Create a segment or change it; without a condition it is a list. `condition` is JSON, or text as people write it.

    Raises Invalid naming the path inside `condition` (also when segments would turn in a circle), Conflict when it would
    turn a list into a condition or back, or break another segment or an experiment that names it.
    """
    if key in RESERVED:
        raise Invalid(f"{key!r} is the name of something that segments do; choose another", field="key")
    segment_repository.lock_segments(session)
    wanted = None if condition is None else check(session, condition, key=key)
    now = clock.now()
    try:
        segment = segment_repository.find_segment(session, key)
    except NotFound:
        segment = Segment(key=key, name=name, condition=wanted, created_at=now, updated_at=now)
        session.add(segment)
        before = None
    else:
        before = _audited(segment)
        if (segment.condition is None) != (wanted is None):
            kind = "list" if segment.condition is None else "condition"
            raise Conflict(f"{key!r} is a {kind} and stays one; delete it first", field="condition")
        if before == {"name": name, "condition": wanted}:
            return segment
        if segment.condition != wanted:
            segment.refreshed_at = segment.size = None
        segment.name, segment.condition, segment.updated_at = name, wanted, now
        session.add(segment)
        _check_dependents(session, key, wanted)
    session.flush()
    _audit(
        session,
        clock,
        actor=actor,
        action="segment.put",
        subject_key=key,
        before=before,
        after=_audited(segment),
    )
    return segment


def check(
    session: Session, condition: dict[str, Any] | str, *, key: str | None = None, field: str = "condition"
) -> dict[str, Any]:
    """The condition as JSON. Raises Invalid with every problem of it, or with the first of the segments that it names.

    `key` is the segment that would have this condition.
    """
    wanted = condition_of(condition, field=field)
    expand_segments(wanted, _as_if(session, key, wanted), field=field)
    return wanted


def _as_if(session: Session, key: str | None, condition: dict[str, Any] | None) -> Lookup:
    stored = segment_repository.conditions_by_key(session)
    return lambda wanted: condition if wanted == key else stored(wanted)


def _check_dependents(session: Session, key: str, condition: dict[str, Any] | None) -> None:
    """Whatever names this segment, and whatever names that, can still be written out."""
    waiting, seen = deque([key]), {key}
    while waiting:
        for kind, name, document in _naming(session, waiting.popleft()):
            holder = document.get("audience", {}) if kind == "experiment" else document
            asked = document if kind == "segment" else holder.get("condition")
            try:
                expand_segments(asked or {}, _as_if(session, key, condition), field="condition")
            except Invalid as error:
                raise Conflict(
                    f"{kind} {name!r} names it and could no longer be understood: {error.problems[0].message}",
                    field="condition",
                ) from error
            if kind == "segment" and name not in seen:
                seen.add(name)
                waiting.append(name)


def warnings_of(session: Session, segment: Segment) -> tuple[str, ...]:
    """What may be wrong with the condition of a segment, such as an attribute that no user is known to have."""
    return warnings_about(session, condition=segment.condition or {})


def delete(session: Session, clock: Clock, *, actor: str, key: str) -> None:
    """Forget a segment and its members; raises Conflict while a segment, a rule or an experiment that is not stopped names it."""
    segment_repository.lock_segments(session)
    segment = segment_repository.find_segment(session, key)
    users = used_by(session, key=key)
    if users:
        named = [f"{kind} {name!r}" for kind, name in users[:_NAMED_BY]]
        shown = ", ".join(named) + (", .." if len(users) > _NAMED_BY else "")
        raise Conflict(f"segment {key!r} is named by {shown}; change them first", field="key")
    segment_repository.delete_segment(session, segment)
    _audit(
        session,
        clock,
        actor=actor,
        action="segment.delete",
        subject_key=key,
        before=_audited(segment),
        after=None,
    )


def used_by(session: Session, *, key: str) -> list[tuple[str, str]]:
    """What names a segment, as kind and key: experiments that are not stopped, segments, rules. Raises NotFound."""
    segment_repository.find_segment(session, key)
    return [(kind, name) for kind, name, _ in _naming(session, key)]


def _naming(session: Session, key: str) -> Iterator[tuple[str, str, Any]]:
    for kind, name, document in segment_repository.documents_with(session, key):
        if (kind, name) != ("segment", key) and key in _named_in(document):
            yield kind, name, document


def _named_in(document: Any) -> set[str]:
    """The segments that a JSON document names, wherever in it a condition stands."""
    if isinstance(document, list):
        return {key for part in document for key in _named_in(part)}
    if not isinstance(document, Mapping):
        return set()
    named = {key for part in document.values() for key in _named_in(part)}
    return named | set(read_segments(document.get("$inSegment")) or ())


def segment_id(segment: Segment) -> int:
    """The internal id of a stored segment."""
    assert segment.id is not None  # noqa: S101  # a stored row has an id
    return segment.id


def _audited(segment: Segment) -> dict[str, Any]:
    return {"name": segment.name, "condition": segment.condition}
