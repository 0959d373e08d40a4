"""Places in a campaign's document: read, written, named; the document as YAML; a copy of one.

A place is a path such as ("variants", 1, "weight"), written `variants[1].weight` as the API's mistakes are. Nothing is changed in
place: every function answers with a new document.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

Document = Mapping[str, Any]
Path = tuple[str | int, ...]

_PART: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_WORDS: Final = re.compile(r"[^a-z0-9]+")
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_VERBATIM: Final = frozenset({"condition", "properties", "where"})
LONGEST_KEY: Final = 63
ORDER: Final = (
    "key",
    "name",
    "hypothesis",
    "category",
    "priority",
    "audience",
    "trigger",
    "expires",
    "treatment",
    "factors",
    "variants",
    "metrics",
    "plan",
    "allocation",
)
"""The fields of a campaign, as docs/campaign.md has them."""
MOST_VALUES: Final = 100_000


class Unwritable(Exception):
    """A text that is no document; `str(error)` is one sentence for people."""


def at(document: Any, path: Path, default: Any = None) -> Any:
    """What stands at `path`; `default` where nothing does, or null.

    >>> at({"variants": [{"weight": 2}]}, ("variants", 0, "weight"))
    2
    """
    found = document
    for part in path:
        if isinstance(part, int):
            if not isinstance(found, Sequence) or isinstance(found, str) or part >= len(found):
                return default
            found = found[part]
        else:
            if not isinstance(found, Mapping):
                return default
            found = found.get(part)
    return default if found is None else found


def with_value(document: Any, path: Path, value: Any) -> Any:
    """The document with `value` at `path`; None takes the field away. What is not there on the way is made.

    >>> with_value({}, ("audience", "coverage"), 0.5)
    {'audience': {'coverage': 0.5}}
    >>> with_value({"variants": [{"key": "a"}]}, ("variants", 0, "key"), None)
    {'variants': [{}]}
    """
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(part, int):
        items = list(document) if isinstance(document, Sequence) and not isinstance(document, str) else []
        items += [None] * (part + 1 - len(items))
        items[part] = with_value(items[part], rest, value)
        return items
    fields = dict(document) if isinstance(document, Mapping) else {}
    if not rest and value is None:
        fields.pop(part, None)
        return fields
    if value is None and part not in fields:
        return fields
    fields[part] = with_value(fields.get(part), rest, value)
    return fields


def without(document: Any, path: Path) -> Any:
    """The document without the item of a list, or the field, at `path`."""
    *parents, last = path
    holder = at(document, tuple(parents))
    if isinstance(last, str) or not isinstance(holder, Sequence):
        return with_value(document, path, None)
    return with_value(document, tuple(parents), [item for i, item in enumerate(holder) if i != last])


def items_at(document: Any, path: Path) -> list[Any]:
    """The list at `path`; empty where there is none."""
    found = at(document, path)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def written(path: Path) -> str:
    """As mistakes name it.

    >>> written(("variants", 1, "weight"))
    'variants[1].weight'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def path_of(text: str) -> Path:
    """The inverse of `written`.

    >>> path_of("factors[0].levels[1].message.text")
    ('factors', 0, 'levels', 1, 'message', 'text')
    """
    return tuple(int(found[2]) if found[2] else found[1] for found in _PART.finditer(text))


def leaves(document: Any, path: Path = ()) -> Iterator[Path]:
    """The place of every value that holds no other, in order."""
    if isinstance(document, Mapping) and document:
        for name, value in document.items():
            yield from leaves(value, (*path, str(name)))
    elif isinstance(document, list | tuple) and document:
        for index, value in enumerate(document):
            yield from leaves(value, (*path, index))
    else:
        yield path


