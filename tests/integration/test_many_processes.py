"""Real processes on one PostgreSQL: one of them leads, another follows when it is killed, and no message is lost or doubled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session, col, func, select

from api import leadership_repository, migrations
from api.demo.rehearsal import free_port
from delivery.models import Balance, Message, Worker
from delivery.simulator.server import running
from delivery.watch.books import Books
from delivery.watch.summary import Summary, summary
from experiments.clock import SystemClock
from experiments.database import Database
from targeting.models import Assignment
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.simulation import (
    BEHAVIOUR,
    PHONE_NUMBER_ID,
    SECRET,
    TOKEN,
    configuration,
    drain,
    post,
    status,
)

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 240
WORLD = BEHAVIOUR | {
    # Whatever is accepted arrives: a failure would have its time in the hurried future of the simulated world.
    "templates": {
        name: each | {"delivered": 1.0, "opted_out": 0.0} for name, each in BEHAVIOUR["templates"].items()
    }
}
LONGEST = 120.0
"""Seconds; only a bound, on a machine that has much else to do."""


@pytest.fixture
def postgres(blank_postgres_url: str) -> Iterator[Database]:
    database = Database(blank_postgres_url)
    migrations.upgrade(database)
    yield database
    database.dispose()


@contextmanager
def process(database: Database, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """`touchstone ..` as an operator runs it; killed at the end if it has not ended by then."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHSTONE_")}
    environment |= {
        "TOUCHSTONE_DATABASE_URL": database.url.render_as_string(hide_password=False),
        "TOUCHSTONE_WHATSAPP_LOOPBACK_ONLY": "true",
        "TOUCHSTONE_WHATSAPP_TOKEN": TOKEN,
        "TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "TOUCHSTONE_WHATSAPP_APP_SECRET": SECRET,
        "TOUCHSTONE_ERASURE_SECRET": "secret",
        "TOUCHSTONE_TICK": "1s",
        "TOUCHSTONE_LEASE": "2s",
        # What the killed process had committed to send and did not POST ends as unknown.
        "TOUCHSTONE_UNKNOWN_AFTER": "10s",
        **settings,
    }
    command = [sys.executable, "-m", "api", *arguments]
    started = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def until(holds: Callable[[], bool], what: str, *, seen: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < end, (what, seen())
        time.sleep(0.1)


def leader(database: Database) -> int | None:
    """The process id of the leader."""
    with database.snapshot() as session:
        name = leadership_repository.leader(session)
    return None if name is None else int(name.rpartition(":")[2])


def books(database: Database) -> Summary:
    with database.snapshot() as session:
        return summary(session)


def senders(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Worker)).one()


@pytest.mark.slow
def test_a_leader_that_is_killed_is_replaced_and_one_that_ends_makes_room(postgres: Database) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(process(postgres, "worker")) for _ in range(3)]
        pids = {each.pid: each for each in workers}
        until(lambda: leader(postgres) in pids, "nobody leads")
        killed = leader(postgres)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda: leader(postgres) in pids.keys() - {killed}, "nobody follows the one that was killed")
        second = leader(postgres)
        assert second is not None
        pids[second].terminate()
        assert pids[second].wait(timeout=LONGEST) == 0, "a worker that is told to end ends by itself"
        (last,) = pids.keys() - {killed, second}
        until(lambda: leader(postgres) == last, "nobody follows the one that ended")


@pytest.mark.slow
def test_three_workers_and_the_api_run_a_campaign_and_one_dies_on_the_way(postgres: Database) -> None:
    clock = SystemClock()
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    config = replace(
        configuration(api),
        clock_start=clock.now(),
        clock_factor=20_000.0,
        webhook_url=f"{api}/webhooks/whatsapp",
    )
    with running(config) as whatsapp, ExitStack() as stack:
        words = {"parameters": ["{{ user.number }}"]}
        reminder = REMINDER | {"message": REMINDER["message"] | words}
        coupon = {
            "key": "coupon",
            "message": {"template": "coupon", "language": "en_US"} | words,
            "frequency": {"steps": 2, "min_interval": "1s"},
        }
        with postgres.transaction() as session:
            add_people(session, clock, range(1, PEOPLE + 1))
        with postgres.snapshot() as session:
            world = [
                {"user_id": f"user-{n}", "phone": f"+1{201 + n // 100}55501{n % 100:02}"}
                for n in range(1, PEOPLE + 1)
            ]
        post(whatsapp, "/simulator/world", people=world, behaviour=WORLD)
        post(whatsapp, "/simulator/begin", window="1d")
        settings = {
            "TOUCHSTONE_WHATSAPP_URL": whatsapp,
            "TOUCHSTONE_PUBLIC_URL": api,
            "TOUCHSTONE_MESSAGES_PER_SECOND": "60",
        }
        stack.enter_context(process(postgres, "serve", "--port", str(port), **settings))
        workers = [stack.enter_context(process(postgres, "worker", **settings)) for _ in range(3)]
        until(lambda: leader(postgres) is not None, "nobody leads")
        with postgres.transaction() as session:
            start_campaign(session, clock, campaign("spring", variants=[SILENCE, reminder, coupon]))
        until(
            lambda: status(whatsapp)["accepted"] > PEOPLE // 4,
            "nothing goes out",
            seen=lambda: (status(whatsapp), books(postgres)),
        )
        # The leader, unless that is the API, and then any other.
        victim = next((each for each in workers if each.pid == leader(postgres)), workers[0])
        victim.kill()
        until(
            lambda: books(postgres).waiting == 0 and books(postgres).funnel["planned"] > 0,
            "messages still wait",
            seen=lambda: books(postgres),
        )
        drain(whatsapp, seconds=LONGEST)
        until(lambda: books(postgres).webhooks_waiting == 0, "webhooks still wait")
        until(lambda: books(postgres).states.get("inflight", 0) == 0, "a status is still missing")
        told = status(whatsapp)
        found = books(postgres)
        with postgres.snapshot() as session:
            senders_seen = set(session.exec(select(Message.claimed_by).distinct()).all()) - {None}
            assigned = session.exec(select(func.count()).select_from(Assignment)).one()
            steps = session.exec(select(func.max(col(Message.step)))).one()
            until(
                lambda: session.get(Balance, 1, populate_existing=True) is not None,
                "nobody checked the books",
            )
    assert assigned == PEOPLE
    assert steps == 1
    assert found.holds
    assert told["accepted_per_message_max"] == 1
    assert told["accepted"] == found.funnel["accepted"]
    assert found.states.keys() <= {"sent", "delivered", "read", "unknown"}
    # A batch is what goes out in a quarter of a second, 15 of 60 a second at most; one is going out, one may be reserved.
    assert found.states.get("unknown", 0) <= 30, "no more than the process that was killed had reserved"
    assert Books(postgres, clock).tick().broken == ()
    assert len(senders_seen) >= 2, "more than one process sent"
