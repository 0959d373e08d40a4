"""One user's story: what they did, what was sent to them and what they agreed to, on one line of time. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from dashboard.calls.users import ConsentWord, Event, Standing
from dashboard.texts import say, told

Kind = Literal["event", "message", "consent", "assignment"]
KINDS: Final[tuple[Kind, ...]] = ("event", "message", "consent", "assignment")
STAGES: Final = ("accepted_at", "delivered_at", "read_at", "clicked_at", "failed_at")
"""The moments of a message that are told; the others are steps between."""
WITHOUT_TIME: Final = frozenset({"suppressed", "expired", "cancelled", "planned", "claimed"})
"""Of a message that never went out only the moment is known at which it was due."""
MOST_SHOWN: Final = 300
"""Longest properties of an event that are shown, in characters."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something at a moment: `words` say what, `details` more about it."""

    at: datetime
    kind: Kind
    words: str
    details: str = ""


def merged(
    events: Sequence[Event],
    consents: Sequence[ConsentWord],
    standings: Sequence[Standing],
    *,
    after: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Everything between two moments (from `after` on, before `until`; None: without end), the latest first.

    Events are given page by page: all of those that are given are told, and of the rest what happened in their time.
    """
    happened = [
        Entry(event.at, "event", event.name, properties(event.properties)) for event in events if event.at
    ]
    others = [*_consents(consents), *(entry for each in standings for entry in _of_standing(each))]
    within = [
        entry
        for entry in others
        if (after is None or entry.at >= after) and (until is None or entry.at < until)
    ]
    return sorted(happened + within, key=lambda entry: entry.at, reverse=True)


def properties(found: Mapping[str, Any]) -> str:
    """Properties of an event in one line.

    >>> properties({"revenue": 12.5, "items": ["a"]})
    'revenue: 12.5, items: ["a"]'
    """
    text = ", ".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in found.items()
    )
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + ".."


def _consents(consents: Iterable[ConsentWord]) -> Iterator[Entry]:
    for word in consents:
        if word.at is not None:
            said = "users.story.granted" if word.granted else "users.story.withdrawn"
            category = told("common.category", word.category)
            yield Entry(word.at, "consent", say(said, category=category), word.source)


def _of_standing(standing: Standing) -> Iterator[Entry]:
    if standing.variant and standing.assigned_at is not None:
        words = say("users.story.assigned", experiment=standing.experiment, variant=standing.variant)
        yield Entry(standing.assigned_at, "assignment", words)
    for message in standing.messages:
        about = say("users.story.message", experiment=standing.experiment, step=message.step + 1)
        told_of = [(name, message.times[name]) for name in STAGES if name in message.times]
        for name, at in told_of:
            last = name == told_of[-1][0]
            stage = told("users.stage", name.removesuffix("_at"))
            yield Entry(at, "message", f"{about}: {stage}", message.reason if last else "")
        if not told_of and message.state in WITHOUT_TIME and message.due_at is not None:
            state = told("users.message_state", message.state)
            yield Entry(message.due_at, "message", f"{about}: {state}", message.because)
