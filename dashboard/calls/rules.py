"""Rules: what they say, whom they fired for, and whom they would fire for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client

PAGE: Final = 50
MOST_COUNTED: Final = 1_000
"""The API counts firings up to so many."""
DRY_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Words:
    """A rule in English, part by part; `condition` is empty where everybody is meant."""

    trigger: str = ""
    condition: str = ""
    actions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """`state` is off, on or parked. `experiment`: whose rule it is, empty for one of its own right."""

    key: str
    name: str
    experiment: str
    state: str
    version: int
    definition: Mapping[str, Any]
    error: str
    words: Words
    fired: int | None
    last_fired_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Firing:
    user_id: str
    version: int
    cause: str
    at: datetime | None
    actions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Version:
    version: int
    definition: Mapping[str, Any]
    actor: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a rule would have done. `counts`: seen = fires + the four reasons why not.

    `of_events`: the events of those days were met again; otherwise it is about the present moment.
    """

    says: str
    since: datetime | None
    until: datetime | None
    counts: Mapping[str, int]
    users: int
    truncated: bool
    of_events: bool
    firings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


COUNTS: Final = ("seen", "fires", "trigger_failed", "condition_failed", "cool_down", "once_per_user")


def page(client: Client, *, search: str = "", cursor: str = "") -> tuple[list[Rule], str | None]:
    """Some rules, oldest first, and where the next page begins."""
    items, following = page_of(client, "/v1/rules", {"search": search, "cursor": cursor}, limit=PAGE)
    return [_rule(client, item) for item in items], following


def find(client: Client, key: str) -> Rule:
    return _rule(client, client.get(_path(key)))


def put(client: Client, key: str, document: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Store a rule: (created, changed or unchanged; warnings). Raises ApiError with the field of each problem."""
    answer = values.mapping(client.ask("PUT", _path(key), json=document))
    return values.text(answer.get("outcome")), values.texts(answer.get("warnings"))


def switch(client: Client, key: str, *, on: bool) -> None:
    client.send("POST", f"{_path(key)}/{'enable' if on else 'disable'}")


def delete(client: Client, key: str) -> None:
    client.send("DELETE", _path(key))


def dry_run(client: Client, *, days: int, key: str = "", document: Mapping[str, Any] | None = None) -> DryRun:
    """Try a rule on the last days: the one in `document`, or the stored one. Nothing is done."""
    path = "/v1/rules/dry-run" if document is not None else f"{_path(key)}/dry-run"
    params = {"days": days, "limit": DRY_LISTED}
    answer = values.mapping(client.ask("POST", path, params=params, json=document))
    known = values.counts(answer)
    if "seen" not in known:
        raise client.unreadable(path)
    return DryRun(
        says=values.text(answer.get("says")),
        since=values.moment(answer.get("since")),
        until=values.moment(answer.get("until")),
        counts={name: known.get(name, 0) for name in COUNTS},
        users=known.get("users", 0),
        truncated=answer.get("truncated") is True,
        of_events=answer.get("trigger") == "event",
        firings=tuple(values.mappings(answer.get("firings"))),
        notes=values.texts(answer.get("notes")),
    )


def firings(client: Client, key: str, *, cursor: str = "") -> tuple[list[Firing], str | None]:
    """Whom a rule fired for, newest first."""
    items, following = page_of(client, f"{_path(key)}/firings", {"cursor": cursor}, limit=PAGE)
    found = [
        Firing(
            user_id=values.text(item.get("user_id")),
            version=values.whole(item.get("version")) or 0,
            cause=values.text(item.get("cause")),
            at=values.moment(item.get("at")),
            actions=tuple(values.mappings(item.get("actions"))),
        )
        for item in items
    ]
    return found, following


def versions(client: Client, key: str, *, cursor: str = "") -> tuple[list[Version], str | None]:
    """What a rule has said, oldest first."""
    items, following = page_of(client, f"{_path(key)}/versions", {"cursor": cursor}, limit=PAGE)
    found = [
        Version(
            version=values.whole(item.get("version")) or 0,
            definition=values.mapping(item.get("definition")),
            actor=values.text(item.get("actor")),
            at=values.moment(item.get("at")),
        )
        for item in items
    ]
    return found, following


def _rule(client: Client, document: Any) -> Rule:
    if not isinstance(document, Mapping) or not isinstance(document.get("key"), str):
        raise client.unreadable("/v1/rules")
    words = values.mapping(document.get("words"))
    return Rule(
        key=document["key"],
        name=values.text(document.get("name")) or document["key"],
        experiment=values.text(document.get("experiment")),
        state=values.text(document.get("state")),
        version=values.whole(document.get("version")) or 0,
        definition=values.mapping(document.get("definition")),
        error=values.text(document.get("error")),
        words=Words(
            trigger=values.text(words.get("trigger")),
            condition=values.text(words.get("condition")),
            actions=values.texts(words.get("actions")),
            limits=values.texts(words.get("limits")),
        ),
        fired=values.whole(document.get("fired")),
        last_fired_at=values.moment(document.get("last_fired_at")),
        updated_at=values.moment(document.get("updated_at")),
    )


def _path(key: str) -> str:
    return f"/v1/rules/{quote(key, safe='')}"
