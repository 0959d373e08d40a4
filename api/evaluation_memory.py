"""What evaluation remembers between requests, beside the experiments themselves: exposures that are stored, and the payload as bytes."""

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

from targeting.calls import TrackCall
from targeting.payload import Payload

MOST_REMEMBERED: Final = 100_000


class Exposed:
    """Exposures known to be stored, so that telling somebody the same again asks and writes nothing. Threads may share it."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def new(self, calls: Sequence[TrackCall]) -> list[TrackCall]:
        return [call for call in calls if call.message_id not in self._known]

    def add(self, message_ids: Iterable[str]) -> None:
        """Remember some. Full means empty: those in use come back by themselves."""
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known.update(message_ids)


class PayloadShelf:
    """The bytes of the payload as they were last made; made again only when the payload itself is another."""

    def __init__(self) -> None:
        self._made: tuple[Payload, bytes, str] | None = None

    def bytes_of(self, payload: Payload) -> tuple[bytes, str]:
        """The JSON of a payload, and a tag that is the same as long as it says the same."""
        made = self._made
        if made is None or made[0] is not payload:
            document = payload.to_json()
            tag = tag_of(json_bytes({**document, "dateUpdated": None}))
            made = self._made = (payload, json_bytes(document), tag)
        return made[1], made[2]


def tag_of(body: bytes) -> str:
    """An ETag. Weak, because compression on the way may change the bytes."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def json_bytes(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
