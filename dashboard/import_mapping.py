"""Which column of a file means what: what is guessed from the names, and what the form says as a mapping document. Pure.

The document says everything (`guess: false`), so that a column is not taken for what somebody has just said it is not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dashboard.calls.imports import Column

FIELDS: Final = ("user_id", "phone", "time_zone", "locale")
CATEGORIES: Final = ("marketing", "utility", "authentication")
TYPES: Final = ("plain", "text", "number", "boolean", "time", "list")
"""`plain`: each value as it most plainly is."""
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("decimal",),
    "boolean": ("positive", "negative"),
    "time": ("format", "zone"),
    "list": ("separator",),
}
"""What may be said about the values of a type."""
WORDS: Final = frozenset({"positive", "negative"})
"""Options that are several words, separated by commas."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Columns by what they are by their names: the parts of a user, and the categories that they consent to."""

    fields: Mapping[str, str]
    consent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConsentChoice:
    """The column of one category, and what says where and to which words the person agreed."""

    column: str
    source: str = ""
    evidence: str = ""
    positive: str = ""
    negative: str = ""


@dataclass(frozen=True, slots=True)
class AttributeChoice:
    column: str
    name: str
    type: str = "plain"
    options: Mapping[str, str] = field(default_factory=dict)


def guessed(columns: Sequence[Column]) -> Guess:
    """What each column is by its name, as the API would take it."""
    becomes = {column.becomes: column.name for column in reversed(columns)}
    return Guess(
        fields={name: becomes[name] for name in FIELDS if name in becomes},
        consent={name: becomes[f"consent.{name}"] for name in CATEGORIES if f"consent.{name}" in becomes},
    )


def document(
    fields: Mapping[str, str | None],
    consent: Mapping[str, ConsentChoice],
    attributes: Iterable[AttributeChoice],
    *,
    others: bool,
    consent_source: str,
    region: str,
) -> dict[str, Any]:
    """The mapping document of docs/imports.md.

    >>> document({"user_id": "no"}, {}, [], others=True, consent_source="", region="")
    {'guess': False, 'user_id': 'no', 'other_columns': True, 'attributes': {}}
    """
    found: dict[str, Any] = {"guess": False, **{name: column for name, column in fields.items() if column}}
    if consent:
        found["consent"] = {name: _consent(choice) for name, choice in consent.items()}
    if consent_source.strip():
        found["consent_source"] = consent_source.strip()
    if region.strip():
        found["region"] = region.strip().upper()
    return found | {
        "other_columns": others,
        "attributes": {choice.name: _attribute(choice) for choice in attributes},
    }


def problems_at(problems: Iterable[tuple[str, str]], path: str) -> list[str]:
    """What the API says about a part of the mapping, such as `mapping.phone`; parts of it included.

    >>> problems_at([("mapping.phone", "no such column"), ("file", "is empty")], "mapping.phone")
    ['no such column']
    """
    return [words for name, words in problems if name == path or name.startswith(f"{path}.")]


def _consent(choice: ConsentChoice) -> dict[str, Any]:
    said: dict[str, Any] = {"column": choice.column}
    said |= {
        name: column for name, column in (("source", choice.source), ("evidence", choice.evidence)) if column
    }
    return said | {
        name: words
        for name, text in (("positive", choice.positive), ("negative", choice.negative))
        if (words := _words(text))
    }


def _attribute(choice: AttributeChoice) -> dict[str, Any]:
    said: dict[str, Any] = {"column": choice.column}
    if choice.type == "plain":
        return said
    said["type"] = choice.type
    for name in OPTIONS.get(choice.type, ()):
        written = choice.options.get(name, "").strip()
        if written:
            said[name] = _words(written) if name in WORDS else written
    return said


def _words(text: str) -> list[str]:
    return [word for each in text.split(",") if (word := each.strip())]
