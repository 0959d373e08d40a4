"""What each form of the grammar of conditions means: the parser calls one method as soon as a form is complete."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lark import Token, Transformer

from experiments.clock import format_duration, parse_duration
from targeting.conditions.history import EventClause, read_count
from targeting.conditions.values import is_operator_object, matches_entries_whole

MAX_DEPTH: Final = 100
_TYPES: Final = {"text": "string", "list": "array"}
_PATTERNS: Final = {"MATCHES": "$regex", "DOES_NOT_MATCH": "$notRegex"}
_ORDERS: Final = {"LESS": "$lt", "AT_LATEST": "$lte", "MORE": "$gt", "AT_FIRST": "$gte"}
_VERSIONS: Final = {
    "EQUALS": "$veq",
    "DIFFERS": "$vne",
    "LESS": "$vlt",
    "AT_LATEST": "$vlte",
    "MORE": "$vgt",
    "AT_FIRST": "$vgte",
}
_COUNTS: Final = {
    "AT_LEAST": "$gte",
    "AT_MOST": "$lte",
    "MORE_THAN": "$gt",
    "LESS_THAN": "$lt",
    "EXACTLY": "$eq",
    "NOT_EXACTLY": "$ne",
    "ONE_OF": "$in",
    "NONE_OF": "$nin",
}


class Meaningless(Exception):
    """Something well-formed that means nothing."""

    def __init__(self, token: Token, message: str) -> None:
        super().__init__(f"line {token.line}, column {token.column}: {' '.join(message.split())}")


@dataclass(frozen=True, slots=True)
class Part:
    """What one stretch of the text says: of users (or fields), or, written with `it`, of one value by itself."""

    condition: Any
    of_value: bool
    at: Token
    depth: int = 1


def _deeper(parts: Sequence[Part], at: Token) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise Meaningless(at, "is nested too deep")
    return depth


def _operators(value: Any) -> dict[str, Any]:
    """A test of one value as a set of operators; `$not` twice wraps a plain value."""
    return value if is_operator_object(value) else {"$not": {"$not": value}}


def _conjunction(conditions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One object that says all of them; what its names do not allow goes under `$and`."""
    joined: dict[str, Any] = {}
    rest: list[Any] = []
    for condition in conditions:
        for key, operand in condition.items():
            if key == "$and":
                rest.extend(operand)
            elif key not in joined:
                joined[key] = operand
            elif key[0] != "$" and _compatible(joined[key], operand):
                joined[key] = joined[key] | operand
            else:
                rest.append({key: operand})
    return {**joined, "$and": rest} if rest else joined


def _compatible(left: Any, right: Any) -> bool:
    return is_operator_object(left) and is_operator_object(right) and not left.keys() & right.keys()


def _values(children: Sequence[Any]) -> list[Any]:
    return [child for child in children if not isinstance(child, Token)]


def _without_case(children: Sequence[Any]) -> bool:
    return isinstance(children[-1], Token) and children[-1].type == "IGNORING_CASE"


def _json_text(token: Token, quote: str) -> str:
    """A quoted text, whose escapes are those of JSON, and its own quote."""

    def as_json(match: "re.Match[str]") -> str:
        escaped = match[0]
        return quote if escaped == "\\" + quote and quote != '"' else '\\"' if escaped == '"' else escaped

    body = token[1:-1] if quote == '"' else re.sub(r'\\.|"', as_json, token[1:-1], flags=re.DOTALL)
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        raise Meaningless(token, f'{token} is no text: after \\ stands one of " \\ / b f n r t u') from None


