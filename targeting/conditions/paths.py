"""Where in a user's attributes the value lies that a clause of a condition asks about."""

from collections.abc import Sequence
from typing import Any

from targeting.conditions.scope import Predicate, Scope


def is_key(path: object) -> bool:
    """Whether a key of a condition names an attribute itself: it is no operator, and no dotted path."""
    return isinstance(path, str) and "." not in path and not path.startswith("$")


def at_keys(clauses: Sequence[tuple[str, Predicate]]) -> Predicate:
    """Test the values of several attributes. One function for all of them: a call each would double the cost."""
    parts = tuple(clauses)
    if len(parts) == 1:
        key, only = parts[0]
        return lambda attributes, scope: only(
            attributes.get(key) if isinstance(attributes, dict) else _step(attributes, key), scope
        )

    def test(attributes: Any, scope: Scope) -> bool:
        if not isinstance(attributes, dict):
            return all(part(_step(attributes, key), scope) for key, part in parts)
        for key, part in parts:  # noqa: SIM110 - a generator would double the cost
            if not part(attributes.get(key), scope):
                return False
        return True

    return test


def at_path(path: str, part: Predicate) -> Predicate:
    """Test the value at a dotted path; what is missing is null."""
    first, *rest = path.split(".")
    if not rest:
        return at_keys([(first, part)])

    def test(attributes: Any, scope: Scope) -> bool:
        value = _step(attributes, first)
        for segment in rest:
            value = _step(value, segment)
        return part(value, scope)

    return test


def _step(value: Any, segment: str) -> Any:
    if isinstance(value, dict):
        return value.get(segment)
    if isinstance(value, list):
        if segment == "length":
            return len(value)
        if (
            segment.isascii()
            and segment.isdigit()
            and str(int(segment[:9])) == segment
            and int(segment) < len(value)
        ):
            return value[int(segment)]
    return None
