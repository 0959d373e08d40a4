"""Regular expressions in conditions: written for JavaScript, run by Python, and bounded in time whatever they are.

`pattern_cost` bounds in how many ways Python's engine could read a text. Where that bound is small the engine
searches; where it is not, `pattern_walk` does, which is slower and never explodes. Neither sees a text longer
than `MAX_SUBJECT`: it does not match.
"""

import re
from functools import lru_cache
from typing import Final

from targeting.conditions.pattern_cost import ENDLESS, Ways, parse, ways_of
from targeting.conditions.pattern_walk import Unwalkable, Walk
from targeting.conditions.scope import Allowance

PATTERNS: Final = ("$regex", "$regexi", "$notRegex", "$notRegexi")
"""The operators whose operand is a pattern."""

MAX_PATTERN: Final = 500
MAX_SUBJECT: Final = 4_096
"""Longer text is not searched: it does not match."""
MAX_WAYS: Final = 2_000_000
"""Ways that Python's engine may try in one text; it tries some ten million in a second."""

LIST_STEPS: Final = 400_000
"""Steps of walks in all texts of one list; `MAX_WAYS` holds for all of them together too. Beyond, none matches."""

MOST_ALIKE: Final = 10_000
MOST_OPEN: Final = 6
"""Bounds on `Ways.factor` and `Ways.degree` of a pattern that is not dangerous."""

# Becomes an empty look ahead, which keeps the parser of Python from merging a|b into one set: other engines do not, and
# to them (\d|1)+ is as bad as (a+)+.
_END: Final = "\0"
_LENGTHS: Final = (4_096, 2_048, 1_024, 512, 256, 128, 96, 64, 48, 32, 24, 16, 12, 8, 4)

# In JavaScript these are ASCII, except white space.
_SPACES: Final = r"\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_NO_SPACES: Final = (
    r"\x00-\x08\x0e-\x1f!-\x9f\xa1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e\u2030-\u205e\u2060-\u2fff"
    r"\u3001-\ufefe\uff00-\U0010ffff"
)
_CLASSES: Final = {
    "d": "0-9",
    "D": r"\x00-/:-\U0010ffff",
    "w": "A-Za-z0-9_",
    "W": r"\x00-/:-@\[-\^`{-\U0010ffff",
    "s": _SPACES,
    "S": _NO_SPACES,
}
_ANCHORS: Final = {"b": r"(?a:\b)", "B": r"(?a:\B)"}
_SAME_IN_PYTHON: Final = frozenset("fnrtvxu0123456789")
_OUTSIDE: Final = {"$": r"\Z", ".": r"[^\n\r\u2028\u2029]"}
# Python reads pairs of these as set operations of the future.
_ESCAPED_INSIDE: Final = frozenset("[&~|")
_TOKEN: Final = re.compile(
    r"(?P<reference>\\k<(?P<name>[A-Za-z_]\w*)>)|(?P<escape>\\.)|(?P<named>\(\?<(?=[A-Za-z_]))"
    r"|(?P<set>\[\^?\]?)|(?P<brace>\{(?!\d+(?:,\d*)?\}))|(?P<pair>(?<=-)-)|(?P<other>.)",
    re.DOTALL,
)


class Pattern:
    """A pattern ready to be searched, with a bound on what that can cost."""

    __slots__ = ("_compiled", "_fast_up_to", "_parsed", "_walk", "ways")

    def __init__(self, translated: str, flags: int) -> None:
        """`translated` bears a mark at the end of each alternative. Raises re.error, OverflowError or RecursionError when it is not a valid pattern."""
        self._compiled = re.compile(translated.replace(_END, ""), flags)
        parsed = parse(translated.replace(_END, "(?=)"), flags)
        if parsed.state.flags & ~(re.IGNORECASE | re.UNICODE):
            # JavaScript knows no (?m) at the start of a pattern.
            raise re.error("flags inside the pattern")
        self.ways: Ways = ways_of(parsed)
        self._fast_up_to = _fast_up_to(self.ways)
        self._parsed = parsed
        self._walk: Walk | None = None
        if self._fast_up_to < MAX_SUBJECT:
            self._walk = self._make_walk()

    def _make_walk(self) -> Walk | None:
        try:
            return Walk(self._parsed)
        except Unwalkable:
            return None

    def most_ways(self, text: str) -> float:
        """In how many ways Python's engine may have to read a text; 0 when it is not asked."""
        length = len(text)
        return (length + 1) * self.ways.among(length) if length <= self._fast_up_to else 0

    def search(self, text: str) -> bool:
        """Whether the pattern occurs in the text."""
        if len(text) <= self._fast_up_to:
            return self._compiled.search(text) is not None
        return self._walk is not None and len(text) <= MAX_SUBJECT and self._walk.search(text)

    def search_within(self, text: str, allowance: Allowance) -> bool:
        """`search`, as long as the allowance lasts: what the engine may no longer read is walked, then nothing matches."""
        length = len(text)
        if length <= self._fast_up_to:
            ways = self.most_ways(text)
            if ways <= allowance.ways:
                allowance.ways -= ways
                return self._compiled.search(text) is not None
            if self._walk is None:
                self._walk = self._make_walk()
        if self._walk is None or length > MAX_SUBJECT or allowance.steps <= 0:
            return False
        found, steps = self._walk.steps(text)
        allowance.steps -= steps
        return found


