"""Conditions: a predicate over a user's attributes, as JSON in the GrowthBook operator language.

    {"country": {"$in": ["NL", "BR"]}, "last_order_at": {"$olderThan": "60d"}}

`compile_condition` turns the JSON into closures once; evaluating them costs about a microsecond. The rules of comparison
are in `values.py`; the same meaning in SQL is in `sql.py`. Beyond GrowthBook's operators there are
`$olderThan` and `$newerThan`, which compare a time attribute with a duration before now.

A condition that is malformed matches nobody (an empty one everybody): call `validate_condition` where conditions come in.
"""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from experiments.clock import SystemClock, parse_duration
from experiments.errors import Invalid
from targeting.conditions.checks import validate_condition
from targeting.conditions.groups import in_group, saved_group
from targeting.conditions.history import compile_event, compile_segments, read_event, read_segments
from targeting.conditions.paths import at_keys, at_path, is_key
from targeting.conditions.patterns import compile_pattern, for_a_list, has_pattern, search
from targeting.conditions.scope import Occurrence, Predicate, Scope
from targeting.conditions.values import (
    TIME,
    Cutoff,
    Members,
    deep_equal,
    identical,
    is_operator_object,
    kind_of,
    matches_entries_whole,
    number_written_as,
    padded_version,
    text_of,
    time_micros,
    to_number,
    truthy,
)
from targeting.conditions.words import describe

__all__ = [
    "Occurrence",
    "Predicate",
    "Scope",
    "compile_condition",
    "compile_value",
    "describe",
    "matches",
    "validate_condition",
]

_NO_EVENTS: Final[Mapping[str, Sequence[Occurrence]]] = {}


def matches(
    condition: dict[str, Any],
    attributes: dict[str, Any],
    saved_groups: Mapping[str, Any] | None = None,
    *,
    now: datetime | None = None,
    events: Mapping[str, Sequence[Occurrence]] = _NO_EVENTS,
    segments: Collection[str] = (),
) -> bool:
    """Whether a user with `attributes` meets `condition`; GrowthBook semantics.

    The keyword arguments and `saved_groups` are described at `Scope`; without `now`, the present is that of the system's
    clock. To test many users, compile once instead. Raises Invalid when the condition is nested thousands of levels deep;
    odd attributes never raise.

    >>> matches({"age": {"$gte": 18}, "tags": {"$in": ["vip"]}}, {"age": 20, "tags": ["vip", "new"]})
    True
    """
    try:
        scope = Scope(now or SystemClock().now(), saved_groups, events, segments)
        return compile_condition(condition)(attributes, scope)
    except RecursionError as error:
        raise Invalid("is nested too deep", field="condition") from error


def compile_condition(condition: Any) -> Predicate:
    """The condition as a function of (attributes, scope)."""
    if not isinstance(condition, dict):
        return _never
    if condition and all(map(is_key, condition)):
        return at_keys([(key, compile_value(operand)) for key, operand in condition.items()])
    return _all([_compile_clause(key, operand) for key, operand in condition.items()])


def _compile_clause(key: Any, operand: Any) -> Predicate:
    if key in {"$and", "$or", "$nor"}:
        parts: list[Predicate] = (
            list(map(compile_condition, operand)) if isinstance(operand, list) else [_never]
        )
        if key == "$and":
            return _all(parts)
        some = _any(parts) if parts else _always
        return some if key == "$or" else _not(some)
    if key == "$not":
        return _not(compile_condition(operand)) if isinstance(operand, dict) else _never
    if key == "$event":
        return _compile_event(operand)
    if key == "$inSegment":
        keys = read_segments(operand)
        return _never if keys is None else compile_segments(keys)
    return saved_group(operand, compile_condition) if key == "$savedGroup" else _on_attribute(key, operand)


def _on_attribute(path: Any, operand: Any) -> Predicate:
    return at_path(path, compile_value(operand)) if isinstance(path, str) else _never


def _compile_event(operand: Any) -> Predicate:
    clause = read_event(operand)
    if clause is None:
        return _never
    keeps = None if clause.properties is None else compile_condition(clause.properties)
    return compile_event(clause, counts=compile_value(clause.count), keeps=keeps)


