"""The port: open, or closed for a while because the fault plan or a test says so, so that connections are refused."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from delivery.simulator.fault_plan import FaultPlan
from experiments.clock import Clock, from_micros

_SECOND: Final = 1_000_000
SHORTEST: Final = 0.02
"""Seconds of real time: how exactly the clock is followed. A hurried clock may pass a whole refusal in less."""
LONGEST: Final = 1.0
"""Seconds of real time after which the clock is looked at again, whatever it promised."""


class Door:
    """`shut`, when a server sets it, closes its port for so many seconds of real time."""

    def __init__(self, plan: FaultPlan, clock: Clock) -> None:
        self.shut: Callable[[float], None] = lambda _: None
        self._plan = plan
        self._clock = clock
        self.begin(0)

    def begin(self, zero: int) -> None:
        """Count the plan's seconds from `zero` (microseconds since 1970), and its POSTs from none."""
        self._zero = zero
        self._until = 0.0
        self._by_posts = {int(step.start): step.seconds for step in self._plan.refusals("posts")}

    @property
    def closed(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    def close(self, seconds: float) -> None:
        """Nobody listens for so many seconds of real time."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)
        self.shut(seconds)

    def close_soon(self, seconds: float) -> None:
        """The same, once the answer that is being given is on its way."""
        asyncio.get_running_loop().call_later(SHORTEST, self.close, seconds)

    def answered(self, posts: int) -> None:
        """That many POSTs have come."""
        if self._by_posts and (seconds := self._by_posts.pop(posts, None)) is not None:
            self.close_soon(seconds)

    async def keep(self) -> None:
        """Close when the plan says so, by the simulated clock."""
        for step in self._plan.refusals("seconds"):
            for moment, closing in ((step.start, False), (step.end, True)):
                while (wait := self._real_until(moment)) > 0:
                    if closing:
                        self.close(wait + SHORTEST)
                    await asyncio.sleep(wait)

    def _real_until(self, elapsed: float) -> float:
        """Real seconds until so much simulated time has passed, within what the clock can be trusted; 0: it has."""
        left = from_micros(self._zero + round(elapsed * _SECOND)) - self._clock.now()
        if left <= timedelta(0):
            return 0.0
        return min(LONGEST, max(SHORTEST, self._clock.real_seconds(left)))
