"""What is sent: one worker against the simulator in another process."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from pydantic import SecretStr

from api.demo.rehearsal import free_port
from api.worker import settle_memory
from benchmarks.figures import Figure, Say, alternating, benchmark
from benchmarks.loopback import in_other_process
from benchmarks.stage import CLOCK, add_users, campaign, empty_database, plain_connection
from delivery.sending.dispatch import Dispatcher
from delivery.simulator.config import SimulatorConfig
from delivery.simulator.server import run as run_simulator
from delivery.whatsapp.client import Accepted, WhatsAppClient
from delivery.whatsapp.payloads import TemplateMessage
from experiments.clock import to_micros
from experiments.database import Database
from experiments.settings import Settings
from targeting import campaigns

NUMBER: Final = "106540352242922"
SECRET: Final = "simulated"
UNBOUND: Final = 1_000_000


def _settings(url: str = "") -> Settings:
    settings = Settings(
        whatsapp_url=url,
        whatsapp_loopback_only=True,
        whatsapp_token=SecretStr(SECRET),
        whatsapp_phone_number_id=NUMBER,
    )
    # A number may send 1,000 a second at most, and settings allow no more; here the pace itself is to be seen.
    return settings.model_copy(update={"messages_per_second": UNBOUND})


def _client(settings: Settings) -> WhatsAppClient:
    return WhatsAppClient(
        base_url=settings.whatsapp_url,
        version=settings.whatsapp_version,
        phone_number_id=NUMBER,
        token=SECRET,
        concurrency=settings.dispatch_concurrency,
    )


def _running_campaign(database: Database, users: int) -> None:
    add_users(database, users)
    with database.transaction() as session:
        campaigns.create(session, CLOCK, actor="bench", document=campaign())
        campaigns.start(session, CLOCK, actor="bench", key="bench")


def _add_messages(database: Database, users: int, step: int, state: str = "planned") -> None:
    """One message a user, due now; `step` tells the rounds apart."""
    now = to_micros(CLOCK.now())
    accepted = now if state == "accepted" else None
    with plain_connection(database) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO messages (experiment_id, user_pk, variant, step, category, priority, state, first_due_at, due_at, "
            "tries, slot_at, accepted_at, wamid) VALUES (1, ?, 'reminder', ?, 'marketing', 0, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    i,
                    step,
                    state,
                    now,
                    now,
                    int(bool(accepted)),
                    accepted,
                    accepted,
                    f"wamid.{i}" if accepted else None,
                )
                for i in range(1, users + 1)
            ),
        )
        connection.execute("COMMIT")


def silent_simulator(port: int) -> SimulatorConfig:
    """A simulator that takes whatever comes and holds its webhooks back."""
    return SimulatorConfig(
        port=port,
        token=SECRET,
        phone_number_id=NUMBER,
        app_secret=SECRET,
        webhook_url=f"http://127.0.0.1:{free_port()}/",
        throughput=None,
        hold=True,
    )


@benchmark("dispatch")
def dispatch(say: Say, *, messages: int = 5000, repeats: int = 3) -> Sequence[Figure]:
    """One worker with all its transactions, against a loop that only POSTs the same messages with the same client."""
    port = free_port()
    config = silent_simulator(port)
    with (
        empty_database() as (database, _folder),
        in_other_process(run_simulator, config, port=port, ready="/healthz", apart=True) as url,
    ):
        settings = _settings(url)
        settle_memory()
        _running_campaign(database, messages)
        steps = iter(range(repeats))

        def worker() -> float:
            _add_messages(database, messages, next(steps))
            rate = asyncio.run(_dispatch(database, settings, messages))
            say(f"worker {rate:,.0f}/s")
            return rate

        def bare() -> float:
            rate = asyncio.run(_only_post(settings, max(messages // 2, 1)))
            say(f"bare loop {rate:,.0f}/s")
            return rate

        ours, plain, ratio = alternating(worker, bare, repeats)
    return [
        Figure(
            what=f"dispatch of {messages:,} messages by one worker (SQLite)",
            figure=ours,
            unit="msg/s",
            yardstick=plain,
            against="a bare loop that only POSTs with the same client",
            ratio=ratio,
            bar="ratio >= 0.7 and >= 500 msg/s",
            met=ratio >= 0.7 and ours >= 500,
            note="the simulator on the other core, webhooks held back; the pace of a number (1,000 msg/s) is lifted",
        )
    ]


async def _dispatch(database: Database, settings: Settings, messages: int) -> float:
    async with _client(settings) as client:
        dispatcher = Dispatcher(database, CLOCK, settings, client, "bench")
        start = time.perf_counter()
        done = await dispatcher.run(messages)
        taken = time.perf_counter() - start
    if done.accepted != messages:
        raise AssertionError(f"{done.accepted} of {messages} messages were accepted: {done}")
    return messages / taken


async def _only_post(settings: Settings, messages: int) -> float:
    def message(i: int) -> TemplateMessage:
        return TemplateMessage(
            to=f"+999{i:08d}",
            template="reminder",
            language="en_US",
            body_parameters=("Ann",),
            url_suffix=None,
            callback_data=f"bare-{i}",
        )

    async with _client(settings) as client:
        gate = asyncio.Semaphore(settings.dispatch_concurrency)

        async def one(i: int) -> Any:
            async with gate:
                return await client.send(message(i))

        start = time.perf_counter()
        answers = await asyncio.gather(*map(one, range(1, messages + 1)))
        taken = time.perf_counter() - start
    if not all(isinstance(answer, Accepted) for answer in answers):
        raise AssertionError("the simulator did not accept everything")
    return messages / taken
