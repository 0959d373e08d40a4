"""What the condition builder asks: what may be asked about, what a condition says, and whom it means."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client

PAGE: Final = 500
MOST_PAGES: Final = 4
MOST_NAMES: Final = 100
"""Names of events that the API takes in one question."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`share` is of the users who have it; `examples` are values that many share."""

    name: str
    kind: str
    share: float | None
    examples: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One condition in three forms, and what may be wrong with it."""

    condition: Mapping[str, Any]
    text: str
    english: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """A number of users; an estimate comes with the ends of its 95 % interval."""

    value: int
    exact: bool
    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Whom a condition means. `messageable`: with a phone number and consent to the category asked about."""

    count: Count
    messageable: Count | None
    sample: tuple[Mapping[str, Any], ...]


def attributes(client: Client) -> list[Attribute]:
    """What users have, by name; the first 2,000, which is as many as the API discovers."""
    return [
        Attribute(
            name=item["name"],
            kind=values.text(item.get("kind")),
            share=values.number(item.get("share")),
            examples=tuple(
                value for value in values.items(item.get("examples")) if isinstance(value, str | int | float)
            ),
        )
        for item in _items(client, "/v1/attributes")
        if isinstance(item.get("name"), str)
    ]


def event_names(client: Client) -> list[str]:
    """What users have done, by name."""
    return [str(item["name"]) for item in _items(client, "/v1/events/names") if item.get("name")]


def happened(client: Client, names: Collection[str]) -> frozenset[str]:
    """Those of these events that users have done."""
    path = "/v1/events/names"
    asked = sorted(names)
    found: set[str] = set()
    for start in range(0, len(asked), MOST_NAMES):
        items, _ = page_of(client, path, {"name": asked[start : start + MOST_NAMES]}, limit=MOST_NAMES)
        found.update(str(item["name"]) for item in items if item.get("name"))
    return frozenset(found)


def segment_names(client: Client) -> dict[str, str]:
    """Segments: key -> name."""
    found = _items(client, "/v1/segments")
    return {str(item["key"]): str(item.get("name") or item["key"]) for item in found if item.get("key")}


def read(client: Client, *, condition: Mapping[str, Any] | None = None, text: str | None = None) -> Reading:
    """A condition, or its text, in all its forms. Raises ApiError with the path of each problem."""
    path = "/v1/conditions"
    sent = {"condition": condition} if text is None else {"text": text}
    answer = client.ask("POST", path, json=sent)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("condition"), Mapping):
        raise client.unreadable(path)
    return Reading(
        condition=answer["condition"],
        text=values.text(answer.get("text")),
        english=values.text(answer.get("english")),
        warnings=values.texts(answer.get("warnings")),
    )


def preview(
    client: Client, condition: Mapping[str, Any], *, sample: int = 10, category: str = "marketing"
) -> Preview:
    """How many users a condition means, how many of them have agreed to `category`, and some of them. The API bounds its own
    time. Raises ApiError.
    """
    path = "/v1/segments/preview"
    body = {"condition": condition, "sample": sample, "category": category}
    answer = client.ask("POST", path, json=body)
    count = count_of(answer)
    if count is None:
        raise client.unreadable(path)
    users = values.mappings(answer.get("sample"))
    return Preview(count, count_of(answer.get("messageable")), tuple(users))


def count_of(document: Any) -> Count | None:
    """A number of users as the API tells it; None when it tells none."""
    known = values.counts(document)
    if "count" not in known:
        return None
    lower, upper = (known.get(name, known["count"]) for name in ("lower", "upper"))
    return Count(known["count"], values.mapping(document).get("exact") is not False, lower, upper)


def _items(client: Client, path: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    cursor: str | None = ""
    for _ in range(MOST_PAGES):
        items, cursor = page_of(client, path, {"cursor": cursor or ""}, limit=PAGE)
        found += items
        if not cursor:
            break
    return found
