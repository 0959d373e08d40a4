"""A person's own data: a copy of everything, and being forgotten, on both databases."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text as sql
from sqlalchemy.engine import make_url

from api.wiring import Wiring
from delivery import privacy
from delivery.receipts.inbox import project_tick
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, NotFound
from targeting import consent, event_repository, tombstones, users
from targeting.evaluation import Evaluator, Question
from targeting.models import User
from targeting.privacy import readmit
from tests.integration import outbox
from tests.integration.people import BOUGHT
from tests.integration.webhooks import come, project, sent_out, status, statuses, text_from

SECRET = "s"
PHONE = "+12025550123"


def _ann(database: Database, clock: SteppedClock) -> int:
    with database.transaction() as session:
        user = users.upsert(
            session,
            clock,
            actor="crm",
            user_id="ann",
            phone=PHONE,
            time_zone="Europe/Amsterdam",
            attributes={"email": "ann@example.com", "country": "NL"},
        )
        pk = user.id or 0
        consent.grant(session, clock, user_pk=pk, category="marketing", source="web", evidence="ann ticked")
        properties = {"revenue": 12.5, "address": "Main street 1", "order": "NL-77-Q", "account": 990012345}
        event_repository.insert_events(
            session,
            [
                {
                    "message_id": "order-ann-1",
                    "user_pk": pk,
                    "name": "Order Completed",
                    "at": clock.now(),
                    "received_at": clock.now(),
                    "properties": properties,
                }
            ],
        )
    come(database, clock, text_from(PHONE, "hello from Ann", clock.now()))
    project(database, clock)
    return pk


def _everything(database: Database) -> str:
    """The content of every table, as one text."""
    from api.tables import metadata

    pages = []
    with database.snapshot() as session:
        for table in metadata.sorted_tables:
            rows = session.execute(sql(f"SELECT * FROM {table.name}")).all()
            pages.append(f"{table.name}: " + " ".join(repr(tuple(_plain(v) for v in row)) for row in rows))
    return "\n".join(pages)


def _plain(value: object) -> object:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else value


def test_the_copy_holds_what_is_known(database: Database, clock: SteppedClock) -> None:
    _ann(database, clock)
    with database.snapshot() as session:
        copy = privacy.export(session, user_id="ann")
    assert copy["user"]["phone"] == PHONE
    assert copy["user"]["attributes"] == {"email": "ann@example.com", "country": "NL"}
    assert [(row["granted"], row["evidence"]) for row in copy["consent_ledger"]] == [(True, "ann ticked")]
    assert [row["name"] for row in copy["events"]] == ["Order Completed", "Message Received"]
    assert [row["action"] for row in copy["audit"]] == ["user.put"]
    assert copy["messages"] == copy["assignments"] == copy["clicks"] == []
    json.dumps(copy, default=str)


def test_nothing_personal_is_left_anywhere(database: Database, clock: SteppedClock) -> None:
    pk = _ann(database, clock)
    before = _everything(database)
    marks = ("ann", "12025550123", "Main street", "Amsterdam", "NL-77-Q", "990012345")
    assert all(mark in before for mark in marks)
    with database.transaction() as session:
        erased = privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    after = _everything(database)
    assert [mark for mark in marks if mark in after] == []
    with database.snapshot() as session:
        left = users.find(session, user_id=erased.pseudonym)
        events = event_repository.list_events(session, user_pk=pk)
    assert (left.id, left.attributes, left.phone) == (pk, {}, None)
    assert [event.name for event in events] == ["Order Completed", "Message Received"]


def test_numbers_that_a_metric_sums_are_kept(database: Database, clock: SteppedClock) -> None:
    pk = _ann(database, clock)
    revenue = {
        "key": "revenue",
        "role": "secondary",
        "kind": "mean",
        "event": "Order Completed",
        "value": "revenue",
    }
    outbox.add_experiment(database, clock, metrics=[BOUGHT, revenue])
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    with database.snapshot() as session:
        order = event_repository.list_events(session, user_pk=pk)[0]
    assert order.properties == {"revenue": 12.5}


def test_waiting_messages_are_cancelled_and_sent_ones_still_count(
    database: Database, clock: SteppedClock
) -> None:
    (sent,) = sent_out(database, clock, parameters=["Ann"])
    told = outbox.message(database, sent)
    pk = told.user_pk
    (waiting,) = outbox.add_messages(database, clock, told.experiment_id, [pk], step=1)
    with database.snapshot() as session:
        user_id = session.get_one(User, pk).user_id
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id=user_id, secret=SECRET)
    rows = outbox.messages(database)
    assert (rows[waiting].state, rows[waiting].reason) == ("cancelled", "erased")
    assert (rows[sent].state, rows[sent].wamid, rows[sent].parameters) == (told.state, None, None)
    come(database, clock, statuses(status("read", clock.now(), str(sent), wamid="wamid.x")))
    project_tick(database, clock, settings=outbox.settings())
    assert outbox.message(database, sent).state == "read"


def test_somebody_is_erased_once(database: Database, clock: SteppedClock) -> None:
    _ann(database, clock)
    with database.transaction() as session:
        erased = privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    for user_id, refusal in (("ann", NotFound), (erased.pseudonym, Conflict)):
        with pytest.raises(refusal), database.transaction() as session:
            privacy.erase(session, clock, actor="dpo", user_id=user_id, secret=SECRET)


def test_tombstones_know_every_name_under_their_own_secret_only(
    database: Database, clock: SteppedClock
) -> None:
    _ann(database, clock)
    names = [("user_id", "ann"), ("phone", PHONE), ("user_id", "bob")]
    with database.snapshot() as session:
        assert tombstones.erased_among(session, names, secret=SECRET) == set()
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    with database.snapshot() as session:
        assert tombstones.erased_among(session, names, secret=SECRET) == set(names[:2])
        assert tombstones.erased_among(session, names, secret="another") == set()


def test_who_asks_may_come_back(database: Database, clock: SteppedClock) -> None:
    _ann(database, clock)
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    with pytest.raises(NotFound), database.transaction() as session:
        readmit(session, clock, actor="dpo", user_id="bob", phone=None, secret=SECRET)
    with database.transaction() as session:
        assert readmit(session, clock, actor="dpo", user_id="ann", phone=PHONE, secret=SECRET) == 3
    with database.snapshot() as session:
        assert (
            tombstones.erased_among(session, [("user_id", "ann"), ("phone", PHONE)], secret=SECRET) == set()
        )


def test_over_http_an_admin_reads_and_erases_and_lets_back(
    http: TestClient, wiring: Wiring, keys: dict[str, str]
) -> None:
    write, admin = ({"Authorization": f"Bearer {keys[scope]}"} for scope in ("write", "admin"))
    body = {"user_id": "ann_1%", "phone": PHONE, "attributes": {"email": "ann@example.com"}}
    first = http.post("/v1/users", json=body, headers=write | {"Idempotency-Key": "k"})
    assert first.status_code == 200
    assert http.get("/v1/users/ann_1%25/export", headers=write).status_code == 403
    copy = http.get("/v1/users/ann_1%25/export", headers=admin).json()
    assert copy["user"]["attributes"] == {"email": "ann@example.com"}

    erased = http.delete("/v1/users/ann_1%25", headers=admin)
    assert re.fullmatch("erased:[0-9a-f]{16}", erased.json()["erased_as"])
    assert http.get("/v1/users/ann_1%25", headers=admin).status_code == 404
    left = _everything(wiring.database)
    assert [mark for mark in ("ann_1%", "ann@example", "12025550123") if mark in left] == []
    again = http.post("/v1/users", json=body, headers=write | {"Idempotency-Key": "k"})
    assert again.status_code == 409

    refused = http.post("/v1/users", json=body, headers=write)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "user_id")
    back = {"phone": PHONE}
    assert http.post("/v1/users/ann_1%25/readmit", json=back, headers=admin).status_code == 200
    assert http.post("/v1/users", json=body, headers=write).status_code == 200


def test_somebody_who_was_erased_and_writes_stays_unknown(database: Database, clock: SteppedClock) -> None:
    _ann(database, clock)
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret="")
    come(database, clock, text_from(PHONE, "me again", clock.now()))
    assert project(database, clock).strangers == 0
    with database.snapshot() as session:
        assert [user.user_id[:7] for user in users.list_users(session, after_id=0, limit=9)] == ["erased:"]


FILE = "user_id,phone,first_name\nann,,Ann\nbob,+12025550123,Bob\ncy,+12025550124,Cy\n"


def test_whoever_was_erased_is_rejected_by_an_import(
    http: TestClient, wiring: Wiring, keys: dict[str, str]
) -> None:
    write, admin = ({"Authorization": f"Bearer {keys[scope]}"} for scope in ("write", "admin"))
    person = {"user_id": "ann", "phone": PHONE}
    assert http.post("/v1/users", json=person, headers=write).status_code == 200
    assert http.delete("/v1/users/ann", headers=admin).status_code == 200
    answer = http.post("/v1/imports", files={"file": ("people.csv", FILE)}, headers=write).json()
    assert (answer["created"], answer["rejected"]) == (1, 2), answer
    with wiring.database.snapshot() as session:
        assert {user.user_id[:6] for user in users.list_users(session, after_id=0, limit=9)} == {
            "erased",
            "cy",
        }


@pytest.mark.parametrize("way", ["import", "identify"])
def test_a_stranger_gets_the_id_that_is_told_later(
    http: TestClient, wiring: Wiring, keys: dict[str, str], clock: SteppedClock, way: str
) -> None:
    come(wiring.database, clock, text_from(PHONE, "stop", clock.now()))
    project(wiring.database, clock)
    if way == "import":
        write = {"Authorization": f"Bearer {keys['write']}"}
        answer = http.post("/v1/imports", files={"file": ("people.csv", FILE)}, headers=write).json()
        assert (answer["created"], answer["updated"], answer["rejected"]) == (2, 1, 0), answer
    else:
        call = {"userId": "bob", "traits": {"phone": PHONE}, "messageId": "m"}
        assert http.post("/v1/identify", json=call, auth=(keys["ingest"], "")).status_code == 200
    with wiring.database.snapshot() as session:
        bob = users.find(session, user_id="bob")
        assert bob.phone == PHONE
        assert [state.granted for state in consent.consents_of(session, user_pk=bob.id or 0)] == [False]


def test_an_id_that_somebody_had_before_is_blocked_too(
    http: TestClient, wiring: Wiring, keys: dict[str, str]
) -> None:
    write, admin = ({"Authorization": f"Bearer {keys[scope]}"} for scope in ("write", "admin"))
    ingest = (keys["ingest"], "")
    for user_id in ("fa", "fb"):
        assert http.post("/v1/track", json={"userId": user_id, "event": "x"}, auth=ingest).status_code == 200
    assert http.post("/v1/alias", json={"previousId": "fa", "userId": "fb"}, auth=ingest).status_code == 200
    assert http.delete("/v1/users/fb", headers=admin).status_code == 200
    for user_id in ("fa", "fb"):
        call = {"userId": user_id, "event": "x"}
        assert http.post("/v1/track", json=call, auth=ingest).json()["accepted"] == 0, user_id
        file = f"user_id\n{user_id}\n"
        answer = http.post("/v1/imports", files={"file": ("people.csv", file)}, headers=write).json()
        assert (answer["created"], answer["rejected"]) == (0, 1), user_id
    with wiring.database.snapshot() as session:
        assert all(
            user.user_id.startswith("erased:") for user in users.list_users(session, after_id=0, limit=9)
        )


def test_what_the_log_says_under_former_ids_is_told_and_forgotten_too(
    http: TestClient, keys: dict[str, str], clock: SteppedClock
) -> None:
    http.headers["Authorization"] = f"Bearer {keys['admin']}"

    def log(user_id: str) -> list[tuple[str, object]]:
        found = http.get("/v1/audit", params={"subject_kind": "user", "subject_key": user_id})
        return [(entry["action"], entry["after"]) for entry in found.json()["items"]]

    for user_id, street in (("old", "Main street"), ("other", "Side street")):
        http.post("/v1/users", json={"user_id": user_id, "attributes": {"street": street}})
        http.post("/v1/alias", json={"previousId": user_id, "userId": "ann"})
        clock.advance(timedelta(minutes=1))
    http.post("/v1/users", json={"user_id": "old", "attributes": {"street": "Elsewhere"}})  # somebody new
    told = http.get("/v1/users/ann/export").json()["audit"]
    assert [entry["after"]["attributes"]["street"] for entry in told] == ["Main street", "Side street"]
    pseudonym = http.delete("/v1/users/ann").json()["erased_as"]
    assert [action for action, _ in log("old")] == ["user.put"]
    assert "Elsewhere" in str(log("old"))
    assert log("other") == log("ann") == []
    assert log(pseudonym) == [("user.erase", None), ("user.put", None), ("user.put", None)]


def test_what_was_deleted_is_in_no_file_of_sqlite(sqlite_url: str, clock: SteppedClock) -> None:
    database = Database(sqlite_url)
    _ann(database, clock)
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    folder = Path(make_url(sqlite_url).database or "").parent
    left = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"ann@example.com" in left
    assert database.truncate_log()
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(files) > 1
    assert [
        name for name, content in files.items() if b"ann@example" in content or b"2025550123" in content
    ] == []
    database.dispose()


def test_nobody_who_was_erased_is_told_a_variant(database: Database, clock: SteppedClock) -> None:
    outbox.add_experiment(database, clock)
    _ann(database, clock)
    evaluator = Evaluator(global_holdout=0, erasure_secret=SECRET)
    with database.snapshot() as session:
        [[before]] = evaluator.answer(session, clock, [Question("ann", {})])
    assert before.variant is not None
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="ann", secret=SECRET)
    with database.snapshot() as session:
        [[after]] = evaluator.answer(session, clock, [Question("ann", {})])
    assert (after.variant, after.without) == (None, "erased")
