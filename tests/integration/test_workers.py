"""Several workers: they share the throughput of their number, and no person ever has two messages in flight."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from delivery.models import Worker
from delivery.sending import workers
from delivery.sending.dispatch import Dispatcher
from delivery.sending.workers import ALIVE_SECONDS, BEAT_SECONDS
from delivery.simulator.config import SimulatorConfig
from delivery.simulator.profile import Limits
from delivery.simulator.server import running
from delivery.whatsapp.client import Accepted, SendOutcome, WhatsAppClient
from delivery.whatsapp.payloads import OutgoingMessage
from experiments.clock import SteppedClock, SystemClock
from experiments.database import Database
from tests.integration import outbox
from tests.integration.threads import together


def _beat(database: Database, clock: SteppedClock, name: str, number: str = "1") -> int:
    with database.transaction() as session:
        return workers.beat(session, clock, name=name, number=number)


def _alive(database: Database, clock: SteppedClock) -> list[str]:
    with database.snapshot() as session:
        return [worker.name for worker in workers.alive(session, clock)]


def test_workers_of_one_number_count_each_other_until_one_is_silent_or_leaves(
    database: Database, clock: SteppedClock
) -> None:
    assert _beat(database, clock, "a") == 1
    assert _beat(database, clock, "b") == 2
    assert _beat(database, clock, "other", number="2") == 1
    assert _alive(database, clock) == ["a", "b", "other"]
    clock.advance(timedelta(seconds=ALIVE_SECONDS - 1))
    assert _beat(database, clock, "a") == 2
    clock.advance(timedelta(seconds=1))
    assert _beat(database, clock, "a") == 1
    assert _beat(database, clock, "b") == 2
    with database.transaction() as session:
        workers.leave(session, name="b")
    assert _beat(database, clock, "a") == 1


def test_rows_of_workers_that_are_long_gone_are_removed(database: Database, clock: SteppedClock) -> None:
    _beat(database, clock, "gone")
    clock.advance(timedelta(hours=1))
    _beat(database, clock, "a")
    with database.snapshot() as session:
        assert session.get(Worker, "gone") is None


class Watch:
    """The machine's time and the clock, moved together."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(timedelta(seconds=seconds))


def test_a_worker_that_joins_takes_its_share_once_the_others_know_and_a_silent_ones_share_is_freed(
    database: Database, clock: SteppedClock
) -> None:
    watch = Watch(clock)
    settings = outbox.settings(messages_per_second=100)

    def worker(name: str) -> Callable[[], float]:
        dispatcher = Dispatcher(database, clock, settings, outbox.FakeSender(), name, monotonic=watch)

        def rate() -> float:
            dispatcher._claim(1)
            return dispatcher._throughput.rate

        return rate

    first, second = worker("first"), worker("second")
    assert first() == pytest.approx(100)
    assert second() == pytest.approx(5)
    watch.pass_by(BEAT_SECONDS)
    assert first() == pytest.approx(50)
    assert second() == pytest.approx(5)
    watch.pass_by(BEAT_SECONDS)
    assert (first(), second()) == (pytest.approx(50), pytest.approx(50))
    for _ in range(5):
        watch.pass_by(BEAT_SECONDS)
        share = first()
    assert share == pytest.approx(100)


@pytest.mark.slow
def test_three_workers_together_keep_the_throughput_of_their_number(postgres_url: str) -> None:
    """WhatsApp, which refuses what is too fast with 130429, has nothing to refuse."""
    clock = SystemClock()
    database = Database(postgres_url)
    ids = outbox.campaign(database, clock, 200)
    config = SimulatorConfig(
        phone_number_id=outbox.NUMBER,
        throughput=66.0,
        limits=Limits(throughput_room=0.25),
        webhook_url="http://127.0.0.1:1/",
        hold=True,
    )
    with running(config) as url:

        def work(index: int) -> None:
            own = Database(postgres_url)
            settings = outbox.settings(messages_per_second=60, dispatch_concurrency=16)

            async def run() -> None:
                client = WhatsAppClient(
                    base_url=url, version="v26.0", phone_number_id=outbox.NUMBER, token=config.token
                )
                async with client:
                    dispatcher = Dispatcher(own, clock, settings, client, f"w{index}")
                    await dispatcher.run(1000)

            asyncio.run(run())
            own.dispose()

        together(work, 3)
        totals = httpx.get(f"{url}/simulator/ledger", trust_env=False).json()["totals"]
    after = outbox.messages(database)
    database.dispose()
    assert (totals["posts"], totals["accepted"]) == (200, 200)
    assert {after[pk].state for pk in ids} == {"accepted"}
    assert len({message.claimed_by for message in after.values()}) == 3


class OneAtATime:
    """A slow sender that knows, for all workers together, whom messages are under way to."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.under_way: Counter[str] = Counter()
        self.most = 0
        self.sent = 0

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        with self.lock:
            self.under_way[message.to] += 1
            self.most = max(self.most, self.under_way[message.to])
            self.sent += 1
        await asyncio.sleep(0.01)
        with self.lock:
            self.under_way[message.to] -= 1
        return Accepted(f"wamid.{message.callback_data}", "accepted", None)

    async def close(self) -> None:
        """Nothing was opened."""


@pytest.mark.slow
def test_nobody_ever_has_two_messages_in_flight_however_many_workers_and_experiments(
    postgres_url: str, clock: SteppedClock
) -> None:
    database = Database(postgres_url)
    users = outbox.add_users(database, clock, 30)
    for key in ("one", "two", "three", "four"):
        outbox.add_messages(database, clock, outbox.add_experiment(database, clock, key=key), users)
    sender = OneAtATime()

    def work(index: int) -> None:
        own = Database(postgres_url)
        settings = outbox.settings(cap_week=100, dispatch_batch=5)
        asyncio.run(Dispatcher(own, clock, settings, sender, f"w{index}").run(1000))
        own.dispose()

    for _ in range(8):
        together(work, 3)
        clock.advance(timedelta(seconds=20))
    states = outbox.states(database)
    database.dispose()
    assert states == {"accepted": 120}
    assert sender.sent == 120
    assert sender.most == 1
