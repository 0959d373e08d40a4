"""What nobody should send: each is refused by the name of its field, on both databases, and none is an error on our side."""

import base64
import gzip
import json
import tracemalloc
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.unit.experiments.test_design import CAMPAIGN

EVENT = {"userId": "u1", "event": "Paid", "messageId": "1"}
JSON = {"Content-Type": "application/json"}


def fields(answer: Any) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [problem["field"] for problem in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/experiments/a%00b", "key"),
        ("POST", "/v1/experiments/%00/start", "key"),
        ("GET", "/v1/experiments/%00/report", "key"),
        ("GET", "/v1/experiments/%00/messages", "key"),
        ("GET", "/v1/users/%00", "user_id"),
        ("GET", "/v1/delivery/summary?experiment=%00", "experiment"),
        ("GET", "/v1/audit?subject_kind=%00", "subject_kind"),
        ("GET", "/v1/audit?subject_key=%00", "subject_key"),
        ("GET", "/r/%00", "token"),
        ("POST", "/v1/imports?format=%00", "format"),
        ("POST", "/v1/imports?format=csv&mapping=%00", "mapping"),
    ],
)
def test_a_nul_character_in_an_address_is_refused_by_name(
    writer: TestClient, method: str, path: str, field: str
) -> None:
    answer = writer.request(method, path)
    assert answer.status_code == 422
    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (rb'{"user_id": "u", "attributes": {"a": [{"b": "\u0000"}]}}', "attributes.a[0].b", "holds a NUL"),
        (
            rb'{"user_id": "u", "attributes": {"a": {"b": "x\uDC00"}}}',
            "attributes.a.b",
            "half of a surrogate",
        ),
        (rb'{"user_id": "u", "attributes": {"a": {"\ud800": 1}}}', "attributes.a", "has a name with"),
        (rb'{"\u0000": 1}', "body", "has a name with"),
        (rb'{"user_id": "u", "attributes": {"a": NaN}}', "attributes.a", "is NaN"),
        (rb'{"user_id": "u", "attributes": {"a": [1, -Infinity]}}', "attributes.a[1]", "is -Infinity"),
        (rb'{"user_id": "u", "attributes": {"a": 1e400}}', "attributes.a", "is 1e400, a number that is too"),
        (b'{"user_id": "u", "attributes": {"a": %s}}' % (b"9" * 5000), "attributes.a", "too many digits"),
        (rb'{"user_id": NaN, "user_id": "u"}', "body", "is NaN"),
        (b"\xff", "body", "is not UTF-8"),
    ],
)
def test_what_is_no_json_or_cannot_be_stored_is_named_where_it_stands(
    writer: TestClient, document: bytes, field: str, words: str
) -> None:
    answer = writer.post("/v1/users", content=document, headers=JSON)
    assert (answer.status_code, fields(answer)) == (422, [field])
    assert words in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\N{GRINNING FACE}", "\\\\u0000"])
def test_what_only_looks_like_an_escape_is_text(writer: TestClient, text: str) -> None:
    answer = writer.post("/v1/users", json={"user_id": "u1", "attributes": {"a": text}})
    assert (answer.status_code, answer.json()["attributes"]) == (200, {"a": text})


