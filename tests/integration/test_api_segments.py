"""Segments, tags and attributes over HTTP, from end to end, and what is refused there."""

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from tests.integration.crowd import add_crowd


@pytest.fixture
def crowd(writer: TestClient, wiring: Wiring) -> TestClient:
    with wiring.database.transaction() as session:
        add_crowd(session, wiring.clock)
    return writer


def test_a_condition_segment_from_beginning_to_end(crowd: TestClient) -> None:
    put = crowd.put("/v1/segments/adults", json={"name": "Adults", "condition": "age >= 18"})
    assert put.status_code == 200, put.text
    assert put.json()["condition"] == {"age": {"$gte": 18}}
    assert (put.json()["kind"], put.json()["size"]) == ("condition", None)
    assert (put.json()["text"], put.json()["warnings"]) == ("age >= 18", [])
    assert "18" in put.json()["english"]
    done = crowd.post("/v1/segments/adults/refresh").json()
    assert done["size"] == done["joined"] > 0
    first = crowd.get("/v1/segments/adults/members?limit=3").json()
    second = crowd.get(f"/v1/segments/adults/members?limit=500&cursor={first['next_cursor']}").json()
    ids = [item["user_id"] for item in [*first["items"], *second["items"]]]
    assert len(ids) == len(set(ids)) == done["size"] == crowd.get("/v1/segments/adults").json()["size"]
    listed = crowd.get("/v1/segments").json()["items"]
    assert [(item["key"], item["kind"]) for item in listed] == [("vips", "list"), ("adults", "condition")]
    overlap = crowd.get("/v1/segments/overlap?a=adults&b=vips").json()
    assert overlap["a"]["size"] == done["size"]
    assert overlap["a"]["only"] + overlap["both"] == overlap["a"]["size"]
    assert overlap["jaccard"] == pytest.approx(
        overlap["both"] / (overlap["a"]["size"] + overlap["b"]["only"])
    )
    assert crowd.delete("/v1/segments/adults").status_code == 204
    assert crowd.get("/v1/segments/adults").status_code == 404
    audited = crowd.get("/v1/audit?subject_kind=segment&subject_key=adults").json()["items"]
    assert [entry["action"] for entry in audited] == ["segment.delete", "segment.put"]
    assert audited[0]["actor"] != "command line"


def test_a_list_from_beginning_to_end(crowd: TestClient) -> None:
    assert crowd.put("/v1/segments/staff", json={"name": "Staff"}).json()["kind"] == "list"
    put = crowd.put("/v1/segments/staff/members", json={"user_ids": ["user-1", "ghost", "user-2"]}).json()
    assert put == {
        "size": 2,
        "added": 2,
        "removed": 0,
        "rejected": 1,
        "rejects": [{"line": 2, "reason": "is no user's id", "user_id": "ghost"}],
    }
    csv = {"Content-Type": "text/csv", "Idempotency-Key": "one"}
    for _ in range(2):
        sent = crowd.post("/v1/segments/staff/members", content="user_id\nuser-3\n\nghost\n", headers=csv)
        assert sent.status_code == 200, sent.text
        assert (sent.json()["size"], sent.json()["added"], sent.json()["rejects"][0]["line"]) == (3, 1, 4)
    other = crowd.post("/v1/segments/staff/members?replace=true", content="user-3\n", headers=csv)
    assert other.status_code == 422
    del csv["Idempotency-Key"]
    other = crowd.post("/v1/segments/staff/members?replace=true", content="user-3\n", headers=csv)
    assert (other.json()["size"], other.json()["removed"]) == (1, 2)
    empty = crowd.post("/v1/segments/staff/members", content="")
    assert empty.json()["errors"][0]["field"] == "file"


