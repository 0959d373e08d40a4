"""Drafts of campaigns over HTTP: kept as they are, never written over unseen, and nothing acts on them."""

from typing import Any

from fastapi.testclient import TestClient

UNFINISHED: dict[str, Any] = {"name": "Spring", "variants": [{"key": "a", "weight": "soon"}], "metrics": None}


def save(http: TestClient, key: str = "new-1", document: Any = None, **more: Any) -> Any:
    return http.put(
        f"/v1/drafts/{key}", json={"document": UNFINISHED if document is None else document, **more}
    )


def test_a_document_that_is_no_campaign_comes_back_as_it_was(writer: TestClient) -> None:
    first = save(writer).json()
    assert (first["name"], first["revision"]) == ("Spring", 1)
    assert first["updated_by"].startswith("key:write key:")
    assert writer.get("/v1/drafts/new-1").json()["document"] == UNFINISHED
    assert save(writer, document={}).json()["revision"] == 2
    assert writer.get("/v1/drafts/new-1").json()["document"] == {}
    assert writer.get("/v1/experiments").json()["items"] == []


def test_what_somebody_else_has_saved_is_not_written_over_unseen(writer: TestClient) -> None:
    assert save(writer, revision=0).status_code == 200
    for seen in (0, 2):
        refused = save(writer, document={"name": "Mine"}, revision=seen)
        assert refused.status_code == 409, refused.text
        assert refused.json()["errors"][0]["field"] == "revision"
        assert "has saved the draft 'new-1' since" in refused.json()["detail"]
    assert writer.get("/v1/drafts/new-1").json()["document"] == UNFINISHED
    assert save(writer, document={"name": "Mine"}, revision=1).json()["revision"] == 2
    gone = save(writer, key="other", revision=3)
    assert (gone.status_code, "is gone" in gone.json()["detail"]) == (409, True)


def test_drafts_are_listed_newest_first_without_their_documents(writer: TestClient) -> None:
    for number in range(1, 4):
        save(writer, key=f"new-{number}", document={"name": 5 if number == 3 else f"Number {number}"})
    page = writer.get("/v1/drafts", params={"limit": 2}).json()
    assert [(one["key"], one["name"], "document" in one) for one in page["items"]] == [
        ("new-3", "", False),
        ("new-2", "Number 2", False),
    ]
    rest = writer.get("/v1/drafts", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [one["key"] for one in rest["items"]] == ["new-1"]
    found = [
        [one["key"] for one in writer.get("/v1/drafts", params={"search": text}).json()["items"]]
        for text in ("number 2", "NEW-3", "5", "%", "Number")
    ]
    assert found == [["new-2"], ["new-3"], ["new-3"], [], ["new-2", "new-1"]]
    narrowed = writer.get("/v1/drafts", params={"search": "number", "limit": 1}).json()
    assert [one["key"] for one in narrowed["items"]] == ["new-2"]
    assert writer.delete("/v1/drafts/new-2").status_code == 204
    assert writer.delete("/v1/drafts/new-2").status_code == 404
    assert [one["key"] for one in writer.get("/v1/drafts").json()["items"]] == ["new-3", "new-1"]


def test_bounds_and_roles(writer: TestClient, keys: dict[str, str]) -> None:
    large = save(writer, document={"name": "x" * 100_000})
    assert (large.status_code, large.json()["errors"][0]["field"]) == (413, "body")
    assert save(writer, key="not a key").status_code == 422
    assert save(writer, document=[1]).status_code == 422
    assert writer.get("/v1/drafts/new-1").status_code == 404
    writer.headers["Authorization"] = f"Bearer {keys['read']}"
    assert save(writer).status_code == 403
    assert writer.get("/v1/drafts").json()["items"] == []
