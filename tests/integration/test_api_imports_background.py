"""Imports that go on after their answer, and the first look at a file, over HTTP on both databases."""

import io
import threading
import time
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from api.background_imports import BackgroundImports
from api.idempotency import ABANDONED_AFTER
from api.wiring import Wiring
from experiments.clock import SteppedClock, format_moment
from experiments.database import Database
from experiments.errors import Unavailable
from targeting.imports import importing, run_repository
from targeting.imports.importing import SILENT
from targeting.models import ImportRun

PEOPLE = b"id;Handy;consent_marketing;ort\n1;+12025550101;yes;Delft\n2;12;no;Bonn\n"


def ended(client: TestClient, number: int) -> dict[str, Any]:
    for _ in range(3000):
        run: dict[str, Any] = client.get(f"/v1/imports/{number}").json()
        if run["finished_at"] is not None:
            return run
        time.sleep(0.02)
    raise AssertionError(run)


def test_an_import_answers_at_once_and_tells_how_it_ended(writer: TestClient) -> None:
    data = {"background": "true", "source": "crm", "mapping": "{phone: Handy}"}
    answer = writer.post("/v1/imports", files={"file": ("crm.csv", PEOPLE, "text/csv")}, data=data)
    assert answer.status_code == 202, answer.text
    run = ended(writer, answer.json()["id"])
    assert (run["source"], run["error"], run["summary"]["created"]) == ("crm", None, 1)
    assert [(reject["line"], reject["field"]) for reject in run["summary"]["rejects"]] == [(3, "Handy")]
    assert writer.get("/v1/users/1").json()["attributes"] == {"ort": "Delft"}


