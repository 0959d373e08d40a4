"""Who: bucketing, conditions, import, and planning a broadcast."""

import csv
import io
import sqlite3
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from api.demo.people import write_people
from benchmarks.figures import Figure, Say, benchmark, median_seconds, peak_megabytes, seconds
from benchmarks.stage import CLOCK, add_users, campaign, empty_database
from delivery.planning.planner import plan_tick
from experiments.design import ExperimentDesign
from experiments.settings import Settings
from targeting import campaigns
from targeting.bucketing import bucket_ranges, choose_variant, choose_variants, hash_unit, hash_units
from targeting.conditions import Scope, compile_condition
from targeting.draw import draw_variants
from targeting.imports.importing import ImportOptions, import_users

MILLION = 1_000_000


@benchmark("bucketing")
def bucketing(say: Say, *, users: int = MILLION, checked: int = 20_000) -> Sequence[Figure]:
    """Hash and variant of many users at once, against the scalar code, which must agree to the last bit."""
    ids = [f"u{i:07d}" for i in range(users)]
    ranges = bucket_ranges(3, 0.9, None)
    bulk = median_seconds(lambda: choose_variants(hash_units("spring", ids, 2), ranges))
    say(f"bulk: {users / bulk:,.0f} users/s")

    def one_by_one() -> list[int]:
        return [choose_variant(hash_unit("spring", each, 2) or 0.0, ranges) for each in ids[:checked]]

    scalar = median_seconds(one_by_one)
    odd = ["", "é", "漢字", "\U0001f600", "a" * 500]
    identical = (
        all(
            hash_units("spring", sample, version).tolist()
            == [hash_unit("spring", each, version) for each in sample]
            for sample in (ids[:checked], odd)
            for version in (1, 2)
        )
        and choose_variants(hash_units("spring", ids[:checked], 2), ranges).tolist() == one_by_one()
    )
    gated = _gated_design()
    whole = median_seconds(lambda: draw_variants(gated, weights=gated.shares, units=ids, global_holdout=0.05))
    say(f"with every gate: {users / whole:,.0f} users/s")
    return [
        Figure(
            what="bulk assignment (hash and variant)",
            figure=users / bulk,
            unit="users/s",
            yardstick=checked / scalar,
            against="our scalar code",
            ratio=scalar / checked / (bulk / users),
            bar=">= 1,000,000 users/s, bit-identical",
            met=identical and users / bulk >= MILLION,
            note=f"{'identical' if identical else 'DIFFERENT'} on {checked:,} users and odd texts, both hash versions",
        ),
        Figure(
            what="the whole draw: global holdout, layer, holdout, coverage, variant",
            figure=users / whole,
            unit="users/s",
            yardstick=users / bulk,
            against="hash and variant alone",
            ratio=bulk / whole,
            note="five hashes instead of one, and a reason for each user who is left out",
        ),
    ]


def _gated_design() -> ExperimentDesign:
    audience = {"coverage": 0.9, "holdout": 0.05, "layer": {"key": "promotions", "range": [0, 0.5]}}
    return ExperimentDesign.model_validate(campaign(audience=audience))


@benchmark("conditions")
def conditions(say: Say, *, users: int = 100_000) -> Sequence[Figure]:
    """A condition compiled to closures, against the same test written by hand in Python."""
    now = CLOCK.now()
    rng = np.random.default_rng(1)
    people: list[dict[str, Any]] = [
        {
            "country": ("NL", "BR", "US", "FR")[int(rng.integers(4))],
            "age": int(rng.integers(18, 80)),
            "tags": ["new"] if i % 2 else ["vip", "new"],
            "last_order_at": (now - timedelta(days=int(rng.integers(1, 200)))).isoformat(),
        }
        for i in range(users)
    ]
    condition = {
        "country": {"$in": ["NL", "BR"]},
        "age": {"$gte": 21},
        "tags": {"$in": ["vip"]},
        "last_order_at": {"$olderThan": "60d"},
    }
    predicate, scope = compile_condition(condition), Scope(now)
    limit = (now - timedelta(days=60)).isoformat()

    def by_hand(person: dict[str, Any]) -> bool:
        return bool(
            person["country"] in ("NL", "BR")
            and person["age"] >= 21
            and "vip" in person["tags"]
            and person["last_order_at"] < limit
        )

    same = [predicate(person, scope) for person in people] == [by_hand(person) for person in people]
    ours = median_seconds(lambda: [predicate(person, scope) for person in people], 5)
    plain = median_seconds(lambda: [by_hand(person) for person in people], 5)
    say(f"{ours / users * 1e6:.2f} us a user")
    return [
        Figure(
            what="condition of four clauses, compiled",
            figure=ours / users * 1e6,
            unit="us/user",
            yardstick=plain / users * 1e6,
            against="the same `and` in Python",
            ratio=plain / ours,
            bar="<= 2 us",
            met=ours / users <= 2e-6,
            note="" if same else "ANSWERS DIFFER from the hand-written test",
        )
    ]


