"""A world from JSON: people from a list or a JSONL file, behaviour and templates beside them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from delivery.simulator.behaviour import read_behaviours, strangers
from delivery.simulator.config import SimulatorConfig
from delivery.simulator.registry import Registry
from delivery.simulator.registry_reading import read_registry
from delivery.simulator.world import Person, World
from experiments.errors import Invalid

_PARTS: Final = ("people", "people_path", "behaviour", "templates")
_OF_A_PERSON: Final = ("user_id", "phone", "group")


def read_world(document: Any, config: SimulatorConfig) -> World:
    """`{"people": [{"user_id", "phone", "group"?}, ..] or "people_path": FILE.jsonl, "behaviour": {..}}` as a World.

    Without people it is a world of templates: whoever is written to receives and reads, and does no more.
    See behaviour.read_behaviours; `templates` is for read_templates. Raises Invalid with the path of what is wrong.
    """
    if not isinstance(document, dict):
        raise Invalid("the world must be a JSON object")
    unknown = strangers(document, _PARTS)
    if unknown:
        raise Invalid.of(unknown)
    if not document:
        raise Invalid(f"must not be empty; write {', '.join(_PARTS)}", field="world")
    behaviours = read_behaviours(document.get("behaviour", {}))
    people = [_person(value, where) for where, value in _people(document)]
    return World(people, behaviours, seed=config.seed, faults=config.faults, delays=config.delays)


def read_templates(document: Any, config: SimulatorConfig) -> Registry:
    """The templates of the same document: its `templates`, as the Graph API lists them, and one for every other behaviour.

    See registry.read_registry.
    """
    behaviours = read_behaviours(document.get("behaviour", {}))
    link = (config.public_url or "https://example.com").rstrip("/")
    return read_registry(document.get("templates"), behaviours, link=link, pacing=config.pacing)


def _people(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    listed, path = document.get("people"), document.get("people_path")
    if listed is not None and path is not None:
        raise Invalid("give people, or people_path, and not both", field="people")
    if listed is not None:
        if not isinstance(listed, list):
            raise Invalid("must be a list", field="people")
        yield from ((f"people[{position}]", value) for position, value in enumerate(listed))
        return
    if path is None:
        return
    if not isinstance(path, str):
        raise Invalid("must be the path of a JSONL file", field="people_path")
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"people_path line {number}", json.loads(line)
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot be read as JSONL ({type(error).__name__})", field="people_path") from error


def _person(value: Any, where: str) -> Person:
    if not isinstance(value, dict):
        raise Invalid("must be an object", field=where)
    unknown = strangers(value, _OF_A_PERSON, where)
    if unknown:
        raise Invalid.of(unknown)
    texts = {}
    for name, default in (("user_id", None), ("phone", None), ("group", "")):
        text = value.get(name, default)
        if not isinstance(text, str):
            raise Invalid("must be a text", field=f"{where}.{name}")
        texts[name] = text
    return Person(**texts)
