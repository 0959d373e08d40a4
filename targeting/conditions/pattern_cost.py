"""How many ways of backtracking a regular expression can take: what tells a harmless pattern from one that never ends.

A choice costs nothing when the next character decides it: in `[a-z]+,` only a comma ends the word, so there is one way to
read any text. Where both ways begin alike, as in `.*a`, every length has to be tried: d such repetitions in a row read n
characters in up to C(n + d, d) ways. One inside another, as in `(a+)+`, doubles the ways with every character.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# The parser of `re` has no public name; asking it is the one way to see the pattern that `re` will run.
from re import IGNORECASE, Pattern, _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

Item = tuple[Any, Any]
"""One operation of a parsed pattern, and its arguments."""

OPERATIONS: Final[Any] = _constants
"""The names that the parser gives to operations."""
LEAVES: Final = frozenset(
    {_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT}
)
REPEATS: Final = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT})
LOOKS: Final = frozenset({_constants.ASSERT, _constants.ASSERT_NOT})

_ASCII: Final = 128
_OTHER: Final = 1 << _ASCII
_ANYTHING: Final = (_OTHER << 1) - 1
_FEW: Final = 8
_FOLDS_BEYOND_ASCII: Final = "kKsSiI"


@dataclass(frozen=True, slots=True)
class Ways:
    """At most `factor` * C(n + degree, degree) ways to read n characters; `factor` may be infinite."""

    factor: float
    degree: int

    def times(self, other: "Ways") -> "Ways":
        return Ways(self.factor * other.factor, self.degree + other.degree)

    def among(self, length: int) -> float:
        """How many they are for a text of this length."""
        return self.factor * math.comb(length + self.degree, self.degree)


_ONE: Final = Ways(1, 0)
_COMPARED: Final = Ways(1, 1)
ENDLESS: Final = Ways(math.inf, 0)


def ways_of(parsed: Any) -> Ways:
    """The ways to read text from one position, of a pattern as `parse` returns it."""
    return _in_sequence(list(parsed), 0, parsed.state.flags)


def parse(pattern: str, flags: int) -> Any:
    """The pattern as `re` parses it; raises what `re.compile` raises."""
    return _parser.parse(pattern, flags)


@lru_cache(maxsize=4_096)
def _leaf(text: str, item: Item, flags: int) -> Pattern[str]:
    state = _parser.State()
    state.flags = flags
    compiled: Pattern[str] = _compiler.compile(_parser.SubPattern(state, [item]), flags)
    del text
    return compiled


def leaf(item: Item, flags: int) -> Pattern[str]:
    """One operation as a pattern of its own: exactly what `re` does with it."""
    operation, arguments = item
    frozen = tuple(arguments) if isinstance(arguments, list) else arguments
    return _leaf(f"{item}", (operation, frozen), flags)


def flags_within(arguments: Any, flags: int) -> int:
    """The flags inside a group."""
    _group, added, removed, _body = arguments
    return int((flags | added) & ~removed)


def _in_sequence(items: Sequence[Item], follow: int, flags: int) -> Ways:
    total = _ONE
    for item in reversed(items):
        total = total.times(_of_item(item, follow, flags))
        first, nullable = _first_of(item, flags)
        follow = first | (follow if nullable else 0)
    return total


def _of_item(item: Item, follow: int, flags: int) -> Ways:
    operation, arguments = item
    if operation in LEAVES or operation is _constants.GROUPREF:
        return _ONE if operation in LEAVES else _COMPARED
    if operation is _constants.SUBPATTERN:
        return _in_sequence(list(arguments[3]), follow, flags_within(arguments, flags))
    if operation is _constants.BRANCH:
        return _of_branches(arguments[1], follow, flags)
    if operation in LOOKS:
        return _in_sequence(list(arguments[1]), 0, flags)
    return _of_repeat(arguments, follow, flags) if operation in REPEATS else ENDLESS


def _of_branches(branches: Sequence[Any], follow: int, flags: int) -> Ways:
    seen, empty, alike = 0, False, False
    ways = []
    for branch in branches:
        first, nullable = _first(list(branch), flags)
        first |= follow if nullable else 0
        alike = alike or bool(seen & first) or (empty and nullable)
        seen, empty = seen | first, empty or nullable
        ways.append(_in_sequence(list(branch), follow, flags))
    factors = [one.factor for one in ways]
    return Ways(sum(factors) if alike else max(factors), max(one.degree for one in ways))


def _of_repeat(arguments: Any, follow: int, flags: int) -> Ways:
    least, most, body = arguments
    items = list(body)
    first, nullable = _first(items, flags)
    ways = _in_sequence(items, follow | (first if most > 1 else 0), flags)
    decided = least == most or not (nullable or first & follow)
    if most <= 1:
        return ways if decided else Ways(ways.factor + 1, ways.degree)
    if nullable or ways != _ONE:
        return ENDLESS
    if decided:
        return _ONE
    return Ways(most - least + 1, 0) if most - least < _FEW else Ways(1, 1)


def _first(items: Sequence[Item], flags: int) -> tuple[int, bool]:
    """The characters that may come first, as a set of bits (one for all beyond ASCII), and whether none may come."""
    characters = 0
    for item in items:
        first, nullable = _first_of(item, flags)
        characters |= first
        if not nullable:
            return characters, False
    return characters, True


def _first_of(item: Item, flags: int) -> tuple[int, bool]:
    operation, arguments = item
    if operation is _constants.AT:
        # Nothing comes after the end.
        return 0, arguments is not _constants.AT_END_STRING
    if operation in LEAVES:
        return _characters(item, flags), False
    if operation is _constants.SUBPATTERN:
        return _first(list(arguments[3]), flags_within(arguments, flags))
    if operation is _constants.BRANCH:
        firsts = [_first(list(branch), flags) for branch in arguments[1]]
        return _union(first for first, _ in firsts), any(nullable for _, nullable in firsts)
    if operation in REPEATS:
        first, nullable = _first(list(arguments[2]), flags)
        return first, nullable or arguments[0] == 0
    return (0, True) if operation in LOOKS else (_ANYTHING, True)


def _union(sets: Any) -> int:
    union = 0
    for one in sets:
        union |= one
    return union


def _characters(item: Item, flags: int) -> int:
    return _characters_of(leaf(item, flags), _may_be_beyond_ascii(item))


@lru_cache(maxsize=4_096)
def _characters_of(one: Pattern[str], beyond_ascii: bool) -> int:
    matches, flags = one.match, one.flags
    characters = sum(1 << code for code in range(_ASCII) if matches(chr(code)))
    folds = bool(flags & IGNORECASE) and any(characters >> ord(letter) & 1 for letter in _FOLDS_BEYOND_ASCII)
    return characters | (_OTHER if folds or beyond_ascii else 0)


def _may_be_beyond_ascii(item: Item) -> bool:
    operation, arguments = item
    if operation is _constants.LITERAL:
        return bool(arguments >= _ASCII)
    if operation is not _constants.IN:
        return True
    return not all(
        (kind is _constants.LITERAL and value < _ASCII) or (kind is _constants.RANGE and value[1] < _ASCII)
        for kind, value in arguments
    )
