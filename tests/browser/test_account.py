"""Somebody signs in with their account, in a real browser: provider, dashboard and API, each as it is run."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from api import members
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SystemClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Role
from tests.integration.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, served

PATIENCE = 60_000
"""Milliseconds; a busy machine starts a browser slowly."""
ADA = "ada@example.com"


@dataclass(frozen=True)
class World:
    wiring: Wiring
    provider: IdentityProvider
    dashboard: str

    def put(self, role: Role, *, disabled: bool = False) -> None:
        with self.wiring.database.transaction() as session:
            members.put_member(
                session, self.wiring.clock, actor="test", email=ADA, role=role, disabled=disabled
            )

    def remove(self) -> None:
        with self.wiring.database.transaction() as session:
            members.remove_member(session, self.wiring.clock, actor="test", email=ADA)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with served() as provider:
        settings = Settings(database_url=sqlite_url, oidc_issuer=provider.issuer, oidc_audience=CLIENT_ID)
        wiring = Wiring(settings, SystemClock(), Database(sqlite_url))
        door = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(wiring), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        port = free_port()
        dashboard = start_dashboard(
            tmp_path, port, api=f"http://127.0.0.1:{door.getsockname()[1]}", provider=provider
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", dashboard)
            yield World(wiring, provider, f"http://127.0.0.1:{port}")
        finally:
            dashboard.terminate()
            dashboard.wait()
            server.should_exit = True
            thread.join()
            door.close()
            wiring.close()


def start_dashboard(
    folder: Path, port: int, *, api: str, provider: IdentityProvider
) -> subprocess.Popen[bytes]:
    """`touchstone dashboard`, started in a folder where its secrets are."""
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit/secrets.toml").write_text(
        f"""
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{"c" * 40}"
expose_tokens = ["id"]
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"
"""
    )
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "api", "dashboard", "--port", str(port), "--api-url", api],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the dashboard has ended"
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.fixture
def page(world: World, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.goto(world.dashboard)
    yield opened
    context.close()


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="with your account").click()


def test_a_member_signs_in_changes_role_signs_out_and_is_removed(world: World, page: Page) -> None:
    expect(page.get_by_text("Sign in with an API key instead")).to_be_visible()
    sign_in(page)
    expect(page.get_by_text(f"{ADA} is not a member here; ask an admin to add you")).to_be_visible()

    world.put(Role.READER)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text(f"{ADA} (reader)")).to_be_visible()
    expect(page.get_by_role("link", name="Access")).to_have_count(0)

    # Another role ends the session; the account is still there, so that they are in again with what they may do now.
    world.put(Role.ADMIN)
    page.get_by_role("link", name="Experiments").click()
    expect(page.get_by_text(f"{ADA} (admin)")).to_be_visible()
    page.get_by_role("link", name="Access").click()
    expect(page.get_by_text("this is you")).to_be_visible()

    # The filters of the log stand in the address.
    page.get_by_text("Log of changes").click()
    page.get_by_role("textbox", name="By whom").fill(ADA)
    page.get_by_role("textbox", name="By whom").press("Enter")
    expect(page.get_by_text("member.sign_in").first).to_be_visible()
    page.wait_for_url("**actor=ada*")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in with your account")).to_be_visible()
    page.reload()
    sign_in(page)
    expect(page.get_by_text(f"{ADA} (admin)")).to_be_visible()

    world.remove()
    page.get_by_role("link", name="Experiments").click()
    expect(page.get_by_text(f"{ADA} is not a member here")).to_be_visible()
    assert world.provider.asked.count("/token") == 2
