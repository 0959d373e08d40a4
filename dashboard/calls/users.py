"""Users: looked for, one of them with their story, and what is done about them. Every function raises ApiError."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client

PAGE: Final = 25
STORY_PAGE: Final = 50
CATEGORIES: Final = ("marketing", "utility", "authentication")
TAGS: Final = "tags"
"""The attribute that holds tags."""
TROUBLED: Final = frozenset({"failed", "unknown", "suppressed", "expired", "cancelled", "planned", "claimed"})
"""States of a message that ask for a reason."""
ERASED: Final = "erased:"
"""How the id of the empty row begins that is left of somebody who was erased."""


@dataclass(frozen=True, slots=True)
class User:
    """`phone` is empty where there is none, or where this key may not see it; `has_phone` tells the two apart.

    `consents`: (category, granted, since). A category that is missing was never asked for.
    """

    user_id: str
    phone: str
    has_phone: bool
    time_zone: str
    locale: str
    attributes: Mapping[str, Any]
    created_at: datetime | None
    last_seen_at: datetime | None
    consents: tuple[tuple[str, bool, datetime | None], ...]

    @property
    def tags(self) -> tuple[str, ...]:
        return values.texts(self.attributes.get(TAGS))

    @property
    def is_erased(self) -> bool:
        return self.user_id.startswith(ERASED)

    def agreed_to(self, category: str) -> bool:
        return any(name == category and granted for name, granted, _ in self.consents)


@dataclass(frozen=True, slots=True)
class ConsentWord:
    """One grant or withdrawal; `evidence` is empty where this key may not see it."""

    category: str
    granted: bool
    at: datetime | None
    source: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    at: datetime | None
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """`times`: when it went through which stage; `next_at`: the first moment at which it may go out."""

    step: int
    state: str
    because: str
    due_at: datetime | None
    next_at: datetime | None
    times: Mapping[str, datetime]

    @property
    def reason(self) -> str:
        """Why it failed, waits or did not go out; empty for one that went well, of which the times say everything."""
        return self.because if self.state in TROUBLED or not self.times else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a user stands in one experiment. `variant` is empty for who does not take part."""

    experiment: str
    status: str
    outcome: str
    because: str
    next_at: datetime | None
    variant: str
    assigned_at: datetime | None
    propensity: float | None
    excluded_by: tuple[str, ...]
    messages: tuple[Message, ...]


def page(client: Client, *, beginning: str = "", cursor: str = "") -> tuple[list[User], str | None]:
    """Users whose id begins so, by id; without that all, oldest first; and where the next page begins."""
    items, following = page_of(client, "/v1/users", {"q": beginning, "cursor": cursor}, limit=PAGE)
    return [_user(client, item) for item in items], following


def by_phone(client: Client, phone: str) -> User:
    return _user(client, client.ask("POST", "/v1/users/find", json={"phone": phone}))


def find(client: Client, user_id: str) -> User:
    return _user(client, client.get(path_of(user_id)))


def consents(client: Client, user_id: str, *, cursor: str = "") -> tuple[list[ConsentWord], str | None]:
    """What they said about messages, the newest first."""
    items, following = page_of(client, path_of(user_id, "consents"), {"cursor": cursor}, limit=STORY_PAGE)
    return [_consent(item) for item in items], following


def events(client: Client, user_id: str, *, cursor: str = "") -> tuple[list[Event], str | None]:
    """What they did, the latest first."""
    items, following = page_of(client, path_of(user_id, "events"), {"cursor": cursor}, limit=STORY_PAGE)
    found = [
        Event(
            values.text(item.get("name")),
            values.moment(item.get("at")),
            values.mapping(item.get("properties")),
        )
        for item in items
    ]
    return found, following


def standings(client: Client, user_id: str) -> tuple[list[Standing], bool]:
    """How they stand in each experiment, the newest first; and whether there are more than are told."""
    path = path_of(user_id, "why")
    document = client.get(path)
    if not isinstance(document, Mapping) or not isinstance(document.get("experiments"), list):
        raise client.unreadable(path)
    return [_standing(item) for item in values.mappings(document["experiments"])], document.get(
        "more"
    ) is True


def say_consent(
    client: Client, user_id: str, *, category: str, granted: bool, source: str = "", evidence: str = ""
) -> None:
    body = {"category": category, "granted": granted, "source": source, "evidence": evidence}
    client.send("POST", path_of(user_id, "consent"), json=body)


def set_attributes(client: Client, user_id: str, attributes: Mapping[str, Any]) -> None:
    """Merge these in; None takes one away."""
    client.send("POST", "/v1/users", json={"user_id": user_id, "attributes": dict(attributes)})


def add_tags(client: Client, user_id: str, tags: Sequence[str]) -> None:
    client.send("POST", path_of(user_id, "tags"), json={"tags": list(tags)})


def remove_tag(client: Client, user_id: str, tag: str) -> None:
    client.send("DELETE", path_of(user_id, "tags", tag))


def export(client: Client, user_id: str) -> bytes:
    """Everything that is known of them, as JSON."""
    return client.send("GET", path_of(user_id, "export")).content


def erase(client: Client, user_id: str) -> None:
    client.send("DELETE", path_of(user_id))


def path_of(user_id: str, *parts: str) -> str:
    return "/".join(("/v1/users", *(quote(part, safe="") for part in (user_id, *parts))))


def _user(client: Client, document: Any) -> User:
    if not isinstance(document, Mapping) or not isinstance(document.get("user_id"), str):
        raise client.unreadable("/v1/users")
    phone = values.text(document.get("phone"))
    return User(
        user_id=document["user_id"],
        phone=phone,
        has_phone=document.get("has_phone") is True or bool(phone),
        time_zone=values.text(document.get("time_zone")),
        locale=values.text(document.get("locale")),
        attributes=values.mapping(document.get("attributes")),
        created_at=values.moment(document.get("created_at")),
        last_seen_at=values.moment(document.get("last_seen_at")),
        consents=tuple(
            (
                values.text(item.get("category")),
                item.get("granted") is True,
                values.moment(item.get("changed_at")),
            )
            for item in values.mappings(document.get("consents"))
        ),
    )


def _consent(document: Mapping[str, Any]) -> ConsentWord:
    return ConsentWord(
        category=values.text(document.get("category")),
        granted=document.get("granted") is True,
        at=values.moment(document.get("at")),
        source=values.text(document.get("source")),
        evidence=values.text(document.get("evidence")),
    )


def _standing(document: Mapping[str, Any]) -> Standing:
    assignment = values.mapping(document.get("assignment"))
    return Standing(
        experiment=values.text(document.get("experiment")),
        status=values.text(document.get("status")),
        outcome=values.text(document.get("outcome")),
        because=values.text(document.get("because")),
        next_at=values.moment(document.get("next_at")),
        variant=values.text(assignment.get("variant")),
        assigned_at=values.moment(assignment.get("assigned_at")),
        propensity=values.number(assignment.get("propensity")),
        excluded_by=tuple(
            values.text(item.get("because")) for item in values.mappings(document.get("excluded_by"))
        ),
        messages=tuple(
            Message(
                step=values.whole(item.get("step")) or 0,
                state=values.text(item.get("state")),
                because=values.text(item.get("because")),
                due_at=values.moment(item.get("due_at")),
                next_at=values.moment(item.get("next_at")),
                times={
                    name: at
                    for name, each in values.mapping(item.get("times")).items()
                    if (at := values.moment(each)) is not None
                },
            )
            for item in values.mappings(document.get("messages"))
        ),
    )
