"""A write is whole or it is not: whatever goes wrong on its way, nothing is half-written, and its key may be used again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func
from sqlmodel import Session, SQLModel, select

from api.app import create_app
from api.models import RememberedAnswer
from api.wiring import Wiring
from experiments.audit import AuditEntry
from experiments.models import Experiment, Metric
from targeting.models import ConsentRecord, Event, User
from tests.unit.experiments.test_design import CAMPAIGN

METRIC = {"kind": "proportion", "event": "Order Completed"}
KEY = {"Idempotency-Key": "abc"}
EVENT = {"userId": "u9", "event": "Paid", "messageId": "1"}


def count(wiring: Wiring, *tables: type[SQLModel]) -> int:
    with wiring.database.snapshot() as session:
        return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


@contextmanager
def failing(moment: str, table: type[SQLModel]) -> Iterator[None]:
    """The disk gives up at this moment of any session that has touched `table`."""
    touched: set[int] = set()

    def note(session: Session, _context: Any) -> None:
        if any(isinstance(row, table) for row in (*session.new, *session.dirty)):
            touched.add(id(session))
            if moment == "after_flush":
                raise RuntimeError("disk full")

    def fail(session: Session) -> None:
        if id(session) in touched:
            raise RuntimeError("disk full")

    event.listen(Session, "after_flush", note)
    if moment == "before_commit":
        event.listen(Session, "before_commit", fail)
    try:
        yield
    finally:
        event.remove(Session, "after_flush", note)
        if moment == "before_commit":
            event.remove(Session, "before_commit", fail)


@pytest.mark.parametrize("moment", ["after_flush", "before_commit"])
@pytest.mark.parametrize(
    ("method", "path", "body", "table"),
    [
        ("POST", "/v1/experiments", CAMPAIGN, Experiment),
        ("PUT", "/v1/metrics/m", METRIC, Metric),
        ("POST", "/v1/users", {"user_id": "u1"}, User),
    ],
)
def test_a_write_that_fails_midway_stores_nothing_and_may_be_tried_again(
    writer: TestClient, wiring: Wiring, moment: str, method: str, path: str, body: Any, table: type[SQLModel]
) -> None:
    before = count(wiring, table, AuditEntry)
    # The audit entry is the last thing that such a write adds, so what it is about has been flushed by then.
    with failing(moment, AuditEntry):
        answer = writer.request(method, path, json=body, headers=KEY)
        # ..except where the entry is only flushed by the commit, which is then what fails.
        assert answer.status_code == 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "disk" not in answer.text
    assert count(wiring, table, AuditEntry) == before
    assert count(wiring, RememberedAnswer) == 0
    assert writer.request(method, path, json=body, headers=KEY).is_success
    assert count(wiring, table, AuditEntry) == before + 2


def test_an_answer_is_sent_only_after_its_write_can_be_read(writer: TestClient, wiring: Wiring) -> None:
    seen: list[int] = []
    inner = writer.app

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(await asyncio.to_thread(count, wiring, Experiment))
            await send(message)

        await inner(scope, receive, told)

    with TestClient(watched, headers=writer.headers) as client:
        assert client.post("/v1/experiments", json=CAMPAIGN).status_code == 201
        assert client.post("/v1/experiments", json={**CAMPAIGN, "key": "b"}, headers=KEY).status_code == 201
    assert seen == [1, 2]


def call_and_hang_up(wiring: Wiring, path: str, headers: dict[str, str], sent: list[bytes]) -> int:
    """Send a part of a body and disconnect; returns the status that nobody read."""
    app = create_app(wiring)
    messages: list[dict[str, Any]] = [
        *({"type": "http.request", "body": part, "more_body": True} for part in sent),
        {"type": "http.disconnect"},
    ]
    answers: list[int] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    name, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(app(scope, receive, send))
    return answers[0]


@pytest.mark.parametrize(
    ("path", "content_type", "sent"),
    [
        ("/v1/imports?format=csv", "text/csv", [b"user_id\n", b"u1\nu2\n"]),
        ("/v1/users", "application/json", [b'{"user_id": "u1"}']),
        ("/v1/experiments", "application/json", [b'{"key": "a"']),
    ],
)
@pytest.mark.parametrize("more", [{}, KEY])
def test_a_caller_who_hangs_up_in_the_middle_of_a_body_leaves_nothing(
    wiring: Wiring,
    keys: dict[str, str],
    path: str,
    content_type: str,
    sent: list[bytes],
    more: dict[str, str],
) -> None:
    headers = {"Authorization": f"Bearer {keys['write']}", "Content-Type": content_type, **more}
    before = count(wiring, AuditEntry)
    assert call_and_hang_up(wiring, path, headers, list(sent)) == 400
    assert count(wiring, User, Experiment, RememberedAnswer) == 0
    assert count(wiring, AuditEntry) == before


def test_a_batch_that_fails_midway_stores_no_event_and_no_user(
    http: TestClient, keys: dict[str, str], wiring: Wiring
) -> None:
    good = {"type": "track", **EVENT}
    phone = {"type": "identify", "userId": "ann", "traits": {"phone": "+12025550155"}}
    auth = (keys["ingest"], "")
    assert http.post("/v1/batch", auth=auth, json={"batch": [phone]}).status_code == 200
    # Found out only when the owners of phones have been read: ann has this one.
    answer = http.post("/v1/batch", auth=auth, json={"batch": [good, {**phone, "userId": "bob"}]})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "batch[1].traits.phone"
    assert (count(wiring, User), count(wiring, Event)) == (1, 0)


def written(wiring: Wiring) -> int:
    return count(wiring, AuditEntry, Event, ConsentRecord)


@pytest.mark.parametrize(
    ("scope", "method", "path", "content"),
    [
        ("write", "POST", "/v1/users", {"json": {"user_id": "u1"}}),
        ("write", "PUT", "/v1/metrics/m", {"json": METRIC}),
        ("write", "PUT", "/v1/experiments/spring-wakeup", {"json": CAMPAIGN}),
        ("write", "POST", "/v1/users/known/consent", {"json": {"granted": True, "source": "shop"}}),
        ("write", "POST", "/v1/imports?format=csv", {"content": b"user_id\na\n"}),
        ("write", "POST", "/v1/imports", {"files": {"file": ("p.csv", b"user_id\na\n", "text/csv")}}),
        ("ingest", "POST", "/v1/track", {"json": {"userId": "u9", "event": "Paid"}}),
    ],
)
def test_every_write_happens_once_under_one_key_and_gets_its_first_answer_again(
    http: TestClient,
    keys: dict[str, str],
    wiring: Wiring,
    scope: str,
    method: str,
    path: str,
    content: dict[str, Any],
) -> None:
    bearer = {"Authorization": f"Bearer {keys[scope]}"}
    http.post("/v1/users", json={"user_id": "known"}, headers={"Authorization": f"Bearer {keys['write']}"})
    before = written(wiring)
    first = http.request(method, path, headers=bearer | KEY, **content)
    assert first.is_success, first.text
    after = written(wiring)
    assert after > before
    again = http.request(method, path, headers=bearer | KEY, **content)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert written(wiring) == after


def test_another_file_under_the_same_key_is_refused(writer: TestClient) -> None:
    assert writer.post("/v1/imports?format=csv", content=b"user_id\na\n", headers=KEY).status_code == 200
    for path, body in [
        ("?format=csv", b"user_id\nb\n"),
        ('?format=csv&mapping={"user_id":"user_id"}', b"user_id\na\n"),
    ]:
        answer = writer.post(f"/v1/imports{path}", content=body, headers=KEY)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_refused_import_may_be_repeated_under_its_key(writer: TestClient, wiring: Wiring) -> None:
    assert writer.post("/v1/imports?format=csv", content=b"", headers=KEY).status_code == 422
    assert count(wiring, RememberedAnswer) == 0


def test_a_key_is_made_once_under_one_key_and_its_text_is_not_kept(
    http: TestClient, keys: dict[str, str], wiring: Wiring
) -> None:
    bearer = {"Authorization": f"Bearer {keys['admin']}"}
    wanted = {"name": "shop", "scopes": ["ingest"]}
    first = http.post("/v1/keys", headers=bearer | KEY, json=wanted)
    again = http.post("/v1/keys", headers=bearer | KEY, json=wanted)
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["errors"][0]["field"] == "Idempotency-Key"
    with wiring.database.snapshot() as session:
        remembered = session.exec(select(RememberedAnswer)).one()
    assert (remembered.status, remembered.body) == (201, None)
    listed = http.get("/v1/keys", headers=bearer).json()["items"]
    assert [item["name"] for item in listed].count("shop") == 1


def test_who_recorded_a_consent_is_in_the_audit_log(writer: TestClient) -> None:
    writer.post("/v1/users", json={"user_id": "ann"})
    for granted in (True, True, False):
        assert (
            writer.post("/v1/users/ann/consent", json={"granted": granted, "source": "shop"}).status_code
            == 200
        )
    entries = writer.get("/v1/audit", params={"subject_kind": "user", "subject_key": "ann"}).json()["items"]
    assert [entry["action"] for entry in entries] == ["consent.withdraw", "consent.grant", "user.put"]
    assert entries[0]["actor"].startswith("key:write key:")
    assert entries[0]["after"] == {"category": "marketing", "granted": False, "source": "shop"}
