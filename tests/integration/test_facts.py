"""Facts against the same rows counted one by one in Python, on both databases, and translated for a third engine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlglot
from sqlalchemy import Select, insert, select, text
from sqlalchemy.dialects import postgresql

from analysis.facts import facts
from analysis.facts.engines import SessionFacts
from analysis.facts.facts import ExperimentFacts
from analysis.stats.aggregates import Aggregate
from delivery.models import Message
from experiments.database import Database
from experiments.metrics import MetricDefinition
from targeting.models import Event
from tests.integration.analysis_rows import (
    DAY,
    HOUR,
    START,
    VARIANTS,
    Assigned,
    Happened,
    outcomes,
    store,
)

WEEK = timedelta(days=7)
BOUGHT = MetricDefinition(kind="proportion", event="Order", window=WEEK)
ORDERS = MetricDefinition(kind="count", event="Order", window=WEEK, covariate=14 * DAY)
REVENUE = MetricDefinition(kind="mean", event="Order", value="revenue", window=WEEK, covariate=28 * DAY)
QUICK = MetricDefinition(kind="mean", event="Order", value="order total", window=2 * DAY)
VISITED = MetricDefinition(kind="proportion", event="Visit", window=3 * DAY, covariate=3 * DAY)
ALL = {"bought": BOUGHT, "orders": ORDERS, "revenue": REVENUE, "quick": QUICK, "visited": VISITED}
ODD_VALUES = (None, "12.5", "abc", True, [3], {"a": 1}, -7.25, 0, 3, 1e-3, -4)


def gather(
    database: Database, definitions: Mapping[str, MetricDefinition], *, as_of: datetime, experiment: int = 1
) -> ExperimentFacts:
    with database.snapshot() as session:
        return facts.gather(
            SessionFacts(session), experiment_id=experiment, definitions=definitions, as_of=as_of
        )


def random_rows(seed: int, *, centre: float = 0.0) -> tuple[list[Assigned], list[Happened]]:
    """Everything happens on the full hour, so that window edges are hit often."""
    rng = np.random.default_rng(seed)
    assigned = [
        Assigned(user, VARIANTS[rng.integers(3)], START + int(rng.integers(0, 72)) * HOUR)
        for user in range(1, 301)
    ]
    happened = []
    for _ in range(1500):
        properties: dict[str, Any] = {"order total": float(rng.normal(20, 5))}
        draw = rng.integers(20)
        if draw < len(ODD_VALUES):
            properties["revenue"] = ODD_VALUES[draw]
        elif draw > len(ODD_VALUES):
            properties["revenue"] = centre + float(rng.normal(0, 1))
        happened.append(
            Happened(
                int(rng.integers(1, 301)),
                ("Order", "Visit", "Other")[rng.integers(3)],
                START + int(rng.integers(-800, 260)) * HOUR,
                properties,
            )
        )
    return assigned, happened


def agrees(found: Aggregate, y: np.ndarray, x: np.ndarray) -> None:
    assert found.n == len(y)
    assert found.mean == pytest.approx(y.mean(), rel=1e-9, abs=1e-12)
    assert found.variance == pytest.approx(y.var(ddof=1), rel=1e-9)
    assert found.maximum == pytest.approx(y.max(), rel=1e-12)
    if x.size:
        assert found.mean_x == pytest.approx(x.mean(), rel=1e-9, abs=1e-12)
        assert found.variance_x == pytest.approx(x.var(ddof=1), rel=1e-9)
        assert found.covariance_xy == pytest.approx(np.cov(x, y)[0, 1], rel=1e-9, abs=1e-12)
    else:
        assert found.mean_x is None


@pytest.mark.parametrize("seed", [1, 2])
def test_every_moment_agrees_with_numpy(database: Database, seed: int) -> None:
    assigned, happened = random_rows(seed)
    store(database, assigned=assigned, happened=happened)
    as_of = START + 9 * DAY + 12 * HOUR  # some windows of 7 days are still open
    found = gather(database, ALL, as_of=as_of)
    for key, metric in ALL.items():
        for variant in VARIANTS:
            y, x = outcomes(metric, assigned, happened, as_of=as_of, variant=variant)
            assert len(y) > 20
            agrees(found.metrics[key][variant], y, x)
    mature = sum(arm.n for arm in found.metrics["bought"].values())
    assert mature < len(assigned) == sum(arm.n for arm in found.metrics["quick"].values())


def test_spread_survives_a_mean_far_from_zero(database: Database) -> None:
    rng = np.random.default_rng(5)
    values = 1e9 + rng.integers(-20, 20, size=(300, 2)) / 4  # exact in binary, so any loss is ours
    assigned = [Assigned(user, VARIANTS[user % 3], START) for user in range(1, 301)]
    happened = [
        Happened(user, "Order", START + when, {"revenue": float(values[user - 1, column])})
        for user in range(1, 301)
        for column, when in ((0, HOUR), (1, -HOUR))
    ]
    store(database, assigned=assigned, happened=happened)
    as_of = START + WEEK
    found = gather(database, {"revenue": REVENUE}, as_of=as_of)
    for variant in VARIANTS:
        y, x = outcomes(REVENUE, assigned, happened, as_of=as_of, variant=variant)
        agrees(found.metrics["revenue"][variant], y, x)


@pytest.mark.parametrize(
    ("when", "counted"),
    [
        (timedelta(microseconds=-1), 0),
        (timedelta(0), 1),
        (WEEK - timedelta(microseconds=1), 1),
        (WEEK, 0),
    ],
    ids=["just before the assignment", "with the assignment", "just inside", "at the window's end"],
)
def test_edges_of_the_window(database: Database, when: timedelta, counted: int) -> None:
    store(
        database, assigned=[Assigned(1, "coupon", START)], happened=[Happened(1, "Order", START + when, {})]
    )
    found = gather(database, {"orders": ORDERS}, as_of=START + WEEK).metrics["orders"]["coupon"]
    assert (found.n, found.mean) == (1, counted)
    assert found.mean_x == (1 if when < timedelta(0) else 0)


@pytest.mark.parametrize(
    ("before", "counted"), [(28 * DAY, 1), (28 * DAY + timedelta(microseconds=1), 0)], ids=["at", "outside"]
)
def test_edge_of_the_covariate(database: Database, before: timedelta, counted: int) -> None:
    store(
        database,
        assigned=[Assigned(1, "coupon", START)],
        happened=[Happened(1, "Order", START - before, {"revenue": 1})],
    )
    found = gather(database, {"revenue": REVENUE}, as_of=START + WEEK).metrics["revenue"]["coupon"]
    assert (found.mean, found.mean_x) == (0, counted)


def test_a_user_is_mature_at_the_very_end_of_its_window(database: Database) -> None:
    store(database, assigned=[Assigned(1, "coupon", START)], happened=[Happened(1, "Order", START, {})])
    early = gather(database, {"bought": BOUGHT}, as_of=START + WEEK - timedelta(microseconds=1))
    assert early.metrics["bought"] == {}
    assert early.arms["coupon"].assigned == {1: 1}
    assert gather(database, {"bought": BOUGHT}, as_of=START + WEEK).metrics["bought"]["coupon"].n == 1


def test_a_user_assigned_later_than_the_report_is_not_in_it(database: Database) -> None:
    store(database, assigned=[Assigned(1, "coupon", START), Assigned(2, "coupon", START + HOUR)])
    assert gather(database, {}, as_of=START).arms["coupon"].assigned == {1: 1}


def test_users_without_events_count_zero_and_an_arm_without_users_is_absent(database: Database) -> None:
    store(
        database,
        assigned=[Assigned(user, "coupon", START) for user in range(1, 11)],
        happened=[Happened(1, "Order", START + HOUR, {"revenue": 30})] * 3,
    )
    found = gather(database, ALL, as_of=START + 30 * DAY)
    assert set(found.metrics["revenue"]) == set(found.arms) == {"coupon"}
    assert found.metrics["bought"]["coupon"].mean == pytest.approx(0.1)
    assert found.metrics["orders"]["coupon"].mean == pytest.approx(0.3)
    assert found.metrics["revenue"]["coupon"].mean == pytest.approx(9)


def test_two_experiments_over_the_same_users_do_not_mix(database: Database) -> None:
    happened = [Happened(1, "Order", START + HOUR, {"revenue": 5}), Happened(1, "Order", START + 8 * DAY, {})]
    store(
        database,
        assigned=[
            Assigned(1, "coupon", START),
            Assigned(2, "silence", START),
            Assigned(1, "silence", START + 7 * DAY, experiment=2),
        ],
        happened=happened,
    )
    as_of = START + 30 * DAY
    first = gather(database, ALL, as_of=as_of)
    second = gather(database, ALL, as_of=as_of, experiment=2)
    assert (first.metrics["revenue"]["coupon"].mean, first.metrics["orders"]["coupon"].mean) == (5, 1)
    assert set(second.arms) == {"silence"}
    assert second.metrics["orders"]["silence"].mean == 1
    assert second.metrics["revenue"]["silence"].mean == 0
    assert second.metrics["revenue"]["silence"].mean_x == 5


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "1e200", "9" * 400])
def test_an_absurd_number_counts_nothing_and_breaks_nothing(database: Database, number: str) -> None:
    store(
        database,
        assigned=[Assigned(1, "coupon", START), Assigned(2, "coupon", START)],
        happened=[Happened(1, "Order", START, {}), Happened(2, "Order", START, {"revenue": 4})],
    )
    with database.transaction() as session:
        session.connection().execute(
            text(f"UPDATE events SET properties = '{{\"revenue\": {number}}}' WHERE user_pk = 1")
        )
    found = gather(database, {"revenue": REVENUE}, as_of=START + WEEK).metrics["revenue"]["coupon"]
    assert (found.n, found.mean, found.variance) == (2, pytest.approx(2), pytest.approx(8))


def test_messages_and_the_users_they_reached(database: Database) -> None:
    store(
        database,
        assigned=[Assigned(user, "coupon", START, epoch=1 + (user > 3)) for user in range(1, 6)]
        + [Assigned(6, "silence", START)],
    )
    hours = [START + i * HOUR for i in range(1, 6)]
    rows: list[dict[str, Any]] = [
        {"user_pk": 1, "step": 0, "state": "read", "accepted_at": hours[0], "read_at": hours[2], "clicked_at": hours[3]},
        {"user_pk": 1, "step": 1, "state": "delivered", "accepted_at": hours[0], "delivered_at": hours[1]},
        {"user_pk": 2, "step": 0, "state": "read", "read_at": hours[1]},  # the other statuses were lost
        {"user_pk": 3, "step": 0, "state": "failed", "accepted_at": hours[0], "failed_at": hours[1]},
        {"user_pk": 4, "step": 0, "state": "suppressed", "reason": "cap"},
        {"user_pk": 4, "step": 1, "state": "suppressed", "reason": "cap"},
        {"user_pk": 5, "step": 0, "state": "suppressed", "reason": "consent"},
        {"user_pk": 5, "step": 1, "state": "planned", "reason": "quiet hours"},
    ]  # fmt: skip
    with database.transaction() as session:
        for row in rows:
            session.connection().execute(
                insert(Message),
                {
                    "experiment_id": 1,
                    "variant": "coupon",
                    "category": "marketing",
                    "priority": 0,
                    "tries": 0,
                    "first_due_at": START,
                    "due_at": START,
                    **row,
                },
            )
    coupon = gather(database, {}, as_of=hours[4]).arms["coupon"]
    assert coupon.assigned == {1: 3, 2: 2}
    m, u = coupon.messages, coupon.reached
    assert (m.accepted, m.delivered, m.read, m.clicked) == (4, 3, 2, 1)
    assert (u.accepted, u.delivered, u.read, u.clicked) == (3, 2, 2, 1)
    assert m.suppressed == {"cap": 2, "consent": 1}
    silence = gather(database, {}, as_of=hours[4]).arms["silence"]
    assert silence.assigned == {1: 1}
    assert (silence.messages.accepted, silence.messages.suppressed) == (0, {})
    earlier = gather(database, {}, as_of=hours[1]).arms["coupon"]
    assert (earlier.messages.delivered, earlier.messages.read, earlier.reached.clicked) == (2, 1, 0)


class DuckFacts:
    """The queries as a warehouse would get them: rendered for PostgreSQL, then translated."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def fetch(self, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
        rendered = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        (translated,) = sqlglot.transpile(rendered, read="postgres", write="duckdb")
        found = self._connection.execute(translated)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def known(found: Aggregate) -> dict[str, float]:
    return {name: value for name, value in asdict(found).items() if value is not None}


