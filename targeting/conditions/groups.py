"""Saved groups: lists, or conditions, that come with a condition instead of standing in it.

Two shapes are known: a bare list of members, and an object `{"type": "list", "attributeKey": "id", "values": [..]}` or
`{"type": "condition", "condition": {..}}`. A group that is absent is empty; one of another shape is unknown, so that
nobody is in it and nobody is outside of it.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from targeting.conditions.paths import at_path
from targeting.conditions.scope import Predicate, Scope
from targeting.conditions.values import Members

Compile = Callable[[Any], Predicate]


class SavedGroup:
    """A saved group, read: members, or the condition that its members meet, or neither when its shape is unknown.

    `attribute` is the path that a typed list is about; `is_typed` tells a bare list from a typed one.
    """

    __slots__ = ("attribute", "condition", "is_typed", "members", "test")

    def __init__(self, group: Any) -> None:
        self.members: Members | None = None
        self.attribute: Any = None
        self.condition: dict[str, Any] | None = None
        self.test: Predicate | None = None
        self.is_typed = isinstance(group, Mapping)
        if isinstance(group, Members):
            self.members = group
        elif isinstance(group, Mapping):
            values, condition = group.get("values"), group.get("condition")
            if group.get("type") == "list" and isinstance(values, list):
                self.members = Members(values)
                self.attribute = group.get("attributeKey")
            elif group.get("type") == "condition" and isinstance(condition, dict):
                self.condition = condition
        elif isinstance(group, Collection) and not isinstance(group, str):
            self.members = Members(group)


def read_group(group: Any) -> SavedGroup:
    """The group as this module reads it; one that was read already is left as it is."""
    return group if isinstance(group, SavedGroup) else SavedGroup(group)


def in_group(name: Any, *, wanted: bool) -> Predicate:
    """`$inGroup` and `$notInGroup`: whether a value is among the members of a group."""

    def test(value: Any, scope: Scope) -> bool:
        groups = scope.groups or {}
        if not isinstance(name, str) or name not in groups:
            return not wanted
        members = read_group(groups[name]).members
        return members is not None and members.meets(value) is wanted

    return test


def saved_group(reference: Any, compile_condition: Compile) -> Predicate:
    """`$savedGroup`: whether a user is in a typed group, which says itself what it is about."""
    name = reference.get("id") if isinstance(reference, dict) else None
    override = reference.get("attributeKey", "") if isinstance(reference, dict) else None
    if not isinstance(name, str) or not isinstance(override, str):
        return lambda _attributes, _scope: False

    def test(attributes: Any, scope: Scope) -> bool:
        groups = scope.groups or {}
        group = read_group(groups.get(name))
        if not group.is_typed:
            return False
        if group.members is not None:
            path = override if "attributeKey" in reference else group.attribute
            meets = group.members.meets
            return isinstance(path, str) and at_path(path, lambda value, _: meets(value))(attributes, scope)
        if group.condition is None:
            return False
        if group.test is None:
            group.test = compile_condition(group.condition)
        # A group that leads back to itself holds nobody.
        within = Scope(scope.now, {**groups, name: None}, scope.events, scope.segments, scope.allowance)
        return group.test(attributes, within)

    return test
