"""Users met and harmed, counted by the database as by hand, on both."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update
from sqlmodel import Session, col

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
        assigned=[*coupon, *(Assigned(user, "plain", START) for user in (13, 14, 15)), *other],
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
        # Taken when WhatsApp had refused it for some time: met by the second try, and failed once.
        send(session, 14, first + 7 * HOUR, first_failed_at=first, variant="plain")
        # The second try of this one failed of something passing.
        send(session, 15, None, failed_at=first + 7 * HOUR, first_failed_at=first, state="planned", reason="retry", variant="plain")  # fmt: skip
    facts = found(database)
    users = dict(zip(facts.epochs, facts.users[:, 1], strict=True))
    assert users == {1: 5, 2: 5}  # 2, 4, 6, 8, 10 and 1, 3, 5, 7, 9
    assert (facts.users[:, 0].sum(), facts.harmed["failed"][:, 0].sum()) == (3, 2)
    assert {guard.key: harmed(facts, guard.key) for guard in GUARDS} == {
        "opted_out": 2, "blocked": 1, "failed": 5, "complained": 1,
    }  # fmt: skip
    later = found(database, since=first + SECOND)
    assert (later.users.sum(), harmed(later, "opted_out"), later.harmed["failed"].sum()) == (3, 1, 0)


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


MINUTE = timedelta(minutes=1)
ENDS = (
    ("accepted", None), ("accepted", None), ("planned", "meta_cap"), ("planned", "slow_down"), ("planned", "undeliverable_once"),
    ("suppressed", "undeliverable"), ("suppressed", "opted_out"), ("suppressed", "consent"), ("failed", "bad_request"),
    ("cancelled", "guardrail"), ("unknown", None), ("failed", "unknown"),
)  # fmt: skip
"""State and reason of a message."""


def failed_of(row: dict[str, Any]) -> datetime | None:
    """When the latest try failed at its person, if it did."""
    did = row["state"] == "failed" or row["reason"] in {"meta_cap", "undeliverable", "opted_out"}
    at: datetime | None = row["failed_at"]
    return at if did else None


@dataclass(frozen=True)
class Drawn:
    """A world of one experiment, as lists: what a look should say of it can be counted without a database."""

    assigned: list[Assigned]
    forced: set[int]
    happened: list[Happened]
    messages: list[dict[str, Any]]

    @classmethod
    def with_seed(cls, seed: int, people: int = 400) -> "Drawn":
        rng = np.random.default_rng(seed)

        def moment() -> datetime:
            # On the whole minute, so that the edges of windows are hit, or somewhere within a second.
            return START + int(rng.integers(0, 600)) * MINUTE + int(rng.integers(0, 3)) * timedelta(microseconds=400_000)  # fmt: skip

        messages = []
        for user in range(1, people + 1):
            for step in range(int(rng.integers(0, 4))):
                state, reason = ENDS[rng.integers(len(ENDS))]
                goes = state in {"accepted", "unknown", "failed"}
                tried = goes or rng.random() < 0.8
                at = moment() if tried else None
                late = goes and rng.random() < 0.3
                # Some exactly when it is too late.
                failed_at = (at + HOUR if rng.random() < 0.5 else moment()) if late and at else at
                messages.append(
                    {
                        "user": user, "step": step, "state": state, "reason": reason,
                        "at": at if goes else None, "failed_at": failed_at if late or not goes else None,
                        # Of an earlier try, long before or hardly.
                        "first_failed_at": at - int(rng.integers(1, 90)) * MINUTE if at and rng.random() < 0.2 else None,
                    }
                )  # fmt: skip
        names = ("Opted Out", "Complaint", "Order")
        happened = [
            Happened(int(rng.integers(1, people + 1)), names[rng.integers(3)], moment().replace(microsecond=0), {"kind": ("spam", "praise")[rng.integers(2)]})
            for _ in range(3 * people)
        ]  # fmt: skip
        assigned = [
            Assigned(user, ("plain", "coupon", "other")[rng.integers(3)], moment(), epoch=1 + int(rng.integers(3)))
            for user in range(1, people + 1)
        ]  # fmt: skip
        return cls(assigned, {user for user in range(1, people + 1) if user % 11 == 0}, happened, messages)

    def counted(self, *, silent: str | None, since: datetime | None) -> dict[tuple[int, str, str], int]:
        """Users and harmed users by epoch, variant and guard, as the documentation says who counts."""
        found: Counter[tuple[int, str, str]] = Counter()
        for row in self.assigned:
            if row.user in self.forced or row.variant not in {"plain", "coupon"}:
                continue
            mine = [each for each in self.messages if each["user"] == row.user]
            tries = [each["at"] or each["failed_at"] for each in mine if each["at"] or each["failed_at"]]
            mets = [] if not tries or (since is not None and min(tries) < since) else [min(tries)]
            if row.variant == silent:
                mets.append(row.at)
            for i, met in enumerate(mets):
                if met > NOW - HOUR:
                    continue
                is_silent = row.variant == silent and i == len(mets) - 1
                soon = [
                    each for each in mine if not is_silent and each["failed_at"] and each["failed_at"] < met + HOUR and each["failed_at"] < NOW
                ]  # fmt: skip
                did = {
                    (each.name, each.properties["kind"])
                    for each in self.happened
                    if each.user == row.user and met.replace(microsecond=0) <= each.at < met + HOUR
                }
                harm = {
                    "users": True,
                    "opted_out": any(name == "Opted Out" for name, _ in did),
                    "complained": ("Complaint", "spam") in did,
                    "blocked": any(
                        (each["state"], each["reason"]) in {("suppressed", "undeliverable"), ("suppressed", "opted_out")} for each in soon
                    ),
                    "failed": not is_silent and any(
                        at < met + HOUR and at < NOW and (since is None or at >= since)
                        for each in mine
                        for at in [each["first_failed_at"] or failed_of(each)]
                        if at
                    ),
                }  # fmt: skip
                found.update({(row.epoch, row.variant, key): 1 for key, holds in harm.items() if holds})
        return dict(found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_is_counted_as_by_hand(database: Database, seed: int) -> None:
    drawn = Drawn.with_seed(seed)
    store(database, assigned=drawn.assigned, happened=drawn.happened)
    with database.transaction() as session:
        for row in drawn.messages:
            send(session, **row)
        tester = col(Assignment.user_pk).in_(drawn.forced)
        session.connection().execute(update(Assignment).where(tester).values(forced=True))
    for silent, since in (
        (None, None),
        (None, START + 3 * HOUR),
        ("plain", None),
        ("plain", START + 3 * HOUR),
    ):
        facts = found(database, silent=silent, since=since)
        told = {
            (epoch, variant, key): int(numbers[i, j])
            for key, numbers in {"users": facts.users, **facts.harmed}.items()
            for i, epoch in enumerate(facts.epochs)
            for j, variant in enumerate(facts.variants)
            if numbers[i, j]
        }
        expected = drawn.counted(silent=silent, since=since)
        assert told == expected
        assert {key for _, _, key in expected} == {"users", "opted_out", "complained", "blocked", "failed"}
