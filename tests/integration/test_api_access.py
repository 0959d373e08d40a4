"""Keys, scopes, errors, bounds and idempotency: what holds for every route."""

import json
import re
from threading import Thread

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from api.models import ApiKey
from api.wiring import Wiring
from experiments.audit import AuditEntry
from tests.unit.experiments.test_design import CAMPAIGN

METRIC = {"kind": "proportion", "event": "Order Completed"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_stored_only_as_a_hash(wiring: Wiring, keys: dict[str, str]) -> None:
    secret = keys["admin"].split("_", 2)[2]
    with wiring.database.snapshot() as session:
        for row in session.exec(select(ApiKey)):
            assert secret not in repr(row)
            assert re.fullmatch(r"[0-9a-f]{64}", row.secret_hash)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", "Bearer ts_a_b", "Basic ???", "Basic eDp5", "Digest a", "Bearer ts_é_b"],
)
def test_without_a_known_key_nothing_is_told(
    http: TestClient, keys: dict[str, str], header: str | None
) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    answer = http.get("/v1/experiments", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="touchstone"'
    tracking = http.post("/v1/track", headers=headers, json={"event": "X", "userId": "u"})
    assert (tracking.status_code, "Basic" in tracking.headers["www-authenticate"]) == (401, True)


def test_what_a_browser_sends_by_itself_manages_nothing(http: TestClient, keys: dict[str, str]) -> None:
    basic = (keys["admin"], "")
    form = {"files": {"file": ("people.csv", b"user_id\nu1\n", "text/csv")}}
    for method, path, more in (
        ("GET", "/v1/users", {}),
        ("POST", "/v1/delivery/resume", {}),
        ("POST", "/v1/experiments/x/stop", {}),
        ("POST", "/v1/imports", form),
        ("GET", "/v1/keys", {}),
    ):
        answer = http.request(method, path, auth=basic, **more)
        assert (answer.status_code, "Bearer KEY" in answer.json()["detail"]) == (401, True)
    assert http.get("/v1/users", headers=bearer(keys["admin"])).json()["items"] == []


@pytest.mark.parametrize(
    ("scope", "method", "path", "allowed"),
    [
        ("read", "GET", "/v1/experiments", True),
        ("read", "PUT", "/v1/metrics/m", False),
        ("write", "GET", "/v1/experiments", True),
        ("write", "PUT", "/v1/metrics/m", True),
        ("write", "POST", "/v1/track", False),
        ("write", "GET", "/v1/keys", False),
        ("ingest", "POST", "/v1/track", True),
        ("ingest", "GET", "/v1/users", False),
        ("evaluate", "GET", "/v1/experiments", False),
        ("admin", "GET", "/v1/keys", True),
        ("admin", "POST", "/v1/track", True),
    ],
)
def test_a_scope_allows_what_it_says(
    http: TestClient, keys: dict[str, str], scope: str, method: str, path: str, allowed: bool
) -> None:
    body = {"event": "X", "userId": "u"} if path == "/v1/track" else METRIC
    answer = http.request(method, path, headers=bearer(keys[scope]), json=None if method == "GET" else body)
    assert (answer.status_code == 200) is allowed
    if not allowed:
        assert answer.status_code == 403
        assert "lacks the scope" in answer.json()["detail"]


def test_a_key_is_made_once_shown_once_and_revoked(http: TestClient, keys: dict[str, str]) -> None:
    admin = bearer(keys["admin"])
    made = http.post("/v1/keys", headers=admin, json={"name": "shop", "scopes": ["ingest"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    text = made.json()["key"]
    call = {"event": "X", "userId": "u"}
    assert http.post("/v1/track", auth=(text, ""), json=call).status_code == 200
    listed = http.get("/v1/keys", headers=admin)
    assert text not in listed.text
    assert http.delete(f"/v1/keys/{made.json()['prefix']}", headers=admin).json()["revoked_at"] is not None
    assert http.post("/v1/track", auth=(text, ""), json=call).status_code == 401
    assert http.delete("/v1/keys/nothing", headers=admin).status_code == 404


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("ingest", ["ingest"]),
        ("evaluate", ["evaluate"]),
        ("read", ["read"]),
        ("write", ["read", "write"]),
        ("admin", ["admin", "evaluate", "ingest", "read", "write"]),
    ],
)
def test_a_key_may_ask_what_it_may_do(
    http: TestClient, keys: dict[str, str], scope: str, allowed: list[str]
) -> None:
    answer = http.get("/v1/keys/self", headers=bearer(keys[scope]))
    assert answer.json() == {
        "prefix": keys[scope].split("_")[1],
        "name": f"{scope} key",
        "scopes": allowed,
    }
    assert http.get("/v1/keys/self", auth=(keys[scope], "")).json() == answer.json()
    assert http.get("/v1/keys/self").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b'{"kind": NaN}',
        b'{"kind": 1e999}',
        b"\xff",
        b'{"kind": "\\ud800"}',
        b'{"kind": "proportion", "event": "a\\u0000b"}',
        b"[" * 5000,
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b"1" * 6000,
    ],
)
def test_what_is_not_storable_json_is_a_422(writer: TestClient, body: bytes) -> None:
    answer = writer.put("/v1/metrics/m", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_body_over_its_bound_is_a_413_whether_or_not_it_says_so(writer: TestClient) -> None:
    large = json.dumps({"event": "x" * 200_000}).encode()
    assert writer.put("/v1/metrics/m", content=large).status_code == 413
    assert writer.put("/v1/metrics/m", content=iter([large])).status_code == 413
    lying = writer.post("/v1/imports", content=b"user_id\na\n", headers={"content-length": str(2 * 10**9)})
    assert lying.status_code == 413
    assert (
        writer.post("/v1/imports?format=csv", content=iter([b"user_id\n", b"a\n" * 1_500_000])).status_code
        == 413
    )


def test_unknown_things_are_404_problem_documents(writer: TestClient) -> None:
    for path in (
        "/v1/experiments/nope",
        "/v1/users/nope",
        "/r/nope",
        "/nowhere",
        "/v1/experiments/nope/report",
    ):
        answer = writer.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("cursor", ["!", "AAAA", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_an_odd_cursor_is_refused_by_name(writer: TestClient, cursor: str) -> None:
    answer = writer.get("/v1/users", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_a_metric_of_the_library_is_read_as_it_was_put(writer: TestClient) -> None:
    put = writer.put("/v1/metrics/bought", json=METRIC).json()
    assert writer.get("/v1/metrics/bought").json() == put
    missing = writer.get("/v1/metrics/nope")
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (404, "key")


def test_lists_are_paged_to_their_end(writer: TestClient) -> None:
    for i in range(5):
        writer.put(f"/v1/metrics/m{i}", json=METRIC)
    seen, cursor = [], None
    while True:
        page = writer.get("/v1/metrics", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["key"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"m{i}" for i in range(5)]


def test_a_repeated_write_gets_the_first_answer(writer: TestClient, wiring: Wiring) -> None:
    headers = {"Idempotency-Key": "abc"}
    first = writer.post("/v1/experiments", json=CAMPAIGN, headers=headers)
    again = writer.post("/v1/experiments", json=CAMPAIGN, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201
    other = writer.post("/v1/experiments", json={**CAMPAIGN, "key": "other"}, headers=headers)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    with wiring.database.snapshot() as session:
        assert (
            len(session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.create")).all()) == 1
        )


def test_a_refused_write_may_be_repeated_under_its_key(writer: TestClient) -> None:
    headers = {"Idempotency-Key": "abc"}
    bad = {**CAMPAIGN, "name": ""}
    assert [writer.post("/v1/experiments", json=bad, headers=headers).status_code for _ in range(2)] == [
        422,
        422,
    ]
    assert writer.post("/v1/experiments", json=CAMPAIGN, headers=headers).status_code == 201


def test_the_same_write_at_the_same_moment_happens_once(writer: TestClient, wiring: Wiring) -> None:
    statuses: list[int] = []

    def post() -> None:
        answer = writer.post("/v1/experiments", json=CAMPAIGN, headers={"Idempotency-Key": "abc"})
        statuses.append(answer.status_code)

    threads = [Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    with wiring.database.snapshot() as session:
        assert (
            len(session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.create")).all()) == 1
        )


def test_every_change_is_in_the_audit_log(writer: TestClient) -> None:
    writer.put("/v1/metrics/m", json=METRIC)
    writer.put("/v1/metrics/m", json={**METRIC, "event": "Paid"})
    entries = writer.get("/v1/audit", params={"subject_kind": "metric"}).json()["items"]
    assert [(entry["before"] or {}).get("event") for entry in entries] == ["Order Completed", None]
    assert entries[0]["after"]["event"] == "Paid"
    assert entries[0]["actor"].startswith("key:write key")
