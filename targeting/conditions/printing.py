"""A condition as a text that people read and `text.parse_text` reads back with the same meaning."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from experiments.clock import format_duration
from targeting.conditions.grammar import is_plain_name
from targeting.conditions.history import read_event, read_segments
from targeting.conditions.patterns import PATTERNS
from targeting.conditions.values import duration_in_words, is_operator_object, matches_entries_whole

_IT: Final = "it"
_COMPARED: Final = {
    "$eq": "==",
    "$ne": "!=",
    "$lt": "<",
    "$lte": "<=",
    "$gt": ">",
    "$gte": ">=",
    "$veq": "= version",
    "$vne": "!= version",
    "$vlt": "< version",
    "$vlte": "<= version",
    "$vgt": "> version",
    "$vgte": ">= version",
    "$inGroup": "in group",
    "$notInGroup": "not in group",
}
_LISTED: Final = {"$in": "in", "$ini": "in", "$nin": "not in", "$nini": "not in"}
_TIMES: Final = {
    "$gte": "at least",
    "$lte": "at most",
    "$gt": "more than",
    "$lt": "less than",
    "$eq": "exactly",
    "$ne": "not exactly",
    "$in": "one of",
    "$nin": "none of",
}

# How tightly a printed part holds together.
_EITHER, _BOTH, _ONE = range(3)
_Printed = tuple[str, int]


def print_text(condition: dict[str, Any]) -> str:
    """A valid condition as text.

    >>> print_text({"country": {"$in": ["NL", "BR"]}, "last_order": {"$olderThan": "30d"}})
    'country in ("NL", "BR") and last_order older than 30 days'
    """
    return _condition(condition)[0]


def _condition(condition: dict[str, Any]) -> _Printed:
    return _joined([_clause(key, operand) for key, operand in condition.items()], "and")


def _joined(parts: list[_Printed], word: str) -> _Printed:
    if len(parts) < 2:
        return parts[0] if parts else ("everyone", _ONE)
    tightness = _BOTH if word == "and" else _EITHER
    return f" {word} ".join(_bracketed(part, tightness) for part in parts), tightness


def _bracketed(part: _Printed, outside: int) -> str:
    """In brackets, except a single clause, and what is joined by the same word anyway."""
    text, tightness = part
    return text if tightness in {_ONE, outside} else f"({text})"


def _negated(part: _Printed) -> _Printed:
    return ("nobody", _ONE) if part[0] == "everyone" else (f"not {_bracketed(part, _ONE)}", _ONE)


def _clause(key: str, operand: Any) -> _Printed:
    if key == "$not":
        return _negated(_condition(operand))
    if key in {"$and", "$or", "$nor"}:
        parts = [_condition(part) for part in operand]
        joined = _joined(parts, "and" if key == "$and" else "or")
        return _negated(joined) if key == "$nor" else joined
    if key == "$event":
        return _event(operand), _ONE
    if key == "$inSegment":
        keys = ", ".join(_text(one) for one in read_segments(operand) or ())
        return f"in segment {keys if isinstance(operand, str) else f'({keys})'}", _ONE
    return _tests(_name(key), operand)


def _name(name: str) -> str:
    if is_plain_name(name):
        return name
    return "`" + _text(name)[1:-1].replace("`", "\\`") + "`"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tests(subject: str, condition: Any) -> _Printed:
    """One value against operators or a value to be equal to."""
    if not is_operator_object(condition):
        return f"{subject} = {_text(condition)}", _ONE
    return _joined([_test(subject, name, operand) for name, operand in condition.items()], "and")


def _test(subject: str, name: str, operand: Any) -> _Printed:
    if name == "$not":
        return _negated(_tests(subject, operand))
    if name in _COMPARED:
        return f"{subject} {_COMPARED[name]} {_text(operand)}", _ONE
    return _PRINTED[name](subject, name, operand), _ONE


def _listed(subject: str, name: str, values: list[Any]) -> str:
    return f"{subject} {_LISTED[name]} ({', '.join(map(_text, values))}){_case(name)}"


def _case(name: str) -> str:
    return " ignoring case" if name in {"$ini", "$nini", "$alli", "$regexi", "$notRegexi"} else ""


def _contained(subject: str, name: str, entries: list[Any]) -> str:
    shown = [f"({_tests(_IT, entry)[0]})" if is_operator_object(entry) else _text(entry) for entry in entries]
    single = len(shown) == 1 and not is_operator_object(entries[0])
    return f"{subject} contains {shown[0] if single else 'all ' + _bracket(shown)}{_case(name)}"


def _bracket(shown: list[str]) -> str:
    return f"({', '.join(shown)})"


def _aged(subject: str, name: str, duration: str) -> str:
    return f"{subject} {'older' if name == '$olderThan' else 'newer'} than {duration_in_words(duration)}"


def _some_entry(subject: str, _name: str, operand: dict[str, Any]) -> str:
    inner = _tests(_IT, operand) if matches_entries_whole(operand) else _condition(operand)
    return f"any of {subject} where ({inner[0]})"


def _length(subject: str, _name: str, condition: Any) -> str:
    simple = not is_operator_object(condition) or (len(condition) == 1 and "$not" not in condition)
    if simple and (not isinstance(condition, dict) or not condition.keys() & {"$size", "$elemMatch"}):
        return _tests(f"length of {subject}", condition)[0]
    return f"length of {subject} where ({_tests(_IT, condition)[0]})"


def _pattern(subject: str, name: str, pattern: str) -> str:
    verb = "does not match" if name.startswith("$not") else "matches"
    if pattern and "\n" not in pattern:
        escaped = re.sub(r"\\.|/", lambda match: "\\/" if match[0] == "/" else match[0], pattern)
        return f"{subject} {verb} /{escaped}/{'i' if name.endswith('i') else ''}"
    return f"{subject} {verb} {_text(pattern)}{_case(name)}"


def _event(operand: Any) -> str:
    clause = read_event(operand)
    if clause is None:
        raise ValueError("print_text prints valid conditions only")
    words = ["did not do" if clause.happened is False else "did", _text(clause.name)]
    if clause.happened is None:
        bounds = [f"{_TIMES[name]} {_times(bound)}" for name, bound in clause.count.items()]
        words.append(f"{' but '.join(bounds)} times")
    if clause.within is not None:
        words.append(f"within {duration_in_words(format_duration(clause.within))}")
    if clause.properties:
        words.append(f"where ({_condition(clause.properties)[0]})")
    return " ".join(words)


def _times(bound: Any) -> str:
    return f"({', '.join(map(str, bound))})" if isinstance(bound, list) else str(bound)


_PRINTED: Final[dict[str, Callable[[str, str, Any], str]]] = {
    **dict.fromkeys(_LISTED, _listed),
    **dict.fromkeys(("$all", "$alli"), _contained),
    **dict.fromkeys(PATTERNS, _pattern),
    **dict.fromkeys(("$olderThan", "$newerThan"), _aged),
    "$exists": lambda subject, _name, wanted: f"{subject} is {'set' if wanted else 'not set'}",
    "$type": lambda subject, _name, kind: f"{subject} is of type {kind}",
    "$size": _length,
    "$elemMatch": _some_entry,
}
