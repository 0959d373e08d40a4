"""Caps under load: many processes send many experiments to the same people over a hurried clock, and no promise is broken.

The dispatcher, the database and the processes are the real ones; only WhatsApp is a sender that takes everything at once.
What was done is judged by `cap_checker`, which shares no code with delivery.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import count
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from typing import Final

from sqlalchemy import func, insert, select
from sqlmodel import col

from benchmarks.cap_checker import Bounds, Promises, Sent, breaches
from benchmarks.claims import Claim, Findings, Size
from benchmarks.scaling_speed import postgres
from benchmarks.stage import campaign
from delivery.limits import policy
from delivery.models import Message
from delivery.sending.dispatch import Dispatcher
from delivery.whatsapp.client import Accepted, SendOutcome
from delivery.whatsapp.payloads import OutgoingMessage
from experiments.clock import ScaledClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.service import create, move
from experiments.settings import Settings
from targeting.models import Consent, User

TOPIC: Final = "caps"
STEPS: Final = 10
"""Of the progress bar."""
PATIENCE: Final = 180.0
"""Seconds that all workers may take to start, on a busy machine, or to end their last batch."""
ZONES: Final = ("Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
START: Final = datetime(2026, 3, 20, 12, tzinfo=UTC)
"""Within the days that follow clocks change in each of the zones."""
POLICY: Final = {
    "marketing": {"day": 1, "week": 3, "month": 8, "min_interval": "7h"},
    "quiet_hours": {"start": "21:00", "end": "08:00"},
    "countries": {
        "GB": {"start": "09:00", "end": "20:00", "days": ["mon", "tue", "wed", "thu", "fri", "sat"]}
    },
}
FREQUENCY: Final = {"steps": 2, "min_interval": "50h"}
PROMISES: Final = Promises(
    categories={"marketing": Bounds((1, 3, 8), timedelta(hours=7))},
    quiet=(time_of_day(21), time_of_day(8)),
    allowed={"GB": (time_of_day(9), time_of_day(20), frozenset(range(6)))},
)
OWN: Final = Bounds(apart=timedelta(hours=50))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much: the clock shows `days` within `seconds` of the machine's time."""

    workers: int
    experiments: int
    users: int
    days: float
    seconds: float


FULL_LOAD: Final = Load(workers=8, experiments=20, users=5000, days=21, seconds=120)
QUICK_LOAD: Final = Load(workers=3, experiments=5, users=300, days=14, seconds=10)


