"""Reserved messages are POSTed: each once, in groups that go out together, as fast as the number and the connections allow.

A group begins behind the gate (`delivery/gate.py`). A message has begun when the client has been asked to send it: its bytes
are on their way, or a connection for them is being made.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from delivery.fuses.outcomes import Answered, Outcome, Withheld, stops_number
from delivery.sending.gate import Look
from delivery.sending.reserving import Begun
from delivery.sending.throughput import Throughput
from delivery.whatsapp.client import SendOutcome, Unknown
from delivery.whatsapp.payloads import OutgoingMessage
from targeting.user_repository import RACED

_log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 1.0
"""How long a message waits for somebody else to let go of its person; then it is planned again."""
PAUSE_SECONDS: Final = 0.005
GATE_TRIES: Final = 3


class Sender(Protocol):
    """What is needed of the client; never raises for trouble of the network or the server."""

    async def send(self, message: OutgoingMessage) -> SendOutcome: ...

    async def close(self) -> None: ...


Gate = Callable[[Sequence[Begun]], AbstractContextManager[Look]]
Pending = asyncio.Future[Answered]


class Posting:
    """At most `concurrency` POSTs under way. After an answer that stops the number, what has not begun is withheld, until
    `stopped` is taken back.
    """

    def __init__(self, client: Sender, gate: Gate, throughput: Throughput, *, concurrency: int) -> None:
        self._client = client
        self._gate = gate
        self._throughput = throughput
        self._concurrency = concurrency
        self._under_way = 0
        self._wanted = 0
        self._room_again = asyncio.Event()
        self._to_begin = 0
        self._fewer_to_begin = asyncio.Event()
        self._failures = 0
        self.stopped = False

    async def begin(self, batch: Sequence[Begun]) -> list[Pending]:
        """Begin to POST the messages of the batch, in order; returns when the last one has begun or is withheld.

        The answers come in the order of the batch. A message that could not begin, because its person or the database was
        busy for too long, is withheld as well.
        """
        try:
            return await self._begin(batch)
        finally:
            self._still_to_begin(0)

    async def nearly_begun(self, left: int) -> None:
        """Return when at most `left` messages of the batch, if there is one, are still to begin."""
        while self._to_begin > left:
            self._fewer_to_begin.clear()
            await self._fewer_to_begin.wait()

    def _still_to_begin(self, number: int) -> None:
        self._to_begin = number
        self._fewer_to_begin.set()

    async def _begin(self, batch: Sequence[Begun]) -> list[Pending]:
        pending: dict[int, Pending] = {}
        waiting = deque(batch)
        late = time.monotonic() + PATIENCE_SECONDS
        self._failures = 0
        while waiting:
            self._still_to_begin(len(waiting))
            await self._room(min(len(waiting), max(1, self._concurrency // 2)))
            places = await self._throughput.wait(min(len(waiting), self._concurrency - self._under_way))
            if self.stopped or self._failures == GATE_TRIES:
                pending |= {item.story.id: _withheld(item, "slow_down") for item in waiting}
                break
            group = [waiting.popleft() for _ in range(places)]
            again = await self._begin_together(group, pending)
            if again and time.monotonic() > late:
                pending |= {item.story.id: _withheld(item, "busy") for item in again}
            elif again:
                waiting.extend(again)
                await asyncio.sleep(PAUSE_SECONDS)
        return [pending[item.story.id] for item in batch]

    async def _begin_together(self, group: Sequence[Begun], pending: dict[int, Pending]) -> Sequence[Begun]:
        """Begin those that may; returns those to be asked about again."""
        try:
            with self._gate(group) as look:
                for item in look.goes:
                    pending[item.story.id] = asyncio.create_task(self._post(item))
                self._under_way += len(look.goes)
                self._throughput.take(len(look.goes))
                if look.goes:
                    # One pass of the loop begins each of them, a second one lets the client write what it has begun.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        except RACED as error:
            _log.warning("the gate is asked again: %s", type(error).__name__)
            self._failures += 1
            return [item for item in group if item.story.id not in pending]
        self._failures = 0
        pending |= {item.story.id: _withheld(item, reason) for item, reason in look.stays}
        return look.busy

    async def _post(self, item: Begun) -> Answered:
        try:
            outcome: Outcome = await self._client.send(item.message)
        except Exception as error:  # noqa: BLE001  # it tells nothing about whether the message went out
            _log.error("sending ended in an unforeseen error", exc_info=error)
            outcome = Unknown(type(error).__name__)
        finally:
            self._under_way -= 1
            if self._concurrency - self._under_way >= self._wanted:
                self._room_again.set()
        self.stopped = self.stopped or stops_number(outcome)
        return Answered(item.story, item.message.to, outcome)

    async def _room(self, wanted: int) -> None:
        """Return when so many more POSTs may be under way."""
        self._wanted = wanted
        while self._concurrency - self._under_way < wanted:
            self._room_again.clear()
            await self._room_again.wait()


def _withheld(item: Begun, reason: str) -> Pending:
    answer: Pending = asyncio.get_running_loop().create_future()
    answer.set_result(Answered(item.story, item.message.to, Withheld(reason)))
    return answer
