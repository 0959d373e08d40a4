"""The registry of templates by HTTP and from a terminal: lists, one, synchronisation."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import jobs
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.integration.registry import register, template
from tests.integration.test_template_sync import ACCOUNT, Graph, listed, serving


@pytest.fixture
def filled(wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        register(
            session,
            wiring.clock,
            *(template(f"t{n}", "en_US") for n in range(4)),
            template("t1", "pt_BR", status="PAUSED"),
            template("alert", "nl", category="utility", quality="RED"),
            template("old", "en_US"),
        )
    with wiring.database.transaction() as session:
        register(
            session,
            wiring.clock,
            *(template(f"t{n}", "en_US") for n in range(4)),
            template("t1", "pt_BR", status="PAUSED"),
            template("alert", "nl", category="utility", quality="RED"),
        )


def names(answer: dict) -> list[str]:
    return [f"{item['name']}/{item['language']}" for item in answer["items"]]


def test_pages_and_filters(writer: TestClient, filled: None) -> None:
    every = ["alert/nl", "t0/en_US", "t1/en_US", "t1/pt_BR", "t2/en_US", "t3/en_US"]
    found, cursor = [], None
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = writer.get("/v1/templates", params=query).json()
        found += names(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == every
    for query, expected in [
        ({"status": "PAUSED"}, ["t1/pt_BR"]),
        ({"category": "utility"}, ["alert/nl"]),
        ({"language": "pt_BR"}, ["t1/pt_BR"]),
        ({"contains": "t1"}, ["t1/en_US", "t1/pt_BR"]),
        ({"contains": "%"}, []),
        ({"gone": True}, ["alert/nl", "old/en_US", *every[1:]]),
    ]:
        assert names(writer.get("/v1/templates", params=query).json()) == expected, query
    assert writer.get("/v1/templates").json()["error"] is None


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "bnVsbA", "====", "%00"])
def test_a_cursor_of_another_list_is_refused_by_name(writer: TestClient, cursor: str) -> None:
    answer = writer.get(f"/v1/templates?cursor={cursor}")
    assert answer.status_code == 422
    assert "cursor" in answer.json()["errors"][0]["field"]


def test_one_in_every_language(writer: TestClient, filled: None) -> None:
    answer = writer.get("/v1/templates/t1").json()
    assert [item["language"] for item in answer["languages"]] == ["en_US", "pt_BR"]
    assert answer["languages"][0]["components"][0]["type"] == "BODY"
    assert writer.get("/v1/templates/old").json()["languages"][0]["gone_at"] is not None
    assert writer.get("/v1/templates/nothing").status_code == 404


@pytest.fixture
def graph() -> Graph:
    return Graph(items=[listed("a"), listed("b")])


@pytest.fixture
def connected(wiring: Wiring, graph: Graph, keys: dict[str, str]) -> Iterator[TestClient]:
    """A client of an API whose WhatsApp is `graph`."""
    with serving(graph) as url:
        changes = {"whatsapp_url": url, "whatsapp_business_account_id": ACCOUNT}
        app = create_app(replace(wiring, settings=wiring.settings.model_copy(update=changes)))
        with TestClient(app, raise_server_exceptions=False) as client:
            client.headers["Authorization"] = f"Bearer {keys['write']}"
            yield client


def test_synchronising_by_hand(connected: TestClient, graph: Graph, keys: dict[str, str]) -> None:
    answer = connected.post("/v1/templates/sync")
    assert answer.json() == {"listed": 2, "added": 2, "changed": 0, "gone": 0, "unreadable": 0}
    page = connected.get("/v1/templates").json()
    assert (names(page), page["error"]) == (["a/en_US", "b/en_US"], None)
    assert page["synced_at"] is not None
    graph.answer = (503, b"")
    assert connected.post("/v1/templates/sync").status_code == 503
    after = connected.get("/v1/templates").json()
    assert (names(after), after["synced_at"]) == (names(page), page["synced_at"])
    assert "HTTP 503" in after["error"]
    connected.headers["Authorization"] = f"Bearer {keys['read']}"
    assert connected.post("/v1/templates/sync").status_code == 403


def test_without_an_account_the_setting_is_named_and_the_job_rests(
    writer: TestClient, wiring: Wiring
) -> None:
    answer = writer.post("/v1/templates/sync")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "TOUCHSTONE_WHATSAPP_BUSINESS_ACCOUNT_ID"
    assert jobs.JOBS["sync-templates"](wiring) is None


def test_from_a_terminal(touchstone: CommandLine, tmp_path: Path, graph: Graph) -> None:
    assert touchstone("migrate").returncode == 0
    empty = touchstone("templates", "list")
    assert "never synchronised" in empty.stdout
    with serving(graph) as url:
        settings = {
            "TOUCHSTONE_WHATSAPP_URL": url,
            "TOUCHSTONE_WHATSAPP_TOKEN": SecretStr("token").get_secret_value(),
            "TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID": "1",
            "TOUCHSTONE_WHATSAPP_BUSINESS_ACCOUNT_ID": ACCOUNT,
        }
        run = touchstone("templates", "sync", **settings)
        assert run.stdout == "2 templates: 2 added, 0 changed, 0 gone\n"
        graph.answer = (400, b'{"error": {"code": 190, "message": "expired"}}')
        assert "TOUCHSTONE_WHATSAPP_TOKEN" in touchstone.fails("templates", "sync", **settings)
        told = touchstone("templates", "list", **settings).stdout
    assert "a " in told
    assert "APPROVED" in told
    assert "the last try failed" in told
    shown = touchstone("templates", "show", "a").stdout
    assert "a en_US: marketing, APPROVED, quality GREEN" in shown
    assert "Hi {{1}}" in shown
    assert "nothing" in touchstone.fails("templates", "show", "nothing")


def test_a_long_list_is_shown_whole(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with database.transaction() as session:
        register(session, SystemClock(), *(template(f"t{n:04}") for n in range(1001)))
    database.dispose()
    told = touchstone("templates", "list").stdout
    assert all(f"t{n:04}" in told for n in (0, 499, 500, 1000))
