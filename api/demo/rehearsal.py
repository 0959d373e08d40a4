"""A whole installation on this machine for one campaign, on a hurried clock: the real thing, but for WhatsApp and the people.

The simulator is a process of its own, as WhatsApp would be; API, scheduler and dispatcher run here, as in
`touchstone serve`. They speak HTTP with each other on loopback and nothing else.
"""

import multiprocessing
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import httpx
import uvicorn
from pydantic import SecretStr

from api import importing, jobs, security
from api.app import create_app
from api.wiring import Wiring
from api.worker import make_scheduler
from delivery.planning.planning_repository import fullest_window
from delivery.simulator.config import Delays, SimulatorConfig
from delivery.simulator.server import run as run_simulator
from experiments.clock import ScaledClock, SystemClock, format_moment, passing_in
from experiments.errors import Unavailable
from experiments.vocabulary import Scope
from targeting.imports.storing import ImportSummary

START_SECONDS: Final = 180.0
NOTICE_SECONDS: Final = 1.0
"""Of the machine's time, between the moment when the clocks are told to slow down and the one when they do."""
PHONE_NUMBER_ID: Final = "106540352242922"
ACCOUNT_ID: Final = "102290129340398"


@dataclass
class Rehearsal:
    """Use as a context manager; see the methods in the order in which they are called.

    `days` pass in `seconds` of the machine's time, counted from the moment when everybody is assigned. When everything that
    happened has arrived the clock slows down to normal speed, for all processes at the same moment.
    `delays`: how long people take.
    """

    database_url: str
    days: float
    seconds: float
    seed: int = 1
    port: int = 0
    cap_week: int = 3
    delays: Delays = Delays()  # noqa: RUF009  (frozen)
    settings: Mapping[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # So that being told to end takes the simulator along.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        start = SystemClock().now()
        factor = timedelta(days=self.days).total_seconds() / self.seconds
        self.clock = ScaledClock(start, factor, start.timestamp())
        self.port = self.port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        simulator_port = free_port()
        self.simulator_url = f"http://127.0.0.1:{simulator_port}"
        token, app_secret = secrets.token_hex(16), secrets.token_hex(16)
        self.wiring = Wiring.from_environment(
            clock=self.clock,
            database_url=self.database_url,
            public_url=self.url,
            whatsapp_url=self.simulator_url,
            whatsapp_loopback_only=True,
            whatsapp_token=SecretStr(token),
            whatsapp_phone_number_id=PHONE_NUMBER_ID,
            whatsapp_business_account_id=ACCOUNT_ID,
            whatsapp_app_secret=SecretStr(app_secret),
            whatsapp_verify_token=SecretStr(secrets.token_hex(16)),
            messages_per_second=1000,
            dispatch_batch=200,
            # A hurried clock makes minutes pass in milliseconds, which is no reason to take a worker for dead.
            lease=timedelta(days=1),
            unknown_after=timedelta(days=3),
            cap_week=self.cap_week,
            **self.settings,
        )
        stack.callback(self.wiring.close)
        self.wiring.prepare_database(create=True)
        self._make_keys()
        config = SimulatorConfig(
            port=simulator_port,
            token=token,
            phone_number_id=PHONE_NUMBER_ID,
            waba_id=ACCOUNT_ID,
            app_secret=app_secret,
            webhook_url=f"{self.url}/webhooks/whatsapp",
            public_url=self.url,
            tracking_url=self.url,
            write_key=self.keys["ingest"],
            seed=self.seed,
            throughput=None,
            delays=self.delays,
            clock_start=start,
            clock_factor=factor,
            clock_origin=self.clock.origin,
        )
        simulator = multiprocessing.get_context("spawn").Process(
            target=run_simulator, args=(config,), daemon=True
        )
        simulator.start()
        stack.callback(_end_process, simulator)
        self._serve(stack)
        self.http = stack.enter_context(
            httpx.Client(
                base_url=self.url, headers={"Authorization": f"Bearer {self.keys['write']}"}, timeout=120
            )
        )
        wait_until(lambda: _answers(f"{self.simulator_url}/healthz"), what="the simulator")
        wait_until(lambda: _answers(f"{self.url}/readyz"), what="the API")

    def _make_keys(self) -> None:
        with self.wiring.database.transaction() as session:
            for scope in (Scope.INGEST, Scope.READ, Scope.WRITE):
                _key, text = security.create_key(
                    session, self.clock, actor="rehearsal", name=f"rehearsal {scope}", scopes=[scope]
                )
                self.keys[str(scope)] = text

    def _serve(self, stack: ExitStack) -> None:
        config = uvicorn.Config(create_app(self.wiring), host="127.0.0.1", port=self.port, log_level="error")
        server = uvicorn.Server(config)
        # A port that is taken must be said before uvicorn ends the process over it.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise Unavailable(f"port {self.port} is taken; choose another with --port") from error
        thread = threading.Thread(target=server.run, name="api", daemon=True)
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(timeout=20)

        stack.callback(end)

    def import_people(
        self,
        file: Path,
        *,
        mapping: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ImportSummary:
        """Import the people of a CSV file, as `touchstone import users` does; rejects go beside the file."""
        order = importing.read_order(
            name=file.name,
            media_type=None,
            chosen=None,
            mapping=None,
            pairs=[f"{name}={column}" for name, column in (mapping or {}).items()],
        )
        with (
            file.open("rb") as source,
            file.with_name(f"{file.name}.rejects.csv").open("w", encoding="utf-8") as rejects,
        ):
            return importing.run(
                self.wiring, source, order, actor="rehearsal", rejects=rejects, progress=progress
            ).summary

    def load_world(
        self, *, people_path: Path, behaviour: Mapping[str, Any], texts: Mapping[str, str] | None = None
    ) -> None:
        """Tell the simulator who its people are (JSONL of user_id and phone) and how they behave.

        `texts`: bodies of templates by name, each approved in en_US with a button that leads to the campaign's link. A template
        that only `behaviour` names is made up by the simulator.
        """
        templates = [template(name, text, url=self.url) for name, text in (texts or {}).items()]
        document = {
            "people_path": str(people_path.resolve()),
            "behaviour": behaviour,
            "templates": templates,
        }
        self._simulator("POST", "/simulator/world", document)
        jobs.sync_templates(self.wiring)

    def start_campaign(self, design: Mapping[str, Any], *, window: timedelta) -> None:
        """Create and start the campaign over the API, and let it take its course."""
        _check(self.http.post("/v1/experiments", json=design))
        key = str(design["key"])
        _check(self.http.post(f"/v1/experiments/{key}/start"))
        self.begin(key, window=window)

    def begin(self, key: str, *, window: timedelta) -> None:
        """Let a campaign that was started take its course, and people begin to do what they would do anyway."""
        self.key = key
        # Enrolment is the first tick; what people do by themselves must not begin before they are assigned.
        jobs.plan(self.wiring)
        self.begun = self.clock.now()
        self.end = self.begun + timedelta(days=self.days)
        beginning = {"at": format_moment(self.begun), "window": f"{int(window.total_seconds())}s"}
        self._simulator("POST", "/simulator/begin", beginning)
        scheduler = make_scheduler(self.wiring)
        scheduler.start()
        self._stack.callback(scheduler.shutdown, wait=True)

    def run(self, watch: Callable[[datetime, dict[str, Any]], None], *, every: float = 1.0) -> None:
        """Wait for the end of the campaign, then until everything that happened has arrived; `watch` sees the state."""
        while self.clock.now() < self.end or not self._settled():
            watch(min(self.clock.now(), self.end), self.summary())
            time.sleep(every)
        watch(self.end, self.summary())
        # Not earlier: what is still to happen would take its days from here.
        self._slow_down()

    def _slow_down(self) -> None:
        """From a moment that is still to come when all processes know of it, every clock runs at the machine's own speed."""
        at = self.clock.now() + passing_in(self.clock, NOTICE_SECONDS)
        self._simulator("POST", "/simulator/slow", {"at": format_moment(at)})
        self.clock.slow_down(at)
        time.sleep(self.clock.real_seconds(at - self.clock.now()))

    def _settled(self) -> bool:
        status = self._simulator("GET", "/simulator/status")
        summary = self.summary()
        return bool(status["idle"]) and summary["waiting"] == 0 and summary["webhooks_waiting"] == 0

    def summary(self) -> dict[str, Any]:
        """Messages by state, from the API."""
        return dict(_check(self.http.get("/v1/delivery/summary", params={"experiment": self.key})))

    def report(self) -> dict[str, Any]:
        """The report now, from the API."""
        return dict(_check(self.http.get(f"/v1/experiments/{self.key}/report", params={"max_age": 0})))

    def truth(self) -> dict[str, Any]:
        """What the simulated people were made to do."""
        return self._simulator("GET", "/simulator/truth")

    def most_slots_in(self, window: timedelta) -> int:
        """The most messages that went out to any one person inside any stretch of `window`."""
        with self.wiring.database.snapshot() as session:
            return fullest_window(session, window=window)

    def simulator_status(self) -> dict[str, Any]:
        return self._simulator("GET", "/simulator/status")

    def _simulator(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return dict(_check(httpx.request(method, f"{self.simulator_url}{path}", json=document, timeout=120)))


def template(name: str, text: str, *, url: str) -> dict[str, Any]:
    """A template as the Graph API lists it: a body and a button behind which `url` counts the click."""
    button = {
        "type": "URL",
        "text": "Visit the shop",
        "url": f"{url}/r/{{{{1}}}}",
        "example": [f"{url}/r/x"],
    }
    return {
        "name": name,
        "language": "en_US",
        "components": [{"type": "BODY", "text": text}, {"type": "BUTTONS", "buttons": [button]}],
    }


def _check(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise Unavailable(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text[:500]}"
        )
    return answer.json()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def wait_until(ready: Callable[[], bool], *, what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `ready()`; raises Unavailable naming `what` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not start within {seconds:g} seconds")
        time.sleep(0.05)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_process(process: Any) -> None:
    process.terminate()
    process.join(timeout=10)
    if process.is_alive():
        process.kill()
        process.join()
