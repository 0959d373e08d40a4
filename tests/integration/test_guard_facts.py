"""Users met and harmed, counted by the database as by hand, on both."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlmodel import Session

from analysis.facts.engines import SessionFacts
from analysis.facts.guard_facts import gather_harm, met_query, silent_query
from delivery.models import Message
from experiments.database import Database
from experiments.guards import Guard
from experiments.metrics import BUILT_IN, MetricDefinition
from targeting.models import Assignment
from tests.integration.analysis_rows import HOUR, START, Assigned, Happened, add_all, store

SECOND = timedelta(seconds=1)
COMPLAINED = MetricDefinition(kind="proportion", event="Complaint", where={"kind": "spam"})
GUARDS = [
    *(Guard(key=key, metric=BUILT_IN[key], margin=0.0) for key in ("opted_out", "blocked", "failed")),
    Guard(key="complained", metric=COMPLAINED, margin=0.0),
]
NOW = START + 10 * HOUR


def send(
    session: Session,
    user: int,
    at: datetime | None,
    *,
    variant: str = "coupon",
    step: int = 0,
    **said: object,
) -> None:
    # fmt: off
    row = {
        "experiment_id": 1, "user_pk": user, "variant": variant, "step": step, "category": "marketing", "priority": 0,
        "state": "accepted", "tries": 1, "first_due_at": START, "due_at": START, "slot_at": at, "failed_at": None, "reason": None,
    }
    # fmt: on
    add_all(session, Message, [row | said])


def found(database: Database, *, silent: str | None = None, since: datetime | None = None):
    with database.snapshot() as session:
        return gather_harm(
            SessionFacts(session), experiment_id=1, guards=GUARDS, variants=["plain", "coupon"], silent_control=silent, within=HOUR, as_of=NOW, since=since,
        )  # fmt: skip


def harmed(facts, guard: str) -> int:
    return int(facts.harmed[guard].sum())


def test_who_is_met_and_who_is_harmed(database: Database) -> None:
    coupon = [Assigned(user, "coupon", START, epoch=1 + user % 2) for user in range(1, 13)]
    other = [Assigned(20, "coupon", START, experiment=2)]
    store(
        database,
        assigned=[*coupon, Assigned(13, "plain", START), *other],
        happened=[
            Happened(1, "Opted Out", START + HOUR + 59 * 60 * SECOND),
            Happened(2, "Opted Out", START + HOUR + HOUR),  # too late
            Happened(3, "Opted Out", START),  # before any message
            Happened(4, "Opted Out", START + 2 * HOUR),  # the whole second in which the message went out
            Happened(5, "Complaint", START + HOUR + SECOND, {"kind": "spam"}),
            Happened(6, "Complaint", START + HOUR + SECOND, {"kind": "praise"}),
            Happened(12, "Opted Out", START + 3 * HOUR),
        ],
    )
    first = START + HOUR
    with database.transaction() as session:
        for user in (1, 2, 3, 5, 6):
            send(session, user, first)
        send(session, 4, START + 2 * HOUR + 0.5 * SECOND)
        send(session, 7, None, state="failed", failed_at=first, reason="bad_request")
        send(session, 8, None, state="suppressed", failed_at=first, reason="undeliverable")
        send(session, 9, None, state="planned", failed_at=first, reason="meta_cap")
        send(session, 10, None, state="planned", failed_at=first, reason="slow_down")  # not its fault
        send(session, 11, NOW - 59 * 60 * SECOND)  # not watched for long enough
        send(session, 12, None, state="planned", tries=0)  # met by nothing yet
        # A later message is not the first: what it fails of does not count.
        send(session, 1, None, step=1, state="failed", failed_at=first + 5 * HOUR, reason="bad_request")
        send(session, 13, first, variant="plain")
        send(session, 20, first)
    facts = found(database)
    users = dict(zip(facts.epochs, facts.users[:, 1], strict=True))
    assert users == {1: 5, 2: 5}  # 2, 4, 6, 8, 10 and 1, 3, 5, 7, 9
    assert facts.users[:, 0].sum() == 1
    assert {guard.key: harmed(facts, guard.key) for guard in GUARDS} == {
        "opted_out": 2, "blocked": 1, "failed": 3, "complained": 1,
    }  # fmt: skip
    later = found(database, since=first + SECOND)
    assert (later.users.sum(), harmed(later, "opted_out"), harmed(later, "failed")) == (1, 1, 0)


def test_testers_count_nowhere(database: Database) -> None:
    store(database, assigned=[Assigned(1, "coupon", START)])
    with database.transaction() as session:
        send(session, 1, START)
        session.get_one(Assignment, 1).forced = True
    assert found(database).users.sum() == 0


def test_users_of_a_silent_control_are_met_when_they_are_assigned(database: Database) -> None:
    store(
        database,
        assigned=[
            Assigned(1, "plain", START),
            Assigned(2, "plain", START),
            Assigned(3, "plain", NOW - SECOND),
        ],
        happened=[Happened(1, "Opted Out", START + SECOND), Happened(2, "Opted Out", START + 2 * HOUR)],
    )
    assert found(database).users.sum() == 0
    facts = found(database, silent="plain", since=NOW)
    assert facts.users.tolist() == [[2, 0]]
    assert harmed(facts, "opted_out") == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_many_users_are_counted_as_by_hand(database: Database, seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = range(1, 301)
    variants = {user: str(rng.choice(["plain", "coupon"])) for user in people}
    sent = {
        user: START + timedelta(minutes=int(rng.integers(0, 600))) for user in people if rng.random() < 0.8
    }
    out = {
        user: START + timedelta(minutes=int(rng.integers(0, 700))) for user in people if rng.random() < 0.5
    }
    store(
        database,
        assigned=[Assigned(user, variants[user], START) for user in people],
        happened=[Happened(user, "Opted Out", at) for user, at in out.items()],
    )
    with database.transaction() as session:
        for user, at in sent.items():
            send(session, user, at, variant=variants[user])
            send(session, user, at + 3 * HOUR, variant=variants[user], step=1)
    facts = found(database)
    for place, variant in enumerate(facts.variants):
        met = [user for user, at in sent.items() if variants[user] == variant and at <= NOW - HOUR]
        gone = [user for user in met if user in out and sent[user] <= out[user] < sent[user] + HOUR]
        assert (facts.users[0, place], facts.harmed["opted_out"][0, place]) == (len(met), len(gone))
        assert gone


def test_a_look_reads_nothing_but_its_own_experiment(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    within = {"within": HOUR, "as_of": NOW}
    for query in (met_query(1, GUARDS, **within), silent_query(1, GUARDS, variant="plain", **within)):
        sql = query.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True})
        with database.snapshot() as session:
            steps = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
        read = [
            step[3]
            for step in steps
            if any(table in step[3] for table in ("messages", "events", "assignments"))
        ]
        assert read
        assert all(step.startswith("SEARCH") for step in read), read
    database.dispose()
