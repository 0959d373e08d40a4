"""The throughput of the number: so many POSTs a second of the machine's own time, since that is what WhatsApp counts."""

import asyncio
from collections.abc import Callable

BURST_SECONDS = 0.05
"""How much unused time may be made up for: enough that timers of the machine cost no throughput, too little to matter."""


class Throughput:
    """Lets `rate` callers a second pass, evenly. `monotonic` gives the machine's time in seconds.

    Not on the `Clock`: a hurried clock does not make WhatsApp faster.
    """

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        self._spacing = 1.0 / rate
        self._monotonic = monotonic
        self._next = monotonic()

    def reserve(self) -> float:
        """Take the next place; returns how many seconds it is away."""
        now = self._monotonic()
        place = max(self._next, now - BURST_SECONDS)
        self._next = place + self._spacing
        return max(0.0, place - now)

    async def wait(self) -> None:
        """Return when it is this caller's turn."""
        delay = self.reserve()
        if delay > 0:
            await asyncio.sleep(delay)
