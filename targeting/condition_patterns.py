"""Regular expressions in conditions: written for JavaScript, run by Python, and refused when they could run for ever."""

import re
from typing import Final

MAX_PATTERN: Final = 500
MAX_SUBJECT: Final = 4_096
"""Longer text is not searched: it does not match."""

# In JavaScript \d and \w are ASCII and $ is the very end of the text.
_ESCAPES: Final = {"d": "[0-9]", "D": "[^0-9]", "w": "[A-Za-z0-9_]", "W": "[^A-Za-z0-9_]"}
_ESCAPES_IN_CLASS: Final = {"d": "0-9", "w": "A-Za-z0-9_"}
_TOKEN: Final = re.compile(
    r"(?P<reference>\\k<(?P<name>[A-Za-z_]\w*)>)|(?P<escape>\\.)|(?P<named>\(\?<(?=[A-Za-z_]))|(?P<other>.)",
    re.DOTALL,
)
_QUANTIFIER: Final = re.compile(r"[*+?]|\{(?P<least>\d+)(?P<comma>,(?P<most>\d*))?\}")


def compile_pattern(pattern: object, *, ignore_case: bool) -> re.Pattern[str] | None:
    """The Python pattern with the meaning of a JavaScript one; None when it is not a valid pattern."""
    if not isinstance(pattern, str):
        return None
    try:
        return re.compile(_translate(pattern), re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError):
        return None


def search(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern occurs in the text."""
    return len(text) <= MAX_SUBJECT and pattern.search(text) is not None


def _translate(pattern: str) -> str:
    translated: list[str] = []
    in_class = False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["reference"]:
            text = f"(?P={token['name']})"
        elif token["escape"]:
            text = (_ESCAPES_IN_CLASS if in_class else _ESCAPES).get(text[1], text)
        elif in_class:
            in_class = text != "]"
            text = "\\[" if text == "[" else text
        elif token["named"]:
            text = "(?P<"
        elif text == "[":
            in_class = True
        elif text == "$":
            text = r"\Z"
        translated.append(text)
    return "".join(translated)


def danger(pattern: str) -> str | None:
    """Why a pattern may take exponential time; None when nothing in it can.

    A repeated group is refused when it holds a repetition itself, as in `(a+)+`, or alternatives that do not differ
    in their first character, as in `(a|ab)*`: either way one text can be matched in exponentially many ways.
    """
    # One frame per open group: where it starts, whether it holds a repetition, the first characters of its branches.
    frames: list[_Frame] = [_Frame(0)]
    position = 0
    closed: _Frame | None = None
    while position < len(pattern):
        quantifier = _QUANTIFIER.match(pattern, position)
        if quantifier:
            problem = _check_repetition(pattern, quantifier, frames[-1], closed)
            if problem:
                return problem
            position, closed = quantifier.end(), None
            if pattern[position : position + 1] == "?":
                position += 1
            continue
        closed = None
        if pattern[position] == "(":
            frames[-1].note(None)
            frames.append(_Frame(position))
            position += _opening(pattern, position)
            continue
        if pattern[position] == ")" and len(frames) > 1:
            closed = frames.pop()
            frames[-1].repeats = frames[-1].repeats or closed.repeats
            frames[-1].ambiguous = frames[-1].ambiguous or closed.is_ambiguous()
            position += 1
            continue
        end = _atom_end(pattern, position)
        frames[-1].note(pattern[position:end])
        position = end
    return None


class _Frame:
    """What is known of a group while it is read."""

    __slots__ = ("ambiguous", "firsts", "fresh", "repeats", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.repeats = False
        self.ambiguous = False
        self.firsts: list[str | None] = []
        self.fresh = True

    def note(self, atom: str | None) -> None:
        if atom == "|":
            if self.fresh:
                self.firsts.append(None)
            self.fresh = True
        elif self.fresh:
            self.firsts.append(atom)
            self.fresh = False

    def is_ambiguous(self) -> bool:
        """Alternatives that may begin alike: only distinct plain characters are known to differ."""
        branches = [*self.firsts, None] if self.fresh else self.firsts
        if len(branches) < 2:
            return self.ambiguous
        plain = [
            first.lower() for first in branches if first is not None and (len(first) == 1 and first != ".")
        ]
        return self.ambiguous or len(plain) < len(branches) or len(set(plain)) < len(plain)


def _check_repetition(
    pattern: str, quantifier: "re.Match[str]", frame: _Frame, closed: _Frame | None
) -> str | None:
    most = quantifier["most"] if quantifier["comma"] else quantifier["least"]
    once = quantifier[0] == "?" or most in {"0", "1"}
    if closed is not None and not once:
        group = pattern[closed.start : quantifier.end()]
        if closed.repeats:
            return f"a repetition inside a repeated group can take for ever: {group}"
        if closed.is_ambiguous():
            return f"alternatives that begin alike inside a repeated group can take for ever: {group}"
    fixed = quantifier["least"] is not None and not quantifier["comma"]
    frame.repeats = frame.repeats or not fixed
    return None


def _opening(pattern: str, position: int) -> int:
    """The length of what opens a group: `(`, `(?:`, `(?=`, `(?<name>` .."""
    match = re.compile(r"\((?:\?(?:P?<[A-Za-z_]\w*>|<?[:=!]))?").match(pattern, position)
    return len(match[0]) if match else 1


def _atom_end(pattern: str, position: int) -> int:
    if pattern[position] == "\\":
        return position + 2
    if pattern[position] == "[":
        match = re.compile(r"\[\^?(?:\\.|[^\]\\])*\]?", re.DOTALL).match(pattern, position)
        return match.end() if match else position + 1
    return position + 1
