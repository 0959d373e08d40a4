"""What is wrong with a document, in our words and by the path of the field as its author wrote it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.errors import Problem
from experiments.quantities import INSIDE

_BRANCH: Final = re.compile(
    r"(?:tuple|list|dict|set|frozenset|function-[a-z]+|lax-or-strict|is-instance)\[.*\]", re.DOTALL
)
"""What pydantic puts into a path for the branch of a union that it tried, which no author wrote."""
_KINDS: Final = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "is not an object"),
    **dict.fromkeys(("tuple_type", "list_type"), "is not a list"),
}


def path_of(location: tuple[int | str, ...]) -> str:
    """`("variants", 1, "weight")` as `variants[1].weight`."""
    path = ""
    for part in location:
        if isinstance(part, str) and _BRANCH.fullmatch(part):
            continue
        name = f"[{part}]" if isinstance(part, int) else part or '""'
        path += f".{name}" if path and isinstance(part, str) else name
    return path


def problems_of(items: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """The errors of pydantic (`ValidationError.errors()`) in our words, each with the path of its field."""
    places = [item["loc"] for item in items]
    # A list with a bad element is also reported as too short; only the element is news.
    return [
        Problem(place_of(item), words_of(item))
        for item in items
        if item["type"] != "too_short"
        or not any(place[: len(item["loc"])] == item["loc"] and place != item["loc"] for place in places)
    ]


def place_of(item: Mapping[str, Any]) -> str:
    """The path of the field that one error of pydantic is about. What is wrong with a key is told at that key."""
    place = tuple(item["loc"])
    if item["type"] == INSIDE:
        return path_of((*place, *item["ctx"]["path"]))
    about_key = len(place) > 1 and place[-1] == "[key]" and str(item.get("input")) == place[-2]
    return path_of(place[:-1] if about_key else place)


def untagged(item: Mapping[str, Any], tags: Mapping[str, int]) -> Mapping[str, Any]:
    """One error of pydantic without the name of the kind (of trigger, of action, of policy), which it puts into the path.

    `tags`: first part of a path -> where the name stands in it.
    """
    *place, kind = item["loc"], item["type"]
    parts = list(place[0])
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        known = str(item["ctx"].get("expected_tags", "")).replace("'", "")
        words = "is required" if kind == "union_tag_not_found" else f"is none of {known}"
        field = str(item["ctx"]["discriminator"]).strip("'")
        return {**item, "loc": (*parts, field), "type": "value_error", "ctx": {"error": ValueError(words)}}
    at = tags.get(str(parts[0]), len(parts)) if parts else 0
    del parts[at : at + 1]
    return {**item, "loc": tuple(parts)}


def words_of(item: Mapping[str, Any]) -> str:
    """What one error of pydantic says, in our words."""
    if item["type"] == "extra_forbidden":
        return "unknown field; check the spelling"
    if item["type"] == "missing":
        return "is required"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == INSIDE:
        return str(item["ctx"]["words"])
    if item["type"] in _KINDS:
        return _KINDS[item["type"]]
    given = item.get("input")
    shown = f", not {given!r}" if isinstance(given, (str, int, float, bool)) and len(str(given)) <= 60 else ""
    words = re.sub(r"^Tuple ", "List ", item["msg"]).replace(" after validation", "")
    return f"{words[:1].lower()}{words[1:]}{shown}"
