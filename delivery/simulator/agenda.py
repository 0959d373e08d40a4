"""What is still to happen: a heap by simulated time, with one entry per message or visit under way."""

import heapq
from collections.abc import Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Agenda(Generic[Thing]):
    """Things by due time, in microseconds since 1970; equal times come out in the order in which they went in."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Thing]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def push(self, due: int, thing: Thing) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, thing))

    def extend(self, things: Iterable[tuple[int, Thing]]) -> None:
        """Many at once, in linear time."""
        for due, thing in things:
            self._count += 1
            self._heap.append((due, self._count, thing))
        heapq.heapify(self._heap)

    def pop_due(self, now: int, limit: int) -> list[tuple[int, Thing]]:
        """At most `limit` things whose time has come, earliest first."""
        due: list[tuple[int, Thing]] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            moment, _, thing = heapq.heappop(self._heap)
            due.append((moment, thing))
        return due
