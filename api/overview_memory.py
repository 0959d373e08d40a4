"""Keeps answers about delivery that took long, so that watching never costs more than a part of the time.

Counting takes milliseconds for a small outbox and a second for one of millions. What took less than `SLOW` is counted anew at
each call; what took longer is kept for `KEPT` times as long as it took. Each answer says of when it is (`at`).
"""

import time
from collections.abc import Callable
from typing import Final

from sqlmodel import Session

from delivery.watch.operations import Overview, overview
from experiments.clock import Clock
from experiments.settings import Settings

SLOW: Final = 0.5
"""Seconds."""
KEPT: Final = 20
MAX_KEYS: Final = 100


class Overviews:
    """Overviews of delivery, by experiment. `monotonic` gives the machine's time in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[str | None, tuple[float, Overview]] = {}

    def get(self, session: Session, clock: Clock, *, settings: Settings, key: str | None = None) -> Overview:
        """As `overview`, or the answer of a moment ago."""
        began = self._monotonic()
        until, kept = self._kept.get(key, (began, None))
        if kept is not None and began < until:
            return kept
        counted = overview(session, clock, settings=settings, key=key)
        ended = self._monotonic()
        self._kept.pop(key, None)
        if ended - began >= SLOW and len(self._kept) < MAX_KEYS:
            self._kept[key] = (ended + KEPT * (ended - began), counted)
        return counted
