"""Keeps answers about delivery that took long, so that watching never costs more than a part of the time.

Counting takes milliseconds for a small outbox and a second for one of millions. What took less than `SLOW` is counted anew at
each call; what took longer is kept for `KEPT` times as long as it took. Each answer says of when it is (`at`).
"""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sqlmodel import Session

from delivery.watch.operations import Overview, overview
from delivery.watch.today import Today, today
from experiments.clock import Clock
from experiments.settings import Settings

SLOW: Final = 0.5
"""Seconds."""
KEPT: Final = 20
MAX_KEYS: Final = 100

Counted = TypeVar("Counted")


class _Memory(Generic[Counted]):
    """What was counted, by a name. `monotonic` gives the machine's time in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: dict[str | None, tuple[float, Counted]] = {}

    def get(self, name: str | None, count: Callable[[], Counted]) -> Counted:
        """What `count` gives, or gave a moment ago."""
        began = self._monotonic()
        kept = self._kept.get(name)
        if kept is not None and began < kept[0]:
            return kept[1]
        counted = count()
        ended = self._monotonic()
        self._kept.pop(name, None)
        if ended - began >= SLOW and len(self._kept) < MAX_KEYS:
            self._kept[name] = (ended + KEPT * (ended - began), counted)
        return counted


class Overviews:
    """Overviews of delivery, by experiment, and delivery at a glance."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._whole = _Memory[Overview](monotonic)
        self._glance = _Memory[Today](monotonic)

    def get(self, session: Session, clock: Clock, *, settings: Settings, key: str | None = None) -> Overview:
        """As `overview`, or the answer of a moment ago."""
        return self._whole.get(key, lambda: overview(session, clock, settings=settings, key=key))

    def glance(self, session: Session, clock: Clock, *, settings: Settings) -> Today:
        """As `today`, or the answer of a moment ago."""
        return self._glance.get(None, lambda: today(session, clock, settings=settings))
