"""Segment's own Python library against our server: everything arrives once, also when a connection breaks."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from segment.analytics import Client
from sqlmodel import select

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SystemClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope
from targeting.models import Event, User
from tests.integration.tracking_server import HOST

EVENTS = 30


@pytest.fixture
def write_key(database: Database) -> str:
    with database.transaction() as session:
        _row, text = security.create_key(
            session, SystemClock(), actor="test", name="shop", scopes=[Scope.INGEST]
        )
    return text


@pytest.fixture
def server(database: Database) -> Iterator[int]:
    """The port of our API, served by a thread of this process."""
    url = database.url.render_as_string(hide_password=False)
    wiring = Wiring(Settings(database_url=url), SystemClock(), database)
    options = uvicorn.Config(create_app(wiring), host=HOST, port=0, log_level="error", access_log=False)
    running = uvicorn.Server(options)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join()
    wiring.tracking.close()


@contextmanager
def unreliable_way(to: int, *, losses: list[str]) -> Iterator[str]:
    """A way to the server on which connections break: before the request has arrived, or when only its answer is missing.

    Each connection carries one request. Takes one of `losses` for each, and is reliable when none is left.
    """
    listener = socket.create_server((HOST, 0))

    def carry(connection: socket.socket) -> None:
        loss = losses.pop(0) if losses else ""
        with connection, suppress(OSError):
            request = _read_request(connection)
            if loss == "request":
                return
            with socket.create_connection((HOST, to)) as onward:
                onward.sendall(request)
                answer = b"".join(iter(lambda: onward.recv(65536), b""))
            if loss == "unavailable":
                answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            if loss != "answer":
                connection.sendall(answer)

    def serve() -> None:
        with suppress(OSError):
            while True:
                carry(listener.accept()[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    # The server closes after each answer, so that its end is known.
    return head + b"\r\nConnection: close\r\n\r\n" + body


def say_everything(client: Client) -> None:
    client.identify("ann", {"plan": "free", "phone": "+1 202 555 0123"}, anonymous_id="guest-1")
    for n in range(EVENTS):
        client.track("ann", "Paid", {"number": n})
    client.page("ann", category="Shop", name="Home", properties={"path": "/"})
    client.screen("ann", name="Cart")
    client.group("ann", "acme", {"seats": 3})
    client.track(anonymous_id="guest-2", event="Visited")
    client.alias("guest-2", "ann")
    client.track(anonymous_id="guest-2", event="Returned")


def everything_is_there_once(database: Database) -> None:
    with database.snapshot() as session:
        [ann] = session.exec(select(User)).all()
        events = session.exec(select(Event)).all()
    assert ann.phone == "+12025550123"
    assert ann.attributes == {"plan": "free", "group_id": "acme", "group": {"seats": 3}}
    assert {event.user_pk for event in events} == {ann.id}
    assert Counter(event.name for event in events) == {
        "Paid": EVENTS,
        "Page Viewed": 1,
        "Screen Viewed": 1,
        "Visited": 1,
        "Returned": 1,
    }
    assert sorted(event.properties["number"] for event in events if event.name == "Paid") == [*range(EVENTS)]
    [page] = [event.properties for event in events if event.name == "Page Viewed"]
    assert page == {"name": "Home", "category": "Shop", "path": "/"}


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("losses", [[], ["request", "answer", "unavailable"]], ids=["calm", "stormy"])
def test_what_the_library_says_arrives_once(
    database: Database, server: int, write_key: str, packed: bool, losses: list[str]
) -> None:
    failures: list[Any] = []
    lost = list(losses)
    with unreliable_way(server, losses=lost) as url:
        client = Client(
            write_key,
            host=url,
            gzip=packed,
            on_error=lambda error, items: failures.append((error, items)),
            upload_interval=0.05,
            upload_size=20,
            max_retries=5,
        )
        say_everything(client)
        client.shutdown()
    assert failures == []
    assert lost == []
    everything_is_there_once(database)


@pytest.mark.slow
def test_a_wrong_key_is_reported_by_the_library(database: Database, server: int) -> None:
    failures: list[Any] = []
    client = Client(
        "ts_000000000000_wrong",
        host=f"http://{HOST}:{server}",
        on_error=lambda error, _: failures.append(error),
    )
    client.track("ann", "Paid")
    client.shutdown()
    assert [failure.status for failure in failures] == [401]
