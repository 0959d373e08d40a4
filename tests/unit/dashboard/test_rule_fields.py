"""A rule as the fields of a form: values as they are typed, what changed, what came of an action."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.rule_fields import (
    action_kind,
    changed_parts,
    entered,
    is_complete_action,
    is_complete_trigger,
    outcomes,
    spelled,
    trigger_of,
)

documents = st.recursive(
    st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(documents)
def test_every_value_is_typed_in_and_read_back(value: Any) -> None:
    assert json.dumps(entered(spelled(value))) == json.dumps(value)


@pytest.mark.parametrize("text", ["5", "true", "null", "NaN", " gold", "gold ", "", '"x"', "[1]"])
def test_text_that_would_be_read_as_something_else_stands_in_quotes(text: str) -> None:
    assert entered(spelled(text)) == text


def test_a_trigger_is_complete_with_its_one_necessary_field() -> None:
    assert trigger_of("inactivity", {"after": "30d", "event": None}) == {"type": "inactivity", "after": "30d"}
    assert is_complete_trigger(trigger_of("inactivity", {"after": "30d"}))
    assert not is_complete_trigger(trigger_of("event", {"event": ""}))
    assert not is_complete_trigger({"type": "brand_new"})
    # False and 0 are values that an attribute may become.
    assert trigger_of("attribute", {"attribute": "vip", "to": False})["to"] is False


@pytest.mark.parametrize(
    ("action", "kind", "complete"),
    [
        ({"type": "add_tag", "tag": ""}, "add_tag", False),
        ({"type": "add_tag", "tag": "x"}, "add_tag", True),
        ({"type": "set_attribute", "name": "x", "value": 0}, "set_attribute", True),
        ({"type": "set_attribute", "name": "x", "value": None}, "remove_attribute", True),
        ({"type": "set_attribute", "name": "", "value": None}, "remove_attribute", False),
        ({"type": "enrol", "experiment": ""}, "enrol", False),
    ],
)
def test_an_action_and_what_it_needs(action: dict[str, Any], kind: str, complete: bool) -> None:
    assert (action_kind(action), is_complete_action(action)) == (kind, complete)


def test_what_changed_between_versions_is_named() -> None:
    before = {"name": "a", "trigger": {"type": "event"}, "once_per_user": True, "condition": {}}
    after = {"name": "a", "trigger": {"type": "event", "event": "E"}, "once_per_user": 1, "condition": {}}
    assert changed_parts(before, after) == ["trigger", "once_per_user"]
    assert changed_parts(before, before) == []


def test_what_came_of_each_action() -> None:
    actions = [
        {"type": "add_tag", "tag": "x", "changed": True},
        {"type": "remove_tag", "tag": "x", "changed": False},
        {"type": "set_attribute", "name": "n", "value": "5", "reason": "the profile is full"},
        {"type": "set_attribute", "name": "n", "value": None, "changed": True},
        {"type": "enrol", "experiment": "e", "variant": "b", "reason": None, "new": True},
        {"type": "enrol", "experiment": "e", "variant": None, "reason": "consent"},
    ]
    assert outcomes(actions) == [
        ("add_tag", "x", "done"),
        ("remove_tag", "x", "nothing"),
        ("set_attribute", 'n = "5"', "the profile is full"),
        ("remove_attribute", "n", "done"),
        ("enrol", "e", "b"),
        ("enrol", "e", "consent"),
    ]