def exported(database: Database) -> duckdb.DuckDBPyConnection:
    """The tables that facts read, copied to DuckDB with integer times and JSON documents."""
    copy = duckdb.connect()
    with database.snapshot() as session:
        for table in (facts.ASSIGNMENTS, facts.EVENTS, facts.MESSAGES):
            columns = []
            for column in table.c:
                kind = "JSON" if column.name in {"properties", "parameters"} else str(column.type)
                columns.append(f'"{column.name}" {"BIGINT" if kind == "DATETIME" else kind}')
            copy.execute(f"CREATE TABLE {table.name} ({', '.join(columns)})")
            names = ", ".join(f'CAST("{c.name}" AS TEXT)' for c in table.c)
            rows = [
                tuple(r)
                for r in session.connection().exec_driver_sql(f"SELECT {names} FROM {table.name}").fetchall()
            ]
            if rows:
                copy.executemany(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(columns))})", rows)
    return copy


def test_the_same_queries_give_the_same_numbers_on_duckdb(database: Database) -> None:
    assigned, happened = random_rows(3)
    store(database, assigned=assigned, happened=happened)
    as_of = START + 9 * DAY + 12 * HOUR
    here = gather(database, ALL, as_of=as_of)
    there = facts.gather(DuckFacts(exported(database)), experiment_id=1, definitions=ALL, as_of=as_of)
    assert there.arms == here.arms
    for key in ALL:
        for variant in VARIANTS:
            ours, theirs = here.metrics[key][variant], there.metrics[key][variant]
            assert theirs.n == ours.n
            assert known(theirs) == pytest.approx(known(ours), rel=1e-9, abs=1e-12)


def test_metrics_of_one_event_and_window_share_a_query() -> None:
    groups = facts.group_metrics(ALL)
    assert [[key for key, _ in group.metrics] for group in groups] == [
        ["bought", "orders", "revenue"],
        ["quick"],
        ["visited"],
    ]


def test_sqlite_finds_every_row_by_an_index(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    queries = [
        facts.arms_query(1, as_of=START),
        facts.suppressed_query(1),
        *(facts.metric_query(1, group, as_of=START) for group in facts.group_metrics(ALL)),
    ]
    with database.snapshot() as session:
        for query in queries:
            rendered = query.compile(database.engine, compile_kwargs={"literal_binds": True})
            plan = [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {rendered}")]
            tables = [line for line in plan if line.split()[1] in {"assignments", "events", "messages"}]
            assert tables
            assert all(line.startswith("SEARCH") and "INDEX" in line for line in tables), plan
        assert session.connection().execute(select(Event)).first() is None
    database.dispose()
