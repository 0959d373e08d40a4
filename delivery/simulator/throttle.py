"""The throughput limit of a number: a token bucket in real time, since that is what a sender's speed is measured in."""


class Throttle:
    """Admits `rate` messages per second, with room for one second's worth at once; None admits everything."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._room = max(1.0, rate or 0.0)
        self._tokens = self._room
        self._then: float | None = None

    def admit(self, now: float) -> bool:
        """Whether one more message may pass at `now`, in seconds of a clock that never goes back."""
        if self._rate is None:
            return True
        passed = 0.0 if self._then is None else now - self._then
        self._then = now
        self._tokens = min(self._room, self._tokens + passed * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
