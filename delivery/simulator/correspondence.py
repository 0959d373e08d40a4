"""What passed between us and each person, as far as WhatsApp's rules ask for it: windows, stops, ignored messages.

Moments are microseconds since 1970 on the simulated clock. What people will do is known when a message is accepted, so it
is noted then, with its moment, and asked for with `now`: the rules hold even while webhooks are held back.
"""

from collections import defaultdict
from dataclasses import dataclass, field

WINDOW = 86_400_000_000
"""24 h: how long an inbound message lets us write freely."""


@dataclass(slots=True)
class _Shelf:
    wrote: list[int] = field(default_factory=list)
    stops: list[tuple[int, bool]] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    noticed: list[int] = field(default_factory=list)


class Correspondence:
    """By wa_id; people who never did anything of note take no room."""

    def __init__(self) -> None:
        self._shelves: defaultdict[str, _Shelf] = defaultdict(_Shelf)

    def wrote(self, wa_id: str, at: int) -> None:
        """The person writes to us at `at`: opens the window, and is a sign of life."""
        self._shelves[wa_id].wrote.append(at)

    def window_open(self, wa_id: str, now: int) -> bool:
        shelf = self._shelves.get(wa_id)
        return shelf is not None and any(at <= now < at + WINDOW for at in shelf.wrote)

    def chose(self, wa_id: str, at: int, *, stop: bool) -> None:
        """The person stops (or resumes) marketing messages in WhatsApp's menu at `at`."""
        self._shelves[wa_id].stops.append((at, stop))

    def stopped(self, wa_id: str, now: int) -> bool:
        """Whether the latest choice up to `now` is stop; a stop and a resume at one moment count in their order."""
        shelf = self._shelves.get(wa_id)
        choices = sorted(shelf.stops, key=lambda choice: choice[0]) if shelf is not None else []
        past = [stop for at, stop in choices if at <= now]
        return bool(past) and past[-1]

    def marketed(self, wa_id: str, delivered: int, noticed: int | None) -> None:
        """A marketing message reaches the person at `delivered`, who reads or clicks it at `noticed`, or never does."""
        shelf = self._shelves[wa_id]
        shelf.got.append(delivered)
        if noticed is not None:
            shelf.noticed.append(noticed)

    def ignored(self, wa_id: str, now: int, window: int) -> int:
        """Marketing messages that reached the person in the last `window` and after the last sign of life."""
        shelf = self._shelves.get(wa_id)
        if shelf is None:
            return 0
        signs = [at for at in (*shelf.noticed, *shelf.wrote) if at <= now]
        since = max(signs, default=now - window)
        # Nothing older than the window is asked for again: the lists stay as short as a week is.
        shelf.got = [at for at in shelf.got if at > now - window]
        shelf.noticed = [at for at in shelf.noticed if at > now - window]
        return sum(max(since, now - window) < at <= now for at in shelf.got)
