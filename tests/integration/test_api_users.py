"""Users over HTTP as people look for them: by the beginning of an id, by phone, and what one of them did and agreed to."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from targeting import users
from tests.integration.people import add_people


def ids(answer: Any) -> list[str]:
    return [item["user_id"] for item in answer.json()["items"]]


def put(writer: TestClient, user_id: str, **fields: Any) -> None:
    assert writer.post("/v1/users", json={"user_id": user_id, **fields}).is_success


def test_the_beginning_of_an_id_finds_users_page_by_page(writer: TestClient) -> None:
    for user_id in ("b", "a-2", "A-3", "a_1", "a-10", "a-1", "aé", "a\U0010ffffz", "a%"):
        put(writer, user_id)
    assert ids(writer.get("/v1/users", params={"q": "a-"})) == ["a-1", "a-10", "a-2"]
    assert ids(writer.get("/v1/users", params={"q": "a%"})) == ["a%"]
    assert ids(writer.get("/v1/users", params={"q": "A"})) == ["A-3"]
    assert ids(writer.get("/v1/users", params={"q": "a\U0010ffff"})) == ["a\U0010ffffz"]
    assert ids(writer.get("/v1/users", params={"q": "c"})) == []
    first = writer.get("/v1/users", params={"q": "a", "limit": 3})
    rest = writer.get("/v1/users", params={"q": "a", "limit": 500, "cursor": first.json()["next_cursor"]})
    assert ids(first) + ids(rest) == ["a%", "a-1", "a-10", "a-2", "a_1", "aé", "a\U0010ffffz"]


def test_a_prefix_of_the_last_sign_there_is_has_no_end(writer: TestClient) -> None:
    put(writer, "\U0010ffff-1")
    assert ids(writer.get("/v1/users", params={"q": "\U0010ffff"})) == ["\U0010ffff-1"]


def test_a_search_reads_one_stretch_of_the_index(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 5_001), phone=False)
        session.execute(text("ANALYZE users"))
    seen: list[tuple[str, Any]] = []
    with database.snapshot() as session:
        engine = session.get_bind()

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            if "FROM users" in statement:
                seen.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", note)
        first = users.search(session, prefix="user-49", after_id=0, limit=20)
        seen.clear()
        found = users.search(session, prefix="user-49", after_id=first[0].id or 0, limit=20)
        event.remove(engine, "before_cursor_execute", note)
        statement, parameters = seen[-1]
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        plan = "\n".join(
            str(tuple(row)) for row in session.connection().exec_driver_sql(explain + statement, parameters)
        )
    assert [user.user_id for user in (*first[:1], *found[:1])] == ["user-49", "user-490"]
    if database.is_sqlite:
        assert "SEARCH users USING INDEX" in plan
        assert "user_id>? AND user_id<?" in plan
        assert "TEMP B-TREE" not in plan
    else:
        assert (
            "Index Cond: (((user_id)::text > 'user-49'::text) AND ((user_id)::text < 'user-4:'::text))"
            in plan
        )
        assert "Sort" not in plan


def test_a_phone_finds_its_user_however_it_is_written(writer: TestClient, keys: dict[str, str]) -> None:
    put(writer, "u1", phone="+12025550123")
    found = writer.post("/v1/users/find", json={"phone": "+1 (202) 555-0123"})
    assert (found.status_code, found.json()["user_id"]) == (200, "u1")
    assert writer.post("/v1/users/find", json={"phone": "+12025550199"}).status_code == 404
    wrong = writer.post("/v1/users/find", json={"phone": "abc"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "phone")
    reader = {"Authorization": f"Bearer {keys['read']}"}
    assert writer.post("/v1/users/find", json={"phone": "+12025550123"}, headers=reader).status_code == 403


def test_a_number_that_is_nobodys_is_told(database: Database) -> None:
    with database.snapshot() as session, pytest.raises(NotFound, match="no user has this number"):
        users.find_by_phone(session, phone="+12025550123")


def test_events_come_the_latest_first_by_when_they_happened(writer: TestClient, keys: dict[str, str]) -> None:
    ingest = {"Authorization": f"Bearer {keys['ingest']}"}
    for name, at in (("B", "2026-11-02"), ("C", "2026-11-03"), ("A", "2026-11-01"), ("B2", "2026-11-02")):
        sent = {
            "userId": "u1",
            "event": name,
            "messageId": name,
            "timestamp": f"{at}T10:00:00Z",
            "properties": {"n": 1},
        }
        assert writer.post("/v1/track", json=sent, headers=ingest).is_success
    put(writer, "u2")
    first = writer.get("/v1/users/u1/events", params={"limit": 2}).json()
    rest = writer.get("/v1/users/u1/events", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == ["C", "B2", "B", "A"]
    assert (first["items"][0]["at"], first["items"][0]["properties"]) == ("2026-11-03T10:00:00Z", {"n": 1})
    assert writer.get("/v1/users/u2/events").json() == {"items": [], "next_cursor": None}
    assert writer.get("/v1/users/nobody/events").status_code == 404


def test_the_ledger_of_consent_has_its_proof_for_editors_only(
    writer: TestClient, keys: dict[str, str], clock: SteppedClock
) -> None:
    put(writer, "u1")
    said = {"category": "marketing", "granted": True, "source": "checkout", "evidence": "ticked the box"}
    assert writer.post("/v1/users/u1/consent", json=said).is_success
    clock.advance(timedelta(minutes=1))
    assert writer.post("/v1/users/u1/consent", json={"granted": False}).is_success
    newest, oldest = writer.get("/v1/users/u1/consents").json()["items"]
    assert (newest["granted"], oldest["granted"], oldest["source"], oldest["evidence"]) == (
        False,
        True,
        "checkout",
        "ticked the box",
    )
    page = writer.get("/v1/users/u1/consents", params={"limit": 1}).json()
    following = writer.get("/v1/users/u1/consents", params={"cursor": page["next_cursor"]}).json()
    assert (page["items"], following["items"]) == ([newest], [oldest])
    reader = {"Authorization": f"Bearer {keys['read']}"}
    shown = writer.get("/v1/users/u1/consents", headers=reader).json()["items"]
    assert [item["evidence"] for item in shown] == [None, None]
    assert writer.get("/v1/users/nobody/consents").status_code == 404


@pytest.mark.parametrize("user_id", ["a/b", "Zm9v/YmFy+Q==", "/", "a//b/", "tags/a/tags", "?a=b&c=d#e"])
def test_an_id_may_hold_slashes(http: TestClient, keys: dict[str, str], user_id: str) -> None:
    http.headers["Authorization"] = f"Bearer {keys['admin']}"
    put(http, user_id, phone="+12025550123")
    one = "/v1/users/" + quote(user_id, safe="")
    said = {"category": "marketing", "granted": True, "source": "checkout"}
    for answer in (
        http.get(one),
        http.post(f"{one}/consent", json=said),
        http.post(f"{one}/tags", json={"tags": ["x/y"]}),
        http.delete(f"{one}/tags/x%2Fy"),
        http.get(f"{one}/why"),
    ):
        assert (answer.status_code, answer.json()["user_id"]) == (200, user_id), answer.text
    assert http.get(f"{one}/events").json() == {"items": [], "next_cursor": None}
    assert len(http.get(f"{one}/consents").json()["items"]) == 1
    assert user_id in http.get(f"{one}/export").json()["user"].values()
    assert http.delete(one).json()["erased_as"].startswith("erased:")
    assert http.get(one).status_code == 404
    assert http.post(f"{one}/readmit", json={"phone": "+12025550123"}).status_code == 200


def test_no_id_is_no_user(http: TestClient, keys: dict[str, str]) -> None:
    http.headers["Authorization"] = f"Bearer {keys['admin']}"
    for method in ("GET", "DELETE"):
        answer = http.request(method, "/v1/users/")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "user_id")
