"""A whole campaign whose workers are killed again and again over a bad network, and what the books say when everything has ended.

Three workers plan, send and project; each is killed (SIGKILL) and started anew. WhatsApp is the simulator, in a process of its
own, over a network that cuts lines, answers with 5xx before and after it took a message, is slow, refuses connections, and
repeats, delays and reorders webhooks. What was POSTed and what was accepted is told by the simulator's ledger.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import httpx
import numpy as np
from sqlalchemy import insert
from sqlmodel import select

from api.demo.rehearsal import free_port
from benchmarks.crash_worker import NUMBER, STEPS, settings_of
from benchmarks.loopback import in_other_process
from benchmarks.stage import CLOCK, campaign
from delivery.models import Message
from delivery.outbox.story import read_callback
from delivery.receipts import inbox as receipts
from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.fault_plan import Fault, FaultPlan, FaultStep
from delivery.simulator.profile import Telling
from delivery.simulator.server import run as run_simulator
from delivery.watch.summary import Summary, summary
from experiments.clock import ScaledClock, format_moment
from experiments.database import Database
from targeting import campaigns
from targeting.models import Consent, User

WORKERS: Final = 3
LEASE: Final = 1800.0
UNKNOWN_AFTER: Final = 7200.0
LATE: Final = 5400.0
LAST_WORDS: Final = 4000
"""How much is kept of what a worker said before it ended by itself, in bytes."""
ROOT: Final = Path(__file__).resolve().parents[1]
FAULTS: Final = Faults(
    server_error=0.02, drop=0.03, reset=0.02, server_error_after=0.02, slow=0.02, slow_seconds=0.3,
    duplicate=0.1, late=0.05, late_seconds=LATE,
)  # fmt: skip
PLAN: Final = FaultPlan(
    (
        FaultStep(Fault.ERROR, share=0.03, code=131000),
        FaultStep(Fault.ERROR, share=0.004, code=130429),
        FaultStep(Fault.REFUSE, start=100, end=200, by="posts", seconds=0.3),
    )
)


@dataclass(slots=True)
class Outcome:
    """What was found. `doubled`: callback data POSTed again without a definite refusal; `twice`: messages accepted twice;
    `lost`: messages without an end, or whose end contradicts the ledger; `holds`: whether assigned slots = messages by state.
    `ended`: the last words of workers that ended though nobody killed them.
    """

    messages: int = 0
    kills: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    posts: int = 0
    accepted: int = 0
    unanswered: int = 0
    doubled: int = 0
    twice: int = 0
    lost: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    holds: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """`users` people and about as many messages, sent in batches of `batch`; `kills` at random moments beside those at steps.

    `factor`: how many seconds pass in one, so that leases end and unknown outcomes are given up while one watches.
    `patience` in seconds of the machine's time bounds the whole run.
    """

    users: int
    kills: int
    batch: int
    factor: float
    patience: float


FULL: Final = Campaign(users=5000, kills=100, batch=50, factor=600.0, patience=280.0)
SHORT: Final = Campaign(users=300, kills=6, batch=10, factor=2400.0, patience=90.0)


def crash_campaign(database: Database, size: Campaign, *, seed: int) -> Outcome:
    """Run it on an empty database."""
    begun = time.monotonic()
    clock = ScaledClock(CLOCK.now(), size.factor)
    with ExitStack() as stack:
        inbox = stack.enter_context(_inbox(database, clock))
        url = stack.enter_context(_simulator(inbox, clock, seed))
        order = {
            "database": database.url.render_as_string(hide_password=False),
            "whatsapp": url,
            "content": f"http://127.0.0.1:{free_port()}",
            "clock": [format_moment(clock.start), clock.factor, clock.origin],
            "lease": LEASE,
            "unknown_after": UNKNOWN_AFTER,
            "batch": size.batch,
        }
        _start(database, clock, size.users)
        nurseries = [stack.enter_context(_Nursery(order | {"name": f"w{n}"})) for n in range(WORKERS)]
        outcome = Outcome()
        deadline = begun + size.patience
        _kill_at_steps(nurseries, outcome, np.random.default_rng(seed), deadline, alone=size == SHORT)
        _kill_at_random(nurseries, outcome, size.kills, np.random.default_rng(seed + 1), deadline)
        for nursery in nurseries:
            nursery.start(None)
        _wait_for_the_end(database, deadline)
        # What was late or came twice is told by now, after some messages had ended as unknown.
        time.sleep(1.2 * LATE / size.factor)
        _wait_for_the_end(database, deadline)
        for nursery in nurseries:
            nursery.kill()
            outcome.ended += nursery.ended
        receipts.project_tick(database, clock, settings=settings_of(order))
        _judge(database, _ledger(url), outcome)
    outcome.seconds = time.monotonic() - begun
    return outcome


class _Nursery:
    """A process that forks one worker at a time."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._pid = 0
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the nursery is
        self.ended: list[str] = []
        """The last words of workers that ended though nobody killed them."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crash_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdin is not None  # it was asked for
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._words.close()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def start(self, die: Sequence[Any] | None) -> None:
        """Start a worker, unless one lives."""
        if self._pid:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._order | {"die": die}) + "\n")
        self._process.stdin.flush()
        self._pid = int(self._process.stdout.readline())

    def died(self, seconds: float) -> bool:
        """Whether the worker has died by its own hand within so many seconds."""
        assert self._process.stdout is not None
        status: list[str] = []
        waiting = threading.Thread(target=lambda: status.append(self._process.stdout.readline()))  # type: ignore[union-attr]
        waiting.start()
        waiting.join(seconds)
        own = bool(status)
        if not own:
            self._signal()
            waiting.join()
        return self._buried(int(status[0])) and own

    def kill(self) -> bool:
        """Kill the worker; whether it lived."""
        if not self._pid:
            return False
        self._signal()
        assert self._process.stdout is not None
        return self._buried(int(self._process.stdout.readline()))

    def _signal(self) -> None:
        # It may have ended by itself since: then its status waits to be read, and says so.
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _buried(self, status: int) -> bool:
        """Whether the worker that left this exit status was killed; if not, its words are kept."""
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed:
            self._words.seek(0, os.SEEK_END)
            self._words.seek(max(0, self._words.tell() - LAST_WORDS))
            words = self._words.read().decode(errors="replace").strip()
            self.ended.append(f"worker {self._pid} ended with status {status}: {words or 'it said nothing'}")
        self._pid = 0
        return killed


def _kill_at_steps(
    nurseries: Sequence[_Nursery],
    outcome: Outcome,
    rng: np.random.Generator,
    deadline: float,
    *,
    alone: bool,
) -> None:
    """Each step once, on one worker after another; `alone`: the others do not work meanwhile, so that enough is left to do."""
    for position, step in enumerate(STEPS):
        dying = nurseries[position % WORKERS]
        dying.kill()
        while outcome.steps[step] == 0 and time.monotonic() < deadline:
            dying.start([step, 1 if step.startswith("plan") else int(rng.integers(1, 3))])
            if dying.died(10.0):
                outcome.steps[step] += 1
                outcome.kills += 1
        if not alone and not step.startswith("plan"):  # who plans alone meets every step of planning
            for nursery in nurseries:
                nursery.start(None)


def _kill_at_random(
    nurseries: Sequence[_Nursery], outcome: Outcome, kills: int, rng: np.random.Generator, deadline: float
) -> None:
    """So many kills, each at a random moment of a random worker."""
    for _ in range(kills):
        if time.monotonic() > deadline:
            return
        for nursery in nurseries:
            nursery.start(None)
        time.sleep(float(rng.uniform(0.05, 0.75)))
        outcome.kills += nurseries[int(rng.integers(WORKERS))].kill()


def _start(database: Database, clock: ScaledClock, users: int) -> None:
    """People, and a campaign that owes as many messages: a third gets none, a third one, a third two."""
    now = clock.now()
    document = campaign(variants=_arms())
    with database.transaction() as session:
        session.connection().execute(
            insert(User),
            [
                {
                    "id": pk,
                    "user_id": f"u{pk}",
                    # Country code 999, which no country has.
                    "phone": f"+999{pk:08d}",
                    "attributes": {"first_name": "Ann"},
                    "created_at": now,
                    "updated_at": now,
                }
                for pk in range(1, users + 1)
            ],
        )
        agreed = {"category": "marketing", "granted": True, "changed_at": now}
        session.connection().execute(
            insert(Consent), [agreed | {"user_pk": pk} for pk in range(1, users + 1)]
        )
        campaigns.create(session, clock, actor="crash", document=document)
        campaigns.start(session, clock, actor="crash", key="bench")


def _arms() -> list[dict[str, Any]]:
    message = {"template": "reminder", "language": "en_US"}
    return [
        {"key": "silence", "control": True},
        {"key": "one", "message": message | {"parameters": ["{{ content.picks[0].name }}"]}},
        {
            "key": "two",
            "message": message | {"link": "https://shop.example/spring"},
            "frequency": {"steps": 2, "min_interval": "1h"},
        },
    ]


@contextmanager
def _simulator(inbox: str, clock: ScaledClock, seed: int) -> Iterator[str]:
    port = free_port()
    config = SimulatorConfig(
        port=port,
        phone_number_id=NUMBER,
        webhook_url=inbox,
        throughput=None,
        seed=seed,
        clock_start=clock.start,
        clock_factor=clock.factor,
        clock_origin=clock.origin,
        faults=FAULTS,
        fault_plan=PLAN,
        telling=Telling(repeat=0.05, reorder_seconds=60.0, statuses_per_change=7),
    )
    with in_other_process(run_simulator, config, port=port, ready="/healthz") as url:
        yield url


@contextmanager
def _inbox(database: Database, clock: ScaledClock) -> Iterator[str]:
    """Keeps webhooks as the API does, on loopback."""

    class Keep(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with database.transaction() as session:
                receipts.store(session, clock, body=body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _books(database: Database) -> Summary:
    with database.snapshot() as session:
        return summary(session)


def _wait_for_the_end(database: Database, deadline: float) -> None:
    """Until nothing is planned, claimed or in flight, and every webhook is made sense of."""
    while time.monotonic() < deadline:
        books = _books(database)
        if not (books.waiting or books.states.get("inflight") or books.webhooks_waiting):
            return
        time.sleep(0.5)


def _ledger(url: str) -> list[dict[str, Any]]:
    """Every entry of the simulator's ledger."""
    entries: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = httpx.get(
            f"{url}/simulator/ledger", params={"after": after, "limit": 10_000}, timeout=30, trust_env=False
        ).json()
        entries += page["data"]
        after = page["next"]
    return entries


