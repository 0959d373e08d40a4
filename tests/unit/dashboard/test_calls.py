"""Whatever answers: a request ends in a document or in an `ApiError`, and never in a traceback on somebody's page."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from dashboard.calls import (
    access,
    campaigns,
    conditions,
    delivery,
    experiment,
    imports,
    overview,
    planning,
    rules,
    segments,
    sessions,
    users,
)
from dashboard.calls.delivery import Fuse
from dashboard.client import ApiError, Client
from dashboard.reading import read_experiment

FILE = imports.File("a.csv", "csv", b"user_id\n1\n")
SPRING = read_experiment({"key": "spring"})
REQUESTS: dict[str, Callable[[Client], Any]] = {
    "members": access.members,
    "member": lambda client: access.member(client, "a@example.com"),
    "keys": access.keys,
    "create key": lambda client: access.create_key(client, name="a", scopes=["read"]),
    "changes": access.changes,
    "drafts": campaigns.drafts,
    "draft": lambda client: campaigns.draft(client, "a"),
    "save draft": lambda client: campaigns.save_draft(client, "a", {}, revision=0),
    "stored": lambda client: campaigns.stored(client, "a"),
    "stored drafts": campaigns.experiment_drafts,
    "store": lambda client: campaigns.store(client, {}, key=None),
    "store again": lambda client: campaigns.store(client, {}, key="a"),
    "plan": lambda client: campaigns.plan(client, {}, {}, simulate=0),
    "message": lambda client: campaigns.preview_message(client, {}, {}),
    "templates": campaigns.templates,
    "template": lambda client: campaigns.template(client, "a"),
    "metrics": campaigns.metrics,
    "attributes": conditions.attributes,
    "events": conditions.event_names,
    "happened": lambda client: conditions.happened(client, ["a"]),
    "names of segments": conditions.segment_names,
    "condition": lambda client: conditions.read(client, text="a"),
    "preview": lambda client: conditions.preview(client, {}),
    "delivery": delivery.delivery,
    "numbers": delivery.numbers,
    "policy": delivery.policy,
    "close": lambda client: delivery.close(client, Fuse("all", "", None, None, "")),
    "report": lambda client: experiment.report(client, SPRING, max_age=1),
    "course": lambda client: experiment.course(client, "a", metric="b"),
    "slices": lambda client: experiment.slices(client, "a", by="b"),
    "slicing": experiment.attributes,
    "traffic": lambda client: experiment.traffic(client, "a"),
    "enrolment": lambda client: experiment.enrolment(client, "a"),
    "kept": lambda client: experiment.kept_reports(client, "a"),
    "audit": lambda client: experiment.audit(client, "a"),
    "look": lambda client: imports.look(client, FILE),
    "rehearse": lambda client: imports.rehearse(client, FILE, {}, source="a", whole=True),
    "begin": lambda client: imports.begin(client, FILE, {}, source="a"),
    "runs": imports.runs,
    "pulls": imports.pulls,
    "overview": overview.overview,
    "cards": overview.cards,
    "size": lambda client: planning.size(client, {}),
    "simulate": lambda client: planning.simulate(client, {}, policy="fixed"),
    "rules": rules.page,
    "rule": lambda client: rules.find(client, "a"),
    "put rule": lambda client: rules.put(client, "a", {}),
    "try rule": lambda client: rules.dry_run(client, days=1, key="a"),
    "firings": lambda client: rules.firings(client, "a"),
    "versions": lambda client: rules.versions(client, "a"),
    "segments": segments.page,
    "segment": lambda client: segments.find(client, "a"),
    "put segment": lambda client: segments.put(client, "a", name="a", condition=None),
    "refresh": lambda client: segments.refresh(client, "a"),
    "upload": lambda client: segments.upload(client, "a", b"1", replace=False),
    "in segment": lambda client: segments.members(client, "a"),
    "uses": lambda client: segments.uses(client, "a"),
    "overlaps": lambda client: segments.overlaps(client, ["a", "b"]),
    "users": users.page,
    "user": lambda client: users.find(client, "a"),
    "by phone": lambda client: users.by_phone(client, "1"),
    "consents": lambda client: users.consents(client, "a"),
    "happenings": lambda client: users.events(client, "a"),
    "standings": lambda client: users.standings(client, "a"),
    "who": lambda client: client.who(),
    "experiment": lambda client: client.experiment("a"),
    "outbox": lambda client: client.outbox("a"),
    "import": lambda client: client.import_run(1),
}
WRONG: dict[str, Any] = dict.fromkeys(
    ("version", "count", "size", "fired", "seen", "id", "revision", "lower", "share"), "x"
)
LISTS = (
    "warnings",
    "notes",
    "actions",
    "scopes",
    "consents",
    "examples",
    "firings",
    "limits",
    "segments",
    "rows",
    "columns",
)
ODD: list[Any] = [
    None,
    [],
    {},
    3,
    [None, 3, {}],
    {"items": [None, 3, "x", {}]},
    {"items": [{"key": "a", "name": 3, **WRONG, **dict.fromkeys(LISTS, 7), "words": 3, "definition": []}]},
    {"key": "a", "user_id": "a", **WRONG, **dict.fromkeys(LISTS, "abc"), "words": {"actions": "abc", "limits": 3}},
    {"key": "a", "count": 3, "lower": None, "upper": "x", "sample": 3, "messageable": {"count": 1, "lower": None}},
    {"seen": 3, "fires": None, "users": "x", "firings": {"a": 1}, "notes": 3, "condition": {}, "warnings": 7},
    {"segments": [{"count": 1}], "combinations": 3, "experiments": [{"messages": 3, "assignment": 3}]},
    {"languages": 3, "experiment": 3, "design": {}, "document": {}, "revision": 1, "updated_by": 3, "updated_at": 3},
]  # fmt: skip


NO_JSON = (b"", b"<html>", b"\xff")


@pytest.mark.parametrize("name", REQUESTS)
def test_an_odd_answer_is_read_or_told(name: str) -> None:
    said = [b""]
    answers = httpx.MockTransport(lambda _: httpx.Response(200, content=said[-1]))
    client = Client("http://api", "key", transport=answers)
    for odd in ODD:
        said.append(json.dumps(odd).encode())
        with suppress(ApiError):
            REQUESTS[name](client)
    for no_json in NO_JSON if name != "close" else ():  # of which nothing is read
        said.append(no_json)
        with pytest.raises(ApiError, match="is not the Touchstone API"):
            REQUESTS[name](client)


def test_an_account_that_gets_no_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "ask", lambda *_, **__: {"key": None})
    with pytest.raises(ApiError, match="is not the Touchstone API"):
        sessions.begin("http://api", "token")
