"""Segments: whom they hold, what names them, how they overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard.calls.conditions import Count, count_of
from dashboard.calls.lists import page_of
from dashboard.client import Client
from dashboard.values import mapping, moment

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
    answer = client.send("PUT", _path(key), json={"name": name, "condition": condition})
    return _segment(client, answer.json())


def delete(client: Client, key: str) -> None:
    client.send("DELETE", _path(key))


def refresh(client: Client, key: str) -> Mapping[str, Any]:
    """Members now (`size`), and how many `joined` and `left`."""
    return mapping(client.send("POST", f"{_path(key)}/refresh").json())


def upload(client: Client, key: str, content: bytes, *, replace: bool) -> Mapping[str, Any]:
    """Put the users of a file on a list: `size`, `added`, `removed`, `rejected` and the first `rejects`."""
    answer = client.send(
        "POST", f"{_path(key)}/members", params={"replace": replace}, content=(content, "text/csv")
    )
    return mapping(answer.json())


def members(client: Client, key: str, *, cursor: str = "") -> tuple[list[Member], str | None]:
    items, following = page_of(client, f"{_path(key)}/members", {"cursor": cursor}, limit=PAGE)
    found = [Member(str(item.get("user_id") or ""), moment(item.get("added_at"))) for item in items]
    return found, following


def uses(client: Client, key: str) -> list[tuple[str, str]]:
    """What names a segment: (experiment, segment or rule; its key)."""
    answer = client.get(f"{_path(key)}/uses")
    items = answer if isinstance(answer, list) else []
    return [(str(item["kind"]), str(item["key"])) for item in items if {"kind", "key"} <= set(item)]


def overlaps(client: Client, keys: Sequence[str]) -> Overlaps:
    """How two to six segments overlap, in one request."""
    path = "/v1/segments/overlap/combinations"
    answer = mapping(client.get(path, params={"key": list(keys)}))
    if not isinstance(answer.get("segments"), list):
        raise client.unreadable(path)
    compared = [(item, count_of(item)) for item in answer["segments"] if isinstance(item, Mapping)]
    combined = [(mapping(item), count_of(item)) for item in answer.get("combinations") or ()]
    return Overlaps(
        tuple((str(item.get("key")), count, moment(item.get("as_of"))) for item, count in compared if count),
        tuple(
            Combination(tuple(map(str, item.get("keys") or ())), count) for item, count in combined if count
        ),
    )


def _segment(client: Client, document: Any) -> Segment:
    if not isinstance(document, Mapping) or not isinstance(document.get("key"), str):
        raise client.unreadable("/v1/segments")
    condition, size = document.get("condition"), document.get("size")
    return Segment(
        key=document["key"],
        name=str(document.get("name") or document["key"]),
        condition=condition if isinstance(condition, Mapping) else None,
        text=str(document.get("text") or ""),
        english=str(document.get("english") or ""),
        size=size if isinstance(size, int) else None,
        refreshed_at=moment(document.get("refreshed_at")),
        updated_at=moment(document.get("updated_at")),
        warnings=tuple(map(str, document.get("warnings") or ())),
    )


def _path(key: str) -> str:
    return f"/v1/segments/{quote(key, safe='')}"
