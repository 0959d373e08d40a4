"""What happens to users, noted for the rules that wait for it, in the transaction in which it happens.

Every way in calls these two: `note_events` where events are stored, `note_changes` where attributes change. Each costs
one read of an index when no rule waits, which is the common case. What is noted is evaluated by `rules.engine`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from targeting import trigger_repository
from targeting.conditions.values import deep_equal

EVENT: Final = "event:"
ATTRIBUTE: Final = "attribute:"


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """All attributes of one user, as they were (empty for a new user) and as they are."""

    user_pk: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def awaited_events(session: Session) -> frozenset[str]:
    """Names of events that some enabled rule waits for; for callers who can save themselves the trouble of `note_events`."""
    return _awaited(session, EVENT)


def note_events(session: Session, *, events: Iterable[tuple[int, int, str]], now: datetime) -> int:
    """Note new events: (event id, internal user id, name). Returns how many some rule waits for."""
    awaited = _awaited(session, EVENT)
    if not awaited:
        return 0
    rows = [(event_id, user_pk) for event_id, user_pk, name in events if name in awaited]
    trigger_repository.add_events(session, rows, at=now)
    return len(rows)


def note_changes(
    session: Session, *, changes: Iterable[AttributeChange], now: datetime, chain: tuple[int, ...] = ()
) -> int:
    """Note attributes that changed. Returns how many users have a change that some rule waits for.

    `chain` are the ids of the rules that led to these changes; only the engine passes it.
    """
    awaited = _awaited(session, ATTRIBUTE)
    if not awaited:
        return 0
    rows = [
        {"user_pk": change.user_pk, "changes": found, "chain": list(chain) or None, "at": now}
        for change in changes
        if (found := _differences(change, awaited))
    ]
    trigger_repository.add_changes(session, rows)
    return len(rows)


def _awaited(session: Session, kind: str) -> frozenset[str]:
    return frozenset(
        text.removeprefix(kind) for text in trigger_repository.awaited(session) if text.startswith(kind)
    )


def _differences(change: AttributeChange, awaited: frozenset[str]) -> dict[str, Any]:
    return {
        name: {"before": before, "after": after}
        for name in sorted(awaited)
        if not deep_equal(before := change.before.get(name), after := change.after.get(name))
    }
