"""A condition in plain English, for people who check what they are about to send."""

import re
from typing import Any, Final

from targeting.condition_values import is_operator_object, matches_entries_whole, readable

_LISTED: Final = 6
_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_KINDS: Final = {
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "unknown",
}

# How an operator with one plain value reads.
_PHRASES: Final = {
    "$eq": "is {}",
    "$ne": "is not {}",
    "$lt": "is less than {}",
    "$lte": "is at most {}",
    "$gt": "is more than {}",
    "$gte": "is at least {}",
    "$inGroup": "is in the group {}",
    "$notInGroup": "is not in the group {}",
    "$regex": "matches the pattern {}",
    "$regexi": "matches the pattern {}, whatever the case",
    "$veq": "is version {}",
    "$vne": "is not version {}",
    "$vgt": "is a version after {}",
    "$vgte": "is version {} or later",
    "$vlt": "is a version before {}",
    "$vlte": "is version {} or earlier",
}
# How an operator with a list reads: the phrase, and the word before the last value.
_LISTS: Final = {
    "$in": ("is {}", "or"),
    "$nin": ("is none of {}", "and"),
    "$ini": ("is {} (whatever the case)", "or"),
    "$nini": ("is none of {} (whatever the case)", "and"),
    "$all": ("has all of {}", "and"),
    "$alli": ("has all of {} (whatever the case)", "and"),
}


def describe(condition: dict[str, Any]) -> str:
    """The condition as one English phrase.

    >>> describe({"country": {"$in": ["NL", "BR"]}, "last_order_at": {"$olderThan": "60d"}})
    'country is NL or BR and last_order_at is older than 60 days'
    """
    clauses = [_clause(key, operand) for key, operand in condition.items()]
    return " and ".join(clauses) or "everyone"


def _clause(key: str, operand: Any) -> str:
    if key in {"$and", "$or", "$nor"} and isinstance(operand, list):
        parts = [
            describe(part) if len(operand) == 1 else _grouped(part)
            for part in operand
            if isinstance(part, dict)
        ]
        if key == "$nor":
            return f"not ({' or '.join(parts) or 'everyone'})"
        if key == "$and":
            return " and ".join(parts) or "everyone"
        return f"({' or '.join(parts)})" if len(parts) > 1 else "".join(parts) or "everyone"
    if key == "$not" and isinstance(operand, dict):
        return f"not ({describe(operand)})"
    return _value(key, operand)


def _grouped(part: dict[str, Any]) -> str:
    """In brackets when it says more than one thing."""
    return f"({describe(part)})" if len(part) > 1 else describe(part)


def _value(subject: str, condition: Any) -> str:
    if is_operator_object(condition):
        return " and ".join(_operator(subject, name, operand) for name, operand in condition.items())
    return f"{subject} is unknown" if condition is None else f"{subject} is {_shown(condition)}"


def _operator(subject: str, name: str, operand: Any) -> str:
    if name in _LISTS and isinstance(operand, list):
        phrase, word = _LISTS[name]
        return f"{subject} {phrase.format(_listed(operand, word))}"
    if name == "$exists":
        return f"{subject} is {'known' if operand else 'unknown'}"
    if operand is None and name in {"$eq", "$ne"}:
        return f"{subject} is {'unknown' if name == '$eq' else 'known'}"
    if name in _PHRASES:
        return f"{subject} {_PHRASES[name].format(_shown(operand))}"
    return _special(subject, name, operand)


def _special(subject: str, name: str, operand: Any) -> str:
    if name in {"$olderThan", "$newerThan"}:
        return f"{subject} is {'older' if name == '$olderThan' else 'newer'} than {_duration(operand)}"
    if name == "$type":
        return f"{subject} is {_KINDS.get(operand, f'a {operand}')}"
    if name == "$not":
        return f"not ({_value(subject, operand)})"
    if name == "$size":
        return _value(f"the number of entries of {subject}", operand)
    if name == "$elemMatch" and isinstance(operand, dict):
        inner = _value("it", operand) if matches_entries_whole(operand) else describe(operand)
        return f"{subject} has an entry of which {inner}"
    return f"{subject} {name} {_shown(operand)}"


def _shown(value: Any) -> str:
    return "unknown" if value is None else readable(value)


def _listed(values: list[Any], word: str) -> str:
    shown = [
        _shown(value) if not isinstance(value, dict) else f"one that {_value('', value).strip()}"
        for value in values
    ]
    if len(shown) > _LISTED:
        return f"{', '.join(shown[:_LISTED])} {word} {len(shown) - _LISTED} more"
    if len(shown) < 2:
        return shown[0] if shown else "nothing"
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}"


def _duration(text: Any) -> str:
    match = re.fullmatch(r"\s*([\d.]+)\s*([smhdw])\s*", text) if isinstance(text, str) else None
    if match is None:
        return _shown(text)
    return f"{match[1]} {_UNITS[match[2]]}{'' if match[1] == '1' else 's'}"