def has_pattern(operand: object) -> bool:
    """Whether an operand holds a pattern somewhere."""
    if isinstance(operand, dict):
        return not operand.keys().isdisjoint(PATTERNS) or any(map(has_pattern, operand.values()))
    return isinstance(operand, list) and any(map(has_pattern, operand))


def compile_pattern(pattern: object, *, ignore_case: bool) -> Pattern | None:
    """The pattern with the meaning it has in JavaScript; None when it is not a valid one, or too long."""
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN or _END in pattern:
        return None
    return _compiled(pattern, ignore_case)


@lru_cache(maxsize=1_024)
def _compiled(pattern: str, ignore_case: bool) -> Pattern | None:
    try:
        return Pattern(_translate(pattern), re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError):
        return None


def search(pattern: Pattern, text: str, allowance: Allowance | None = None) -> bool:
    """Whether the pattern occurs in the text; inside a list, as long as its allowance lasts."""
    return pattern.search(text) if allowance is None else pattern.search_within(text, allowance)


def for_a_list() -> Allowance:
    """What searching all texts of one list, with all patterns in its clause, may cost: some tenths of a second."""
    return Allowance(MAX_WAYS, LIST_STEPS)


def danger(pattern: str) -> str | None:
    """Why a (valid) pattern may run for ever elsewhere; None when it cannot.

    Here it would only be slow, but the same condition is also sent to SDKs, whose engines have no such bound.
    """
    compiled = compile_pattern(pattern, ignore_case=False)
    if compiled is None:
        return None
    if compiled.ways == ENDLESS:
        return f"a repeated group in which one text can be read in more than one way can take for ever: {pattern}"
    if compiled.ways.factor > MOST_ALIKE or compiled.ways.degree > MOST_OPEN:
        return f"so many choices that begin alike can take for ever together: {pattern}"
    return None


def _fast_up_to(ways: Ways) -> int:
    """The longest text for which the engine of Python needs no more than `MAX_WAYS`, from all starts together."""
    return next((n for n in _LENGTHS if (n + 1) * ways.among(n) <= MAX_WAYS), 0)


def _translate(pattern: str) -> str:
    translated: list[str] = []
    in_set = False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["reference"]:
            text = f"(?P={token['name']})"
        elif token["escape"]:
            text = _escape(text, in_set=in_set)
        elif in_set:
            in_set = not text.endswith("]")
            text = r"\-" if token["pair"] else "".join(map(_inside, text))
        elif token["named"]:
            text = "(?P<"
        elif token["brace"]:
            text = r"\{"
        elif token["set"]:
            in_set = not text.endswith("]")
            text = {"[]": "(?!)", "[^]": r"[\s\S]"}.get(text, text)
        elif text in {"|", ")"}:
            text = _END + text
        else:
            text = _OUTSIDE.get(text, text)
        translated.append(text)
    return "".join([*translated, _END])


def _inside(character: str) -> str:
    return f"\\{character}" if character in _ESCAPED_INSIDE else character


def _escape(text: str, *, in_set: bool) -> str:
    letter = text[1]
    if letter in _CLASSES:
        return _CLASSES[letter] if in_set else f"[{_CLASSES[letter]}]"
    if letter in _ANCHORS:
        return (r"\x08" if letter == "b" else "B") if in_set else _ANCHORS[letter]
    # Any other letter stands for itself; Python gives some of them a meaning.
    return letter if letter.isalpha() and letter not in _SAME_IN_PYTHON else text
