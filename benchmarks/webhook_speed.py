"""WhatsApp's webhooks: how fast statuses are kept when they come at their own pace, and how fast they become states."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import numpy as np
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.demo.rehearsal import free_port
from api.wiring import Wiring
from benchmarks.figures import Figure, Say, benchmark
from benchmarks.loopback import HOST, api_server, in_other_process, post, send_all
from benchmarks.stage import CLOCK, add_users, campaign, empty_database, plain_connection, stamp
from delivery.receipts import inbox as receipts
from delivery.simulator.emission import News, Step, webhook
from delivery.whatsapp.webhooks import sign
from experiments.clock import to_micros
from experiments.database import Database
from experiments.settings import Settings
from targeting import campaigns

NUMBER: Final = "106540352242922"
SECRET: Final = "simulated"
LINES: Final = 128
"""Connections of the open loop: so many answers may be missing before a status waits for a line."""
RATE: Final = 1_000.0
LONGEST_SECONDS: Final = 120.0
PROJECT_EVERY: Final = 1.0


def _settings(**more: Any) -> dict[str, Any]:
    return {"whatsapp_app_secret": SecretStr(SECRET), "whatsapp_phone_number_id": NUMBER} | more


@benchmark("webhooks")
def webhooks(
    say: Say, *, messages: int = 10_000, rate: float = RATE, closed: int = 3_000
) -> Sequence[Figure]:
    """Statuses over HTTP at a given rate while the same process projects them; as many as it takes; and projection alone."""
    with empty_database() as (database, folder):
        _sent_campaign(database, messages)
        url = f"sqlite:///{folder}/bench.db"
        port = free_port()
        with in_other_process(
            serve_projecting, port, _settings(database_url=url), port=port, ready="/readyz"
        ) as at:
            send_all(at, _requests(closed, Step.SENT, 1, first=1)[:200])
            waits = np.array(open_loop(at, _requests(messages, Step.SENT, 1), rate=rate)) * 1000
            most = send_all(at, _requests(min(closed, messages), Step.DELIVERED, 1))
        p50, p99 = (float(np.percentile(waits, q)) for q in (50, 99))
        say(f"open loop at {rate:,.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms; closed loop {most:,.0f}/s")
        with api_server(database_url=url, **_settings()) as at:
            noop = [post("/noop", b"{}")] * (closed // 2)
            send_all(at, noop[:200])
            nothing = send_all(at, noop)
            alone = send_all(at, _requests(min(closed, messages), Step.DELIVERED, 1))
            many = 100 * send_all(at, _requests(messages, Step.READ, 100), connections=4)
        say(f"without projection {alone:,.0f}/s one a body, {many:,.0f}/s a hundred a body")
        projected = _project_the_rest(database, messages)
        say(f"projection {projected:,.0f} statuses/s")
    return [
        Figure(
            what=f"webhook intake at {rate:,.0f} statuses/s, one a body: slowest 1 % of answers (SQLite)",
            figure=p99,
            unit="ms",
            bar=f"p99 <= 250 ms at {rate:,.0f}/s",
            met=p99 <= 250,
            note=f"p50 {p50:.1f} ms; open loop, waits counted from when a status was due; the server projects meanwhile",
        ),
        Figure(
            what="webhook intake while projecting, one a body, as many as 32 connections bring",
            figure=most,
            unit="statuses/s",
            bar=">= 1,000 statuses/s",
            met=most >= 1000,
        ),
        Figure(
            what="webhook intake alone, one status a body, durable (SQLite, 32 connections)",
            figure=alone,
            unit="statuses/s",
            yardstick=nothing,
            against="a no-op FastAPI endpoint of the same server",
            ratio=alone / nothing,
            note="what a worker sends at 1,000 msg/s comes back as up to 3,000 statuses/s",
        ),
        Figure(what="webhook intake alone, 100 statuses a body", figure=many, unit="statuses/s"),
        Figure(what="projection of stored webhooks into messages", figure=projected, unit="statuses/s"),
    ]


def serve_projecting(port: int, settings: dict[str, Any]) -> None:
    """The API with a thread that projects every second, as the scheduler of `serve` does."""
    wiring = Wiring.from_environment(**settings)

    def project() -> None:
        while True:
            receipts.project_tick(wiring.database, wiring.clock, settings=wiring.settings)
            time.sleep(PROJECT_EVERY)

    threading.Thread(target=project, daemon=True).start()
    uvicorn.run(create_app(wiring), host=HOST, port=port, log_level="error", access_log=False)


def open_loop(url: str, requests: Sequence[bytes], *, rate: float) -> list[float]:
    """Send ready-made requests at `rate` a second, whatever the answers do; seconds from when each was due to its answer.

    Raises AssertionError for an answer other than 200.
    """
    return asyncio.run(asyncio.wait_for(_open_loop(url, requests, rate), LONGEST_SECONDS))


async def _open_loop(url: str, requests: Sequence[bytes], rate: float) -> list[float]:
    port = httpx.URL(url).port
    waits: list[float] = []
    due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()

    async def line() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            while (item := await due.get()) is not None:
                at, request = item
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise AssertionError(f"{head[:200]!r}")
                waits.append(time.perf_counter() - at)
        finally:
            writer.close()

    lines = [asyncio.create_task(line()) for _ in range(LINES)]
    start = time.perf_counter() + 0.1
    for index, request in enumerate(requests):
        at = start + index / rate
        if (ahead := at - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        due.put_nowait((at, request))
    for _ in lines:
        due.put_nowait(None)
    await asyncio.gather(*lines)
    return waits


def _sent_campaign(database: Database, messages: int) -> None:
    """A running campaign of which WhatsApp has taken one message for each user."""
    add_users(database, messages)
    with database.transaction() as session:
        campaigns.create(session, CLOCK, actor="bench", document=campaign())
        campaigns.start(session, CLOCK, actor="bench", key="bench")
    now = to_micros(CLOCK.now())
    with plain_connection(database) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO messages (experiment_id, user_pk, variant, step, category, priority, state, first_due_at, due_at, "
            "tries, slot_at, accepted_at, wamid) VALUES (1, ?, 'reminder', 0, 'marketing', 0, 'accepted', ?, ?, 1, ?, ?, ?)",
            ((i, now, now, now, now, f"wamid.{i}") for i in range(1, messages + 1)),
        )
        connection.execute("COMMIT")
    stamp(database)


def _project_the_rest(database: Database, messages: int) -> float:
    start = time.perf_counter()
    done = receipts.project_tick(
        database, CLOCK, settings=Settings(whatsapp_phone_number_id=NUMBER), limit=10**9
    )
    projected = done.statuses / (time.perf_counter() - start)
    with plain_connection(database) as connection:
        (read,) = connection.execute("SELECT count(*) FROM messages WHERE state = 'read'").fetchone()
    if read != messages:
        raise AssertionError(f"{read} of {messages} messages are read: {done}")
    return projected


def _requests(messages: int, step: Step, size: int, *, first: int = 1) -> list[bytes]:
    at = to_micros(CLOCK.now()) // 1_000_000
    news = [
        News(
            step=step,
            at=at,
            wa_id=f"999{i:08d}",
            wamid=f"wamid.{i}",
            callback_data=str(i),
            category="marketing",
        )
        for i in range(first, first + messages)
    ]
    bodies = [
        webhook(news[i : i + size], phone_number_id=NUMBER, display_phone_number="447700900999")
        for i in range(0, messages, size)
    ]
    return [post("/webhooks/whatsapp", body, X_Hub_Signature_256=sign(SECRET, body)) for body in bodies]
