"""A rule as the fields of a form, what changed between two versions, what came of an action. Pure."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

TRIGGERS: Final = ("event", "attribute", "inactivity", "schedule")
ACTIONS: Final = ("add_tag", "remove_tag", "set_attribute", "remove_attribute", "enrol")
PARTS: Final = (
    "name",
    "trigger",
    "condition",
    "actions",
    "cool_down",
    "once_per_user",
    "since",
    "until",
)
"""What a rule says, part by part."""


def spelled(value: Any) -> str:
    """A value of an attribute as it is typed in; `entered` reads it back.

    >>> spelled("gold"), spelled(5), spelled("5"), spelled({"$in": ["a"]}), spelled(None)
    ('gold', '5', '"5"', '{"$in": ["a"]}', '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    """Whether a text typed in as it is would be read as this text."""
    return bool(text.strip()) and text == text.strip() and _parsed(text) == (False, None)


def entered(text: str) -> Any:
    """What was typed in: JSON where it is JSON (5, true, "5", {"$in": [..]}), else the text itself; None when it is empty.

    >>> entered("gold"), entered("5"), entered('"5"'), entered(" "), entered("null")
    ('gold', 5, '5', None, None)
    """
    if not text.strip():
        return None
    is_json, value = _parsed(text)
    return value if is_json else text.strip()


def _parsed(text: str) -> tuple[bool, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False, None
    if isinstance(value, float) and not math.isfinite(value):
        return False, None
    return True, value


def trigger_of(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The trigger that the form says, without the fields that were left empty."""
    return {"type": kind, **{name: value for name, value in fields.items() if value not in (None, "")}}


def action_kind(action: Mapping[str, Any]) -> str:
    """What the form calls an action: taking an attribute away is an action of its own there."""
    kind = str(action.get("type") or "")
    return "remove_attribute" if kind == "set_attribute" and action.get("value") is None else kind


def is_complete_action(action: Mapping[str, Any]) -> bool:
    needed = {
        "add_tag": ("tag",),
        "remove_tag": ("tag",),
        "set_attribute": ("name", "value"),
        "remove_attribute": ("name",),
        "enrol": ("experiment",),
    }
    return all(action.get(name) not in (None, "") for name in needed.get(action_kind(action), ()))


def is_complete_trigger(trigger: Mapping[str, Any]) -> bool:
    needed = {"event": "event", "attribute": "attribute", "inactivity": "after", "schedule": "cron"}
    name = needed.get(str(trigger.get("type")))
    return name is not None and bool(trigger.get(name))


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which parts of a rule differ between two versions, in the order of `PARTS`."""
    return [name for name in PARTS if json.dumps(before.get(name)) != json.dumps(after.get(name))]


def outcomes(actions: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """What each action of a firing came to: (what, to which thing, how it ended).

    The end is a variant, done, nothing (it was so already), or the reason in the words of the API.
    """
    return [(action_kind(action), _thing(action), _end(action)) for action in actions]


def _thing(action: Mapping[str, Any]) -> str:
    thing = str(action.get("experiment") or action.get("tag") or action.get("name") or "")
    if action.get("type") == "set_attribute" and action.get("value") is not None:
        return f"{thing} = {spelled(action['value'])}"
    return thing


def _end(action: Mapping[str, Any]) -> str:
    if action.get("reason"):
        return str(action["reason"])
    if action.get("type") == "enrol":
        return str(action.get("variant") or "nothing")
    return "done" if action.get("changed") else "nothing"
