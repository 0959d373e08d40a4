"""A condition in plain English, for people who check what they are about to send."""

import re
from typing import Any, Final

from experiments.clock import format_duration
from targeting.conditions.history import read_event, read_segments
from targeting.conditions.values import (
    duration_in_words,
    is_operator_object,
    matches_entries_whole,
    readable,
)

_LISTED: Final = 6
_TIMES: Final = {
    "$gte": "at least",
    "$lte": "at most",
    "$gt": "more than",
    "$lt": "fewer than",
    "$eq": "exactly",
    "$ne": "not exactly",
}
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
    "$notRegex": "does not match the pattern {}",
    "$notRegexi": "does not match the pattern {}, whatever the case",
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
    return _either(condition["$or"]) if condition.keys() == {"$or"} else _phrase(condition)


def _phrase(condition: dict[str, Any]) -> str:
    return " and ".join(_clause(key, operand) for key, operand in condition.items()) or "everyone"


def _clause(key: str, operand: Any) -> str:
    if key == "$and" and isinstance(operand, list):
        return " and ".join(map(_grouped, operand)) or "everyone"
    if key == "$or" and isinstance(operand, list):
        return f"({_either(operand)})" if len(operand) > 1 else _either(operand)
    if key == "$nor" and isinstance(operand, list):
        return f"not ({_either(operand)})"
    if key == "$not" and isinstance(operand, dict):
        return _negated(operand)
    if key == "$event":
        return _event(operand)
    return _in_segments(operand, wanted=True) if key == "$inSegment" else _value(key, operand)


def _either(conditions: list[Any]) -> str:
    if len(conditions) == 1:
        return _phrase(conditions[0])
    return " or ".join(map(_grouped, conditions)) or "everyone"


def _negated(condition: dict[str, Any]) -> str:
    if condition.keys() == {"$inSegment"}:
        return _in_segments(condition["$inSegment"], wanted=False)
    clause = read_event(condition["$event"]) if condition.keys() == {"$event"} else None
    if clause is not None and len(clause.count) == 1:
        ((name, bound),) = clause.count.items()
        return _event({**condition["$event"], "count": {_OPPOSITES[name]: bound}})
    return f"not ({describe(condition)})" if condition else "nobody"


def _grouped(part: dict[str, Any]) -> str:
    """In brackets when it says more than one thing."""
    return f"({_phrase(part)})" if _says_more(part) else _phrase(part)


def _says_more(part: dict[str, Any]) -> bool:
    if len(part) != 1:
        return len(part) > 1
    ((key, operand),) = part.items()
    return len(operand) > 1 if key == "$and" or (key[0] != "$" and is_operator_object(operand)) else False


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
        inner = _value("it", operand) if matches_entries_whole(operand) else _grouped(operand)
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


_OPPOSITES: Final = {
    one: other
    for pair in (("$gte", "$lt"), ("$gt", "$lte"), ("$eq", "$ne"), ("$in", "$nin"))
    for one, other in (pair, pair[::-1])
}


def _event(operand: Any) -> str:
    clause = read_event(operand)
    if clause is None:
        return f"$event {_shown(operand)}"
    ever = clause.within is None
    words = [
        "has never done"
        if clause.happened is False and ever
        else "has not done"
        if clause.happened is False
        else "has done"
    ]
    words.append(_event_name(clause.name))
    if clause.happened is None:
        words.append(" and ".join(_times(name, bound) for name, bound in clause.count.items()))
    if clause.within is not None:
        window = duration_in_words(format_duration(clause.within))
        words.append(f"in the last {window.removeprefix('1 ')}")
    if clause.properties:
        words.append(f"where {_grouped(clause.properties)}")
    return " ".join(words)


def _event_name(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d][\w :/.-]*", name) else readable(name)


def _times(name: str, bound: Any) -> str:
    if isinstance(bound, list):
        listed = _listed(bound, "or")
        return f"{listed} times" if name == "$in" else f"a number of times other than {listed}"
    return f"{_TIMES[name]} {'once' if bound == 1 else f'{bound} times'}"


def _in_segments(operand: Any, *, wanted: bool) -> str:
    keys = read_segments(operand) or ()
    return f"is {'' if wanted else 'not '}in segment {_listed(list(keys), 'or')}"


def _duration(text: Any) -> str:
    try:
        return duration_in_words(text)
    except (ValueError, AttributeError):
        return _shown(text)