def caps(size: Size, _seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    """8 workers on PostgreSQL x 20 experiments x 5,000 users (fewer in a quick run): no breach of any promise."""
    load = FULL_LOAD if size.name == "full" else QUICK_LOAD
    with postgres() as (database, _server):
        findings.claims += certify(database, load, advance)


def certify(database: Database, load: Load, advance: Callable[[], None] = lambda: None) -> list[Claim]:
    """Fill an empty database, let the workers loose, judge the ledger."""
    experiments = fill(database, load)
    started = time.perf_counter()
    run_workers(database, load, advance)
    took = time.perf_counter() - started
    sent, states, reasons = ledger_of(database)
    promises = Promises(
        categories=PROMISES.categories,
        experiments=dict.fromkeys(experiments, OWN),
        quiet=PROMISES.quiet,
        allowed=PROMISES.allowed,
    )
    found = breaches(sent, promises)
    overlap = Counter(slot.user for slot in sent)
    workers = (
        f"{load.workers} workers on PostgreSQL, {load.experiments} experiments, {load.users:,} users, "
        f"{load.days:g} days"
    )
    held = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
    return [
        Claim(
            topic=TOPIC,
            claim=f"breaches of a rolling cap, interval, quiet or allowed hour: {workers}",
            bar="0",
            obtained=f"{len(found)}" + (f", the first: {found[0]}" if found else ""),
            error="none: all slots are looked at",
            runs=f"{len(sent):,} slots, {took:.0f} s",
            met=not found,
        ),
        Claim(
            topic=TOPIC,
            claim="messages that were given a slot, most to one user",
            bar="enough to be bounded",
            obtained=f"{len(sent):,} of {sum(states.values()):,}, most {max(overlap.values(), default=0)}; "
            f"put off last because of: {held}",
            error="",
            runs="",
            met=len(sent) > load.users and "cap" in reasons and "quiet_hours" in reasons,
        ),
    ]


def phone_of(index: int) -> str:
    """For every fifth user one of the thousand British numbers that are kept for fiction, else one of no country."""
    return f"+447700900{index // 5:03d}" if index % 5 == 0 and index < 5000 else f"+999{index:08d}"


def fill(database: Database, load: Load) -> list[int]:
    """People in four zones and two countries, experiments of two steps for all of them, and the policy; ids of experiments."""
    people = [
        {
            "id": index,
            "user_id": f"u{index}",
            "phone": phone_of(index),
            "time_zone": ZONES[index % len(ZONES)],
            "attributes": {"first_name": "Ann"},
            "created_at": START,
            "updated_at": START,
        }
        for index in range(1, load.users + 1)
    ]
    consents = [
        {"user_pk": person["id"], "category": "marketing", "granted": True, "changed_at": START}
        for person in people
    ]
    clock = ScaledClock(START, 1.0)
    ids = []
    with database.transaction() as session:
        session.connection().execute(insert(User), people)
        session.connection().execute(insert(Consent), consents)
        policy.put(session, clock, actor="certify", document=POLICY)
        for index in range(load.experiments):
            document = campaign(f"caps-{index}", priority=index % 3, expires={"after": "60d"})
            for variant in document["variants"][1:]:
                variant["frequency"] = FREQUENCY
            document["metrics"][0]["window"] = "14d"
            experiment = create(session, clock, actor="certify", document=document)
            move(session, clock, actor="certify", key=experiment.key, move=Move.START)
            assert experiment.id is not None  # a stored row has an id
            ids.append(experiment.id)
    for index, experiment_id in enumerate(ids):
        with database.transaction() as session:
            session.connection().execute(insert(Message), _messages(experiment_id, index, load))
    return ids


def _messages(experiment_id: int, index: int, load: Load) -> list[dict[str, object]]:
    due = START + timedelta(hours=5 * index)
    return [
        {
            "experiment_id": experiment_id,
            "user_pk": user,
            "variant": "reminder",
            "step": step,
            "category": "marketing",
            "priority": index % 3,
            "state": "planned",
            "first_due_at": due + step * timedelta(hours=50),
            "due_at": due + step * timedelta(hours=50),
            "expires_at": START + timedelta(days=60),
            "tries": 0,
        }
        for user in range(1, load.users + 1)
        for step in range(2)
    ]


def run_workers(database: Database, load: Load, advance: Callable[[], None]) -> None:
    """Let the workers send, each in a process of its own, until the hurried clock has shown all days."""
    url = database.url.render_as_string(hide_password=False)
    factor = timedelta(days=load.days).total_seconds() / load.seconds
    context = multiprocessing.get_context("spawn")
    ready, begins = context.Barrier(load.workers + 1), context.Value("d", 0.0)
    processes = [
        context.Process(
            target=work, args=(url, f"worker-{index}", factor, load.seconds, ready, begins), daemon=True
        )
        for index in range(load.workers)
    ]
    for process in processes:
        process.start()
    ready.wait(PATIENCE)
    origin = begins.value = time.time()
    ready.wait(PATIENCE)
    for step in range(1, STEPS + 1):
        time.sleep(max(0.0, origin + load.seconds * step / STEPS - time.time()))
        advance()
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode != 0:
            process.kill()
            raise RuntimeError(f"a worker ended with status {process.exitcode}")


class TakesAll:
    """WhatsApp that takes every message at once."""

    def __init__(self, name: str) -> None:
        self._wamids = (f"wamid.{name}.{number}" for number in count(1))

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        return Accepted(next(self._wamids), "accepted", message.to.removeprefix("+"))

    async def close(self) -> None:
        """There is nothing to close."""


def work(
    url: str, name: str, factor: float, seconds: float, ready: Barrier, begins: "Synchronized[float]"
) -> None:
    """One worker, for `seconds` from the moment on at which all are ready and `begins` is set."""
    ready.wait(PATIENCE)
    ready.wait(PATIENCE)
    origin = begins.value
    database = Database(url)
    settings = Settings(
        database_url=url,
        whatsapp_phone_number_id="1",
        messages_per_second=1000,
        # Leases are of the hurried clock too; none of these workers dies.
        lease=timedelta(days=365),
        unknown_after=timedelta(days=365),
    )
    clock = ScaledClock(START, factor, origin)
    dispatcher = Dispatcher(database, clock, settings, TakesAll(name), name)
    while time.time() < origin + seconds:
        done = dispatcher.run_blocking(limit=500)
        if not done.claimed:
            time.sleep(0.05)
    dispatcher.close()
    database.dispose()


def ledger_of(database: Database) -> tuple[Sequence[Sent], Counter[str], Counter[str]]:
    """All slots, and how many messages are in each state and wait for each reason."""
    state, reason, slot = col(Message.state), col(Message.reason), col(Message.slot_at)
    with database.snapshot() as session:
        connection = session.connection()
        taken = select(
            *(col(Message.user_pk), col(Message.experiment_id), col(Message.category), slot),
            col(User.time_zone),
            col(User.phone),
        )
        sent = [
            Sent(user, experiment, category, at, str(zone), "GB" if str(phone).startswith("+44") else None)
            for user, experiment, category, at, zone, phone in connection.execute(
                taken.join(User, col(User.id) == col(Message.user_pk)).where(slot.is_not(None))
            )
            if at is not None
        ]
        states = Counter(
            {str(name): n for name, n in connection.execute(select(state, func.count()).group_by(state))}
        )
        waiting = select(reason, func.count()).where(state == "planned", reason.is_not(None)).group_by(reason)
        reasons = Counter({str(name): n for name, n in connection.execute(waiting)})
    return sent, states, reasons