def compile_value(condition: Any) -> Predicate:
    """The test that one value has to pass: a set of operators, or a value to be equal to."""
    if is_operator_object(condition):
        return _all([_compile_operator(name, operand) for name, operand in condition.items()])
    if isinstance(condition, str):
        return _equals_text(condition)
    if isinstance(condition, bool):
        return lambda value, _scope: value is not None and truthy(value) is condition
    if condition is None:
        return lambda value, _scope: value is None
    if isinstance(condition, int | float):
        return lambda value, _scope: to_number(value) == condition
    return lambda value, _scope: deep_equal(value, condition)


def _equals_text(expected: str) -> Predicate:
    number = number_written_as(expected)

    def test(value: Any, _scope: Scope) -> bool:
        if isinstance(value, str):
            return value == expected
        if isinstance(value, bool):
            return expected == ("true" if value else "false")
        return number is not None and isinstance(value, int | float) and value == number

    return test


def _compile_operator(name: str, operand: Any) -> Predicate:
    compiler = _OPERATORS.get(name)
    return _never if compiler is None else compiler(operand)


def _always(_value: Any, _scope: Scope) -> bool:
    return True


def _never(_value: Any, _scope: Scope) -> bool:
    return False


def _all(parts: list[Predicate]) -> Predicate:
    if not parts:
        return _always
    if len(parts) == 1:
        return parts[0]
    tests = tuple(parts)

    def test(value: Any, scope: Scope) -> bool:
        for part in tests:  # noqa: SIM110 - a generator would double the cost
            if not part(value, scope):
                return False
        return True

    return test


def _any(parts: list[Predicate]) -> Predicate:
    if len(parts) == 1:
        return parts[0]
    tests = tuple(parts)

    def test(value: Any, scope: Scope) -> bool:
        return any(part(value, scope) for part in tests)

    return test


def _not(part: Predicate) -> Predicate:
    return lambda value, scope: not part(value, scope)


def _on_value(test: Callable[[Any], bool]) -> Predicate:
    return lambda value, _scope: test(value)


def _identical_to(bound: Any, wanted: bool = True) -> Predicate:
    if isinstance(bound, str):
        return lambda value, _scope: (isinstance(value, str) and value == bound) is wanted
    return lambda value, _scope: identical(value, bound) is wanted


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Predicate]:
    """Text with text by code points; everything else as numbers; what is no number is in no order."""

    def build(bound: Any) -> Predicate:
        number = to_number(bound)

        def with_text(value: Any, _scope: Scope) -> bool:
            if isinstance(value, str):
                return compare(value, bound)
            counted = to_number(value)
            return counted is not None and number is not None and compare(counted, number)

        def with_number(value: Any, _scope: Scope) -> bool:
            counted = value if type(value) is int else to_number(value)
            return counted is not None and compare(counted, number)

        if isinstance(bound, str):
            return with_text
        return _never if number is None else with_number

    return build


def _versions(compare: Callable[[str, str], bool]) -> Callable[[Any], Predicate]:
    def build(bound: Any) -> Predicate:
        padded = padded_version(bound)
        return _on_value(lambda value: compare(padded_version(value), padded))

    return build


def _within(*, ignore_case: bool, wanted: bool) -> Callable[[Any], Predicate]:
    def build(values: Any) -> Predicate:
        if not isinstance(values, list):
            return _never
        meets = Members(values, ignore_case=ignore_case).meets
        texts = frozenset(each for each in values if isinstance(each, str))
        only_texts = not ignore_case and all(isinstance(each, str) for each in values)

        def test(value: Any, _scope: Scope) -> bool:
            # Text, by far the most frequent, takes the short way.
            if only_texts:
                if isinstance(value, str):
                    return (value in texts) is wanted
                if isinstance(value, list):
                    try:
                        return texts.isdisjoint(value) is not wanted
                    except TypeError:  # an entry is a list or an object itself
                        return meets(value) is wanted
            return meets(value) is wanted

        return test

    return build


def _has_all(*, ignore_case: bool) -> Callable[[Any], Predicate]:
    def build(entries: Any) -> Predicate:
        if not isinstance(entries, list):
            return _never
        tests = [_folded(e) if ignore_case and isinstance(e, str) else compile_value(e) for e in entries]
        searches = has_pattern(entries)

        def test(value: Any, scope: Scope) -> bool:
            if not isinstance(value, list):
                return False
            if searches and scope.allowance is None:
                scope = replace(scope, allowance=for_a_list())
            return all(any(wanted(entry, scope) for entry in value) for wanted in tests)

        return test

    return build


