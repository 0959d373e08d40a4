"""Fuses, pauses, numbers and the inbox of webhooks over HTTP."""

from datetime import timedelta
from typing import Any

from fastapi.testclient import TestClient
from sqlmodel import select

from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.receipts import inbox as receipts
from delivery.receipts.inbox import UNMATCHED_FOR
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from tests.integration.outbox import add_users, phone_of
from tests.integration.webhooks import change_of, come, is_granted, status, statuses, text_from


def _project(wiring: Wiring) -> None:
    receipts.project_tick(wiring.database, wiring.clock, settings=wiring.settings)


def _audited(wiring: Wiring) -> list[str]:
    with wiring.database.snapshot() as session:
        return [entry.action for entry in session.exec(select(AuditEntry)) if entry.subject_kind != "key"]


def _get(http: TestClient, path: str, **params: Any) -> Any:
    answer = http.get(f"/v1/delivery/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_everything_stops_and_goes_on_and_both_are_audited_once(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    first = writer.post("/v1/delivery/pause", json={"reason": "wrong price"})
    assert (first.status_code, first.json()["reason"]) == (200, "wrong price")
    again = writer.post("/v1/delivery/pause", json={"reason": "another"})
    assert again.json() == first.json()
    with wiring.database.snapshot() as session:
        assert breakers.EVERYTHING in breakers.open_keys(session, clock.now())
    (item,) = _get(writer, "breakers")["items"]
    assert (item["kind"], item["key"], item["until"]) == ("all", "*", None)
    for _ in range(2):
        assert writer.post("/v1/delivery/resume").json() == {"paused": False, "since": None, "reason": None}
    assert _get(writer, "breakers")["items"] == []
    assert _audited(wiring) == ["delivery.pause", "delivery.resume"]


def test_a_pause_says_why(writer: TestClient) -> None:
    for reason in ("", " ", "x" * 301, None):
        answer = writer.post("/v1/delivery/pause", json={"reason": reason})
        assert answer.status_code == 422
        assert "reason" in answer.json()["errors"][0]["field"]


def test_a_fuse_is_closed_by_hand(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    with wiring.database.transaction() as session:
        breakers.trip(
            session,
            kind=breakers.Kind.NUMBER,
            key="1",
            at=clock.now(),
            until=None,
            code=190,
            reason="wrong token",
        )
    clock.advance(timedelta(seconds=1))
    body = {"kind": "number", "key": "1"}
    assert writer.post("/v1/delivery/breakers/close", json=body).json()["until"] is not None
    refused = writer.post("/v1/delivery/breakers/close", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (404, "key")
    assert writer.post("/v1/delivery/breakers/close", json={"kind": "x", "key": "1"}).status_code == 422
    assert _audited(wiring) == ["breaker.close"]


def test_readers_may_look_and_only_writers_stop(http: TestClient, keys: dict[str, str]) -> None:
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    for path in ("breakers", "numbers", "webhooks"):
        assert _get(http, path)["items"] == []
    for path, body in (
        ("pause", {"reason": "x"}),
        ("resume", None),
        ("breakers/close", {"kind": "all", "key": "*"}),
        ("webhooks/1/project", None),
    ):
        assert http.post(f"/v1/delivery/{path}", json=body).status_code == 403


def test_numbers_say_what_whatsapp_said(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    value = {"max_daily_conversations_per_business": "TIER_2K"}
    come(wiring.database, clock, change_of("business_capability_update", value, at=clock.now()))
    _project(wiring)
    (item,) = _get(writer, "numbers")["items"]
    assert (item["number"], item["unique_users"], item["quality"]) == ("1", 2000, None)


def test_webhooks_are_listed_by_what_became_of_them(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    broken = come(wiring.database, clock, b"{")
    other = come(wiring.database, clock, change_of("security", {"event": "PIN_CHANGED"}))
    lost = come(wiring.database, clock, statuses(status("sent", clock.now(), "99")))
    _project(wiring)
    waiting = come(wiring.database, clock, change_of("messages", {"statuses": []}))

    def ids(state: str) -> list[int]:
        return [item["id"] for item in _get(writer, "webhooks", state=state)["items"]]

    assert ids("error") == [broken]
    assert ids("other") == [other]
    assert ids("unmatched") == [lost]
    assert ids("waiting") == [waiting]
    first = _get(writer, "webhooks", limit=3)
    rest = _get(writer, "webhooks", limit=3, cursor=first["next_cursor"])
    assert [item["id"] for item in (*first["items"], *rest["items"])] == [broken, other, lost, waiting]
    with wiring.database.snapshot() as session:
        counts = receipts.counts(session)
    assert (counts.waiting, counts.errors, counts.unmatched, counts.other) == (1, 1, 1, {"security": 1})
    clock.advance(UNMATCHED_FOR)
    _project(wiring)
    assert ids("error") == [broken, lost]
    assert writer.get("/v1/delivery/webhooks", params={"state": "odd"}).status_code == 422


def test_a_list_shows_few_of_many_unmatched_statuses_and_one_webhook_all(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    many = [status("sent", clock.now(), wamid=f"wamid.foreign.{number}") for number in range(1000)]
    body_id = come(wiring.database, clock, statuses(*many))
    _project(wiring)
    (item,) = _get(writer, "webhooks", state="unmatched")["items"]
    assert (len(item["unmatched"]), item["unmatched_count"]) == (5, 1000)
    whole = _get(writer, f"webhooks/{body_id}")
    assert (len(whole["unmatched"]), whole["unmatched_count"]) == (1000, 1000)
    assert whole["unmatched"][:5] == item["unmatched"]


def test_what_names_a_person_is_for_admins(
    http: TestClient, wiring: Wiring, keys: dict[str, str], clock: SteppedClock
) -> None:
    body_id = come(wiring.database, clock, statuses(status("failed", clock.now(), "99", code=131026)))
    _project(wiring)
    for scope in ("read", "write", "admin"):
        http.headers["Authorization"] = f"Bearer {keys[scope]}"
        item = _get(http, f"webhooks/{body_id}")
        (left,) = item["unmatched"]
        assert (left["status"], left["error_code"]) == ("failed", 131026)
        assert (left["wamid"] is not None) == (item["body"] is not None) == (scope == "admin")
    assert http.get("/v1/delivery/webhooks/12345").status_code == 404


def test_a_webhook_is_made_sense_of_again(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    (user_pk,) = add_users(wiring.database, clock, 1)
    body_id = come(wiring.database, clock, text_from(phone_of(0), "STOP", clock.now()))
    for _ in range(2):
        answer = writer.post(f"/v1/delivery/webhooks/{body_id}/project")
        assert (answer.status_code, answer.json()["error"]) == (200, None)
        assert answer.json()["projected_at"] is not None
        assert not is_granted(wiring.database, user_pk)
    broken = come(wiring.database, clock, b"{")
    assert writer.post(f"/v1/delivery/webhooks/{broken}/project").json()["error"] is not None
    assert writer.post("/v1/delivery/webhooks/12345/project").status_code == 404
    assert _audited(wiring) == ["webhook.project"] * 3
