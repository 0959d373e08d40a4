"""What the page New campaign asks of the API: drafts, what a campaign can be made of, plans, previews, storing and starting."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import ApiError, Client

Document = Mapping[str, Any]
PAGE: Final = 20
MOST_LISTED: Final = 200
"""Templates or metrics that one list offers; whatever is beyond can be typed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document as the API keeps it. `revision` 0: it keeps none yet."""

    key: str
    document: Document
    revision: int
    updated_by: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An experiment as the API keeps it. `changed_at`: a mark that is another one after every change; `warnings`: of a design just stored."""

    status: str
    design: Document
    changed_at: str
    warnings: tuple[str, ...] = ()


def drafts(client: Client, *, search: str = "", cursor: str = "") -> tuple[list[Document], str | None]:
    """A page of drafts without their documents, newest first, and the cursor of the next one."""
    return page_of(client, "/v1/drafts", {"search": search, "cursor": cursor}, limit=PAGE)


def draft(client: Client, key: str) -> Draft:
    """Raises ApiError; its status is 404 when there is no such draft."""
    path = _path("drafts", key)
    found = _mapping(client, client.get(path), path)
    document, revision = found.get("document"), found.get("revision")
    if not isinstance(document, Mapping) or not isinstance(revision, int):
        raise client.unreadable(path)
    return Draft(
        key,
        document,
        revision,
        values.text(found.get("updated_by")),
        values.moment(found.get("updated_at")),
    )


def save_draft(client: Client, key: str, document: Document, *, revision: int | None) -> Draft:
    """Keep a document. Raises ApiError; its status is 409 when somebody else has saved since `revision`."""
    path = _path("drafts", key)
    answer = client.ask("PUT", path, json={"document": document, "revision": revision})
    saved = _mapping(client, answer, path)
    return Draft(
        key,
        document,
        values.whole(saved.get("revision")) or 0,
        values.text(saved.get("updated_by")),
        values.moment(saved.get("updated_at")),
    )


def forget_draft(client: Client, key: str) -> None:
    """Throw a draft away; nothing happens when there is none."""
    try:
        client.send("DELETE", _path("drafts", key))
    except ApiError as error:
        if error.status != 404:
            raise


def stored(client: Client, key: str) -> Stored:
    path = _path("experiments", key)
    return _stored(client, client.get(path), path)


def _stored(client: Client, document: Any, path: str) -> Stored:
    found = values.mapping(document)
    if not isinstance(found.get("design"), Mapping):
        raise client.unreadable(path)
    return Stored(
        status=values.text(found.get("status")),
        design=found["design"],
        changed_at=values.text(found.get("updated_at")),
        warnings=values.texts(found.get("warnings")),
    )


def experiment_drafts(
    client: Client, *, search: str = "", cursor: str = ""
) -> tuple[list[Document], str | None]:
    """A page of experiments that have not started, newest first, and the cursor of the next one."""
    asked = {"status": "draft", "search": search, "cursor": cursor}
    return page_of(client, "/v1/overview/experiments", asked, limit=PAGE)


def store(client: Client, document: Document, *, key: str | None) -> Stored:
    """Store a campaign as an experiment.

    key: that of the experiment which it was stored as before; None: a new one, and a key that is taken is refused.
    """
    if key is None:
        path = "/v1/experiments"
        return _stored(client, client.ask("POST", path, json=document), path)
    path = _path("experiments", key)
    answer = values.mapping(client.ask("PUT", path, json=document))
    return _stored(client, answer.get("experiment"), path)


def plan(client: Client, document: Document, assumptions: Document, *, simulate: int) -> Document:
    """What would become of the campaign. Nothing is stored."""
    body = {"campaign": document, "assumptions": assumptions, "simulate": simulate}
    return _mapping(client, client.ask("POST", "/v1/plan", json=body), "/v1/plan")


def preview_message(client: Client, message: Document, condition: Document) -> Document:
    """What three users of a condition would read."""
    body = {"message": message, "condition": condition, "sample": 3}
    path = "/v1/templates/preview"
    return _mapping(client, client.ask("POST", path, json=body), path)


def templates(client: Client) -> list[Document]:
    """The first templates by name, each in all its languages."""
    return page_of(client, "/v1/templates", {}, limit=MOST_LISTED)[0]


def template(client: Client, name: str) -> list[Document]:
    """One template in all its languages; empty when there is none."""
    path = _path("templates", name)
    try:
        return values.mappings(_mapping(client, client.get(path), path).get("languages"))
    except ApiError as error:
        if error.status in {404, 422}:
            return []
        raise


def metrics(client: Client) -> list[Document]:
    """The library of metrics."""
    return page_of(client, "/v1/metrics", {}, limit=MOST_LISTED)[0]


def _path(kind: str, key: str) -> str:
    return f"/v1/{kind}/{quote(key, safe='')}"


def _mapping(client: Client, answer: Any, path: str) -> Document:
    if not isinstance(answer, Mapping):
        raise client.unreadable(path)
    return answer
