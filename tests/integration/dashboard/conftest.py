"""The dashboard against the API itself, served on loopback over SQLite, with a key for each role."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from api import security
from api.demo.rehearsal import wait_until
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope
from tests.integration.conftest import application
from tests.integration.dashboard.browsing import APP, sign_in


@dataclass(frozen=True)
class Live:
    """A running API. `call` speaks to it with the admin's key; `keys` has one for read, write and admin."""

    url: str
    keys: dict[str, str]
    wiring: Wiring
    clock: SteppedClock

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = httpx.request(
            method,
            self.url + path,
            headers={"Authorization": f"Bearer {self.keys['admin']}"},
            **{"timeout": 60, **request},  # a busy machine compiles the first route slowly
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="session", autouse=True)
def components_found_once() -> Iterator[None]:
    """Each AppTest looks through all installed packages for components of Streamlit, which takes longer than to draw a page."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests)
        )
        yield


@pytest.fixture
def live(sqlite_url: str, clock: SteppedClock, applications: dict[str, FastAPI]) -> Iterator[Live]:
    database = Database(sqlite_url)
    settings = Settings(
        database_url=sqlite_url,
        whatsapp_url="http://127.0.0.1:1",
        whatsapp_loopback_only=True,
        whatsapp_token=SecretStr("token"),
        whatsapp_phone_number_id="1",
        whatsapp_app_secret=SecretStr("secret"),
        whatsapp_verify_token=SecretStr("verify"),
    )
    wiring = Wiring(settings, clock, database)
    keys = {}
    with database.transaction() as session:
        for scope in (Scope.READ, Scope.WRITE, Scope.ADMIN):
            _row, keys[str(scope)] = security.create_key(
                session, clock, actor="test", name=f"{scope} key", scopes=[scope]
            )
    app = application(wiring, applications)
    door = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    wait_until(lambda: server.started, what="the API")
    yield Live(f"http://127.0.0.1:{door.getsockname()[1]}", keys, wiring, clock)
    server.should_exit = True
    thread.join()
    door.close()
    del app.state.wiring
    wiring.close()


@pytest.fixture
def open_dashboard(live: Live, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AppTest]:
    """The dashboard of the running API, signed in with the key of a scope: `open_dashboard("write")`."""

    def opened(scope: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", "--api-url", live.url])
        return sign_in(AppTest.from_file(str(APP), default_timeout=60).run(), live.keys[scope])

    return opened
