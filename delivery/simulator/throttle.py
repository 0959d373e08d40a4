"""The throughput limit of a number: a token bucket in real time, since that is what a sender's speed is measured in."""


class Throttle:
    """Passes `rate` messages per second, with room for `room` seconds' worth at once; None passes everything."""

    def __init__(self, rate: float | None, *, room: float = 1.0) -> None:
        self._rate = rate
        self._room = max(1.0, (rate or 0.0) * room)
        self._tokens = self._room
        self._then: float | None = None

    def refuses(self, now: float) -> bool:
        """Whether a message at `now`, in seconds of a clock that never goes back, is one too many."""
        if self._rate is None:
            return False
        passed = 0.0 if self._then is None else now - self._then
        self._then = now
        self._tokens = min(self._room, self._tokens + passed * self._rate)
        return self._tokens < 1

    def take(self) -> None:
        """A message was accepted. Those that are refused, for whatever reason, take no room."""
        self._tokens -= 1

    def admit(self, now: float) -> bool:
        """Ask and, if it may pass, count."""
        if self.refuses(now):
            return False
        self.take()
        return True