@pytest.mark.parametrize("place", [["a\0", "en"], ["a", "e\ud800"], ["a", "é"], ["a"], 1, "abc"])
def test_a_cursor_of_templates_that_no_list_gave_is_refused_by_name(writer: TestClient, place: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    answer = writer.get("/v1/templates", params={"cursor": cursor})
    assert (answer.status_code, fields(answer)) == (422, ["cursor"])


def test_lengths_of_texts_are_told_in_characters_and_our_words_as_they_are(writer: TestClient) -> None:
    long = writer.get("/v1/users", params={"q": "x" * 201}).json()["errors"]
    assert long == [{"field": "q", "message": "String should have at most 200 characters"}]
    none = writer.post("/v1/users/u1/consent", json={"granted": True}).json()["errors"]
    assert none[0]["message"].startswith("a grant needs it")


def test_a_nul_character_in_the_prefix_of_a_key_to_revoke_is_refused(
    http: TestClient, keys: dict[str, str]
) -> None:
    answer = http.delete("/v1/keys/%00", headers={"Authorization": f"Bearer {keys['admin']}"})
    assert (answer.status_code, fields(answer)) == (422, ["prefix"])


@pytest.mark.parametrize("path", ["/v1/users/%ff", "/v1/users/%ed%a0%80", "/v1/experiments/%c3", "/%ff%fe"])
def test_an_address_that_is_not_utf_8_names_nothing_that_is_there(writer: TestClient, path: str) -> None:
    assert writer.get(path).status_code == 404


@pytest.mark.parametrize(
    "credentials",
    [
        b"Basic \xed\xa0\x80",
        b"Basic \xc3\xa9",
        b"Basic " + base64.b64encode(b"\xff\xfe:"),
        b"Basic " + base64.b64encode(b"ts_\x00_x:"),
        b"Basic " + base64.b64encode(b"ts_" + b"a" * 10_000 + b"_x:"),
        b"Bearer ts_\x7f_\xff",
        b"Bearer ts_AAAAAAAAAAAA_x",
    ],
)
def test_odd_credentials_are_unknown_ones(http: TestClient, credentials: bytes) -> None:
    answer = http.get("/v1/users", headers={b"Authorization": credentials})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"\xff", b"a\tb", b"k" * 201, b"k" * 50_000])
@pytest.mark.parametrize("path", ["/v1/users", "/v1/imports?format=csv"])
def test_an_odd_idempotency_key_is_refused_by_name(writer: TestClient, path: str, key: bytes) -> None:
    body = b"user_id\nu1\n" if "imports" in path else b'{"user_id": "u1"}'
    answer = writer.post(
        path, content=body, headers={b"Idempotency-Key": key, b"Content-Type": b"application/json"}
    )
    assert answer.status_code == 422
    assert fields(answer) == ["Idempotency-Key"]
    assert writer.get("/v1/users/u1").status_code == 404


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", ";;", "multipart/form-data"]
)
def test_a_body_that_does_not_say_that_it_is_json_is_told_how_to(
    writer: TestClient, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = writer.post("/v1/users", content=b'{"user_id": "u1"}', headers=headers)
    assert (answer.status_code, fields(answer)) == (422, ["body"])
    assert "application/json" in answer.json()["detail"]


def test_a_field_without_a_name_is_named_all_the_same(writer: TestClient) -> None:
    answer = writer.post("/v1/users", json={"user_id": "u1", "": 1})
    assert (answer.status_code, fields(answer)) == (422, ['""'])
    answer = writer.post("/v1/experiments", json={**CAMPAIGN, "plan": {"": 1}})
    assert fields(answer) == ['plan.""']


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_its_bound_is_a_problem_document_that_names_the_body(
    writer: TestClient, declared: bool
) -> None:
    large = json.dumps({"user_id": "x" * 200_000}).encode()
    answer = writer.post("/v1/users", content=large if declared else iter([large]), headers=JSON)
    assert (answer.status_code, fields(answer)) == (413, ["body"])


@pytest.mark.parametrize(
    "timestamp", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", -1]
)
def test_a_time_that_no_event_can_have_had_is_refused_and_the_user_stays_readable(
    http: TestClient, keys: dict[str, str], timestamp: str | int
) -> None:
    call = {**EVENT, "timestamp": timestamp}
    answer = http.post("/v1/track", auth=(keys["ingest"], ""), json=call)
    assert (answer.status_code, fields(answer)) == (422, ["timestamp"])
    assert http.get("/v1/users", headers={"Authorization": f"Bearer {keys['read']}"}).json()["items"] == []


def test_a_gzip_body_is_unpacked(http: TestClient, keys: dict[str, str]) -> None:
    packed = gzip.compress(json.dumps(EVENT).encode(), mtime=0)
    headers = {**JSON, "Content-Encoding": "gzip"}
    for more, counts in [({}, (1, 0)), ({}, (0, 1)), ({"Idempotency-Key": "a"}, (0, 1))]:
        answer = http.post("/v1/track", auth=(keys["ingest"], ""), content=packed, headers=headers | more)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["accepted"], answer.json()["duplicates"]) == counts


