"""A search for regular expressions that cannot explode: no state of it is visited twice.

The pattern becomes a graph. Whether a match can be reached from a node and a place in the text does not depend on how one
came there, so each pair is looked at once: the work is at most the nodes times the length, never exponential. It answers
only whether there is a match, and knows no backreferences.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from targeting.conditions.pattern_cost import LEAVES, LOOKS, OPERATIONS, REPEATS, Item, flags_within, leaf

MAX_NODES: Final = 3_000
MAX_STEPS: Final = 200_000
"""A search that takes more steps gives up: the text does not match."""

_MATCH: Final = 0


class Unwalkable(Exception):
    """The pattern has a backreference, or counts so far that its graph would be too large."""


class Walk:
    """A pattern ready to be searched."""

    __slots__ = ("_entry", "_nodes")

    def __init__(self, parsed: Any) -> None:
        """`parsed` as `pattern_cost.parse` returns it. Raises Unwalkable."""
        self._nodes: list[_Node] = [_Node()]
        self._entry = self._sequence(list(parsed), _MATCH, parsed.state.flags)

    def search(self, text: str) -> bool:
        """Whether the pattern occurs in the text."""
        return self.steps(text)[0]

    def steps(self, text: str) -> tuple[bool, int]:
        """Whether the pattern occurs in the text, and how many steps it took to tell."""
        trail = _Trail(self._nodes, text)
        seen: set[int] = set()
        found = any(trail.reaches(self._entry, start, seen) for start in range(len(text) + 1))
        return found and trail.steps <= MAX_STEPS, trail.steps

    def _sequence(self, items: Sequence[Item], after: int, flags: int) -> int:
        for item in reversed(items):
            after = self._item(item, after, flags)
        return after

    def _item(self, item: Item, after: int, flags: int) -> int:
        operation, arguments = item
        if operation in LEAVES:
            width = 0 if operation is OPERATIONS.AT else 1
            return self._add(_Node(test=leaf(item, flags).match, width=width, ways=(after,)))
        if operation is OPERATIONS.SUBPATTERN:
            return self._sequence(list(arguments[3]), after, flags_within(arguments, flags))
        if operation is OPERATIONS.BRANCH:
            ways = tuple(self._sequence(list(branch), after, flags) for branch in arguments[1])
            return self._add(_Node(ways=ways))
        if operation in REPEATS:
            return self._repeat(arguments, after, flags)
        if operation in LOOKS:
            direction, body = arguments
            return self._add(
                _Node(
                    look=self._sequence(list(body), _MATCH, flags),
                    wanted=operation is OPERATIONS.ASSERT,
                    back=body.getwidth()[0] if direction < 0 else 0,
                    ways=(after,),
                )
            )
        raise Unwalkable

    def _repeat(self, arguments: Any, after: int, flags: int) -> int:
        least, most, body = arguments
        items = list(body)
        if most is OPERATIONS.MAXREPEAT:
            entry = self._add(_Node())
            self._nodes[entry].ways = (self._sequence(items, entry, flags), after)
        else:
            entry = after
            for _ in range(most - least):
                entry = self._add(_Node(ways=(self._sequence(items, entry, flags), after)))
        for _ in range(least):
            entry = self._sequence(items, entry, flags)
        return entry

    def _add(self, node: "_Node") -> int:
        if len(self._nodes) >= MAX_NODES:
            raise Unwalkable
        self._nodes.append(node)
        return len(self._nodes) - 1


class _Node:
    """A test of one character or place, or a look ahead or back, or (with neither) a fork; then `ways` to go on."""

    __slots__ = ("back", "look", "test", "wanted", "ways", "width")

    def __init__(
        self,
        *,
        test: Callable[[str, int], Any] | None = None,
        width: int = 0,
        look: int | None = None,
        wanted: bool = True,
        back: int = 0,
        ways: tuple[int, ...] = (),
    ) -> None:
        self.test, self.width = test, width
        self.look, self.wanted, self.back = look, wanted, back
        self.ways = ways


class _Trail:
    """One search of one text: where it has been, and how many steps it took."""

    def __init__(self, nodes: list[_Node], text: str) -> None:
        self._nodes = nodes
        self._text = text
        self._places = len(text) + 1
        self._looks: dict[tuple[int, int], bool] = {}
        self.steps = 0

    def reaches(self, entry: int, start: int, seen: set[int]) -> bool:
        """Whether a match is reached from here; every pair of node and place that fails is marked in `seen`."""
        todo = [(entry, start)]
        while todo and self.steps <= MAX_STEPS:
            index, place = todo.pop()
            if index == _MATCH:
                return True
            mark = index * self._places + place
            if mark in seen:
                continue
            seen.add(mark)
            self.steps += 1
            node = self._nodes[index]
            if node.test is not None:
                if node.test(self._text, place) is None:
                    continue
                place += node.width
            elif node.look is not None and self._looking(node, place) is not node.wanted:
                continue
            todo.extend((way, place) for way in node.ways)
        return False

    def _looking(self, node: _Node, place: int) -> bool:
        assert node.look is not None  # noqa: S101 - the caller has just asked
        key = (node.look, place)
        if key not in self._looks:
            # Marks of its own: a pair that led to success here must be free to do so again.
            self._looks[key] = place >= node.back and self.reaches(node.look, place - node.back, set())
        return self._looks[key]