def test_a_preview_by_text_and_by_json_shows_no_phone(crowd: TestClient) -> None:
    by_text = crowd.post("/v1/segments/preview", json={"condition": 'plan = "plan-1"', "sample": 2}).json()
    by_json = crowd.post("/v1/segments/preview", json={"condition": {"plan": "plan-1"}, "sample": 0}).json()
    assert (by_text["count"], by_text["exact"], len(by_text["sample"])) == (15, True, 2)
    assert (by_json["count"], by_json["lower"], by_json["upper"], by_json["sample"]) == (15, 15, 15, [])
    assert set(by_text["sample"][0]) == {"user_id", "attributes", "created_at"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        (
            "PUT",
            "/v1/segments/x",
            {"name": "X", "condition": {"age": {"$gt": [1]}}},
            422,
            "condition.age.$gt",
        ),
        ("PUT", "/v1/segments/x", {"name": "X", "condition": "age >"}, 422, "condition"),
        (
            "PUT",
            "/v1/segments/x",
            {"name": "X", "condition": {"$inSegment": "x"}},
            422,
            "condition.$inSegment",
        ),
        ("PUT", "/v1/segments/overlap", {"name": "X"}, 422, "key"),
        ("PUT", "/v1/segments/vips", {"name": "X", "condition": {}}, 409, "condition"),
        ("PUT", "/v1/segments/x", {"condition": {}}, 422, "name"),
        ("POST", "/v1/segments/preview", {"condition": {"$and": 1}}, 422, "condition.$and"),
        ("POST", "/v1/segments/preview", {"condition": 5}, 422, "condition"),
        ("POST", "/v1/segments/preview", {"condition": {}, "sample": 101}, 422, "sample"),
        ("PUT", "/v1/segments/nope/members", {"user_ids": []}, 404, "key"),
        ("PUT", "/v1/segments/vips/members", {"user_ids": [""]}, 422, "user_ids[0]"),
        ("PUT", "/v1/segments/vips/members", {"user_ids": ["a"] * 10_001}, 422, "user_ids"),
        ("POST", "/v1/segments/vips/refresh", None, 409, "key"),
        ("POST", "/v1/segments/nope/tag", {"tag": "x"}, 404, "key"),
        ("POST", "/v1/segments/vips/tag", {"tag": "  "}, 422, "tag"),
        ("GET", "/v1/segments/overlap?a=vips&b=nope", None, 404, "b"),
        ("GET", "/v1/segments/overlap?a=vips", None, 422, "b"),
        ("POST", "/v1/users/nobody/tags", {"tags": ["x"]}, 404, "user_id"),
        ("POST", "/v1/users/user-1/tags", {"tags": []}, 422, "tags"),
        ("PUT", "/v1/attributes/nope", {"indexed": True}, 404, "name"),
        ("PUT", "/v1/attributes/a.b", {"indexed": True}, 422, "name"),
        ("PUT", "/v1/attributes/age", {"indexed": "maybe"}, 422, "indexed"),
    ],
)
def test_what_is_refused_names_the_field(
    crowd: TestClient, method: str, path: str, body: dict | None, status: int, field: str
) -> None:
    answer = crowd.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    problems = [problem["field"] for problem in answer.json()["errors"]]
    assert any(name.endswith(field) or name.startswith(field) for name in problems), problems


def test_users_and_segments_are_tagged(crowd: TestClient) -> None:
    tagged = crowd.post("/v1/users/user-1/tags", json={"tags": ["winter", "a/b"]}).json()
    assert tagged["attributes"]["tags"] == ["new", "winter", "a/b"]
    assert crowd.delete("/v1/users/user-1/tags/winter").json()["attributes"]["tags"] == ["new", "a/b"]
    assert crowd.delete("/v1/users/user-1/tags/a%2Fb").json()["attributes"]["tags"] == ["new"]
    everybody = crowd.post("/v1/segments/vips/tag", json={"tag": "vip"}).json()
    assert everybody["looked_at"] == 15
    assert crowd.post("/v1/segments/vips/tag", json={"tag": "vip", "remove": True}).json()["changed"] == 15


