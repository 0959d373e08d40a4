"""What a condition may ask beside the attributes of a user: the present, saved groups, events, and lists of users."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One event of a user; its name is the key under which `Scope.events` holds it."""

    at: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What surrounds one user at one moment.

    `allowance` bounds regular expressions inside a list; closures set it themselves. `groups` maps the name of a saved group to its members (a list, or `values.Members` made beforehand);
    `events` the name of an event to its occurrences, in any order; `segments` are the keys of the list segments that
    hold the user. `needs.needs_of` says which of them a condition asks for.
    """

    now: datetime | None = None
    groups: Mapping[str, Any] | None = None
    events: Mapping[str, Sequence[Occurrence]] = field(default_factory=dict)
    segments: Collection[str] = ()
    allowance: "Allowance | None" = None


class Allowance:
    """What searching the texts of one list may still cost: ways for Python's engine, steps for a walk. It is spent."""

    __slots__ = ("steps", "ways")

    def __init__(self, ways: float, steps: int) -> None:
        self.ways = ways
        self.steps = steps


Predicate = Callable[[Any, Scope], bool]
"""(attributes or value, scope) -> whether it matches."""
