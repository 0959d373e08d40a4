"""What actions do to attributes: pure."""

from collections.abc import Mapping
from typing import Any

from targeting.profile import merge_attributes
from targeting.rule_definitions import TAGS, AddTag, RemoveTag, SetAttribute


def with_effect(
    attributes: Mapping[str, Any], action: AddTag | RemoveTag | SetAttribute
) -> Mapping[str, Any]:
    """All attributes after the action; the same object when it changes nothing. Raises Invalid when they grow too large."""
    if isinstance(action, SetAttribute):
        name, value = action.name, action.value
    else:
        name, value = TAGS, _tags(attributes.get(TAGS), action)
    before = attributes.get(name)
    if before == value and isinstance(before, bool) == isinstance(value, bool):
        return attributes
    return merge_attributes(attributes, {name: value}, field=name)


def _tags(known: Any, action: AddTag | RemoveTag) -> Any:
    tags = known if isinstance(known, list) else [] if known is None else [known]
    if isinstance(action, AddTag):
        return known if action.tag in tags else [*tags, action.tag]
    return [tag for tag in tags if tag != action.tag] if action.tag in tags else known