@benchmark("import")
def importing(say: Say, *, rows: int = 64_000) -> Sequence[Figure]:
    """A CSV file of people into an empty database, and the same file again; against csv and executemany alone."""
    with empty_database() as (database, folder):
        file = folder / "people.csv"
        write_people(file, rows, now=CLOCK.now(), rng=np.random.default_rng(1))

        def run() -> object:
            with file.open("rb") as source:
                return import_users(
                    database,
                    CLOCK,
                    source,
                    actor="bench",
                    options=ImportOptions(format="csv"),
                    rejects=io.StringIO(),
                )

        first = seconds(run)
        say(f"first time: {rows / first:,.0f} rows/s")
        again = seconds(run)
        memory = peak_megabytes()
        plain = seconds(lambda: _plain_import(str(folder / "plain.db"), str(file)))
    return [
        Figure(
            what=f"import of {rows:,} new rows (CSV)",
            figure=rows / first,
            unit="rows/s",
            yardstick=rows / plain,
            against="csv module and executemany into bare tables, nothing checked",
            ratio=plain / first,
            note=f"peak memory {memory:.0f} MB for the process",
        ),
        Figure(what="the same file again (nothing changes)", figure=rows / again, unit="rows/s"),
    ]


def _plain_import(path: str, file: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, user_id TEXT UNIQUE, phone TEXT UNIQUE, rest TEXT)"
    )
    connection.execute("CREATE TABLE consents (user_id TEXT, granted INTEGER)")
    with open(file, newline="", encoding="utf-8") as source:  # noqa: PTH123  # as plain as can be
        reader = csv.reader(source)
        next(reader)
        while batch := [row for row, _ in zip(reader, range(2000), strict=False)]:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO users (user_id, phone, rest) VALUES (?, ?, ?)",
                [(row[0], row[1], ",".join(row[2:])) for row in batch],
            )
            connection.executemany(
                "INSERT INTO consents VALUES (?, ?)", [(row[0], row[-1] == "yes") for row in batch]
            )
            connection.execute("COMMIT")
    connection.close()


@benchmark("planning")
def planning(say: Say, *, users: int = 200_000) -> Sequence[Figure]:
    """Segment, assign and schedule a broadcast; a quarter of the size first, to see whether the time grows in line."""
    quarter = max(users // 4, 1)
    small, small_cpu, small_memory = _plan(quarter)
    say(f"{quarter:,} users: {quarter / small:,.0f} users/s")
    whole, whole_cpu, memory = _plan(users)
    say(f"{users:,} users: {users / whole:,.0f} users/s")
    million = whole / users * MILLION
    return [
        Figure(
            what=f"planning a broadcast to {users:,} users on SQLite",
            figure=users / whole,
            unit="users/s",
            yardstick=quarter / small,
            against=f"the same with {quarter:,} users",
            ratio=(small_cpu / quarter) / (whole_cpu / users),
            bar="a million in <= 60 s, linear",
            met=million <= 60,
            note=f"extrapolated to a million: {million:.0f} s ({whole_cpu / users * MILLION:.0f} s of processor time); "
            "the ratio is of processor time per user, 1 = linear",
        ),
        Figure(
            what="peak memory of the process that planned them",
            figure=memory,
            unit="MB",
            yardstick=small_memory,
            against=f"after the first {quarter:,} users",
            bar="<= 500 MB",
            met=memory <= 500,
        ),
    ]


def _plan(users: int) -> tuple[float, float, float]:
    """Seconds of planning, seconds of processor time, and the peak memory (of this process so far)."""
    with empty_database() as (database, _folder):
        add_users(database, users)
        condition = {"country": {"$in": ["NL", "BR", "GB", "US"]}, "age": {"$gte": 18}}
        with database.transaction() as session:
            campaigns.create(
                session, CLOCK, actor="bench", document=campaign(audience={"condition": condition})
            )
            campaigns.start(session, CLOCK, actor="bench", key="bench")
        start, processor = time.perf_counter(), time.process_time()
        done = plan_tick(database, CLOCK, settings=Settings())
        taken, processor = time.perf_counter() - start, time.process_time() - processor
        if done.assigned != users:
            raise AssertionError(f"{done.assigned} of {users} users were assigned")
        return taken, processor, peak_megabytes()
