"""What a person sees of the quality of imports: the list, one import, and the states between; and that the API tells it so."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from dashboard.calls import imports
from dashboard.client import ApiError
from targeting.imports.mapping import ImportMapping
from targeting.imports.quality import FileProfile
from targeting.imports.quality_report import judge
from targeting.imports.rows import read_csv
from targeting.imports.source import Reject
from tests.integration.dashboard.browsing import APP, press, seen, sign_in
from tests.integration.dashboard.fake_api import problem
from tests.integration.dashboard.test_client_api import client_with
from tests.unit.dashboard import samples

PEOPLE = (
    "user_id,phone,age,note\n" + "".join(f"u{i},+1202555{100 + i:04d},{i},\n" for i in range(9)) + "x,12,,\n"
)


def quality_of(text: str) -> dict[str, Any]:
    table = read_csv(io.BytesIO(text.encode()), mapping=ImportMapping(), default_region="")
    profile = FileProfile(table.names, table.columns.meaning_of)
    rows = list(table.rows)
    profile.add(rows)
    profile.refuse([row for row in rows if isinstance(row, Reject)])
    return judge(profile, repeated_users=0)


def run_of(number: int, **changes: Any) -> dict[str, Any]:
    counts = {"rows": 10, "created": 9, "updated": 0, "unchanged": 0, "merged_duplicates": 0, "rejected": 1}
    rejects = [{"line": 11, "field": "phone", "reason": "has no country code *at all*"}]
    return {
        "id": number,
        "source": "crm_*export*",
        "actor": "ann",
        "started_at": "2026-12-01T10:00:00Z",
        "finished_at": "2026-12-01T10:01:00Z",
        "error": None,
        "light": "bad",
        "summary": counts | {"rejects": rejects},
        **changes,
    }


@pytest.fixture
def answers() -> dict[str, tuple[int, Any]]:
    runs = [
        run_of(3, light=None, finished_at=None, summary=None, source="shop"),
        run_of(2, error="file: is damaged after row 5", light="ok", source="erp"),
        run_of(1),
    ]
    return {
        "/v1/experiments": (200, {"items": [], "next_cursor": None}),
        "/v1/overview": (200, samples.overview(live=[])),
        "/v1/keys/self": (200, {"prefix": "a", "name": "me", "scopes": ["read"]}),
        "/v1/imports": (200, {"items": runs, "next_cursor": None}),
        "/v1/pulls": (200, {"items": [], "next_cursor": None}),
        **{f"/v1/imports/{run['id']}": (200, run | {"quality": None}) for run in runs},
        "/v1/imports/1": (200, runs[2] | {"quality": quality_of(PEOPLE)}),
    }


@pytest.fixture
def signed_in(answers: dict[str, tuple[int, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(urlsplit(self.path).path) or problem(404, "there is no such import")
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(sys, "argv", ["app.py", "--api-url", f"http://127.0.0.1:{server.server_port}"])
    yield sign_in(AppTest.from_file(str(APP), default_timeout=60).run(), "ts_reader")
    server.shutdown()
    server.server_close()
    thread.join()


def open_list(app: AppTest) -> AppTest:
    return app.switch_page("views/data_quality.py").run()


def open_import(app: AppTest, number: str) -> AppTest:
    app.query_params["import"] = number
    return app.switch_page("views/import_quality.py").run()


def test_the_list_shows_source_counts_and_light(signed_in: AppTest) -> None:
    page = seen(open_list(signed_in))
    for words in ("**crm_*export***", "1 Dec 2026, 10:00 UTC", ":red[:material/warning: bad]"):
        assert words in page
    assert ":red[:material/error: ended early]" in page
    assert ":gray[:material/hourglass_empty: not finished]" in page
    links = {link.proto.label.replace("\\", ""): link.proto for link in signed_in.get("page_link")}
    assert (links["**crm_*export***"].page, links["**crm_*export***"].query_string) == ("import", "import=1")


def test_an_empty_list_says_what_to_do(signed_in: AppTest, answers: dict[str, tuple[int, Any]]) -> None:
    answers["/v1/imports"] = (200, {"items": [], "next_cursor": None})
    assert "`touchstone import users FILE`" in seen(open_list(signed_in))


def test_a_list_that_cannot_be_had_offers_another_try(
    signed_in: AppTest, answers: dict[str, tuple[int, Any]]
) -> None:
    good = answers["/v1/imports"]
    answers["/v1/imports"] = problem(503, "the database is busy")
    assert [item.value for item in open_list(signed_in).error] == ["the database is busy"]
    answers["/v1/imports"] = (200, {"items": [{"no": "import"}]})
    assert "is not the Touchstone API" in press(signed_in, "Try again").error[0].value
    answers["/v1/imports"] = good
    assert "erp" in seen(press(signed_in, "Try again"))


def test_one_import_says_everything_in_words_and_draws_how_complete_it_is(signed_in: AppTest) -> None:
    page = seen(open_import(signed_in, "1"))
    for words in (
        "crm_*export*",
        "imported 1 Dec 2026, 10:00 UTC by ann",
        "note is empty in every row.",
        "1 row (10 %) not taken for phone: has no country code",
        "Nothing to compare with",
        "attributes.age",
        "90.0%",
        "4 (0 to 7)",
        "has no country code *at all*",
    ):
        assert words in page
    assert {item.label: item.value for item in signed_in.metric}["Rejected"] == "1"
    assert len(signed_in.get("vega_lite_chart")) == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("2", "It ended early: file: is damaged after row 5"),
        ("3", "It is still running: 0 rows so far."),
        ("99", "there is no such import"),
        ("x", "Choose an import from the list"),
        ("", "Choose an import from the list"),
    ],
)
def test_an_import_without_quality_says_why(signed_in: AppTest, number: str, words: str) -> None:
    assert words in seen(open_import(signed_in, number))
    assert not signed_in.get("vega_lite_chart")


def test_the_client_reads_what_the_api_says(http: TestClient, keys: dict[str, str]) -> None:
    http.post(
        "/v1/imports?format=csv&source=crm",
        content=PEOPLE,
        headers={"Authorization": f"Bearer {keys['write']}"},
    )
    client = client_with(http, keys["read"])
    [run], _ = imports.runs(client)
    assert (run.source, run.light, run.counts["created"], len(run.rejects)) == ("crm", "bad", 9, 1)
    same, quality = client.import_run(run.id)
    assert (same, quality is not None) == (run, True)
    assert quality is not None
    columns = {column.name: column for column in quality.columns}
    assert (columns["age"].becomes, columns["age"].share, columns["age"].numbers["max"]) == (
        "attributes.age",
        0.9,
        8.0,
    )
    assert (columns["phone"].invalid, columns["phone"].light) == (1, "bad")
    assert {topic.name for topic in quality.topics} == {
        "completeness",
        "validity",
        "duplicates",
        "types",
        "drift",
    }
    with pytest.raises(ApiError, match="there is no import 99"):
        client.import_run(99)
