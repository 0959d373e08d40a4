"""The throughput of the number: so many POSTs a second of the machine's own time, since that is what WhatsApp counts."""

import asyncio
from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 0.05
"""How much unused time may be made up for, and so how many go at once: enough that timers of the machine cost no throughput,
too little to matter to WhatsApp."""


class Throughput:
    """Lets `rate` messages a second pass, a few at a time. `monotonic` gives the machine's time in seconds.

    Not on the `Clock`: a hurried clock does not make WhatsApp faster.
    """

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        self._spacing = 1.0 / rate
        self._monotonic = monotonic
        self._next = monotonic()

    @property
    def rate(self) -> float:
        return 1.0 / self._spacing

    @rate.setter
    def rate(self, rate: float) -> None:
        self._spacing = 1.0 / rate

    def free_in(self, wanted: int) -> tuple[int, float]:
        """How many of `wanted` messages may pass together, at least one, and in how many seconds."""
        now = self._monotonic()
        first = max(self._next, now - BURST_SECONDS)
        most = min(wanted, 1 + int(BURST_SECONDS / self._spacing))
        return most, max(0.0, first + (most - 1) * self._spacing - now)

    def take(self, number: int) -> None:
        """`number` messages pass now."""
        self._next = max(self._next, self._monotonic() - BURST_SECONDS) + number * self._spacing

    async def wait(self, wanted: int) -> int:
        """Return when it is the turn of some of `wanted` messages, and of how many; they are still to be taken."""
        places, delay = self.free_in(wanted)
        if delay > 0:
            await asyncio.sleep(delay)
        return places
