"""What actions do to attributes: pure."""

from typing import Any

from targeting.conditions.values import deep_equal
from targeting.profile import merge_attributes
from targeting.rules.definitions import AddTag, RemoveTag, SetAttribute
from targeting.segments.tags import with_tags


def with_effect(attributes: dict[str, Any], action: AddTag | RemoveTag | SetAttribute) -> dict[str, Any]:
    """All attributes after the action; the same object when it changes nothing. Raises Invalid when they grow too large."""
    if isinstance(action, AddTag):
        return with_tags(attributes, lambda tags: tags if action.tag in tags else [*tags, action.tag])
    if isinstance(action, RemoveTag):
        return with_tags(attributes, lambda tags: [each for each in tags if each != action.tag])
    if deep_equal(attributes.get(action.name), action.value):
        return attributes
    return merge_attributes(attributes, {action.name: action.value}, field=f"attributes.{action.name}")
