"""The API in process, over the test database, with one key for each scope."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope
from tests.integration.command_line import CommandLine

APP_SECRET = "app-secret"
VERIFY_TOKEN = "verify-token"


@pytest.fixture
def wiring(database: Database, database_url: str, clock: SteppedClock) -> Wiring:
    settings = Settings(
        database_url=database_url,
        whatsapp_url="http://127.0.0.1:1",
        whatsapp_loopback_only=True,
        whatsapp_token=SecretStr("token"),
        whatsapp_phone_number_id="1",
        whatsapp_app_secret=SecretStr(APP_SECRET),
        whatsapp_verify_token=SecretStr(VERIFY_TOKEN),
        max_upload_bytes=2_000_000,
        max_body_bytes=100_000,
    )
    return Wiring(settings, clock, database)


@pytest.fixture
def keys(wiring: Wiring) -> dict[str, str]:
    """The text of one key for each scope."""
    made = {}
    with wiring.database.transaction() as session:
        for scope in Scope:
            _row, text = security.create_key(
                session, wiring.clock, actor="test", name=f"{scope} key", scopes=[scope]
            )
            made[str(scope)] = text
    return made


@pytest.fixture(scope="session")
def applications() -> dict[str, FastAPI]:
    """Applications made so far, by all settings except where the database is."""
    return {}


def application(wiring: Wiring, applications: dict[str, FastAPI]) -> FastAPI:
    """The application of these settings, over this wiring.

    Routes are made ready at their first request, which costs more than the request: the application is kept and each
    test puts its own wiring, where all state is, into it, and takes it out at its end.
    """
    settings = wiring.settings.model_dump_json(exclude={"database_url"})
    app = applications.get(settings)
    if app is None:
        app = applications[settings] = create_app(wiring)
    app.state.wiring = wiring
    return app


@pytest.fixture
def http(wiring: Wiring, applications: dict[str, FastAPI]) -> Iterator[TestClient]:
    """A client without a key."""
    app = application(wiring, applications)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client
    del app.state.wiring


@pytest.fixture
def writer(http: TestClient, keys: dict[str, str]) -> TestClient:
    """A client whose key may write."""
    http.headers["Authorization"] = f"Bearer {keys['write']}"
    return http


@pytest.fixture
def touchstone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)
