"""JSON that is really JSON: what Python's reader lets through and no database takes is refused."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

from experiments.mistakes import path_of

MAX_DEPTH: Final = 60
STEPS_SHOWN: Final = 20
NAME_SHOWN: Final = 200
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}:,]', re.DOTALL)


_PERHAPS_UNSTORABLE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""NUL, and halves of characters: also those that come in pairs, and an escaped backslash in front of what only looks so."""
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
MOST_DIGITS: Final = 4000


class UnfitError(json.JSONDecodeError):
    """JSON with something in it that is none, or that no database takes. `path`: where; empty for the body itself. `msg`: what it is or does."""

    def __init__(self, path: str, words: str) -> None:
        self.path = path
        super().__init__(words, "", 0)

    def __str__(self) -> str:
        return f"{self.path} {self.msg}".lstrip()


class TooDeepError(json.JSONDecodeError):
    """Valid JSON, but deeper than `MAX_DEPTH`. `path`: the first steps of the way down."""

    def __init__(self, body: bytes) -> None:
        self.path = _way_down(body)
        super().__init__(f"nested more than {MAX_DEPTH} levels deep at {self.path} ..", "", 0)


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """Stands where something stood that is no number, until its place is known."""

    words: str


def read_json(body: bytes) -> Any:
    """JSON as the standard has it; raises json.JSONDecodeError (`UnfitError`, `TooDeepError`), which the web framework turns into a 422."""
    unfit: list[_NoNumber] = []
    try:
        value = _read(body, unfit)
    except RecursionError as error:
        raise TooDeepError(body) from error
    except UnicodeDecodeError as error:
        raise UnfitError("", "is not UTF-8 text") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise TooDeepError(body)
    if unfit or _PERHAPS_UNSTORABLE.search(body):
        _refuse_unfit(value, ())
    if unfit:  # a name that came twice has hidden it
        raise UnfitError("", unfit[0].words)
    return value


def _read(body: bytes, unfit: list[_NoNumber]) -> Any:
    def no_number(words: str) -> _NoNumber:
        unfit.append(_NoNumber(words))
        return unfit[-1]

    def constant(name: str) -> _NoNumber:
        return no_number(f"is {name}, which is not a JSON number")

    def finite(text: str) -> float | _NoNumber:
        value = float(text)
        return value if math.isfinite(value) else no_number(f"is {text[:20]}, a number that is too large")

    def whole(text: str) -> int | _NoNumber:
        return int(text) if len(text) <= MOST_DIGITS else no_number("is a number of too many digits")

    try:
        return json.loads(body, parse_constant=constant, parse_float=finite)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        # Python makes no number of so many digits. Read again in the slower way, which tells where it is.
        return json.loads(body, parse_constant=constant, parse_float=finite, parse_int=whole)


def _refuse_unfit(value: Any, place: tuple[int | str, ...]) -> None:
    """Raise UnfitError, naming the place, when there is something in `value` that is no number, or a text that no database takes."""
    if isinstance(value, _NoNumber):
        raise UnfitError(path_of(place), value.words)
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise UnfitError(path_of(place), "holds a NUL character or half of a surrogate pair")
    if isinstance(value, dict):
        for name, inner in value.items():
            if _UNSTORABLE.search(name):
                raise UnfitError(
                    path_of(place), "has a name with a NUL character or half of a surrogate pair in it"
                )
            _refuse_unfit(inner, (*place, name[:NAME_SHOWN]))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_unfit(inner, (*place, index))


def _way_down(body: bytes) -> str:
    """The first steps of the path to where the body is too deep. What is that deep cannot be parsed, so it is only scanned."""
    steps: list[str | int] = []
    key: str | None = None
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in {b"{", b"["}:
            if len(steps) == MAX_DEPTH:
                break
            steps.append(0 if text == b"[" else "")
        elif text in {b"}", b"]"}:
            steps[-1:] = []
        elif text == b"," and steps and isinstance(steps[-1], int):
            steps[-1] += 1
        elif text == b":" and steps and key is not None:
            steps[-1] = key
        else:
            key = text[1:-1].decode(errors="replace")[:NAME_SHOWN]
    return path_of(tuple(steps[:STEPS_SHOWN]))


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            waiting += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            waiting += [(child, depth + 1) for child in item]
    return deepest
