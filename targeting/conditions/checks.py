"""What is wrong with a condition, said before it is stored: every problem, each with its path inside the condition."""

import difflib
import math
from collections.abc import Callable
from typing import Any, Final

from experiments.clock import parse_duration
from experiments.errors import Problem
from targeting.conditions.history import EVENT_KEYS, MAX_TIMES, read_count, read_segments
from targeting.conditions.patterns import MAX_PATTERN, PATTERNS, compile_pattern, danger
from targeting.conditions.printing import print_text
from targeting.conditions.values import is_number, kind_of, matches_entries_whole, readable

MAX_DEPTH: Final = 20
MAX_NODES: Final = 1_000
MAX_LIST: Final = 10_000
MAX_NAME: Final = 200
"""Characters in one step of an attribute's path, which is as long as the name of an attribute can be."""
MAX_TEXT: Final = 200_000
"""Characters in the text of a condition: whatever else it holds is bounded by this."""

LOGIC: Final = ("$and", "$or", "$nor", "$not")
ABOUT_USERS: Final = ("$event", "$inSegment")
MAX_EVENT_NAME: Final = 200
MAX_SEGMENTS: Final = 50
MAX_SIZE: Final = 2**53
MAX_DIGITS: Final = 300
"""Of a whole number: one that is much longer is infinite wherever numbers are floating."""
KINDS: Final = ("string", "number", "boolean", "array", "object", "null")
SPECIAL_ATTRIBUTES: Final = frozenset({"$groups"})
"""Attributes whose own name begins with a dollar sign, in the GrowthBook language."""


def validate_condition(condition: Any, *, field: str = "audience.condition") -> list[Problem]:
    """The problems of a condition, in reading order; an empty list when it is fine.

    `field` names the condition in the sender's document; the path inside the condition is appended to it, as in
    `audience.condition.$or[1].country.$in`.
    """
    check = _Check()
    check.condition(condition, field, 1)
    if not check.problems and (length := len(print_text(condition))) > MAX_TEXT:
        size = f"a condition's text has at most {MAX_TEXT:,} characters, this one has {length:,}"
        return [Problem(field, f"{size}; use $inSegment for long lists")]
    return check.problems


