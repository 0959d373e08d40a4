"""What every message of a sender came to: how often it was POSTed, how often accepted, and its end. The judge of doubles."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LONGEST_PAGE = 10_000
_RANK = {"accepted": 0, "held": 0, "sent": 1, "delivered": 2, "read": 3, "failed": 4}


@dataclass(slots=True)
class Accepted:
    """One accepted message, and how far it has been told to have come; `unanswered`: its sender was not told the wamid."""

    wamid: str
    state: str = "accepted"
    code: int | None = None
    unanswered: bool = False

    def reach(self, state: str, code: int | None) -> None:
        """A status was told; in whatever order, the furthest one stays."""
        if _RANK[state] > _RANK[self.state]:
            self.state, self.code = state, code


@dataclass(slots=True)
class Entry:
    """All POSTs with one `biz_opaque_callback_data` (None: a POST without one)."""

    callback_data: str | None
    posts: int = 0
    refused: dict[str, int] | None = None
    messages: list[Accepted] = field(default_factory=list)

    def refuse(self, why: str) -> None:
        if self.refused is None:
            self.refused = {}
        self.refused[why] = self.refused.get(why, 0) + 1

    def told(self) -> dict[str, Any]:
        return {
            "callback_data": self.callback_data,
            "posts": self.posts,
            "accepted": len(self.messages),
            "refused": self.refused or {},
            "messages": [
                {"wamid": one.wamid, "state": one.state, "code": one.code, "unanswered": one.unanswered}
                for one in self.messages
            ],
        }


class Ledger:
    """Entries in the order in which they first came."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._order: list[Entry] = []
        self.posts = 0
        self.accepted = 0
        self.most_posts = 0
        self.most_accepted = 0

    def post(self, callback_data: str | None) -> tuple[str, Entry]:
        """Count a POST; returns its key for draws, and its entry."""
        # Without an id of the sender's every POST is a message of its own.
        key = callback_data if callback_data is not None else f"\0{len(self._order)}"
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(callback_data)
            self._order.append(entry)
        entry.posts += 1
        self.posts += 1
        self.most_posts = max(self.most_posts, entry.posts)
        return key, entry

    def accept(self, entry: Entry, message: Accepted) -> None:
        entry.messages.append(message)
        self.accepted += 1
        self.most_accepted = max(self.most_accepted, len(entry.messages))

    def find(self, callback_data: str) -> Entry | None:
        return self._entries.get(callback_data)

    def page(self, after: int, limit: int) -> dict[str, Any]:
        """Entries from position `after` on, at most `limit`, and where the next page begins (None: nowhere).

        The first page also has the totals of everything.
        """
        shown = [entry.told() for entry in self._order[after : after + limit]]
        end = after + len(shown)
        page = {"data": shown, "next": end if end < len(self._order) else None}
        return page if after else page | {"totals": self.totals()}

    def totals(self) -> dict[str, Any]:
        """Sums over everything, in one walk; `doubled`: messages that were accepted more than once."""
        states: Counter[str] = Counter()
        doubled = unanswered = 0
        for entry in self._order:
            doubled += len(entry.messages) > 1
            for message in entry.messages:
                states[message.state] += 1
                unanswered += message.unanswered
        return {
            "entries": len(self._order),
            "posts": self.posts,
            "accepted": self.accepted,
            "doubled": doubled,
            "unanswered": unanswered,
            "states": dict(states),
        }