def test_the_same_request_again_begins_nothing_anew(writer: TestClient) -> None:
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "once"}
    first = writer.post("/v1/imports?background=true", content=PEOPLE, headers=headers)
    again = writer.post("/v1/imports?background=true", content=PEOPLE, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    ended(writer, first.json()["id"])
    assert len(writer.get("/v1/imports").json()["items"]) == 1


@pytest.mark.parametrize(
    ("address", "content", "field"),
    [
        ("background=true&mapping=phone: Hady", PEOPLE, "mapping.phone"),
        ("background=true", b"", "header"),
        ("background=true&dry_run=true", PEOPLE, "background"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_told_at_once(
    writer: TestClient, address: str, content: bytes, field: str
) -> None:
    answer = writer.post(f"/v1/imports?{address}", content=content, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert writer.get("/v1/imports").json()["items"] == []


def test_while_it_runs_it_says_how_many_rows_are_done_and_no_more_begin_than_may(
    writer: TestClient, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, reached = threading.Event(), threading.Event()
    lines = b"user_id\n" + b"".join(b"u%d\n" % number for number in range(4_500))
    original = importing.store

    def slow(*args: Any, **options: Any) -> Any:
        stored = original(*args, **options)
        reached.set()
        rest.wait(20)
        return stored

    monkeypatch.setattr(importing, "store", slow)
    monkeypatch.setitem(wiring.__dict__, "imports", BackgroundImports(most=1))
    headers = {"Content-Type": "text/csv"}
    number = writer.post("/v1/imports?background=true", content=lines, headers=headers).json()["id"]
    assert reached.wait(20)
    run = writer.get(f"/v1/imports/{number}").json()
    assert (run["finished_at"], run["light"], run["summary"]) == (None, None, {"rows": 2_000})
    assert writer.get("/v1/imports").json()["items"][0]["summary"] == {"rows": 2_000}
    second = writer.post("/v1/imports?background=true", content=lines, headers=headers)
    assert (second.status_code, "1 imports are under way" in second.json()["detail"]) == (503, True)
    rest.set()
    assert ended(writer, number)["summary"]["rows"] == 4_500
    assert writer.post("/v1/imports?background=true", content=PEOPLE, headers=headers).status_code == 202
    wiring.imports.close()


def test_who_repeats_an_import_that_takes_long_is_told_to_wait(
    writer: TestClient, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"user_id\n" + b"".join(b"u%d\n" % number for number in range(4_500))
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "long"}
    original, answers = importing.store, []

    def slow(*args: Any, **options: Any) -> Any:
        stored = original(*args, **options)
        clock.advance(ABANDONED_AFTER * 0.7)
        if len(answers) < 3:
            answers.append(0)
            answers[-1] = writer.post("/v1/imports", content=lines, headers=headers).status_code
        return stored

    monkeypatch.setattr(importing, "store", slow)
    answer = writer.post("/v1/imports", content=lines, headers=headers)
    assert (answer.status_code, answer.json()["created"]) == (200, 4_500)
    assert answers == [409, 409, 409]
    again = writer.post("/v1/imports", content=lines, headers=headers)
    assert (again.status_code, again.json()) == (200, answer.json())
    assert len(writer.get("/v1/imports").json()["items"]) == 1


def test_an_import_ends_early_with_its_process_and_says_so(writer: TestClient, wiring: Wiring) -> None:
    lines = b"user_id\n" + b"".join(b"u%d\n" % number for number in range(4_500))
    wiring.ending.set()
    answer = writer.post("/v1/imports?background=true", content=lines, headers={"Content-Type": "text/csv"})
    run = ended(writer, answer.json()["id"])
    assert (run["summary"]["rows"], "the server was stopped" in run["error"]) == (2_000, True)


def test_an_import_whose_process_was_killed_is_not_under_way_for_ever(
    writer: TestClient, wiring: Wiring, database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        run = ImportRun(source="crm", actor="test", started_at=clock.now())
        number = run_repository.add_run(session, run)
    clock.advance(SILENT)
    with database.transaction() as session:
        run_repository.note_rows(session, number, rows=2_000, at=clock.now())
    heard = format_moment(clock.now())
    clock.advance(SILENT)
    assert writer.get(f"/v1/imports/{number}").json()["finished_at"] is None  # slow, for all that is known
    clock.advance(timedelta(seconds=1))
    for told in (writer.get(f"/v1/imports/{number}").json(), writer.get("/v1/imports").json()["items"][0]):
        assert (told["finished_at"], told["light"], told["summary"]) == (heard, None, {"rows": 2_000})
        assert "its process has died" in told["error"]


def test_a_list_of_imports_has_the_first_rejected_rows_and_one_import_all_that_are_kept(
    writer: TestClient,
) -> None:
    lines = b"user_id,phone\n" + b"".join(b"u%d,1\n" % number for number in range(600))
    number = writer.post("/v1/imports", content=lines, headers={"Content-Type": "text/csv"}).json()["id"]
    [listed] = writer.get("/v1/imports").json()["items"]
    assert (listed["summary"]["rejected"], len(listed["summary"]["rejects"])) == (600, 20)
    assert len(writer.get(f"/v1/imports/{number}").json()["summary"]["rejects"]) == 500


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [7, 8], "tags": [["a"], None]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type", "columns"),
    [
        (
            PEOPLE,
            "text/csv",
            [
                ("id", "user_id", ["1", "2"]),
                ("Handy", "attributes.Handy", ["+12025550101", "12"]),
                ("consent_marketing", "consent.marketing", ["yes", "no"]),
                ("ort", "attributes.ort", ["Delft", "Bonn"]),
            ],
        ),
        (
            b'{"who": "a", "tz": "UTC"}\nnonsense\n{"who": "b", "n": 1.5}\n',
            "application/x-ndjson",
            [
                ("who", "attributes.who", ["a", "b"]),
                ("tz", "time_zone", ["UTC", ""]),
                ("n", "attributes.n", ["", "1.5"]),
            ],
        ),
        (
            parquet(),
            "application/vnd.apache.parquet",
            [("id", "user_id", ["7", "8"]), ("tags", "attributes.tags", ['["a"]', ""])],
        ),
    ],
)
def test_the_columns_of_a_file_are_told_with_what_each_would_become(
    writer: TestClient, content: bytes, media_type: str, columns: list[Any]
) -> None:
    answer = writer.post("/v1/imports/columns", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
    assert [(item["name"], item["becomes"], item["values"]) for item in answer.json()] == columns
    assert writer.get("/v1/users").json()["items"] == []


def test_a_look_at_what_is_no_file_of_people_says_why(writer: TestClient, keys: dict[str, str]) -> None:
    headers = {"Content-Type": "text/csv"}
    twice = writer.post("/v1/imports/columns", content=b"a,a\n1,2\n", headers=headers)
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (422, "header")
    unknown = writer.post("/v1/imports/columns", content=b"a\n", headers={"Content-Type": "image/png"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "format")
    reader = headers | {"Authorization": f"Bearer {keys['read']}"}
    assert writer.post("/v1/imports/columns", content=b"a\n1\n", headers=reader).status_code == 403


def test_work_that_fails_before_it_has_an_id_raises_and_frees_its_place() -> None:
    kept = BackgroundImports(most=1)

    def fails(_began: Any) -> None:
        raise Unavailable("busy")

    for _ in range(2):
        with pytest.raises(Unavailable, match="busy"):
            kept.begin(fails)
    assert kept.begin(lambda began: began(5)) == 5
    kept.close()
