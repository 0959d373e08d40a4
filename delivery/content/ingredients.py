"""What a message may be made of beside the user: their latest events, and what content sources said. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class LatestEvent:
    """The latest event of one name of a user."""

    at: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What content sources said for one message.

    `values`: source -> what it gave, or its fallback; None where it knows nothing of this user. `fallbacks`: sources
    whose fallback stands in. `unavailable`: sources that did not answer and have no fallback, so the message must wait.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()


NOTHING_FETCHED: Final = Fetched()