def test_attributes_are_listed_after_discovery_and_indexed(crowd: TestClient, wiring: Wiring) -> None:
    assert crowd.get("/v1/attributes").json()["items"] == []
    jobs.discover_attributes(wiring)
    first = crowd.get("/v1/attributes?limit=3").json()
    rest = crowd.get(f"/v1/attributes?limit=3&cursor={first['next_cursor']}").json()
    names = [item["name"] for item in [*first["items"], *rest["items"]]]
    assert names == ["age", "country", "plan", "seen_at", "tags"]
    assert rest["next_cursor"] is None
    misspelt = {"name": "X", "condition": {"contry": "NL"}}
    warned = crowd.put("/v1/segments/x", json=misspelt).json()["warnings"]
    assert len(warned) == 1
    assert "did you mean `country`" in warned[0]
    assert (
        crowd.post("/v1/segments/preview", json={"condition": misspelt["condition"]}).json()["warnings"]
        == warned
    )
    assert crowd.put("/v1/attributes/plan", json={"indexed": True}).json()["indexed"] is True
    found = crowd.post("/v1/segments/preview", json={"condition": {"plan": "plan-3"}}).json()
    assert found["count"] == 15
    assert crowd.put("/v1/attributes/plan", json={"indexed": False}).json()["indexed"] is False


def test_the_scheduler_keeps_membership_fresh(crowd: TestClient, wiring: Wiring) -> None:
    crowd.put("/v1/segments/adults", json={"name": "Adults", "condition": {"age": {"$gte": 18}}})
    assert jobs.refresh_segments(wiring) == 1
    assert crowd.get("/v1/segments/adults").json()["size"] > 0
    wiring.clock.advance(wiring.settings.segments_every)  # type: ignore[attr-defined]
    assert jobs.refresh_segments(wiring) == 1
    assert jobs.refresh_segments(wiring) == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/segments/x"),
        ("DELETE", "/v1/segments/vips"),
        ("POST", "/v1/segments/vips/members"),
        ("POST", "/v1/segments/vips/tag"),
        ("DELETE", "/v1/users/user-1/tags/new"),
        ("PUT", "/v1/attributes/age"),
    ],
)
def test_readers_change_nothing(crowd: TestClient, keys: dict[str, str], method: str, path: str) -> None:
    crowd.headers["Authorization"] = f"Bearer {keys['read']}"
    assert crowd.request(method, path, json={}).status_code == 403
    assert crowd.post("/v1/segments/preview", json={"condition": {}}).status_code == 200


def test_a_preview_says_how_many_may_be_messaged(crowd: TestClient) -> None:
    crowd.post("/v1/users/user-1/consent", json={"category": "marketing", "granted": False, "source": "test"})
    found = crowd.post("/v1/segments/preview", json={"condition": {}}).json()
    assert (found["count"], found["messageable"]["count"], found["messageable"]["exact"]) == (60, 59, True)
    other = crowd.post("/v1/segments/preview", json={"condition": {}, "category": "utility"}).json()
    assert other["messageable"]["count"] == 0
    wrong = crowd.post("/v1/segments/preview", json={"condition": {}, "category": "spam"})
    assert wrong.json()["errors"][0]["field"] == "category"


def test_the_names_of_events_come_in_pages(crowd: TestClient) -> None:
    first = crowd.get("/v1/events/names?limit=1").json()
    second = crowd.get(f"/v1/events/names?limit=1&cursor={first['next_cursor']}").json()
    third = crowd.get(f"/v1/events/names?limit=1&cursor={second['next_cursor']}").json()
    assert [page["items"][0]["name"] for page in (first, second)] == ["Order Completed", "Viewed"]
    assert (third["items"], third["next_cursor"]) == ([], None)
    assert first["items"][0]["last_at"].endswith("Z")


