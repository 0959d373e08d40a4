"""Members, API keys, and the audit log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client

PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Member:
    email: str
    role: str
    disabled: bool
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    prefix: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the audit log. `before` is None for a creation, `after` for a removal."""

    at: datetime | None
    actor: str
    action: str
    kind: str
    key: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def members(client: Client, *, cursor: str = "") -> tuple[list[Member], str | None]:
    """Some members, oldest first, and where the next page begins."""
    items, following = page_of(client, "/v1/members", {"cursor": cursor}, limit=PAGE)
    return [_member(item) for item in items], following


def member(client: Client, email: str) -> Member:
    return _member(values.mapping(client.get(_member_path(email))))


def put_member(client: Client, email: str, *, role: str, disabled: bool) -> None:
    client.send("PUT", _member_path(email), json={"role": role, "disabled": disabled})


def remove_member(client: Client, email: str) -> None:
    client.send("DELETE", _member_path(email))


def keys(client: Client, *, cursor: str = "") -> tuple[list[Key], str | None]:
    """Some API keys, oldest first, and where the next page begins."""
    items, following = page_of(client, "/v1/keys", {"cursor": cursor}, limit=PAGE)
    found = [
        Key(
            prefix=values.text(item.get("prefix")),
            name=values.text(item.get("name")),
            scopes=values.texts(item.get("scopes")),
            created_at=values.moment(item.get("created_at")),
            revoked_at=values.moment(item.get("revoked_at")),
        )
        for item in items
    ]
    return found, following


def create_key(client: Client, *, name: str, scopes: Sequence[str]) -> str:
    """The text of a new key, which the API tells this once."""
    answer = client.ask("POST", "/v1/keys", json={"name": name, "scopes": list(scopes)})
    text = values.text(values.mapping(answer).get("key"))
    if not text:
        raise client.unreadable("/v1/keys")
    return text


def revoke_key(client: Client, prefix: str) -> None:
    client.send("DELETE", f"/v1/keys/{quote(prefix, safe='')}")


def changes(
    client: Client, *, kind: str = "", key: str = "", actor: str = "", cursor: str = ""
) -> tuple[list[Change], str | None]:
    """Some of what was changed, newest first, and where the next page begins."""
    filters = {"subject_kind": kind, "subject_key": key, "actor": actor, "cursor": cursor}
    items, following = page_of(client, "/v1/audit", filters, limit=PAGE)
    found = [
        Change(
            at=values.moment(item.get("at")),
            actor=values.text(item.get("actor")),
            action=values.text(item.get("action")),
            kind=values.text(item.get("subject_kind")),
            key=values.text(item.get("subject_key")),
            before=_document(item.get("before")),
            after=_document(item.get("after")),
        )
        for item in items
    ]
    return found, following


def _document(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _member(item: Mapping[str, Any]) -> Member:
    return Member(
        email=values.text(item.get("email")),
        role=values.text(item.get("role")),
        disabled=item.get("disabled") is True,
        signed_in_at=values.moment(item.get("signed_in_at")),
    )


def _member_path(email: str) -> str:
    return f"/v1/members/{quote(email, safe='')}"
