"""Imports and pulls over HTTP: Parquet, mappings, runs with their quality, and what may go wrong."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from api import jobs
from api.app import create_app
from api.wiring import Wiring

MAPPING = """\
user_id: no
phone: mobile
attributes:
  spent: {column: sum, type: number, decimal: ","}
"""
FILE = b'no;mobile;sum\n1;+12025550101;"1,5"\n2;;x\n'


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["a", "b"], "age": [1, 2]}), sink)
    return sink.getvalue()


def test_parquet_comes_in_by_its_media_type_and_by_its_name(writer: TestClient) -> None:
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    answer = writer.post("/v1/imports", content=parquet(), headers=headers)
    assert (answer.status_code, answer.json()["created"]) == (200, 2)
    again = writer.post("/v1/imports", files={"file": ("people.parquet", parquet())})
    assert (again.status_code, again.json()["unchanged"]) == (200, 2)


@pytest.mark.parametrize("data", [b"", b"user_id\nu1\n", parquet()[:-3]])
def test_what_is_no_parquet_is_refused(writer: TestClient, data: bytes) -> None:
    answer = writer.post("/v1/imports?format=parquet", content=data)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file")
    assert writer.get("/v1/imports").json()["items"] == []


@pytest.mark.parametrize("as_file", [True, False])
def test_a_mapping_comes_in_the_form_as_text_or_as_a_file(writer: TestClient, as_file: bool) -> None:
    files: dict[str, Any] = {"file": ("crm.csv", FILE, "text/csv")}
    data = {"source": "crm"}
    if as_file:
        files["mapping"] = ("crm.yaml", MAPPING.encode())
    else:
        data["mapping"] = MAPPING
    answer = writer.post("/v1/imports", files=files, data=data)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["created"], answer.json()["rejects"][0]["field"]) == (1, "sum")
    assert writer.get("/v1/users/1").json()["attributes"] == {"spent": 1.5}
    assert writer.get("/v1/imports").json()["items"][0]["source"] == "crm"


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ("a: &a [1]\nb: *a", "mapping"),
        ("phone: [", "mapping"),
        ("just words", "mapping"),
        ("- 1", "mapping"),
        ('phone: "\\ud800"', "mapping"),
        ("phone: .nan", "mapping"),
        ("[" * 3000, "mapping"),
        ("a: " + "{b: " * 3000, "mapping"),
        ("x" * 30_000, "mapping"),
        ("phone: 2026-01-01", "mapping.phone"),
        ("attributes: {spent: {column: sum, typ: number}}", "mapping.attributes.spent.typ"),
    ],
)
def test_a_wrong_mapping_is_refused_by_its_path(writer: TestClient, mapping: str, field: str) -> None:
    answer = writer.post("/v1/imports", files={"file": ("a.csv", FILE)}, data={"mapping": mapping})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_runs_are_listed_newest_first_and_read_with_their_quality(writer: TestClient) -> None:
    for name in ("one", "two", "one"):
        answer = writer.post(
            f"/v1/imports?format=csv&source={name}",
            content=b"user_id,phone,age,consent_marketing\nu1,+12025550101,3,no\n",
        )
        assert answer.json()["quality"]["light"] == "ok"
    page = writer.get("/v1/imports?limit=2").json()
    assert [item["source"] for item in page["items"]] == ["one", "two"]
    assert page["items"][0]["light"] == "ok"
    rest = writer.get("/v1/imports", params={"cursor": page["next_cursor"]}).json()
    assert [item["source"] for item in rest["items"]] == ["one"]
    assert len(writer.get("/v1/imports?source=one").json()["items"]) == 2
    found = writer.get(f"/v1/imports/{answer.json()['id']}").json()
    assert found["summary"]["unchanged"] == 1
    assert [column["name"] for column in found["quality"]["columns"]] == [
        "user_id",
        "phone",
        "age",
        "consent_marketing",
    ]
    assert writer.get("/v1/imports/999").status_code == 404
    assert writer.get("/v1/imports/0").status_code == 422


@pytest.mark.parametrize(
    ("address", "data", "files"),
    [
        ("?dry_run=true", {}, {}),
        ("", {"dry_run": "true"}, {}),
        ("?dry_run=1", {"dry_run": "true"}, {}),
        ("", {}, {"dry_run": ("dry_run", b"true")}),
    ],
    ids=["address", "form", "both", "as a file"],
)
def test_a_dry_run_writes_nothing(
    writer: TestClient, address: str, data: dict[str, str], files: dict[str, Any]
) -> None:
    answer = writer.post(
        f"/v1/imports{address}",
        files={"file": ("a.csv", FILE)} | files,
        data={"mapping": MAPPING, "source": "crm", "format": "csv"} | data,
    )
    assert answer.json()["rows"] == [
        {"line": 2, "user_id": "1", "phone": "+12025550101", "attributes": {"spent": 1.5}},
        {"line": 3, "field": "sum", "rejected": "'x' is not a number"},
    ]
    assert answer.json()["quality"]["rows"] == 2
    summary = answer.json()["summary"]
    assert (summary["rows"], summary["created"], summary["rejected"]) == (2, 1, 1)
    assert answer.json()["rejects"] == [{"line": 3, "field": "sum", "reason": "'x' is not a number"}]
    assert writer.get("/v1/imports").json()["items"] == []
    assert writer.get("/v1/users/1").status_code == 404


@pytest.mark.parametrize(
    ("address", "data", "field"),
    [
        ("", {"dryrun": "true"}, "dryrun"),
        ("", {f"extra{number}": "1" for number in range(10)}, "extra0"),
        ("", {"dry_run": "perhaps"}, "dry_run"),
        ("", {"dry_run": ""}, "dry_run"),
        ("", {"dry_run": ["false", "true"]}, "dry_run"),
        ("?dry_run=false", {"dry_run": "true"}, "dry_run"),
        ("?source=crm", {"source": "shop"}, "source"),
    ],
)
def test_a_form_that_is_not_understood_writes_nothing(
    writer: TestClient, address: str, data: dict[str, Any], field: str
) -> None:
    answer = writer.post(
        f"/v1/imports{address}", files={"file": ("a.csv", FILE)}, data={"mapping": MAPPING} | data
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert writer.get("/v1/imports").json()["items"] == []


def test_the_fields_of_the_form_are_those_of_the_address(writer: TestClient) -> None:
    operation = writer.get("/openapi.json").json()["paths"]["/v1/imports"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    address = {item["name"] for item in operation["parameters"] if item["in"] == "query"}
    assert set(form["properties"]) == address | {"file"}
    assert form["additionalProperties"] is False


PULL = {"source": "crm", "query": "SELECT id, plan FROM people", "mapping": {"user_id": "id"}, "every": "2h"}


@pytest.fixture
def crm(wiring: Wiring, tmp_path: Path) -> Wiring:
    """The wiring with a source of one person."""
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE people (id TEXT, plan TEXT)"))
        connection.execute(text("INSERT INTO people VALUES ('u1', 'gold')"))
    engine.dispose()
    settings = wiring.settings.model_copy(update={"sources": {"crm": SecretStr(url)}})
    return Wiring(settings, wiring.clock, wiring.database)


def test_a_pull_by_http_from_put_to_delete(crm: Wiring, keys: dict[str, str]) -> None:
    with TestClient(create_app(crm)) as http:
        http.headers["Authorization"] = f"Bearer {keys['write']}"
        assert http.put("/v1/pulls/crm", json=PULL).status_code == 403
        http.headers["Authorization"] = f"Bearer {keys['admin']}"
        made = http.put("/v1/pulls/crm", json=PULL)
        assert made.status_code == 200, made.text
        assert (made.json()["enabled"], made.json()["definition"]["every"]) == (True, "2h")
        assert "crm.db" not in made.text
        http.headers["Authorization"] = f"Bearer {keys['write']}"
        assert jobs.pull_sources(crm).done == 1
        assert http.get("/v1/users/u1").json()["attributes"] == {"plan": "gold"}
        assert http.get("/v1/imports?source=pull:crm").json()["items"][0]["summary"]["created"] == 1
        assert jobs.pull_sources(crm).done == 0
        assert http.post("/v1/pulls/crm/run").status_code == 202
        assert jobs.pull_sources(crm).done == 1
        assert http.post("/v1/pulls/crm/disable").json()["enabled"] is False
        assert http.post("/v1/pulls/crm/run").status_code == 409
        assert http.post("/v1/pulls/crm/enable").json()["enabled"] is True
        assert [item["key"] for item in http.get("/v1/pulls").json()["items"]] == ["crm"]
        assert http.delete("/v1/pulls/crm").status_code == 403
        http.headers["Authorization"] = f"Bearer {keys['admin']}"
        assert http.delete("/v1/pulls/crm").status_code == 204
        assert http.get("/v1/pulls/crm").status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "cmr"}, "source"),
        ({"query": "DROP TABLE people"}, "query"),
        ({"query": "SELECT 1; SELECT 2"}, "query"),
        ({"query": "SELEC ("}, "query"),
        ({"query": "SELECT " + "(" * 5000}, "query"),
        ({"every": "10s"}, "every"),
        ({"every": "often"}, "every"),
        ({"cursor": "x"}, "cursor"),
        ({"mapping": {"fone": "x"}}, "mapping.fone"),
        ({"mapping": {"attributes": {"a": {"column": "x", "type": "date"}}}}, "mapping.attributes.a.type"),
    ],
)
def test_a_wrong_pull_is_refused_by_the_name_of_its_field(
    crm: Wiring, keys: dict[str, str], change: dict[str, Any], field: str
) -> None:
    with TestClient(create_app(crm)) as http:
        http.headers["Authorization"] = f"Bearer {keys['admin']}"
        answer = http.put("/v1/pulls/crm", json=PULL | change)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
        assert http.get("/v1/pulls").json()["items"] == []
