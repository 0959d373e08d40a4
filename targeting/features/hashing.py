"""Who is hashed, and where they have to fall: rollouts, filters, namespaces and ranges of features, compiled once."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from targeting.bucketing import BucketRange, bucket_ranges, choose_variant, hasher
from targeting.conditions.values import number_text, text_of, truthy

NOWHERE: Final[BucketRange] = (1.0, 0.0)
"""The range of what cannot be read as a range: nobody falls into it."""

_NO_NUMBER: Final = frozenset({"NaN", "Infinity", "-Infinity"})

Rollout = Callable[[Mapping[str, Any], bool], bool]
"""(attributes, whether sticky bucketing is on) -> whether the user is in."""

Filter = Callable[[Mapping[str, Any]], bool]


def identity(attributes: Mapping[str, Any], name: str, fallback: str | None = None) -> tuple[str, Any, str]:
    """Who is hashed: the attribute, its value, and that value as text; ("" and "" when the user has none).

    Text that is not empty and finite numbers other than 0 say who somebody is; true, lists and objects do not. Without
    a value of the attribute, the fallback is asked.
    """
    value = attributes.get(name)
    if isinstance(value, str):
        if value:
            return name, value, value
    elif isinstance(value, int | float) and not isinstance(value, bool) and value:
        text = number_text(value)
        if text not in _NO_NUMBER:
            return name, value, text
    if fallback is not None:
        other = identity(attributes, fallback)
        if other[2]:
            return other
    return name, "", ""


def compile_rollout(rule: Mapping[str, Any], feature: str) -> Rollout | None:
    """Whether a user is in the share that a forced value is for; None when it is for everybody.

    A range is followed rather than a coverage. A coverage holds whose hash is below it, so that k / 10,000 is exactly k
    buckets.
    """
    given, coverage = rule.get("range"), number_of(rule.get("coverage"))
    if given is None and rule.get("coverage") is None:
        return None
    held = range_of(given) if given is not None else (0.0, coverage or 0.0)
    unit_of = hasher(text_of(rule.get("seed")) or feature, rule.get("hashVersion") or 1)
    attribute, fallback = attribute_of(rule)
    if unit_of is None or (given is None and not coverage):
        return lambda _attributes, _sticky: False
    start, end = held

    def test(attributes: Mapping[str, Any], sticky: bool) -> bool:
        _, _, text = identity(attributes, attribute, fallback if sticky else None)
        return bool(text) and start <= unit_of(text) < end

    return test


def compile_filters(filters: Any) -> Filter | None:
    """Whether a user falls into each of the filters' ranges; None when there are no filters."""
    if not isinstance(filters, list):
        return None
    tests = [_compile_filter(each) for each in filters]
    if len(tests) == 1:
        return tests[0]
    return lambda attributes: all(test(attributes) for test in tests)


def _compile_filter(each: Any) -> Filter:
    if not isinstance(each, dict):
        return _nobody
    attribute, _ = attribute_of({"hashAttribute": each.get("attribute")})
    given = each.get("ranges")
    ranges = [range_of(pair) for pair in given] if isinstance(given, list | tuple) else []
    unit_of = hasher(text_of(each.get("seed")) or "", each.get("hashVersion") or 2)
    if unit_of is None:
        return _nobody

    def test(attributes: Mapping[str, Any]) -> bool:
        _, _, text = identity(attributes, attribute)
        return bool(text) and choose_variant(unit_of(text), ranges) >= 0

    return test


def attribute_of(rule: Mapping[str, Any]) -> tuple[str, str | None]:
    """(the attribute that is hashed, the one that is asked when it has no value)."""
    attribute, fallback = rule.get("hashAttribute"), rule.get("fallbackAttribute")
    usable = isinstance(fallback, str) and fallback and not truthy(rule.get("disableStickyBucketing"))
    return (
        attribute if isinstance(attribute, str) and attribute else "id",
        fallback if usable else None,
    )


def ranges_of(definition: Mapping[str, Any], count: int) -> Sequence[BucketRange]:
    """The range of each of `count` variations: the ones given, else those of coverage and weights."""
    given = definition.get("ranges")
    if isinstance(given, list | tuple):
        return [range_of(pair) for pair in given]
    return bucket_ranges(count, number_of(definition.get("coverage")), weights_of(definition, count))


def weights_of(definition: Mapping[str, Any], count: int) -> list[float] | None:
    """The weights as numbers; None when there is not one finite, non-negative number for each variation."""
    given = definition.get("weights")
    if not isinstance(given, list | tuple) or len(given) != count:
        return None
    weights = [-1.0 if isinstance(each, bool) else number_of(each) for each in given]
    return [w for w in weights if w is not None and 0 <= w < math.inf] if None not in weights else None


def namespace_of(given: Any) -> tuple[str, float, float] | None:
    """(name, from, to); one that cannot be read holds nobody, a missing one is None."""
    if not truthy(given):
        return None
    if isinstance(given, list | tuple) and len(given) >= 3 and isinstance(given[0], str):
        return (given[0], *range_of(given[1:3]))
    return ("", *NOWHERE)


def range_of(pair: Any) -> BucketRange:
    if not isinstance(pair, list | tuple) or len(pair) < 2:
        return NOWHERE
    start, end = number_of(pair[0]), number_of(pair[1])
    return NOWHERE if start is None or end is None else (start, end)


def number_of(value: Any) -> float | None:
    """A JSON number as a float; None for everything else and for what is too large to be one."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def index_of(value: Any) -> int:
    """A variation given by its index; -1, which is none, for what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 2**31:  # noqa: PLR0124
        return -1
    return int(value) if int(value) == value else -1


def _nobody(_attributes: Mapping[str, Any]) -> bool:
    return False