def opened(design: Document) -> dict[str, Any]:
    """A stored design as somebody would have written it: without the fields that say nothing.

    Combinations of factors are left out, since the factors make them; the API takes both forms as the same.
    """
    found: dict[str, Any] = _said(design)
    if found.get("factors"):
        own = [variant for variant in items_at(found, ("variants",)) if not variant.get("levels")]
        found = with_value(found, ("variants",), own or None)
    return found


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): said
            for name, item in value.items()
            # What people say in the language of conditions means something when it is empty or null.
            if (said := item if name in _VERBATIM else _said(item)) is not None and said not in ({}, [])
        }
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    return value


def copied(document: Document, *, name: str) -> dict[str, Any]:
    """The document under another name and key. A moment to begin or end that it names is left as it is: the API says if it is past."""
    return {**document, "key": key_from(name), "name": name}


def key_from(name: str) -> str:
    """A key that a name suggests: its Latin letters and digits; empty when there are none.

    >>> key_from("Wake up: Spring 2027!"), key_from("春季唤醒")
    ('wake-up-spring-2027', '')
    """
    return _WORDS.sub("-", name.lower()).strip("-")[:LONGEST_KEY].strip("-")


def is_key(text: str) -> bool:
    """Whether the API takes it as a key: Latin letters, digits, and then also `.`, `_` and `-`; at most 63 characters.

    >>> is_key("quiet-60"), is_key("UK quiet"), is_key("-x")
    (True, False, False)
    """
    return _KEY.fullmatch(text) is not None


class _PlainLoader(yaml.SafeLoader):
    """YAML as `touchstone apply` reads it, but that a column called `no` is no boolean, and a moment stays a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the library has it
        first: [
            (tag, pattern)
            for tag, pattern in known
            if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
        ]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|false", re.IGNORECASE), list("tTfF")
)


def check_shape(document: Document) -> None:
    """Raise Unwritable when something is no list, or no object, where the form goes into it."""
    for name in ("audience", "trigger", "treatment", "plan", "allocation"):
        if not isinstance(document.get(name, {}), Mapping | None):
            raise Unwritable(f"`{name}` is an object with fields of its own")
    places: list[Path] = [("factors",), ("variants",), ("metrics",)]
    for place in places:
        items = at(document, place, [])
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise Unwritable(f"`{written(place)}` is a list of objects, each with fields of its own")
        if place == ("factors",):
            places += [(*place, index, "levels") for index in range(len(items))]


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values it holds. A part that is named and used again (`&promo`, `*promo`) counts at each place, and is walked once."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MOST_VALUES + 1  # until it is known: one that holds itself has no end
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known) for item in items)
    return known[id(value)]


class _PlainDumper(yaml.SafeDumper):
    """YAML for people: no anchors, lists indented."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the library asks about each value
        return True


def to_yaml(document: Document) -> str:
    """The document as a file for `touchstone apply`, its fields in the order in which people read them."""
    return yaml.dump(
        _in_order(json.loads(json.dumps(document))),
        Dumper=_PlainDumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
    )


def _in_order(document: dict[str, Any]) -> dict[str, Any]:
    ordered = {name: document[name] for name in ORDER if name in document} | document
    for name in ("factors", "variants", "metrics"):
        if isinstance(ordered.get(name), list):
            ordered[name] = [_key_first(item) for item in ordered[name]]
    return ordered


def _key_first(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    named = {name: item[name] for name in ("key", "role") if name in item} | item
    if isinstance(named.get("levels"), list):
        named["levels"] = [_key_first(level) for level in named["levels"]]
    return named


def from_yaml(text: str) -> dict[str, Any]:
    """The document in a YAML or JSON text. Raises Unwritable."""
    try:
        found = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise Unwritable(f"{error.problem or error.context}{place}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unwritable(" ".join(str(error).split())[:300]) from error
    if not isinstance(found, dict):
        raise Unwritable("a campaign has fields, such as `key: spring`")
    if _size(found, {}) > MOST_VALUES:
        raise Unwritable(f"it unfolds to more than {MOST_VALUES:,} values")
    try:
        document = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unwritable(" ".join(str(error).split())[:300]) from error
    check_shape(document)
    return dict(document)
