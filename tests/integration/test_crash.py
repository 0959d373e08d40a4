"""A dispatcher that is killed at any moment sends nothing twice and loses nothing.

The dispatcher runs in a process of its own against a small server on loopback that counts POSTs by our id, and is
killed (SIGKILL) at each of its steps and at random moments. Nothing may run on its way down, so what holds afterwards
holds because of what was committed when.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest

from delivery.dispatch import Dispatcher
from delivery.receipts import project_tick, store
from delivery.story import HOLDING_STATES
from experiments.clock import SteppedClock, SystemClock
from experiments.database import Database
from tests.integration import outbox
from tests.integration.crash_worker import STEPS, settings

MESSAGES = 400
RANDOM_KILLS = 9
ROOT = Path(__file__).resolve().parents[2]


class Post(BaseHTTPRequestHandler):
    """Counts a message the moment it is read, as WhatsApp would, then takes its time to answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    counts: Counter[str]
    lock: Lock

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ours = body["biz_opaque_callback_data"]
        with self.lock:
            self.counts[ours] += 1
        time.sleep(0.004)
        answer = json.dumps({"messages": [{"id": f"wamid.{ours}", "message_status": "accepted"}]}).encode()
        with suppress(ConnectionError):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: object) -> None:
        """Says nothing: the test counts."""


@contextmanager
def _server() -> Iterator[tuple[str, Counter[str]]]:
    counts: Counter[str] = Counter()
    handler = type("Handler", (Post,), {"counts": counts, "lock": Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", counts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _worker() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.crash_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def _run(
    worker: subprocess.Popen[str], order: dict[str, object], *, kill_when: Callable[[], bool] | None = None
) -> int:
    """Run one dispatcher to its end, or kill it; returns the signal that ended it, or 0."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(order) + "\n")
    worker.stdin.flush()
    pid = int(worker.stdout.readline())
    if kill_when is not None:
        give_up = time.monotonic() + 20
        while not kill_when() and time.monotonic() < give_up:
            time.sleep(0.0005)
        os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(int(worker.stdout.readline()))


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_sent_twice_and_nothing_is_lost(database: Database) -> None:
    system = SystemClock()
    experiment_id = outbox.add_experiment(database, system)
    users = outbox.add_users(database, system, MESSAGES)
    ids = outbox.add_messages(database, system, experiment_id, users)
    rng = np.random.default_rng(20261201)
    killed = 0
    with _server() as (url, posts), _worker() as worker:
        order: dict[str, object] = {
            "database": database.url.render_as_string(hide_password=False),
            "whatsapp": url,
            "die": None,
        }
        for step in STEPS:
            killed += _run(worker, order | {"die": [step, int(rng.integers(1, 3))]}) == signal.SIGKILL
            time.sleep(0.06)
        assert killed == len(STEPS)
        for _ in range(RANDOM_KILLS):
            # By progress and then by time: a fast machine is not done before it is killed, a slow one has begun.
            enough = posts.total() + int(rng.integers(1, 10))
            pause = float(rng.uniform(0, 0.02))

            def is_time(enough: int = enough, pause: float = pause) -> bool:
                if posts.copy().total() < enough:
                    return False
                time.sleep(pause)
                return True

            killed += _run(worker, order, kill_when=is_time) == signal.SIGKILL
            time.sleep(0.06)
        assert killed == len(STEPS) + RANDOM_KILLS
        assert 0 < len(posts) < MESSAGES, "the kills came too late to prove anything"
        assert _run(worker, order) == 0
    assert set(posts.values()) == {1}, "a message was sent twice"
    _books_are_straight(database, ids, posts)


def _books_are_straight(database: Database, ids: list[int], posts: Counter[str]) -> None:
    after = outbox.messages(database)
    assert sorted(after) == ids
    states = Counter(message.state for message in after.values())
    assert set(states) == {"accepted", "inflight"}
    assert all((m.slot_at is not None) == (m.state in HOLDING_STATES) for m in after.values())
    # What was accepted was sent; what is still in flight may or may not have been.
    assert all(posts[str(pk)] == 1 for pk, message in after.items() if message.state == "accepted")
    torn = [pk for pk, message in after.items() if message.state == "inflight"]
    assert 0 < sum(posts[str(pk)] for pk in torn) < len(torn)

    # Statuses tell for those that reached the server, time tells for the rest; neither sends anything.
    clock = SteppedClock(SystemClock().now())
    status = [
        {"id": f"wamid.{ours}", "status": "sent", "timestamp": "1796119200", "biz_opaque_callback_data": ours}
        for ours in posts
    ]
    value = {"entry": [{"changes": [{"field": "messages", "value": {"statuses": status}}]}]}
    with database.transaction() as session:
        store(session, clock, body=json.dumps(value).encode())
    project_tick(database, clock, settings=settings())
    clock.advance(timedelta(hours=25))
    sender = outbox.FakeSender()
    asyncio.run(Dispatcher(database, clock, settings(), sender, "last").run(10_000))
    assert sender.sent == []
    ended = outbox.messages(database)
    assert {pk for pk, message in ended.items() if message.state == "sent"} == {int(ours) for ours in posts}
    assert Counter(message.state for message in ended.values()) == {
        "sent": len(posts),
        "unknown": MESSAGES - len(posts),
    }
    assert all(message.slot_at is not None for message in ended.values())
