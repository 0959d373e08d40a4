"""A whole installation on a clock that a test moves: API, jobs, dispatcher and simulator, speaking HTTP on loopback.

Time stands still while anything is done, so nothing depends on how fast the machine is: the same seed is the same campaign,
to the last digit. The jobs are those of the scheduler, called one after another at every step.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Self

import httpx
import uvicorn
from pydantic import SecretStr

from api import jobs, security
from api.app import create_app
from api.demo.rehearsal import ACCOUNT_ID, PHONE_NUMBER_ID, free_port, wait_until
from api.wiring import Wiring
from delivery.simulator.config import Delays, SimulatorConfig
from delivery.simulator.server import running
from experiments.clock import SteppedClock, format_moment, parse_moment
from experiments.vocabulary import Scope

SETTLE_SECONDS: Final = 60.0
OFTEN: Final = ("project-webhooks", "evaluate-rules", "plan", "guard", "dispatch", "check-books")
"""Jobs of every step, what has come in first."""
DAILY: Final = (
    "reallocate",
    "refresh-reports",
    *(name for name in jobs.JOBS if name not in {*OFTEN, "reallocate", "refresh-reports"}),
)
"""All others, which have something to do once a day at most."""


@dataclass
class SteppedCampaign:
    """Use as a context manager. `http` is a client of the API whose key may read and write, `admin` one that may do everything."""

    database_url: str
    clock: SteppedClock
    seed: int
    delays: Delays = Delays()  # noqa: RUF009  (frozen)
    keys: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        port, simulator_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        known = SimulatorConfig(
            port=simulator_port,
            seed=self.seed,
            delays=self.delays,
            throughput=None,
            # All that many people do at once is written to one file one by one; here the waiting would be most of the time.
            concurrency=4,
            webhook_url=f"{self.url}/webhooks/whatsapp",
            public_url=self.url,
            tracking_url=self.url,
        )
        self.wiring = Wiring.from_environment(
            clock=self.clock,
            database_url=self.database_url,
            public_url=self.url,
            whatsapp_url=f"http://127.0.0.1:{simulator_port}",
            whatsapp_loopback_only=True,
            whatsapp_token=SecretStr(known.token),
            whatsapp_phone_number_id=PHONE_NUMBER_ID,
            whatsapp_business_account_id=ACCOUNT_ID,
            whatsapp_app_secret=SecretStr(known.app_secret),
            messages_per_second=1000,
            dispatch_batch=200,
        )
        stack.callback(self.wiring.close)
        self.wiring.prepare_database(create=True)
        self._serve(stack, port)
        self.admin = stack.enter_context(self._client(self._first_key()))
        for scope in (Scope.INGEST, Scope.WRITE):
            made = answer_of(self.admin.post("/v1/keys", json={"name": scope, "scopes": [scope]}))
            self.keys[str(scope)] = made["key"]
        self.http = stack.enter_context(self._client(self.keys["write"]))
        config = SimulatorConfig(
            **{name: getattr(known, name) for name in SimulatorConfig.__slots__ if name != "write_key"},
            write_key=self.keys["ingest"],
        )
        url = stack.enter_context(running(config, self.clock))
        self.simulator = stack.enter_context(httpx.Client(base_url=url, timeout=60))

    def _first_key(self) -> str:
        """As `touchstone keys create --scope admin` makes it; every other key is made with it."""
        with self.wiring.database.transaction() as session:
            return security.create_key(session, self.clock, actor="test", name="first", scopes=[Scope.ADMIN])[
                1
            ]

    def _client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=60)

    def _serve(self, stack: ExitStack, port: int) -> None:
        config = uvicorn.Config(create_app(self.wiring), host="127.0.0.1", port=port, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, name="api", daemon=True)
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(timeout=20)

        stack.callback(end)
        wait_until(lambda: server.started, what="the API")

    def load_world(self, people: Sequence[Mapping[str, str]], behaviour: Mapping[str, Any]) -> None:
        """Tell the simulator who its people are and how they behave, and the API of the templates."""
        self.simulate("world", people=list(people), behaviour=behaviour)
        jobs.sync_templates(self.wiring)

    def begin(self, window: timedelta) -> None:
        """Let people do what they do by themselves, from now on."""
        self.simulate("begin", at=format_moment(self.clock.now()), window=f"{int(window.total_seconds())}s")

    def simulate(self, act: str, **document: Any) -> Any:
        return answer_of(self.simulator.post(f"/simulator/{act}", json=document))

    def truth(self) -> Any:
        return answer_of(self.simulator.get("/simulator/truth"))

    def tell(self, event: str, happened: Mapping[str, datetime]) -> None:
        """Tell the tracking API that each of these users did this, at that moment."""
        calls = [
            {"type": "track", "userId": user, "event": event, "messageId": f"{event}-{user}", "timestamp": format_moment(at)}
            for user, at in happened.items()
        ]  # fmt: skip
        if calls:
            answer_of(self.http.post("/v1/batch", json={"batch": calls}, auth=(self.keys["ingest"], "")))

    def let_pass(self, length: timedelta) -> None:
        """Let time pass, and wait until everything that the simulator's people did meanwhile has arrived."""
        self.clock.advance(length)
        self.settle()

    def work(self) -> None:
        """Let every job of a step work once."""
        for name in OFTEN:
            jobs.JOBS[name](self.wiring)

    def end_of_day(self) -> None:
        """Let the daily jobs work once."""
        for name in DAILY:
            jobs.JOBS[name](self.wiring)

    def settle(self) -> None:
        """Wait until the simulator has told everything that has happened by now."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._is_settled(status := answer_of(self.simulator.get("/simulator/status"))):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)

    def _is_settled(self, status: Mapping[str, Any]) -> bool:
        next_at = status["next_at"]
        return status["under_way"] == 0 and (next_at is None or parse_moment(next_at) > self.clock.now())

    def get(self, path: str, **query: Any) -> Any:
        return answer_of(self.http.get(path, params=query))

    def every(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        cursor: Any = None
        while True:
            page = answer_of(
                self.admin.get(path, params=query | {"limit": 500} | ({"cursor": cursor} if cursor else {}))
            )
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def answer_of(response: httpx.Response) -> Any:
    assert response.is_success, f"{response.request.method} {response.request.url}: {response.text[:2000]}"
    return response.json()
