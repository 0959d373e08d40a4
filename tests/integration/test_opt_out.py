"""No POST begins after a withdrawal that is committed, and none while everything is stopped, however the steps fall."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from benchmarks.interleavings import Judge, Person, Race
from delivery.fuses import breakers
from delivery.sending.dispatch import Dispatcher
from delivery.whatsapp.client import Accepted, SendOutcome
from delivery.whatsapp.payloads import OutgoingMessage
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting import consent
from tests.integration import outbox

PEOPLE = 400
THREADED_PEOPLE = 300


def _people(database: Database, clock: SteppedClock, number: int) -> list[Person]:
    """Users with a message that is due, and one that was accepted long ago."""
    users = outbox.add_users(database, clock, number)
    old = outbox.add_messages(
        database,
        clock,
        outbox.add_experiment(database, clock, key="old"),
        users,
        state="accepted",
        tries=1,
        slot_at=clock.now() - timedelta(days=60),
    )
    outbox.add_messages(database, clock, outbox.add_experiment(database, clock), users)
    return [Person(user_pk, f"u{i}", outbox.phone_of(i), old[i]) for i, user_pk in enumerate(users)]


@pytest.mark.slow
def test_no_post_begins_after_a_withdrawal_however_the_steps_fall(
    sqlite_url: str, clock: SteppedClock
) -> None:
    database = Database(sqlite_url)
    people = _people(database, clock, PEOPLE)
    race = Race(sqlite_url, clock, outbox.settings(), people, np.random.default_rng(20261201))
    judge = race.run(pauses=10)
    assert judge.violations == []
    _saw_every_moment(judge)
    old = {person.old_message for person in people}
    unsent = {
        message.user_pk: message.state
        for pk, message in outbox.messages(database).items()
        if pk not in old and message.state != "accepted"
    }
    database.dispose()
    assert set(unsent.values()) <= {"suppressed", "cancelled"}
    assert unsent.keys().isdisjoint(judge.begun)
    assert unsent.keys() | judge.begun == {person.pk for person in people}


def _saw_every_moment(judge: Judge) -> None:
    """A proof that never tries the dangerous moments proves nothing."""
    assert {"claimed", "reserved", "at the gate", "begun", "recorded"} <= judge.where.keys()
    assert judge.waited["people"] > 10, "no withdrawal ever had to wait for a gate"
    assert 0 < len(judge.begun) < PEOPLE


class Recording:
    """A sender that notes when each POST begins, on the machine's clock, which all threads share."""

    def __init__(self, begun: dict[str, int]) -> None:
        self.begun = begun

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        assert message.to not in self.begun
        self.begun[message.to] = time.monotonic_ns()
        await asyncio.sleep(0.003)
        return Accepted(f"wamid.{message.callback_data}", "accepted", None)

    async def close(self) -> None:
        """Nothing was opened."""


@pytest.mark.slow
def test_withdrawals_of_other_threads_stop_whatever_has_not_begun(
    database: Database, clock: SteppedClock
) -> None:
    people = _people(database, clock, THREADED_PEOPLE)
    url = database.url.render_as_string(hide_password=False)
    begun: dict[str, int] = {}
    withdrawn: dict[str, int] = {}
    errors: list[BaseException] = []
    # Everybody's withdrawal is tried while the message is in somebody's hands: the front of the queue is known.
    lock, left = threading.Lock(), list(people)

    def work(index: int) -> None:
        own = Database(url)
        sender = Recording(begun)
        settings = outbox.settings(messages_per_second=300, dispatch_batch=40, dispatch_concurrency=16)
        dispatcher = Dispatcher(own, clock, settings, sender, f"w{index}")
        while any(message.state == "planned" for message in outbox.messages(own).values()):
            asyncio.run(dispatcher.run(1000))
        own.dispose()

    def withdraw(index: int) -> None:
        own, rng = Database(url), np.random.default_rng(index)
        while True:
            with lock:
                if len(left) < THREADED_PEOPLE // 3:
                    break
                ahead = int(rng.integers(40))
                person = left.pop(min(ahead, len(left) - 1))
            with own.transaction() as session:
                consent.withdraw(session, clock, user_pk=person.pk, category="marketing", source="test")
            withdrawn[person.phone] = time.monotonic_ns()
            with lock:
                left[:] = [other for other in left if other.phone not in begun]
        own.dispose()

    def guarded(function: Callable[[int], None], index: int) -> None:
        try:
            function(index)
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work, index)) for index in range(2)]
    threads += [threading.Thread(target=guarded, args=(withdraw, index)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    late = {phone for phone, at in begun.items() if at > withdrawn.get(phone, at)}
    assert late == set(), "POSTs began after the withdrawal was committed"
    assert begun.keys() | withdrawn.keys() == {person.phone for person in people}
    assert withdrawn.keys() - begun.keys(), "every withdrawal came too late to prove anything"


def test_who_stops_everything_waits_for_the_posts_that_just_begin(
    postgres_url: str, clock: SteppedClock
) -> None:
    database = Database(postgres_url)
    _people(database, clock, 1)
    dispatcher = Dispatcher(database, clock, outbox.settings(), Recording({}), "w")
    reserved = dispatcher._reserve(dispatcher._claim(10))
    stopped = threading.Event()

    def stop() -> None:
        with database.transaction() as session:
            breakers.pause_all(session, clock, actor="test", reason="test")
        stopped.set()

    thread = threading.Thread(target=stop)
    with dispatcher._gate(reserved.begun) as look:
        assert len(look.goes) == 1
        thread.start()
        assert not stopped.wait(0.3)
    thread.join()
    with dispatcher._gate(reserved.begun) as look:
        assert [reason for _, reason in look.stays] == ["paused"]
    database.dispose()
