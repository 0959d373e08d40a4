"""A large installation in one SQLite file, filled in bulk: people, experiments of every kind, messages, events, kept reports.

People, messages and events are made by SQL within the database (`installation_rows.py`), where a million rows take seconds. What has
a meaning (designs, reports, a bandit's slot, segments, rules, an import) is made by the product once, and repeated.
"""

import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy.schema import CreateIndex

from analysis.bandits.reallocation import reallocate_tick
from analysis.reports import service as reports
from api.demo.people import write_people
from api.tables import metadata
from benchmarks import installation_rows as rows
from benchmarks.stage import CLOCK, campaign, plain_connection
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from targeting import campaigns
from targeting.imports.importing import ImportOptions, import_users
from targeting.rules import service as rules
from targeting.segments import attributes
from targeting.segments import service as segments

ACTOR: Final = "benchmark"
LIST: Final = "friends"
"""A segment that is a list."""
BULK: Final = ("users", "consents", "consent_records", "assignments", "messages", "events")
"""Tables whose indexes are made when they are full: sorting once takes less than finding each place."""
SLOTS: Final = 60
MOST_LOOKS: Final = 100
SEGMENTS: Final = 30
RULES: Final = 40
IMPORTS: Final = 60
IMPORTED: Final = 1_000
"""People in the file that is imported."""
FRESH: Final = 600_000_000
"""Microseconds since the newest look at each experiment."""
METRICS: Final[list[dict[str, Any]]] = [
    {
        "key": "bought",
        "role": "primary",
        "kind": "proportion",
        "event": "Order Completed",
        "window": "7d",
    },
    {
        "key": "revenue",
        "role": "secondary",
        "kind": "mean",
        "event": "Order Completed",
        "value": "revenue",
        "window": "7d",
        "covariate": "28d",
    },
    {
        "key": "views",
        "role": "secondary",
        "kind": "count",
        "event": "Product Viewed",
        "window": "7d",
    },
    {"key": "opted_out", "role": "guardrail", "margin": 0.01},
]


@dataclass(frozen=True, slots=True)
class Kind:
    """Experiments that are alike: how many of a hundred, the share of all users that each has, how many days ago they began.

    `move` is what was done to them last; `hours`: how long their users came in.
    """

    name: str
    of_a_hundred: int
    share: float
    days: float
    hours: float
    move: str = ""
    is_bandit: bool = False
    looks: int = MOST_LOOKS


KINDS: Final = (
    Kind("broadcast", 1, 1.0, 0.9, 18, looks=20),
    Kind("wide", 1, 0.05, 20, 400),
    Kind("running", 15, 0.025, 20, 400),
    Kind("bandit", 3, 0.025, SLOTS, 24 * (SLOTS - 8), is_bandit=True),
    Kind("paused", 5, 0.025, 30, 400, "pause"),
    Kind("past-bandit", 6, 0.02, SLOTS + 10, 24 * SLOTS, "stop", is_bandit=True),
    Kind("past", 59, 0.005, 60, 800, "stop"),
    Kind("draft", 10, 0, 0, 0, looks=0),
)
"""Two million assignments of a million users, and a message for all but the silent ones."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One experiment of the installation, and how many users are in it."""

    id: int
    key: str
    kind: Kind
    users: int
    variants: tuple[str, ...]


def fill(database: Database, folder: Path, *, users: int, experiments: int = 100) -> list[Filled]:
    """Fill an empty database; returns its experiments, at least one of each kind."""
    now = to_micros(CLOCK.now())
    with _bare(database, full=BULK) as connection:
        rows.number(connection, 2 * users)
        rows.add_people(connection, users, now=now)
    _import(database, folder)
    made = list(_experiments(database, users, experiments))
    with _bare(database, full=BULK) as connection:
        rows.number(connection, 2 * users)
        for each in made:
            if each.users:
                rows.add_assignments(
                    connection,
                    experiment=each.id,
                    users=each.users,
                    of=users,
                    variants=each.variants,
                    began=now - int(each.kind.days * rows.DAY),
                    lasted=int(each.kind.hours / 24 * rows.DAY),
                    epochs=SLOTS if each.kind.is_bandit else 1,
                )
        rows.add_messages(connection, now=now, live=[each.id for each in made if each.kind.move != "stop"])
        rows.add_events(connection, users=users, now=now)
        rows.add_delivery(connection, now=now, experiments=[each.id for each in made if each.users])
        rows.add_audit(connection, users // 10, now=now, keys=[each.key for each in made])
    _segments_and_rules(database, users)
    _slots(database)
    _reports(database, made)
    return made


@contextmanager
def _bare(database: Database, *, full: Sequence[str] = ()) -> Iterator[sqlite3.Connection]:
    """The file without its journal, in one transaction; the indexes of the tables that are being filled (`full`) are made at the end."""
    database.dispose()
    indexes = [index for name in full for index in metadata.tables[name].indexes]
    with plain_connection(database) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        for index in indexes:
            connection.execute(f"DROP INDEX {index.name}")
        connection.execute("BEGIN")
        yield connection
        for index in indexes:
            connection.execute(str(CreateIndex(index).compile(dialect=database.engine.dialect)))
        connection.execute("COMMIT")


def _experiments(database: Database, users: int, experiments: int) -> Iterator[Filled]:
    """The first of each kind is designed and started by the product at its time; the others are like it."""
    now = CLOCK.now()
    for kind in KINDS:
        clock = SteppedClock(now - timedelta(days=kind.days))
        document = _design(kind)
        with database.transaction() as session:
            row = campaigns.create(session, clock, actor=ACTOR, document=document)
            if kind.share:
                campaigns.start(session, clock, actor=ACTOR, key=row.key)
            if kind.move:
                later = SteppedClock(now - timedelta(days=kind.days / 10))
                getattr(campaigns, kind.move)(session, later, actor=ACTOR, key=row.key)
        assert row.id is not None
        numbers = range(2, 1 + max(1, round(kind.of_a_hundred * experiments / 100)))
        with _bare(database) as connection:
            more = [rows.repeat_experiment(connection, row.id, key=f"{kind.name}-{i}") for i in numbers]
        variants = tuple(variant["key"] for variant in document["variants"])
        share = min(users, max(20, round(kind.share * users))) if kind.share else 0
        yield from (
            Filled(pk, f"{kind.name}-{number}", kind, share, variants)
            for number, pk in enumerate((row.id, *more), start=1)
        )


def _design(kind: Kind) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "hypothesis": "A second message with a coupon brings back who has gone quiet.",
        "metrics": METRICS,
        "audience": {"condition": {"age": {"$gte": 16}}},
        "plan": {"method": "spending", "mde": 0.1},
    }
    if kind.is_bandit:
        changes |= {"trigger": {"type": "rule"}, "allocation": {"policy": "thompson"}}
    document = campaign(f"{kind.name}-1", **changes)
    # Nobody is left out of a message, so that there are as many messages as assignments.
    control, *others = document["variants"]
    document["variants"] = [{**others[0], **control, "key": "hello"}, *others]
    return document


