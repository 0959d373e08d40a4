"""JSON that is really JSON: what Python's reader lets through and no database takes is refused."""

import json
import math
import re
from typing import Any, Final

from experiments.mistakes import path_of

MAX_DEPTH: Final = 60
STEPS_SHOWN: Final = 20
NAME_SHOWN: Final = 200
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}:,]', re.DOTALL)


class TooDeepError(json.JSONDecodeError):
    """Valid JSON, but deeper than `MAX_DEPTH`. `path`: the first steps of the way down."""

    def __init__(self, body: bytes) -> None:
        self.path = _way_down(body)
        super().__init__(f"nested more than {MAX_DEPTH} levels deep at {self.path} ..", "", 0)


def read_json(body: bytes) -> Any:
    """JSON as the standard has it; raises json.JSONDecodeError (`TooDeepError`), which the web framework turns into a 422."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise TooDeepError(body) from error
    except UnicodeDecodeError as error:
        raise _refusal("not UTF-8 text") from error
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise
        raise _refusal("a number has too many digits") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise TooDeepError(body)
    if b"\\u" in body:
        text = json.dumps(value, ensure_ascii=False)
        if "\\u0000" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise _refusal("holds a NUL character or half of a surrogate pair")
    return value


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


def _refusal(message: str) -> json.JSONDecodeError:
    return json.JSONDecodeError(message, "", 0)


def _refuse_constant(name: str) -> float:
    raise _refusal(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _refusal(f"the number {text[:20]} is too large")
    return value


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
