"""A server that is killed has stored everything that it answered, and nothing twice."""

import asyncio
import base64
import json
import signal
import subprocess

import pytest
from sqlmodel import select

from api import security
from experiments.clock import SystemClock
from experiments.database import Database
from experiments.vocabulary import Scope
from targeting.models import Event
from tests.integration.tracking_server import HOST, free_port, tracking_server

CONNECTIONS = 12
ENOUGH = 150
"""So many answers are awaited before the server is killed."""


async def send_until_it_dies(port: int, key: str, run: int, kill: asyncio.Event) -> tuple[set[str], set[str]]:
    """Events over several connections, one after another on each; which were sent, and which were answered."""
    sent: set[str] = set()
    answered: set[str] = set()
    basic = base64.b64encode(f"{key}:".encode()).decode()

    async def talk(number: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            for n in range(100_000):
                message_id = f"{run}-{number}-{n}"
                body = json.dumps({"userId": f"u{n % 7}", "event": "Paid", "messageId": message_id}).encode()
                head = (
                    f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                sent.add(message_id)
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"}")
                assert answer.startswith(b"HTTP/1.1 200"), answer
                answered.add(message_id)
                if len(answered) >= ENOUGH:
                    kill.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    await asyncio.gather(*(talk(number) for number in range(CONNECTIONS)))
    return sent, answered


@pytest.mark.slow
def test_every_answered_event_is_stored_when_the_server_is_killed(database: Database) -> None:
    with database.transaction() as session:
        _row, key = security.create_key(
            session, SystemClock(), actor="test", name="shop", scopes=[Scope.INGEST]
        )
    url = database.url.render_as_string(hide_password=False)
    sent: set[str] = set()
    answered: set[str] = set()
    for run in range(2):
        port = free_port()
        with tracking_server(url, port) as process:

            async def talk_and_kill(
                port: int = port, run: int = run, process: subprocess.Popen[bytes] = process
            ) -> tuple[set[str], set[str]]:
                kill = asyncio.Event()
                talking = asyncio.create_task(send_until_it_dies(port, key, run, kill))
                await asyncio.wait_for(kill.wait(), 60)
                process.send_signal(signal.SIGKILL)
                return await asyncio.wait_for(talking, 30)

            more_sent, more_answered = asyncio.run(talk_and_kill())
        sent |= more_sent
        answered |= more_answered
    with database.snapshot() as session:
        stored = session.exec(select(Event.message_id)).all()
    assert len(stored) == len(set(stored))
    assert answered <= set(stored) <= sent
    assert len(answered) >= 2 * ENOUGH
