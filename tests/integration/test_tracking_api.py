"""Tracking over HTTP: every endpoint, whose key, how often, and what one request's mistake does to the others."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

import anyio
import httpx
import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, select

from api.app import create_app
from api.models import RememberedAnswer
from api.wiring import Wiring
from targeting import users
from targeting.models import Event, User

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("identify", {"userId": "u1", "traits": {"plan": "free"}}),
    ("track", {"userId": "u1", "event": "Paid", "properties": {"revenue": 2}}),
    ("page", {"userId": "u1", "name": "Home", "context": {"page": {"path": "/"}}}),
    ("screen", {"userId": "u1", "name": "Cart"}),
    ("group", {"userId": "u1", "groupId": "acme", "traits": {"seats": 3}}),
    ("alias", {"userId": "u1", "previousId": "a1"}),
]


@pytest.fixture
def auth(keys: dict[str, str]) -> tuple[str, str]:
    return keys["ingest"], ""


def stored(wiring: Wiring) -> list[tuple[str, dict[str, Any]]]:
    with wiring.database.snapshot() as session:
        rows = session.exec(select(Event).order_by(col(Event.name))).all()
        return [(row.name, row.properties) for row in rows]


EXPECTED = [
    ("Page Viewed", {"path": "/", "name": "Home"}),
    ("Paid", {"revenue": 2}),
    ("Screen Viewed", {"name": "Cart"}),
]


def attributes(wiring: Wiring) -> dict[str, Any]:
    with wiring.database.snapshot() as session:
        return users.find(session, user_id="u1").attributes


def test_every_call_has_an_endpoint(http: TestClient, auth: tuple[str, str], wiring: Wiring) -> None:
    for name, body in CALLS:
        answer = http.post(f"/v1/{name}", auth=auth, json=body)
        assert (answer.status_code, answer.json()) == (
            200,
            {"success": True, "accepted": 1, "duplicates": 0},
        ), name
    assert stored(wiring) == EXPECTED
    assert attributes(wiring) == {"plan": "free", "group_id": "acme", "group": {"seats": 3}}


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/import"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_holds_them_all(
    http: TestClient, auth: tuple[str, str], wiring: Wiring, path: str, packed: bool
) -> None:
    body = json.dumps({"batch": [{"type": name, **call} for name, call in CALLS]}).encode()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    answer = http.post(
        path, auth=auth, content=gzip.compress(body, mtime=0) if packed else body, headers=headers
    )
    assert (answer.status_code, answer.json()["accepted"]) == (200, len(CALLS))
    assert stored(wiring) == EXPECTED
    assert attributes(wiring) == {"plan": "free", "group_id": "acme", "group": {"seats": 3}}


def test_the_write_key_may_come_in_the_body(http: TestClient, keys: dict[str, str]) -> None:
    call = {"userId": "u1", "event": "Paid"}
    # Browsers send it as plain text, to be spared a question.
    plain = {"Content-Type": "text/plain"}
    body = json.dumps({**call, "writeKey": keys["ingest"]})
    assert http.post("/v1/track", content=body, headers=plain).status_code == 200
    batch = {"batch": [{"type": "track", **call}], "writeKey": keys["ingest"]}
    assert http.post("/v1/batch", json=batch).status_code == 200
    for key, status in [(keys["read"], 403), ("ts_000000000000_wrong", 401), ("", 401)]:
        assert http.post("/v1/track", json={**call, "writeKey": key}).status_code == status
    assert http.post("/v1/track", json=call).status_code == 401
    # A header that is wrong is not made good by the body.
    answer = http.post("/v1/track", auth=("nobody", ""), json={**call, "writeKey": keys["ingest"]})
    assert answer.status_code == 401


def test_a_key_counts_no_more_from_the_moment_of_its_revocation(
    http: TestClient, keys: dict[str, str], wiring: Wiring
) -> None:
    admin = {"Authorization": f"Bearer {keys['admin']}"}
    made = http.post("/v1/keys", headers=admin, json={"name": "shop", "scopes": ["ingest"]}).json()
    call = {"userId": "u1", "event": "Paid"}
    for status, content in [(200, {"auth": (made["key"], ""), "json": call})] * 2:
        assert http.post("/v1/track", **content).status_code == status
    http.delete(f"/v1/keys/{made['prefix']}", headers=admin)
    for content in (
        {"auth": (made["key"], ""), "json": call},
        {"json": {**call, "writeKey": made["key"]}},
        {"auth": (made["key"], ""), "json": call, "headers": {"Idempotency-Key": "k"}},
    ):
        answer = http.post("/v1/track", **content)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert len(stored(wiring)) == 2


def test_a_body_that_unpacks_to_more_than_a_batch_may_hold_is_refused(
    http: TestClient, auth: tuple[str, str]
) -> None:
    for size, path in [(50_000_000, "batch"), (99_000, "track"), (200_000, "batch")]:
        packed = gzip.compress(b" " * size, mtime=0)
        answer = http.post(f"/v1/{path}", auth=auth, content=packed, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "body")
    answer = http.post("/v1/track", auth=auth, content=b" " * 200_000)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "body")


def test_the_same_write_under_a_key_counts_once_even_if_its_answer_was_lost(
    http: TestClient, auth: tuple[str, str], wiring: Wiring
) -> None:
    once = {"Idempotency-Key": "k1"}
    # No messageId: the key has to do.
    call = {"userId": "u1", "event": "Paid"}
    first = http.post("/v1/track", auth=auth, json=call, headers=once)
    assert http.post("/v1/track", auth=auth, json=call, headers=once).content == first.content
    other = http.post("/v1/track", auth=auth, json={**call, "event": "Left"}, headers=once)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    with wiring.database.transaction() as session:
        # As if the process had died between the commit and the moment in which its answer was remembered.
        for row in session.exec(select(RememberedAnswer)).all():
            session.delete(row)
    again = http.post("/v1/track", auth=auth, json=call, headers=once)
    assert (again.status_code, again.json()["duplicates"]) == (200, 1)
    assert len(stored(wiring)) == 1


def test_a_wrong_batch_is_refused_whole_and_a_failed_key_may_be_used_again(
    http: TestClient, auth: tuple[str, str], wiring: Wiring
) -> None:
    once = {"Idempotency-Key": "k1"}
    good = {"type": "track", "userId": "u1", "event": "Paid"}
    wrong = [good, {**good, "userId": "anonymous:x"}, {**good, "properties": {"a": "\0"}}]
    answer = http.post("/v1/batch", auth=auth, json={"batch": wrong}, headers=once)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [
        "batch[1].userId",
        "batch[2].properties.a",
    ]
    assert stored(wiring) == []
    assert http.post("/v1/batch", auth=auth, json={"batch": [good]}, headers=once).status_code == 200


def test_requests_at_the_same_moment_do_not_answer_for_each_other(
    wiring: Wiring, keys: dict[str, str]
) -> None:
    """One asks for a phone that is somebody else's, one repeats another's event, one has a wrong time; the rest is stored."""
    phone = {"phone": "+12025550123"}

    async def post_all(bodies: Sequence[tuple[str, dict[str, Any]]]) -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(wiring))
        answers: dict[int, httpx.Response] = {}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", auth=(keys["ingest"], "")
        ) as client:

            async def post(index: int, path: str, body: dict[str, Any]) -> None:
                answers[index] = await client.post(path, json=body)

            await post(-1, "/v1/identify", {"userId": "owner", "traits": phone})
            async with anyio.create_task_group() as group:
                for index, (path, body) in enumerate(bodies):
                    group.start_soon(post, index, path, body)
        return [answers[index] for index in range(len(bodies))]

    tracked = [
        ("/v1/track", {"userId": f"u{n}", "event": "Paid", "messageId": f"m{n % 20}"}) for n in range(21)
    ]
    bad = [
        ("/v1/identify", {"userId": "thief", "traits": phone}),
        ("/v1/track", {"userId": "u1", "event": "Paid", "timestamp": "2030-01-01T00:00:00Z"}),
    ]
    answers = anyio.run(post_all, [*tracked[:10], bad[0], *tracked[10:], bad[1]])
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 10 + [409] + [200] * 11 + [422]
    assert answers[10].json()["errors"][0]["field"] == "traits.phone"
    counted = [answer.json() for answer in answers if answer.is_success]
    assert sum(answer["accepted"] for answer in counted) == 20
    assert sum(answer["duplicates"] for answer in counted) == 1
    assert len(stored(wiring)) == 20
    with wiring.database.snapshot() as session:
        assert session.exec(select(User).where(User.user_id == "thief")).first() is None


def test_who_was_erased_does_not_come_back_and_nobody_else_suffers(
    http: TestClient, keys: dict[str, str], auth: tuple[str, str], wiring: Wiring
) -> None:
    phone = {"phone": "+12025550123"}
    first = {"userId": "gone", "anonymousId": "guest", "traits": phone}
    assert http.post("/v1/identify", auth=auth, json=first).status_code == 200
    admin = {"Authorization": f"Bearer {keys['admin']}"}
    assert http.delete("/v1/users/gone", headers=admin).is_success
    paid = {"type": "track", "event": "Paid"}
    batch = [
        {**paid, "userId": "gone"},
        {**paid, "anonymousId": "guest"},
        {"type": "identify", "userId": "other", "traits": phone},
        {"type": "alias", "previousId": "gone", "userId": "third"},
        {**paid, "userId": "u1"},
    ]
    answer = http.post("/v1/batch", auth=auth, json={"batch": batch})
    assert (answer.status_code, answer.json()["accepted"], answer.json()["duplicates"]) == (200, 1, 4)
    assert stored(wiring) == [("Paid", {})]
    with wiring.database.snapshot() as session:
        known = set(session.exec(select(User.user_id)).all())
    assert {name for name in known if not name.startswith("erased:")} == {"u1"}
