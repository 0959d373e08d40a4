"""The registry of templates against a small Graph API of this test's own, on loopback, and against the simulator."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlmodel import Session, select

from delivery.models import Template
from delivery.simulator import server
from delivery.simulator.config import SimulatorConfig
from delivery.templates import registry as templates
from delivery.templates import template_sync
from delivery.templates.template_sync import Synced
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, Refused, Unavailable
from experiments.settings import Settings

ACCOUNT = "102290129340398"
BODY = [{"type": "BODY", "text": "Hi {{1}}"}]


def listed(name: str, language: str = "en_US", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{name}-{language}",
        "name": name,
        "language": language,
        "status": "APPROVED",
        "category": "MARKETING",
        "quality_score": {"score": "GREEN"},
        "parameter_format": "POSITIONAL",
        "components": BODY,
    } | changes


@dataclass
class Graph:
    """Lists `items`, `page` at a time; `answer` (status, body) instead, where that is set."""

    items: list[dict[str, Any]] = field(default_factory=list)
    page: int = 2
    answer: tuple[int, bytes] | None = None
    asked: list[str] = field(default_factory=list)
    while_asked: Callable[[], object] | None = None

    def reply(self, path: str, token: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.while_asked is not None:
            self.while_asked()
        if self.answer is not None:
            return self.answer
        if token != "Bearer token":
            error = {"message": "Invalid OAuth access token", "code": 190}
            return 401, json.dumps({"error": error}).encode()
        query = parse_qs(urlsplit(path).query)
        start = int(query.get("after", ["0"])[0])
        end = start + self.page
        body: dict[str, Any] = {"data": self.items[start:end]}
        if end < len(self.items):
            # A host that is not to be asked: only the cursor is taken.
            body["paging"] = {"cursors": {"after": str(end)}, "next": "http://127.0.0.1:1/elsewhere"}
        return 200, json.dumps(body).encode()


@contextmanager
def serving(graph: Graph) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = graph.reply(self.path, self.headers.get("authorization", ""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def settings(graph: Graph) -> Iterator[Settings]:
    with serving(graph) as url:
        yield settings_for(url)


def settings_for(url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "whatsapp_url": url,
        "whatsapp_token": SecretStr("token"),
        "whatsapp_phone_number_id": "1",
        "whatsapp_business_account_id": ACCOUNT,
        "whatsapp_loopback_only": True,
    }
    return Settings(**values | changes)


def rows(database: Database) -> dict[tuple[str, str], Template]:
    with database.snapshot() as session:
        return {(row.name, row.language): row for row in session.exec(select(Template))}


def say(database: Database, clock: SteppedClock, name: str, **changes: Any) -> None:
    """As a webhook would: a part of a template changes, at a time of its own."""
    with database.transaction() as session:
        row = session.get_one(Template, (name, "en_US"))
        for part, value in changes.items():
            setattr(row, part, value)
            setattr(row, f"{part}_at", clock.now())
        row.changed_at = clock.now()
        session.add(row)


def test_every_page_is_read_and_asked_of_the_same_host(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    graph.items = [listed(f"t{n}") for n in range(5)]
    synced = template_sync.synchronise(database, clock, settings=settings)
    assert synced == Synced(listed=5, added=5)
    assert len(graph.asked) == 3
    assert all(path.startswith(f"/v26.0/{ACCOUNT}/message_templates?") for path in graph.asked)
    row = rows(database)["t0", "en_US"]
    assert (row.category, row.status, row.quality, row.template_id) == (
        "marketing",
        "APPROVED",
        "GREEN",
        "t0-en_US",
    )
    assert row.components == BODY


def test_what_changed_is_taken_and_what_vanished_is_gone_until_it_returns(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    graph.items = [listed("a"), listed("b"), listed("b", "nl")]
    template_sync.synchronise(database, clock, settings=settings)
    first = clock.now()
    clock.advance(timedelta(hours=1))
    graph.items = [listed("a"), listed("b", "nl", status="PAUSED")]
    assert template_sync.synchronise(database, clock, settings=settings) == Synced(
        listed=2, changed=1, gone=1
    )
    found = rows(database)
    assert found["b", "en_US"].gone_at == clock.now()
    assert (found["b", "nl"].status, found["b", "nl"].changed_at) == ("PAUSED", clock.now())
    assert (found["a", "en_US"].changed_at, found["a", "en_US"].synced_at) == (first, clock.now())
    clock.advance(timedelta(hours=1))
    graph.items.append(listed("b"))
    assert template_sync.synchronise(database, clock, settings=settings) == Synced(listed=3, changed=1)
    assert rows(database)["b", "en_US"].gone_at is None


def test_what_a_webhook_said_while_the_list_was_read_is_kept(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    graph.items = [listed("a"), listed("b")]
    template_sync.synchronise(database, clock, settings=settings)
    clock.advance(timedelta(hours=1))
    say(database, clock, "b", status="PAUSED")
    clock.advance(timedelta(minutes=1))

    def paused() -> None:
        graph.while_asked = None
        clock.advance(timedelta(seconds=5))
        say(database, clock, "a", status="PAUSED")

    graph.while_asked = paused
    template_sync.synchronise(database, clock, settings=settings)
    found = rows(database)
    assert found["a", "en_US"].status == "PAUSED"
    assert found["b", "en_US"].status == "APPROVED"
    assert found["a", "en_US"].quality_at == found["b", "en_US"].status_at


def test_the_tick_asks_once_an_hour_and_sooner_after_an_error(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    assert template_sync.sync_tick(database, clock, settings=settings) == Synced()
    clock.advance(timedelta(minutes=59))
    assert template_sync.sync_tick(database, clock, settings=settings) is None
    clock.advance(timedelta(minutes=1))
    graph.answer = (503, b"busy")
    with pytest.raises(Unavailable):
        template_sync.sync_tick(database, clock, settings=settings)
    with database.snapshot() as session:
        state = templates.state_of(session, settings=settings)
    assert state.synced_at == clock.now() - timedelta(hours=1)
    assert "503" in (state.error or "")
    clock.advance(timedelta(minutes=4))
    assert template_sync.sync_tick(database, clock, settings=settings) is None
    clock.advance(timedelta(minutes=1))
    graph.answer = None
    assert template_sync.sync_tick(database, clock, settings=settings) == Synced()
    with database.snapshot() as session:
        assert templates.state_of(session, settings=settings).error is None


def test_without_an_account_the_tick_rests_and_a_person_is_told(
    database: Database, clock: SteppedClock, settings: Settings
) -> None:
    bare = settings.model_copy(update={"whatsapp_business_account_id": ""})
    assert template_sync.sync_tick(database, clock, settings=bare) is None
    with pytest.raises(Invalid, match="BUSINESS_ACCOUNT_ID"):
        template_sync.synchronise(database, clock, settings=bare)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, b'{"error": {"code": 190, "message": "expired"}}', Refused, "TOKEN"),
        (403, b"no", Refused, "HTTP 403"),
        (400, b'{"error": {"code": 100, "message": "no such node"}}', Invalid, "BUSINESS_ACCOUNT_ID"),
        (400, b'{"error": {"code": 80008, "message": "slow"}}', Unavailable, "80008"),
        (200, b"<html>", Unavailable, "without a list"),
        (200, b'{"data": {}}', Unavailable, "without a list"),
        (200, b"[" * 100_000, Unavailable, "without a list"),
        (302, b"", Invalid, "HTTP 302"),
        (200, b'{"data": [], "paging": {"next": "x"}}', Unavailable, "without a cursor"),
        (
            200,
            b'{"data": [], "paging": {"next": "x", "cursors": {"after": "1"}}}',
            Unavailable,
            "does not end",
        ),
    ],
    ids=["token", "forbidden", "account", "slow", "html", "object", "deep", "redirect", "no-cursor", "loop"],
)
def test_a_list_that_cannot_be_had_leaves_the_registry_as_it_is(
    database: Database,
    clock: SteppedClock,
    graph: Graph,
    settings: Settings,
    status: int,
    body: bytes,
    error: type[Exception],
    words: str,
) -> None:
    graph.items = [listed("a")]
    template_sync.synchronise(database, clock, settings=settings)
    clock.advance(timedelta(hours=1))
    graph.answer = (status, body)
    with pytest.raises(error, match=words):
        template_sync.synchronise(database, clock, settings=settings)
    assert rows(database)["a", "en_US"].gone_at is None


def test_items_of_an_unknown_form_are_counted_and_left_out(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    graph.items = [
        listed("a"),
        listed("b") | {"name": None},
        listed("c", language="x" * 11),
        listed("d", quality_score=None, components="odd", id=7, parameter_format=None),
    ]
    graph.page = 10
    synced = template_sync.synchronise(database, clock, settings=settings)
    assert (synced.listed, synced.unreadable) == (2, 2)
    row = rows(database)["d", "en_US"]
    assert (row.quality, row.components, row.template_id, row.parameter_format) == (
        None,
        [],
        None,
        "POSITIONAL",
    )


def test_a_wrong_token_and_a_number_that_is_not_there(database: Database, clock: SteppedClock) -> None:
    graph = Graph()
    with serving(graph) as url:
        wrong = settings_for(url, whatsapp_token=SecretStr("other"))
        with pytest.raises(Refused, match="190"):
            template_sync.synchronise(database, clock, settings=wrong)
    with pytest.raises(Unavailable, match="ConnectError"):
        template_sync.synchronise(database, clock, settings=settings_for("http://127.0.0.1:1"))
    with pytest.raises(Refused, match="not this machine"):
        template_sync.synchronise(database, clock, settings=settings_for("https://graph.facebook.com"))


def test_the_simulators_list_is_read(database: Database, clock: SteppedClock) -> None:
    config = SimulatorConfig()
    declared = [listed(f"t{n}", quality_score="GREEN") for n in range(120)]
    wanted = [{name: value for name, value in each.items() if name != "id"} for each in declared]
    with server.running(config, clock) as url:
        httpx.post(f"{url}/simulator/world", json={"people": [], "templates": wanted}).raise_for_status()
        settings = settings_for(
            url,
            whatsapp_token=SecretStr(config.token),
            whatsapp_phone_number_id=config.phone_number_id,
            whatsapp_business_account_id=config.waba_id,
        )
        synced = template_sync.synchronise(database, clock, settings=settings)
    assert synced.added == 120
    row = rows(database)["t119", "en_US"]
    assert (row.components, row.quality, row.status) == (BODY, "GREEN", "APPROVED")


def test_a_person_who_asks_is_in_the_audit_log(
    database: Database, clock: SteppedClock, graph: Graph, settings: Settings
) -> None:
    graph.items = [listed("a")]
    template_sync.synchronise(database, clock, settings=settings, actor="ann")
    with database.snapshot() as session:
        assert _actions(session) == [("ann", "templates.sync")]


def _actions(session: Session) -> list[tuple[str, str]]:
    return [(row.actor, row.action) for row in session.exec(select(AuditEntry))]
