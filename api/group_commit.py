"""Group commit: what many requests want to write at the same moment is written in one transaction, and each is
answered after its commit.

A commit that is synced to the disk takes about as long for one row as for a thousand. So one thread takes everything
that waits, writes it, commits, and wakes those who waited; meanwhile the next group gathers. Nobody waits on purpose:
a request that comes alone is a group of one.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlmodel import Session

from experiments.database import Database
from experiments.errors import Unavailable

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WAITING: Final = 20_000
"""How much may wait (in the sizes that callers give); whoever comes then is told to try again."""
MOST_AT_ONCE: Final = 2_000
"""How much goes into one transaction, unless a single item is larger: nobody else can write as long as it runs."""
IDLE_SECONDS: Final = 10.0
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    size: int
    future: "asyncio.Future[Result]"
    loop: asyncio.AbstractEventLoop


class GroupCommitter(Generic[Item, Result]):
    """Writes items of many requests together.

    `write(session, items)` returns one result for each item, in their order; a result that is an exception is raised
    for the one who asked. When it raises, nothing of the group is stored, and each item is written again by itself, so
    that only the one at fault fails. Its thread starts with the first item and ends when nothing has come for a while.
    """

    def __init__(
        self,
        database: Database,
        write: Callable[[Session, Sequence[Item]], Sequence[Result | Exception]],
        *,
        most_waiting: int = MOST_WAITING,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._database = database
        self._write = write
        self._most_waiting = most_waiting
        self._most_at_once = most_at_once
        self._changed = threading.Condition()
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    async def commit(self, item: Item, *, size: int = 1) -> Result:
        """Write an item; returns when it is durable. Raises Unavailable when too much waits, and what `write` says of it."""
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Item, Result] = _Waiting(item, size, loop.create_future(), loop)
        with self._changed:
            if self._closed or (self._queue and self._size + size > self._most_waiting):
                raise Unavailable("more is being written than the database keeps up with; try again")
            self._queue.append(waiting)
            self._size += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()
        return await waiting.future

    def close(self) -> None:
        """Write what waits, and take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._answer(group, self._write_group(group))

    def _next_group(self) -> list[_Waiting[Item, Result]]:
        """Everything that waits, up to a size; empty when this thread is no longer needed."""
        with self._changed:
            while not self._queue:
                if (self._closed or not self._changed.wait(IDLE_SECONDS)) and not self._queue:
                    # Whoever comes now starts a new thread: both happen under the same lock.
                    self._thread = None
                    return []
            group = [self._queue.popleft()]
            size = group[0].size
            while self._queue and size + self._queue[0].size <= self._most_at_once:
                group.append(self._queue.popleft())
                size += group[-1].size
            self._size -= size
        return group

    def _write_group(self, group: Sequence[_Waiting[Item, Result]]) -> Sequence[Result | Exception]:
        try:
            return self._commit_all([waiting.item for waiting in group])
        except Exception as error:  # noqa: BLE001  # it is raised in the request that it belongs to
            if len(group) == 1 and not isinstance(error, Unavailable):
                return [error]
        return [self._write_alone(waiting.item) for waiting in group]

    def _write_alone(self, item: Item) -> Result | Exception:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._commit_all([item])[0]
            except Unavailable as error:
                if attempt == _ATTEMPTS:
                    return error
            except Exception as error:  # noqa: BLE001  # as above
                return error
        raise AssertionError("the last attempt returns")

    def _commit_all(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        with self._database.transaction() as session:
            return self._write(session, items)

    @staticmethod
    def _answer(group: Sequence[_Waiting[Item, Result]], results: Sequence[Result | Exception]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result | Exception]]] = {}
        for waiting, result in zip(group, results, strict=True):
            by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_wake, answers)
            except RuntimeError:
                _log.warning(
                    "%s writes are stored, and nobody waits for their answers any more", len(answers)
                )


def _wake(answers: "Sequence[tuple[asyncio.Future[Result], Result | Exception]]") -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
