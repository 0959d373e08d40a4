"""Nothing is lost or doubled when workers are killed, and no POST begins after a withdrawal: tried, counted, certified."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import insert

from api.tables import metadata
from benchmarks.claims import Claim, Findings, Size
from benchmarks.crash_campaign import FULL, SHORT, Outcome, crash_campaign
from benchmarks.crash_worker import STEPS
from benchmarks.interleavings import Person, Race
from benchmarks.scaling_speed import postgres
from benchmarks.stage import campaign
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from targeting import campaigns
from targeting.models import Consent, User

LOG: Final = logging.getLogger(__name__)
TOPIC: Final = "delivery: crashes and withdrawals"
RACE: Final = 10_000
QUICK_RACE: Final = 1_000


def crashes(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    """The crash campaign on SQLite and on PostgreSQL."""
    chosen = FULL if size.name == "full" else SHORT
    for name in ("SQLite", "PostgreSQL"):
        with _sqlite() if name == "SQLite" else _postgres() as database:
            outcome = crash_campaign(database, chosen, seed=seed)
        for words in outcome.ended:
            LOG.error("%s", words)
        findings.claims.append(_claim(name, outcome))
        advance()


def withdrawals(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    """Withdrawals against every step of sending, on SQLite: there a step that must wait says so at once."""
    number = RACE if size.name == "full" else QUICK_RACE
    log = logging.getLogger("delivery")
    before = log.level
    log.setLevel(logging.CRITICAL)  # that a lock is held is what is tried, thousands of times
    clock = SteppedClock(datetime(2026, 12, 1, 10, tzinfo=UTC))
    with _sqlite() as database:
        people = _people(database, clock, number)
        url = database.url.render_as_string(hide_password=False)
        race = Race(url, clock, Settings(whatsapp_phone_number_id="1"), people, np.random.default_rng(seed))
        judge = race.run(pauses=number // 40)
    log.setLevel(before)
    where = ", ".join(f"{step} {times:,}" for step, times in judge.where.most_common())
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim="No POST begins after a withdrawal is committed, nor while everything is stopped",
            bar="0",
            obtained=f"{len(judge.violations)}; the message was at the withdrawal: {where}; "
            f"withdrawals waited {judge.waited['people']:,} times for POSTs that began",
            error="",
            runs=f"{number:,} interleavings",
            met=not judge.violations,
        )
    )
    advance()


def _claim(database: str, outcome: Outcome) -> Claim:
    states = ", ".join(f"{state} {count:,}" for state, count in sorted(outcome.states.items()))
    steps = sum(outcome.steps[step] > 0 for step in STEPS)
    return Claim(
        topic=TOPIC,
        claim=f"Workers killed at any moment over a bad network send nothing twice and lose nothing ({database})",
        bar=f"0 doubled, 0 lost, books hold, {len(STEPS)} of {len(STEPS)} steps, no worker ended by itself",
        obtained=f"{outcome.doubled} POSTs doubled, {outcome.twice} messages accepted twice, {len(outcome.lost)} lost; "
        f"the books {'hold' if outcome.holds else 'DO NOT HOLD'}; {steps} steps; {len(outcome.ended)} ended by themselves; {outcome.posts:,} POSTs, "
        f"{outcome.unanswered:,} accepted without an answer; {states}",
        error="",
        runs=f"{outcome.messages:,} messages, {outcome.kills} kills, {outcome.seconds:.0f} s",
        met=not (outcome.doubled or outcome.twice or outcome.lost or outcome.ended)
        and outcome.holds
        and steps == len(STEPS),
    )


@contextmanager
def _sqlite() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="touchstone-crash-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'crash.db'}")
        metadata.create_all(database.engine)
        yield database
        database.dispose()


@contextmanager
def _postgres() -> Iterator[Database]:
    with postgres() as (database, _):
        yield database


def _people(database: Database, clock: SteppedClock, number: int) -> list[Person]:
    """Users with one message that is due, and one that was accepted long ago."""
    now = clock.now()
    people = [Person(pk, f"u{pk}", f"+999{pk:08d}", pk) for pk in range(1, number + 1)]
    plain = {"variant": "reminder", "step": 0, "category": "marketing", "first_due_at": now, "due_at": now}
    old = {"experiment_id": 1, "state": "accepted", "tries": 1, "slot_at": now - timedelta(days=90)}
    with database.transaction() as session:
        connection = session.connection()
        connection.execute(
            insert(User),
            [
                {
                    "id": person.pk,
                    "user_id": person.user_id,
                    "phone": person.phone,
                    "attributes": {"first_name": "Ann"},
                    "created_at": now,
                    "updated_at": now,
                }
                for person in people
            ],
        )
        agreed = {"category": "marketing", "granted": True, "changed_at": now}
        connection.execute(insert(Consent), [agreed | {"user_pk": person.pk} for person in people])
        for key in ("old", "race"):
            campaigns.create(session, clock, actor="race", document=campaign(key=key))
            campaigns.start(session, clock, actor="race", key=key)
        connection.execute(
            insert(Message), [plain | old | {"id": person.pk, "user_pk": person.pk} for person in people]
        )
        due = {"experiment_id": 2, "state": "planned", "tries": 0}
        connection.execute(insert(Message), [plain | due | {"user_pk": person.pk} for person in people])
    return people
