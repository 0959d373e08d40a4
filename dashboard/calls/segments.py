"""Segments: whom they hold, what names them, how they overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard import values
from dashboard.calls.conditions import Count, count_of
from dashboard.calls.lists import page_of
from dashboard.client import Client

PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Segment:
    """`size` is how many members there were at `refreshed_at`; both None while nobody has counted. A list has no condition."""

    key: str
    name: str
    condition: Mapping[str, Any] | None
    text: str
    english: str
    size: int | None
    refreshed_at: datetime | None
    updated_at: datetime | None
    warnings: tuple[str, ...] = ()

    @property
    def is_list(self) -> bool:
        return self.condition is None


@dataclass(frozen=True, slots=True)
class Member:
    user_id: str
    added_at: datetime | None


@dataclass(frozen=True, slots=True)
class Combination:
    """How many users are in all of these segments, and in none of the others that were compared."""

    keys: tuple[str, ...]
    users: Count


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Segments side by side: (key, size, as of), and every combination that holds anybody, the largest first."""

    segments: tuple[tuple[str, Count, datetime | None], ...]
    combinations: tuple[Combination, ...]


def page(client: Client, *, search: str = "", cursor: str = "") -> tuple[list[Segment], str | None]:
    """Some segments, oldest first, and where the next page begins."""
    items, following = page_of(client, "/v1/segments", {"search": search, "cursor": cursor}, limit=PAGE)
    return [_segment(client, item) for item in items], following


def find(client: Client, key: str) -> Segment:
    return _segment(client, client.get(_path(key)))


def put(client: Client, key: str, *, name: str, condition: Mapping[str, Any] | None) -> Segment:
    """Store a segment; without a condition it is a list. Raises ApiError with the field of each problem."""
    return _segment(client, client.ask("PUT", _path(key), json={"name": name, "condition": condition}))


def delete(client: Client, key: str) -> None:
    client.send("DELETE", _path(key))


def refresh(client: Client, key: str) -> Mapping[str, Any]:
    """Members now (`size`), and how many `joined` and `left`."""
    return values.mapping(client.ask("POST", f"{_path(key)}/refresh"))


def upload(client: Client, key: str, content: bytes, *, replace: bool) -> Mapping[str, Any]:
    """Put the users of a file on a list: `size`, `added`, `removed`, `rejected` and the first `rejects`."""
    path, params = f"{_path(key)}/members", {"replace": replace}
    return values.mapping(client.ask("POST", path, params=params, content=(content, "text/csv")))


def members(client: Client, key: str, *, cursor: str = "") -> tuple[list[Member], str | None]:
    items, following = page_of(client, f"{_path(key)}/members", {"cursor": cursor}, limit=PAGE)
    found = [Member(values.text(item.get("user_id")), values.moment(item.get("added_at"))) for item in items]
    return found, following


def uses(client: Client, key: str) -> list[tuple[str, str]]:
    """What names a segment: (experiment, segment or rule; its key)."""
    found = [
        (values.text(item.get("kind")), values.text(item.get("key")))
        for item in values.mappings(client.get(f"{_path(key)}/uses"))
    ]
    return [(kind, name) for kind, name in found if kind and name]


def overlaps(client: Client, keys: Sequence[str]) -> Overlaps:
    """How two to six segments overlap, in one request."""
    path = "/v1/segments/overlap/combinations"
    answer = values.mapping(client.get(path, params={"key": list(keys)}))
    if not isinstance(answer.get("segments"), list):
        raise client.unreadable(path)
    compared = [(item, count_of(item)) for item in values.mappings(answer["segments"])]
    combined = [(item, count_of(item)) for item in values.mappings(answer.get("combinations"))]
    return Overlaps(
        tuple(
            (values.text(item.get("key")), count, values.moment(item.get("as_of")))
            for item, count in compared
            if count
        ),
        tuple(Combination(values.texts(item.get("keys")), count) for item, count in combined if count),
    )


def _segment(client: Client, document: Any) -> Segment:
    if not isinstance(document, Mapping) or not isinstance(document.get("key"), str):
        raise client.unreadable("/v1/segments")
    condition = document.get("condition")
    return Segment(
        key=document["key"],
        name=values.text(document.get("name")) or document["key"],
        condition=condition if isinstance(condition, Mapping) else None,
        text=values.text(document.get("text")),
        english=values.text(document.get("english")),
        size=values.whole(document.get("size")),
        refreshed_at=values.moment(document.get("refreshed_at")),
        updated_at=values.moment(document.get("updated_at")),
        warnings=values.texts(document.get("warnings")),
    )


def _path(key: str) -> str:
    return f"/v1/segments/{quote(key, safe='')}"
