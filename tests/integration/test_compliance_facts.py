"""Who was reached, against the same rows counted one by one, on both databases and translated; and through the report."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from analysis.facts import facts
from analysis.facts.compliance_facts import compliance_query, gather_compliance
from analysis.facts.engines import SessionFacts
from analysis.reports import service
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.metrics import MetricDefinition
from tests.integration.analysis_rows import (
    DAY,
    HOUR,
    START,
    Assigned,
    Happened,
    design,
    enrolment,
    outcomes,
    store,
)
from tests.integration.test_facts import (
    BOUGHT,
    ORDERS,
    QUICK,
    REVENUE,
    DuckFacts,
    exported,
    known,
    random_rows,
)
from tests.integration.test_report import look, start

WEEK = timedelta(days=7)
PLAIN = {"bought": BOUGHT, "orders": ORDERS, "revenue": REVENUE, "quick": QUICK}
Arrival = tuple[int, datetime | None, datetime | None]
"""User, delivered at, read at."""


def deliver(database: Database, arrivals: list[Arrival], *, variant: str = "coupon") -> None:
    steps: dict[int, int] = {}
    rows = []
    for user, delivered, read in arrivals:
        steps[user] = steps.get(user, -1) + 1
        rows.append(
            {
                "experiment_id": 1, "user_pk": user, "variant": variant, "step": steps[user], "category": "marketing",
                "priority": 0, "tries": 0, "state": "read" if read else "delivered" if delivered else "failed",
                "first_due_at": START, "due_at": START, "delivered_at": delivered, "read_at": read,
            }
        )  # fmt: skip
    with database.transaction() as session:
        session.connection().execute(insert(Message), rows)


def random_arrivals(assigned: list[Assigned], seed: int) -> list[Arrival]:
    """For two thirds of the messaged users one to three messages, on the full hour, some after the window."""
    rng = np.random.default_rng(seed)
    arrivals: list[Arrival] = []
    for person in assigned:
        if person.variant == "silence" or rng.random() < 1 / 3:
            continue
        for _ in range(rng.integers(1, 4)):
            delivered = person.at + int(rng.integers(0, 260)) * HOUR
            kind = rng.integers(4)
            arrivals.append(
                (person.user, None if kind < 2 else delivered, delivered + HOUR if kind in (1, 2) else None)
            )
    return arrivals


def was_reached(person: Assigned, arrivals: list[Arrival], metric: MetricDefinition) -> float:
    end = person.at + metric.window
    times = [at for user, *both in arrivals if user == person.user for at in both if at is not None]
    return float(any(at < end for at in times))


def test_every_moment_agrees_with_numpy(database: Database) -> None:
    assigned, happened = random_rows(1, centre=40.0)
    store(database, assigned=assigned, happened=happened)
    arrivals = random_arrivals(assigned, 1)
    deliver(database, arrivals)
    as_of = START + 9 * DAY + 12 * HOUR
    with database.snapshot() as session:
        engine = SessionFacts(session)
        plain = facts.gather(engine, experiment_id=1, definitions=PLAIN, as_of=as_of).metrics
        found = gather_compliance(engine, experiment_id=1, definitions=PLAIN, as_of=as_of, found=plain)
    shares = set()
    for key, metric in PLAIN.items():
        for variant in ("silence", "reminder", "coupon"):
            one = found[key][variant]
            y, x = outcomes(metric, assigned, happened, as_of=as_of, variant=variant)
            people = [p for p in assigned if p.variant == variant and p.at + metric.window <= as_of]
            d = np.array([was_reached(p, arrivals, metric) for p in people])
            assert one.n == len(y) == len(d)
            assert one.mean == pytest.approx(plain[key][variant].mean, rel=1e-9)
            assert one.variance == pytest.approx(y.var(ddof=1), rel=1e-9)
            assert one.mean_d == pytest.approx(d.mean(), rel=1e-12)
            assert one.variance_d == pytest.approx(d.var(ddof=1), rel=1e-9, abs=1e-15)
            assert one.covariance_yd == pytest.approx(np.cov(y, d)[0, 1], rel=1e-9, abs=1e-11)
            if metric.covariate is not None:
                assert one.covariance_xy == pytest.approx(np.cov(x, y)[0, 1], rel=1e-9, abs=1e-11)
                assert one.covariance_dx == pytest.approx(np.cov(x, d)[0, 1], rel=1e-9, abs=1e-11)
            shares.add(round(float(d.mean()), 2))
    assert len(shares) > 3


def test_translated_the_query_gives_the_same_numbers(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    assigned, happened = random_rows(2)
    assigned, happened = assigned[:80], [each for each in happened if each.user <= 80]
    store(database, assigned=assigned, happened=happened)
    deliver(database, random_arrivals(assigned, 2))
    as_of = START + 9 * DAY
    with database.snapshot() as session:
        here, there = (
            gather_compliance(engine, experiment_id=1, definitions=PLAIN, as_of=as_of, found={})
            for engine in (SessionFacts(session), DuckFacts(exported(database)))
        )
    assert here.keys() == there.keys()
    for key, by_variant in here.items():
        for variant, one in by_variant.items():
            assert known(there[key][variant]) == pytest.approx(known(one), rel=1e-9, abs=1e-11)
    database.dispose()


@pytest.mark.parametrize(
    ("delivered", "read", "reached"),
    [
        (START, None, 1),
        (START + WEEK - timedelta(microseconds=1), None, 1),
        (START + WEEK, None, 0),
        (None, START + HOUR, 1),
        (START + WEEK, START + HOUR, 1),
        (None, None, 0),
    ],
)
def test_a_message_counts_inside_the_window_only(
    database: Database, delivered: datetime | None, read: datetime | None, reached: int
) -> None:
    store(database, assigned=[Assigned(1, "coupon", START)])
    deliver(database, [(1, delivered, read)])
    with database.snapshot() as session:
        found = gather_compliance(
            SessionFacts(session),
            experiment_id=1,
            definitions={"bought": BOUGHT},
            as_of=START + 2 * WEEK,
            found={},
        )
    assert (found["bought"]["coupon"].n, found["bought"]["coupon"].mean_d) == (1, reached)


def test_messages_of_other_experiments_reach_nobody(database: Database) -> None:
    store(database, assigned=[Assigned(1, "coupon", START, experiment=2), Assigned(1, "coupon", START)])
    deliver(database, [(1, START + HOUR, None)])
    with database.snapshot() as session:
        found = gather_compliance(
            SessionFacts(session),
            experiment_id=2,
            definitions={"bought": BOUGHT},
            as_of=START + WEEK,
            found={},
        )
    assert found["bought"]["coupon"].mean_d == 0


def campaign(**control: Any) -> dict[str, Any]:
    message = {"template": "spring", "language": "en_US"}
    return design(
        variants=[{"key": "silence", "control": True, **control}, {"key": "coupon", "message": message}],
        plan={"method": "fixed"},
    )


@pytest.mark.parametrize("silent", [True, False])
def test_a_report_tells_it_for_primary_metrics_against_silence(
    database: Database, clock: SteppedClock, silent: bool
) -> None:
    """400 users an arm; 300 of coupon are reached, of whom 120 buy; of everybody else a fifth."""
    assigned = [Assigned(i + 1, "coupon" if i < 400 else "silence", START) for i in range(800)]
    buyers = [*range(1, 121), *range(301, 321), *range(401, 481)]
    happened = [Happened(user, "Order", START + HOUR, {"revenue": 10.0}) for user in buyers]
    start(
        database,
        clock,
        campaign() if silent else campaign(message={"template": "spring", "language": "en_US"}),
    )
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=800, finished_at=START)
    deliver(database, [(user, START + HOUR, None) for user in range(1, 301)])
    clock.advance(8 * DAY)
    body = look(database, clock).body
    effects = {metric["metric"]: metric["effects"][0] for metric in body["metrics"]}
    assert effects["bought"]["absolute"]["estimate"] == pytest.approx(0.15)
    assert effects["revenue"]["cace"] is None
    if not silent:
        assert effects["bought"]["cace"] is None
        return
    assert effects["bought"]["cace"]["estimate"] == pytest.approx(0.15 / 0.75)
    assert 0 < effects["bought"]["cace"]["lower"] < 0.2 < effects["bought"]["cace"]["upper"]
    assert any("bought, coupon 75.0%" in note for note in body["notes"])
    with database.snapshot() as session:
        assert service.prepare(session, clock, key="spring").body == body


def test_sqlite_finds_every_row_by_an_index(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    (group, *_) = facts.group_metrics(PLAIN)
    centres = [(0.0, 0.0)] * len(group.metrics)
    with database.snapshot() as session:
        query = compliance_query(1, group, as_of=START, centres=centres)
        rendered = query.compile(database.engine, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {rendered}")]
    tables = [line for line in plan if line.split()[1] in {"assignments", "events", "messages"}]
    assert len(tables) == 4
    assert all(line.startswith("SEARCH") and "INDEX" in line for line in tables), plan
    database.dispose()