def _import(database: Database, folder: Path) -> None:
    """A file with people is imported, and what became of it is told so often as if it had been every day."""
    file = folder / "people.csv"
    write_people(file, IMPORTED, now=CLOCK.now(), rng=np.random.default_rng(1))
    with file.open("rb") as source:
        options = ImportOptions(format="csv")
        import_users(database, CLOCK, source, actor=ACTOR, options=options, rejects=io.StringIO())
    with _bare(database) as connection:
        rows.number(connection, IMPORTS)
        rows.repeat_import(connection, days=IMPORTS)


def _segments_and_rules(database: Database, users: int) -> None:
    """A list, segments by a condition, and rules that wait for an event; one of each is made by the product."""
    condition = {"country": {"$in": ["NL", "BR"]}, "age": {"$gte": 21}}
    rule = {
        "key": "rule-1",
        "name": "Buyers of age",
        "trigger": {"type": "event", "event": "Order Completed"},
        "condition": condition,
        "actions": [{"type": "add_tag", "tag": "buyer"}],
    }
    with database.transaction() as session:
        for key, whom in ((LIST, None), ("segment-1", condition)):
            segments.put(session, CLOCK, actor=ACTOR, key=key, name=key.capitalize(), condition=whom)
        rules.put(session, CLOCK, actor=ACTOR, document=rule)
        rules.enable(session, CLOCK, actor=ACTOR, key="rule-1")
    attributes.discover(database, CLOCK, rng=np.random.default_rng(1))
    now = to_micros(CLOCK.now())
    with _bare(database) as connection:
        rows.number(connection, users)
        rows.repeat_segments(connection, upto=SEGMENTS)
        rows.repeat_rules(connection, upto=RULES)
        rows.add_members(connection, of_each=4, users=users, now=now)
        rows.add_firings(connection, rule=1, firings=users // 10, now=now)


def _slots(database: Database) -> None:
    """The bandits' last slot is done by the product; those before it are like it."""
    done = reallocate_tick(database, CLOCK)
    with _bare(database) as connection:
        rows.number(connection, SLOTS)
        for experiment in connection.execute("SELECT experiment_id FROM epochs WHERE number = 2").fetchall():
            rows.repeat_slot(connection, source=done[0].id or 0, experiment=experiment[0], slots=SLOTS)


def _reports(database: Database, made: Sequence[Filled]) -> None:
    """A report of one experiment with fixed weights and of one bandit; kept again and again for those that are like it."""
    now = to_micros(CLOCK.now())
    for name in ("running", "bandit"):
        source = next(each for each in made if each.kind.name == name)
        with database.snapshot() as session:
            evidence = reports.prepare(session, CLOCK, key=source.key).evidence
        with _bare(database) as connection:
            rows.number(connection, MOST_LOOKS)
            for each in made:
                if each.kind.looks and each.kind.is_bandit is source.kind.is_bandit:
                    body = {
                        **evidence.body,
                        "experiment": each.key,
                        "arms": _grown(evidence.body["arms"], each.users / source.users),
                    }
                    documents = (body, evidence.inputs, evidence.hashes, evidence.made_with)
                    rows.add_reports(
                        connection,
                        experiment=each.id,
                        looks=each.kind.looks,
                        last=now - FRESH,
                        every=rows.DAY // 24,
                        documents=[json.dumps(document) for document in documents],
                    )


def _grown(part: Any, factor: float) -> Any:
    """A part of a report with each of its counts so many times as large."""
    if isinstance(part, dict):
        return {name: _grown(value, factor) for name, value in part.items()}
    if isinstance(part, list):
        return [_grown(value, factor) for value in part]
    return round(part * factor) if isinstance(part, int) and not isinstance(part, bool) else part