def test_a_few_names_of_events_are_asked_about(crowd: TestClient) -> None:
    def happened(*names: str) -> list[str]:
        page = crowd.get("/v1/events/names", params={"name": names}).json()
        assert page["next_cursor"] is None
        return [item["name"] for item in page["items"]]

    assert happened("Viewed", "Order", "Order Completed", "Viewed") == ["Order Completed", "Viewed"]
    assert happened("Order", "viewed") == []
    assert crowd.get("/v1/events/names", params={"name": ["x"] * 101}).status_code == 422
    assert crowd.get("/v1/events/names", params={"name": "a\x00"}).status_code == 422


def test_segments_are_found_by_a_part_of_their_key_or_name(crowd: TestClient) -> None:
    for key, name in (("adults", "Grown-ups"), ("rate-100_", "100% sure"), ("rate-1000", "Others")):
        crowd.put(f"/v1/segments/{key}", json={"name": name})

    def found(search: str) -> list[str]:
        return [item["key"] for item in crowd.get("/v1/segments", params={"search": search}).json()["items"]]

    assert found("GROWN") == found("adul") == ["adults"]
    assert found("100_") == ["rate-100_"]
    assert found("100%") == ["rate-100_"]
    assert found("") == ["vips", "adults", "rate-100_", "rate-1000"]


def test_what_names_a_segment_is_told(crowd: TestClient) -> None:
    crowd.put("/v1/segments/grown", json={"name": "x", "condition": {"$inSegment": "vips"}})
    action = {"type": "add_tag", "tag": "x"}
    rule = {"trigger": {"type": "event", "event": "E"}, "condition": "in segment vips", "actions": [action]}
    assert crowd.put("/v1/rules/thanks", json=rule).status_code == 200
    assert crowd.get("/v1/segments/vips/uses").json() == [
        {"kind": "segment", "key": "grown"},
        {"kind": "rule", "key": "thanks"},
    ]
    assert crowd.get("/v1/segments/grown/uses").json() == []
    assert crowd.get("/v1/segments/none/uses").status_code == 404


def test_several_segments_are_compared_at_once(crowd: TestClient) -> None:
    crowd.put("/v1/segments/plans", json={"name": "x", "condition": {"tags": {"$in": ["new"]}}})
    crowd.put("/v1/segments/one", json={"name": "x", "condition": {"plan": "plan-0"}})
    crowd.put("/v1/segments/empty", json={"name": "x"})
    crowd.put("/v1/segments/empty/members", json={"user_ids": []})
    keys = ["plans", "one", "vips", "empty"]
    answer = crowd.get("/v1/segments/overlap/combinations", params={"key": keys}).json()
    sizes = {item["key"]: (item["count"], item["as_of"] is None) for item in answer["segments"]}
    combined = {tuple(item["keys"]): item["count"] for item in answer["combinations"]}
    members = {item["user_id"] for item in crowd.get("/v1/segments/vips/members?limit=500").json()["items"]}
    users = crowd.get("/v1/users?limit=500").json()["items"]
    expected: dict[tuple[str, ...], int] = {}
    for user in users:
        new = "new" in user["attributes"].get("tags", [])
        marks = (new, user["attributes"].get("plan") == "plan-0", user["user_id"] in members, False)
        named = tuple(key for key, inside in zip(keys, marks, strict=True) if inside)
        expected[named] = expected.get(named, 0) + 1
    del expected[()]
    assert combined == expected
    assert all(item["exact"] for item in [*answer["segments"], *answer["combinations"]])
    assert len(combined) > 3
    assert sizes["plans"] == (sum(n for named, n in expected.items() if "plans" in named), True)
    assert sizes["empty"] == (0, False)
    assert sizes["vips"][0] == len(members)
    two = crowd.get("/v1/segments/overlap?a=plans&b=vips").json()
    assert two["both"] == sum(n for named, n in expected.items() if {"plans", "vips"} <= set(named))


@pytest.mark.parametrize("named", [["vips"], ["vips", "vips"], [f"s{n}" for n in range(7)], ["vips", "NO!"]])
def test_too_few_too_many_or_odd_segments_are_refused(crowd: TestClient, named: list[str]) -> None:
    answer = crowd.get("/v1/segments/overlap/combinations", params={"key": named})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("key")