@pytest.mark.parametrize(
    ("encoding", "body", "status", "field"),
    [
        ("gzip", json.dumps(EVENT).encode(), 422, "body"),
        ("gzip", gzip.compress(json.dumps(EVENT).encode(), mtime=0)[:-3], 422, "body"),
        ("gzip", gzip.compress(json.dumps(EVENT).encode(), mtime=0) + b"x", 422, "body"),
        ("gzip", b"", 422, "body"),
        ("gzip", gzip.compress(b"\xff", mtime=0), 422, "body"),
        ("gzip", gzip.compress(b" " * 50_000_000, mtime=0), 413, "body"),
        ("br", b"x", 422, "Content-Encoding"),
        ("gzip, gzip", b"x", 422, "Content-Encoding"),
    ],
)
def test_what_is_not_one_gzip_stream_of_bounded_size_is_refused(
    http: TestClient, keys: dict[str, str], encoding: str, body: bytes, status: int, field: str
) -> None:
    headers = {**JSON, "Content-Encoding": encoding}
    answer = http.post("/v1/track", auth=(keys["ingest"], ""), content=body, headers=headers)
    assert (answer.status_code, fields(answer)) == (status, [field])


def test_a_small_body_that_unpacks_to_a_large_one_costs_no_memory(
    http: TestClient, keys: dict[str, str]
) -> None:
    packed = gzip.compress(b" " * 50_000_000, mtime=0)
    tracemalloc.start()
    try:
        answer = http.post(
            "/v1/track",
            auth=(keys["ingest"], ""),
            content=packed,
            headers={**JSON, "Content-Encoding": "gzip"},
        )
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413


def test_a_packed_import_is_refused_by_name(writer: TestClient) -> None:
    body = gzip.compress(b"user_id\nu1\n", mtime=0)
    answer = writer.post("/v1/imports?format=csv", content=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, fields(answer)) == (422, ["Content-Encoding"])


@pytest.mark.parametrize(
    "mapping",
    [
        '{"consent": {"\\ud800": "user_id"}}',
        '{"attributes": {"\\u0000": "user_id"}}',
        '{"phone": NaN}',
        "[" * 5000,
        "{",
    ],
)
def test_a_mapping_that_no_database_takes_is_refused_by_name(writer: TestClient, mapping: str) -> None:
    body = b"user_id,phone\nu1,\n"
    for answer in (
        writer.post("/v1/imports", params={"format": "csv", "mapping": mapping}, content=body),
        writer.post("/v1/imports", data={"mapping": mapping}, files={"file": ("p.csv", body, "text/csv")}),
    ):
        assert (answer.status_code, fields(answer)) == (422, ["mapping"])


def test_a_rejected_row_with_a_carriage_return_in_it_is_shown_in_its_place(writer: TestClient) -> None:
    answer = writer.post("/v1/imports?format=csv", content=b"user_id,phone\nu1\r\ru2\nu3,12\n")
    assert answer.status_code == 200, answer.text
    rejects = answer.json()["rejects"]
    assert answer.json()["rejected"] == len(rejects) > 1
    assert (rejects[-1]["field"], rejects[-1]["reason"][:3]) == ("phone", "has")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "field"),
    [
        ("multipart/form-data", b"x", 400, "body"),
        ("multipart/form-data; boundary=B", b"garbage", 400, "body"),
        ("multipart/form-data; boundary=B", b"--B--\r\n", 422, "file"),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--B--\r\n',
            422,
            "file",
        ),
    ],
)
def test_a_form_that_is_none_is_refused_by_name(
    writer: TestClient, content_type: str, body: bytes, status: int, field: str
) -> None:
    answer = writer.post("/v1/imports", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, fields(answer)) == (status, [field])
