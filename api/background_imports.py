"""Imports that go on after their answer, a few at a time, each in a thread of its own."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from experiments.errors import TouchstoneError, Unavailable

MOST: Final = 2
"""So many at a time in one process: they write to the same tables, so that more would only wait for each other."""
PATIENCE: Final = 30.0
"""Seconds that the end of the process waits for the batches under way."""

_log: Final = logging.getLogger(__name__)


class BackgroundImports:
    """The imports of this process that are under way."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._places = threading.BoundedSemaphore(most)
        self._threads: set[threading.Thread] = set()

    def begin(self, work: Callable[[Callable[[int], None]], None]) -> int:
        """Begin `work` and return the id that it tells its argument; raises what it raises before that.

        Raises Unavailable while as many as may be are under way. How it ends, it must write down itself.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable(f"{self._most} imports are under way; try again when one of them has ended")
        begun: Future[int] = Future()
        # Not kept from ending by the interpreter: `close` waits, and what is rolled back then was not promised.
        thread = threading.Thread(target=self._run, args=(work, begun), name="import", daemon=True)
        self._threads.add(thread)
        thread.start()
        return begun.result()

    def close(self) -> None:
        """Wait a while for those that are under way, which have been told to end."""
        for thread in tuple(self._threads):
            thread.join(PATIENCE)

    def _run(self, work: Callable[[Callable[[int], None]], None], begun: "Future[int]") -> None:
        try:
            work(begun.set_result)
        # A thread has nobody to raise to: the run has the reason, and the log what nobody foresaw.
        except Exception as error:  # noqa: BLE001  # as said above
            if not begun.done():
                begun.set_exception(error)
            elif not isinstance(error, TouchstoneError):
                _log.exception("an import ended early")
        finally:
            self._places.release()
            self._threads.discard(threading.current_thread())