class Reader(Transformer):
    """One method for each form of the grammar, called as soon as the form is complete."""

    def start(self, children: list[Any]) -> Part:
        part: Part = children[0]
        if part.of_value:
            raise Meaningless(part.at, "`it` is one entry of a list: it stands only behind `where`")
        return part

    def either(self, children: list[Any]) -> Part:
        parts = self._alike(_values(children))
        if len(parts) == 1:
            return parts[0]
        if parts[0].of_value:
            raise Meaningless(
                parts[1].at, "`or` cannot join tests of `it`; write `it in (..)`, or the whole clause twice"
            )
        branches = [
            branch
            for part in parts
            for branch in (part.condition["$or"] if part.condition.keys() == {"$or"} else [part.condition])
        ]
        return Part({"$or": branches}, of_value=False, at=parts[0].at, depth=_deeper(parts, parts[0].at))

    def both(self, children: list[Any]) -> Part:
        parts = self._alike(_values(children))
        if len(parts) == 1:
            return parts[0]
        depth = max(part.depth for part in parts)
        if not parts[0].of_value:
            return Part(_conjunction([part.condition for part in parts]), False, parts[0].at, depth)
        joined: dict[str, Any] = {}
        for part in parts:
            operators = _operators(part.condition)
            if joined.keys() & operators.keys():
                raise Meaningless(
                    part.at, "the same comparison of `it` twice; write `it not in (..)`, or two clauses"
                )
            joined |= operators
        return Part(joined, True, parts[0].at, depth)

    def _alike(self, parts: list[Part]) -> list[Part]:
        for part in parts:
            if part.of_value is not parts[0].of_value:
                raise Meaningless(
                    part.at, "write either of `it`, the entry itself, or of its fields, not of both"
                )
        return parts

    def negated(self, children: list[Any]) -> Part:
        token, part = children
        condition = part.condition
        if not part.of_value and condition.keys() == {"$or"}:
            condition = {"$nor": condition["$or"]}
        else:
            condition = {"$not": condition}
        return Part(condition, part.of_value, token, _deeper([part], token))

    def plain(self, children: list[Any]) -> Part:
        part: Part = children[0]
        return part

    def group(self, children: list[Any]) -> Part:
        part: Part = children[1]
        return part

    def everyone(self, children: list[Any]) -> Part:
        return Part({}, False, children[0])

    def nobody(self, children: list[Any]) -> Part:
        return Part({"$not": {}}, False, children[0])

    def subject(self, children: list[Any]) -> Token:
        token: Token = children[0]
        return token if token.type != "QUOTED" else token.update(value=_json_text(token, "`"))

    def tested(self, children: list[Any]) -> Part:
        subject, test = children
        return self._about(subject, test, depth=1)

    def _about(self, subject: Token, test: Any, *, depth: int) -> Part:
        if subject.type == "IT":
            return Part(test, True, subject, depth)
        if isinstance(test, dict) and test.keys() == {"$not"}:
            return Part({"$not": {str(subject): test["$not"]}}, False, subject, depth)
        return Part({str(subject): test}, False, subject, depth)

    def length(self, children: list[Any]) -> Part:
        _word, subject, test = children
        return self._about(subject, {"$size": test}, depth=1)

    def length_where(self, children: list[Any]) -> Part:
        _word, subject, where, part = children
        if not part.of_value:
            raise Meaningless(
                where, "a length has no fields: write of `it`, as in length of tags where (it > 2)"
            )
        return self._about(subject, {"$size": part.condition}, depth=_deeper([part], where))

    def any_entry(self, children: list[Any]) -> Part:
        _word, subject, where, part = children
        wanted = part.condition
        if part.of_value:
            wanted = _operators(wanted)
        elif not wanted or matches_entries_whole(wanted):
            # Alone, `$not` would be read as a test of the entry itself.
            wanted = {"$and": [wanted] if wanted else []}
        return self._about(subject, {"$elemMatch": wanted}, depth=_deeper([part], where))

    def did(self, children: list[Any]) -> Part:
        return Part({"$event": children[1]}, False, children[0])

    def did_not(self, children: list[Any]) -> Part:
        event = children[1]
        condition = {"$not": {"$event": event}} if "count" in event else {"$event": {**event, "count": 0}}
        return Part(condition, False, children[0])

    def in_segment(self, children: list[Any]) -> Part:
        return Part({"$inSegment": children[1]}, False, children[0])

    def not_in_segment(self, children: list[Any]) -> Part:
        return Part({"$not": {"$inSegment": children[1]}}, False, children[0])

    # Tests of one value.
    def equals(self, children: list[Any]) -> Any:
        return children[1]

    def identical(self, children: list[Any]) -> Any:
        return {"$eq": children[1]}

    def differs(self, children: list[Any]) -> Any:
        return {"$not" if isinstance(children[1], dict | list) else "$ne": children[1]}

    def ordering(self, children: list[Any]) -> str:
        return _ORDERS[children[0].type]

    def ordered(self, children: list[Any]) -> Any:
        return {children[0]: children[1]}

    def comparison(self, children: list[Any]) -> str:
        return _VERSIONS[children[0].type]

    def version(self, children: list[Any]) -> Any:
        return {children[0]: self.value(children[2:])}

    def within(self, children: list[Any]) -> Any:
        return {"$ini" if _without_case(children) else "$in": children[1]}

    def not_within(self, children: list[Any]) -> Any:
        return {"$nini" if _without_case(children) else "$nin": children[1]}

    def contains(self, children: list[Any]) -> Any:
        return {"$alli" if _without_case(children) else "$all": [children[1]]}

    def contains_all(self, children: list[Any]) -> Any:
        return {"$alli" if _without_case(children) else "$all": children[1]}

    def in_group(self, children: list[Any]) -> Any:
        return {"$inGroup": children[1]}

    def not_in_group(self, children: list[Any]) -> Any:
        return {"$notInGroup": children[1]}

    def is_set(self, _children: list[Any]) -> Any:
        return {"$exists": True}

    def is_not_set(self, _children: list[Any]) -> Any:
        return {"$exists": False}

    def of_type(self, children: list[Any]) -> Any:
        name = str(children[1]).lower()
        return {"$type": _TYPES.get(name, name)}

    def aged(self, children: list[Any]) -> Any:
        older = children[0].type in {"OLDER_THAN", "IS_OLDER_THAN"}
        return {"$olderThan" if older else "$newerThan": _duration(children[1])}

    def matches(self, children: list[Any]) -> Any:
        body, _, flag = children[1][1:].rpartition("/")
        pattern = re.sub(r"\\(.)", lambda match: "/" if match[1] == "/" else match[0], body, flags=re.DOTALL)
        return {_PATTERNS[children[0].type] + flag.lower(): pattern}

    def matches_text(self, children: list[Any]) -> Any:
        return {_PATTERNS[children[0].type] + "i" * _without_case(children): self.value(children[1:2])}

    # Events.
    def event(self, children: list[Any]) -> dict[str, Any]:
        event: dict[str, Any] = {"name": children[0]}
        for token, part in children[1:]:
            if part.keys() & event.keys():
                raise Meaningless(token, f"{next(iter(part))} is said twice")
            event |= part
        count = read_count(event.get("count"))
        if count is not None:
            happened = EventClause("", None, count, None).happened
            event.pop("count", None)
            if happened is not True:
                event["count"] = (
                    0 if happened is False else count["$eq"] if count.keys() == {"$eq"} else count
                )
        return event

    def window(self, children: list[Any]) -> tuple[Token, dict[str, Any]]:
        return children[0], {"within": _duration(children[1])}

    def where(self, children: list[Any]) -> tuple[Token, dict[str, Any]]:
        token, part = children
        if part.of_value:
            raise Meaningless(part.at, "an event has properties: name them instead of `it`")
        return token, {"properties": part.condition} if part.condition else {}

    def bound(self, children: list[Any]) -> tuple[Token, dict[str, Any]]:
        token, number = children
        words = {"ONCE": 1, "TWICE": 2}
        times = number if isinstance(number, list) else words.get(number.type)
        return token, {_COUNTS[token.type]: self.value([number]) if times is None else times}

    def count(self, children: list[Any]) -> tuple[Token, dict[str, Any]]:
        bounds = _values(children)
        joined: dict[str, Any] = {}
        for token, one in bounds:
            if one.keys() & joined.keys():
                raise Meaningless(token, f"`{token}` is said twice")
            joined |= one
        return bounds[0][0], {"count": joined}

    def keys(self, children: list[Any]) -> Any:
        words = _values(children)
        return words if len(words) > 1 else words[0]

    def word(self, children: list[Any]) -> str:
        token: Token = children[0]
        quote = {"QUOTED": "`", "STRING": str(token)[0]}.get(token.type)
        return str(token) if quote is None else _json_text(token, quote)

    # Values.
    def values(self, children: list[Any]) -> list[Any]:
        return _values(children)

    entries = array = values

    def plain_entry(self, children: list[Any]) -> Any:
        return children[0]

    def tested_entry(self, children: list[Any]) -> Any:
        part: Part = children[1]
        if not part.of_value:
            raise Meaningless(part.at, "an entry is tested as `it`, as in contains all ((it > 5))")
        return part.condition

    def pair(self, children: list[Any]) -> tuple[str, Any]:
        return _json_text(children[0], str(children[0])[0]), children[2]

    def document(self, children: list[Any]) -> dict[str, Any]:
        return dict(_values(children))

    def value(self, children: list[Any]) -> Any:
        token = children[0]
        return _LITERALS[token.type](token) if isinstance(token, Token) else token


def _number(token: Token) -> int | float:
    try:
        number = float(token) if re.search("[.eE]", token) else int(token)
    except ValueError:
        number = math.inf
    if isinstance(number, float) and math.isinf(number):
        raise Meaningless(token, "this number is too large")
    return number


def _duration(token: Token) -> str:
    match = re.fullmatch(r"([0-9.]+)\s*([a-z])[a-z]*", token, re.IGNORECASE)
    assert match is not None  # noqa: S101 - the grammar says so
    try:
        return format_duration(parse_duration(match[1] + match[2].lower()))
    except ValueError as error:
        raise Meaningless(token, str(error)) from None


_LITERALS: Final[dict[str, Callable[[Token], Any]]] = {
    "STRING": lambda token: _json_text(token, str(token)[0]),
    "NUMBER": _number,
    "TRUE": lambda _token: True,
    "FALSE": lambda _token: False,
    "NULL": lambda _token: None,
}