class _Check:
    """One walk through one condition: it counts as it goes, and stops at the bounds."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._nodes = 0
        # False inside a list entry or an event, where there is no user to ask about.
        self._about_user = True

    def condition(self, condition: Any, field: str, depth: int) -> None:
        if not isinstance(condition, dict):
            self._add(field, f'a condition is an object such as {{"country": "NL"}}, not {_shown(condition)}')
            return
        for key, operand in condition.items():
            here = f"{field}.{_named(key)}"
            if not self._enter(here, depth):
                return
            if not isinstance(key, str):
                self._add(here, f"a name is text, not {_shown(key)}")
            elif key in LOGIC:
                self._logic(key, operand, here, depth)
            elif key in ABOUT_USERS:
                self._history(key, operand, here, depth)
            elif key.startswith("$") and key not in SPECIAL_ATTRIBUTES:
                self._misplaced(key, here)
            elif problem := _path_problem(key):
                self._add(here, problem)
            else:
                self._value(operand, here, depth + 1)

    def _logic(self, key: str, operand: Any, field: str, depth: int) -> None:
        if key == "$not":
            self.condition(operand, field, depth + 1)
        elif isinstance(operand, list):
            for index, part in enumerate(operand):
                self.condition(part, f"{field}[{index}]", depth + 1)
        else:
            self._add(field, f"{key} takes a list of conditions, not {_shown(operand)}")

    def _history(self, key: str, operand: Any, field: str, depth: int) -> None:
        if not self._about_user:
            self._add(field, f"{key} asks about the user, so it has no meaning inside a list or an event")
        elif key == "$inSegment":
            problem = _segment_keys(operand)
            if problem:
                self._add(field, f"$inSegment takes {problem}, not {_shown(operand)}")
        elif not isinstance(operand, dict):
            example = '{"name": "Order Completed", "within": "30d"}'
            self._add(field, f"$event takes an object such as {example}, not {_shown(operand)}")
        else:
            self._event(operand, field, depth)

    def _event(self, event: dict[str, Any], field: str, depth: int) -> None:
        if "name" not in event:
            self._add(f"{field}.name", "is missing: which event?")
        for key, operand in event.items():
            here = f"{field}.{_named(key)}"
            if key == "properties" and operand is not None:
                self._about_user = False
                self.condition(operand, here, depth + 1)
                self._about_user = True
            elif key in _EVENT_PARTS:
                problem = _EVENT_PARTS[key](operand)
                if problem:
                    self._add(
                        here, f"takes {problem}, not {_shown(operand)}" if problem[0] != "!" else problem[1:]
                    )
            elif key != "properties":
                self._add(here, f"$event has no {_named(key)}{_nearest(key, EVENT_KEYS)}")

    def _misplaced(self, key: str, field: str) -> None:
        if key == "$savedGroup":
            self._add(field, "$savedGroup is for features sent to an SDK; name a segment with $inSegment")
        elif key in _OPERANDS:
            self._add(field, f'{key} belongs under an attribute: {{"age": {{"{key}": ..}}}}')
        else:
            self._add(field, f"unknown operator {_named(key)}{_nearest(key, (*LOGIC, *ABOUT_USERS))}")

    def _value(self, value: Any, field: str, depth: int) -> None:
        dollars = [key for key in value if str(key).startswith("$")] if isinstance(value, dict) else []
        if not dollars:
            self._document(value, field, depth)
        elif len(dollars) < len(value):
            self._add(field, "either operators (all keys begin with $) or a value to compare with, not both")
        else:
            self._operators(value, field, depth)

    def _operators(self, operators: dict[str, Any], field: str, depth: int) -> None:
        for name, operand in operators.items():
            here = f"{field}.{_named(name)}"
            if not self._enter(here, depth):
                return
            if name not in _OPERANDS:
                self._add(here, _unknown(name))
                continue
            problem = _OPERANDS[name](operand)
            if problem:
                self._add(
                    here,
                    f"{name} takes {problem}, not {_shown(operand)}" if problem[0] != "!" else problem[1:],
                )
            elif name in {"$not", "$size"}:
                self._value(operand, here, depth + 1)
            elif name in {"$all", "$alli"}:
                for index, entry in enumerate(operand):
                    if isinstance(entry, dict | list):
                        self._value(entry, f"{here}[{index}]", depth + 1)
            elif name == "$elemMatch":
                inner = self._operators if matches_entries_whole(operand) else self.condition
                outside, self._about_user = self._about_user, False
                inner(operand, here, depth + 1)
                self._about_user = outside

    def _document(self, value: Any, field: str, depth: int) -> None:
        """A value to be equal to: any JSON, within the bounds."""
        problem = _scalar_problem(value)
        if problem:
            self._add(field, problem)
        entries = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, entry in entries:
            here = f"{field}.{_named(key)}" if isinstance(value, dict) else f"{field}[{key}]"
            if not self._enter(here, depth):
                return
            if isinstance(value, dict) and not isinstance(key, str):
                self._add(here, f"a name is text, not {_shown(key)}")
            self._document(entry, here, depth + 1)

    def _enter(self, field: str, depth: int) -> bool:
        self._nodes += 1
        if self._nodes == MAX_NODES + 1:
            self._add(field, f"a condition has at most {MAX_NODES} parts; use a segment for long lists")
        if self._nodes > MAX_NODES:
            return False
        if depth > MAX_DEPTH:
            self._add(field, f"a condition is at most {MAX_DEPTH} levels deep")
            return False
        return True

    def _add(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))


def _named(key: Any) -> str:
    """A key as a step of the path of a problem."""
    name = str(key) or '""'
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + ".."


def _path_problem(path: str) -> str | None:
    steps = path.split(".")
    if not all(steps):
        return "an attribute's path has no empty step: write it as plan or as address.city"
    if len(steps) > MAX_DEPTH:
        return f"an attribute's path has at most {MAX_DEPTH} steps, this one has {len(steps):,}"
    if max(map(len, steps)) > MAX_NAME:
        return f"an attribute's name has at most {MAX_NAME} characters, this one has {max(map(len, steps)):,}"
    return _scalar_problem(path)


def _shown(value: Any) -> str:
    return (
        f"{'an' if kind_of(value)[0] in 'ao' else 'a'} {kind_of(value)} ({readable(value)})"
        if value is not None
        else "null"
    )


def _unknown(name: str) -> str:
    if name in {*LOGIC, *ABOUT_USERS}:
        return f"{name} stands beside attributes, not under one"
    return f"unknown operator {_named(name)}{_nearest(name, tuple(_OPERANDS))}"


def _nearest(key: Any, known: tuple[str, ...]) -> str:
    name = _named(key)
    lowered = {operator.lower(): operator for operator in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f"; did you mean {lowered[close[0]]}?" if close else f"; known are {', '.join(known)}"


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number is finite"
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return f"a whole number has at most {MAX_DIGITS} digits"
    if isinstance(value, str) and ("\0" in value or (not value.isprintable() and _has_surrogate(value))):
        return "text has no NUL character and no half of a surrogate pair"
    return None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


# Each says what the operand should have been, None when it is right; a leading "!" marks a whole message.
def _scalar(operand: Any) -> str | None:
    if isinstance(operand, dict | list):
        return "one value (to compare with a list or an object, write it without an operator)"
    problem = _scalar_problem(operand)
    return f"!{problem}" if problem else None


def _bound(operand: Any) -> str | None:
    return _scalar(operand) if isinstance(operand, str) or is_number(operand) else "a number or a text"


def _version(operand: Any) -> str | None:
    return (
        _scalar(operand) if isinstance(operand, str) or is_number(operand) else 'a version such as "2.14.0"'
    )


def _scalars(operand: Any) -> str | None:
    if not isinstance(operand, list):
        return "a list of values"
    if len(operand) > MAX_LIST:
        return f"!a list holds at most {MAX_LIST:,} values; use $inSegment"
    return next((problem for problem in map(_scalar, operand) if problem), None)


def _entries(operand: Any) -> str | None:
    if not isinstance(operand, list):
        return "a list of values"
    return f"!a list holds at most {MAX_LIST:,} values" if len(operand) > MAX_LIST else None


def _group(_operand: Any) -> str:
    return "!saved groups come with the features of an SDK, and there are none here; name a segment with $inSegment"


def _truth(operand: Any) -> str | None:
    return None if isinstance(operand, bool) else "true or false"


def _kind(operand: Any) -> str | None:
    return None if isinstance(operand, str) and operand in KINDS else f"one of {', '.join(KINDS)}"


def _size(operand: Any) -> str | None:
    if isinstance(operand, dict):
        return None
    whole = is_number(operand) and 0 <= operand <= MAX_SIZE and float(operand).is_integer()
    return None if whole else "a whole number of entries, or operators on that number"


def _entry(operand: Any) -> str | None:
    return (
        None
        if isinstance(operand, dict) and operand
        else "operators on an entry, or a condition on its fields"
    )


def _pattern(operand: Any) -> str | None:
    if not isinstance(operand, str):
        return "a regular expression as text"
    if len(operand) > MAX_PATTERN:
        return f"!a regular expression has at most {MAX_PATTERN} characters, this one has {len(operand)}"
    if compile_pattern(operand, ignore_case=False) is None:
        return f"!{readable(operand)} is not a valid regular expression"
    problem = danger(operand)
    return f"!{problem}" if problem else None


def _duration(operand: Any) -> str | None:
    if not isinstance(operand, str):
        return 'a duration such as "60d"'
    try:
        parse_duration(operand)
    except ValueError as error:
        return f"!{error}"
    return None


def _anything(_operand: Any) -> str | None:
    return None


def _event_name(operand: Any) -> str | None:
    if not isinstance(operand, str) or not operand or len(operand) > MAX_EVENT_NAME:
        return f"the name of an event, up to {MAX_EVENT_NAME} characters"
    problem = _scalar_problem(operand)
    return f"!{problem}" if problem else None


def _times(operand: Any) -> str | None:
    if operand is None or read_count(operand) is not None:
        return None
    return f'a whole number of times up to {MAX_TIMES:,}, or comparisons with one such as {{"$gte": 2}}'


def _segment_keys(operand: Any) -> str | None:
    keys = read_segments(operand)
    if not keys or len(keys) > MAX_SEGMENTS or any(map(_scalar_problem, keys)):
        return f"the key of a segment, or a list of up to {MAX_SEGMENTS} keys"
    return None


_EVENT_PARTS: Final[dict[str, Callable[[Any], str | None]]] = {
    "name": _event_name,
    "within": lambda operand: None if operand is None else _duration(operand),
    "count": _times,
}


_OPERANDS: Final[dict[str, Callable[[Any], str | None]]] = {
    **dict.fromkeys(("$eq", "$ne"), _scalar),
    **dict.fromkeys(("$lt", "$lte", "$gt", "$gte"), _bound),
    **dict.fromkeys(("$in", "$nin", "$ini", "$nini"), _scalars),
    **dict.fromkeys(("$inGroup", "$notInGroup"), _group),
    **dict.fromkeys(("$all", "$alli"), _entries),
    "$exists": _truth,
    "$type": _kind,
    "$not": _anything,
    "$size": _size,
    "$elemMatch": _entry,
    **dict.fromkeys(PATTERNS, _pattern),
    **dict.fromkeys(("$veq", "$vne", "$vgt", "$vgte", "$vlt", "$vlte"), _version),
    **dict.fromkeys(("$olderThan", "$newerThan"), _duration),
}