def _judge(database: Database, entries: Sequence[dict[str, Any]], outcome: Outcome) -> None:
    took: Counter[int] = Counter()
    for entry in entries:
        known = read_callback(entry["callback_data"])
        if known is None:
            outcome.lost.append(f"a POST with the callback data {entry['callback_data']!r}")
            continue
        # An error with a code says that nothing was sent; 5xx without one may come after the message was taken.
        definite = sum(times for why, times in entry["refused"].items() if why != "502")
        outcome.doubled += max(0, entry["posts"] - definite - 1)
        outcome.posts += entry["posts"]
        outcome.accepted += entry["accepted"]
        outcome.unanswered += sum(message["unanswered"] for message in entry["messages"])
        took[known[0]] += entry["accepted"]
    outcome.twice = sum(times > 1 for times in took.values())
    books = _books(database)
    outcome.holds, outcome.states = books.holds, dict(books.states)
    outcome.messages = sum(books.states.values())
    with database.snapshot() as session:
        for message in session.exec(select(Message)):
            went = message.state in ("sent", "delivered", "read")
            ended = went or message.state in ("unknown", "failed", "expired")
            if not ended or went != bool(took[message.id or 0]):
                outcome.lost.append(
                    f"message {message.id}: {message.state}, accepted {took[message.id or 0]} times"
                )