def _folded(expected: str) -> Predicate:
    lowered = expected.lower()

    def test(value: Any) -> bool:
        text = text_of(value)
        return text is not None and text.lower() == lowered

    return _on_value(test)


def _some_entry(condition: Any) -> Predicate:
    wanted = compile_value(condition) if matches_entries_whole(condition) else compile_condition(condition)
    searches = has_pattern(condition)

    def test(value: Any, scope: Scope) -> bool:
        if not isinstance(value, list):
            return False
        if searches and scope.allowance is None:
            scope = replace(scope, allowance=for_a_list())
        return any(entry is not None and wanted(entry, scope) for entry in value)

    return test


def _size(condition: Any) -> Predicate:
    wanted = compile_value(condition)
    return lambda value, scope: isinstance(value, list) and wanted(len(value), scope)


def _regex(*, ignore_case: bool, wanted: bool = True) -> Callable[[Any], Predicate]:
    """What is missing, or is no text, matches no pattern; a pattern that is none is met by nobody, wanted or not."""

    def build(pattern: Any) -> Predicate:
        compiled = compile_pattern(pattern, ignore_case=ignore_case)
        if compiled is None:
            return _never

        def test(value: Any, scope: Scope) -> bool:
            text = value if isinstance(value, str) else text_of(value)
            return (text is not None and search(compiled, text, scope.allowance)) is wanted

        return test

    return build


def _age(name: str, compare: Callable[[int, int], bool]) -> Callable[[Any], Predicate]:
    def build(duration: Any) -> Predicate:
        try:
            ago = parse_duration(duration)
        except (ValueError, AttributeError):
            return _never
        is_older = compare(0, 1)
        cutoff: Cutoff | None = None

        def test(value: Any, scope: Scope) -> bool:
            nonlocal cutoff
            if not isinstance(value, str) or TIME.fullmatch(value) is None:
                return False
            now, known = scope.now, cutoff
            if now is None:
                raise Invalid(f"{name} compares with the present: pass now")
            if known is None or known.now is not now:
                cutoff = known = Cutoff.at(now, ago)
            day = value[:10]
            if day < known.before:
                return is_older
            if day > known.after:
                return not is_older
            moment = time_micros(value)
            return moment is not None and compare(moment, known.micros)

        return test

    return build


_OPERATORS: Final[dict[str, Callable[[Any], Predicate]]] = {
    "$eq": _identical_to,
    "$ne": lambda bound: _identical_to(bound, wanted=False),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
    "$in": _within(ignore_case=False, wanted=True),
    "$nin": _within(ignore_case=False, wanted=False),
    "$ini": _within(ignore_case=True, wanted=True),
    "$nini": _within(ignore_case=True, wanted=False),
    "$inGroup": lambda name: in_group(name, wanted=True),
    "$notInGroup": lambda name: in_group(name, wanted=False),
    "$all": _has_all(ignore_case=False),
    "$alli": _has_all(ignore_case=True),
    "$exists": lambda wanted: _on_value(lambda value: (value is not None) is truthy(wanted)),
    "$type": lambda name: _on_value(lambda value: kind_of(value) == name),
    "$not": lambda condition: _not(compile_value(condition)),
    "$size": _size,
    "$elemMatch": _some_entry,
    "$regex": _regex(ignore_case=False),
    "$regexi": _regex(ignore_case=True),
    "$notRegex": _regex(ignore_case=False, wanted=False),
    "$notRegexi": _regex(ignore_case=True, wanted=False),
    "$veq": _versions(operator.eq),
    "$vne": _versions(operator.ne),
    "$vgt": _versions(operator.gt),
    "$vgte": _versions(operator.ge),
    "$vlt": _versions(operator.lt),
    "$vlte": _versions(operator.le),
    # A time exactly that old is newer, so that every known time is one or the other.
    "$olderThan": _age("$olderThan", operator.lt),
    "$newerThan": _age("$newerThan", operator.ge),
}
