"""What happened: a report against hand-written SQL, and comparisons of two arms."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
from scipy import stats

from analysis import facts
from analysis import service as reports
from analysis.engines import SessionFacts
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import absolute, difference, p_value
from benchmarks.figures import Figure, Say, alternating, benchmark, median_seconds, seconds
from benchmarks.stage import CLOCK, add_users, campaign, empty_database, plain_connection
from experiments.clock import to_micros
from experiments.database import Database
from targeting import campaigns

ORDER: Final = {"event": "Order", "window": "7d", "covariate": "28d"}
METRICS: Final[list[dict[str, Any]]] = [
    {"key": "bought", "role": "primary", "kind": "proportion", **ORDER},
    {"key": "orders", "role": "secondary", "kind": "count", **ORDER},
    {"key": "revenue", "role": "secondary", "kind": "mean", "value": "revenue", **ORDER},
    {"key": "items", "role": "secondary", "kind": "mean", "value": "items", **ORDER},
    {
        "key": "visits",
        "role": "secondary",
        "kind": "count",
        "event": "Visited",
        "window": "7d",
        "covariate": "28d",
    },
]
DAY: Final = 86_400_000_000
_ONE: Final = """
WITH per_user AS (
  SELECT a.variant AS variant, {columns}
  FROM assignments a LEFT JOIN events e
    ON e.user_pk = a.user_pk AND e.name = :name AND e.at >= a.assigned_at - 28 * {day} AND e.at < a.assigned_at + 7 * {day}
  WHERE a.experiment_id = 1 AND a.assigned_at <= :now - 7 * {day}
  GROUP BY a.user_pk)
SELECT variant, count(*), {sums} FROM per_user GROUP BY variant ORDER BY variant"""


def _by_hand(values: Sequence[str]) -> str:
    """The query that somebody who knows this table writes: one pass per event; `values` are what an event counts."""
    columns, sums = [], []
    for i, value in enumerate(values):
        function = "max" if value == "any" else "sum"
        amount = (
            "1.0" if value in ("any", "one") else f"coalesce(json_extract(e.properties, '$.{value}'), 0.0)"
        )
        columns.append(f"{function}(CASE WHEN e.at >= a.assigned_at THEN {amount} ELSE 0.0 END) AS y{i}")
        columns.append(f"{function}(CASE WHEN e.at < a.assigned_at THEN {amount} ELSE 0.0 END) AS x{i}")
        sums += [f"sum(y{i})", f"sum(y{i} * y{i})", f"sum(x{i})", f"sum(x{i} * x{i})", f"sum(x{i} * y{i})"]
    return _ONE.format(columns=", ".join(columns), sums=", ".join(sums), day=DAY)


BY_HAND: Final = {
    "Order": _by_hand(["any", "one", "revenue", "items"]),
    "Visited": _by_hand(["one"]),
}


@benchmark("report")
def report_of_many(
    say: Say, *, users: int = 100_000, events: int = 500_000, repeats: int = 3
) -> Sequence[Figure]:
    """A whole report (five metrics with CUPED, health, decision) against the same sums in SQL written by hand."""
    with empty_database() as (database, _folder):
        _fill(database, users, events)
        say(f"{users:,} users and {events:,} events are in")
        now = CLOCK.now()
        answers: dict[str, Any] = {}

        def ours() -> float:
            with database.snapshot() as session:
                return seconds(lambda: answers.update(ours=reports.prepare(session, CLOCK, key="bench")))

        def gathered() -> float:
            with database.snapshot() as session:
                return seconds(
                    lambda: answers.update(
                        facts=facts.gather(
                            SessionFacts(session),
                            experiment_id=1,
                            definitions=_definitions(session),
                            as_of=now,
                        )
                    )
                )

        def plain() -> float:
            with plain_connection(database) as connection:
                return seconds(lambda: answers.update(plain=_sums(connection, to_micros(now))))

        whole, hand, times = alternating(ours, plain, repeats)
        only_facts = gathered()
        say(f"report {whole:.2f} s, by hand {hand:.2f} s")
        same = _agree(answers["facts"], answers["plain"])
    return [
        Figure(
            what=f"report: {users:,} users, {events:,} events, 5 metrics with CUPED",
            figure=whole,
            unit="s",
            yardstick=hand,
            against="hand-written SQL for the same sums",
            ratio=1 / times,
            bar="<= 2x the time (ratio >= 0.5)",
            met=same and times <= 2,
            note=f"a tenth of the bar's size; the queries alone {only_facts:.2f} s; means "
            + ("agree with the SQL" if same else "DIFFER from the SQL"),
        )
    ]


def _definitions(session: Any) -> Any:
    from experiments.repository import get_experiment
    from experiments.service import design_of

    return design_of(get_experiment(session, "bench")).metric_definitions()


def _sums(connection: sqlite3.Connection, now: int) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: connection.execute(query, {"name": name, "now": now}).fetchall()
        for name, query in BY_HAND.items()
    }


def _agree(found: facts.ExperimentFacts, plain: dict[str, list[tuple[Any, ...]]]) -> bool:
    places = [
        ("bought", "Order", 0),
        ("orders", "Order", 1),
        ("revenue", "Order", 2),
        ("items", "Order", 3),
        ("visits", "Visited", 0),
    ]
    for key, event, i in places:
        for row in plain[event]:
            aggregate, n, (y, yy) = found.metrics[key][row[0]], row[1], row[2 + 5 * i : 4 + 5 * i]
            variance = (yy - y * y / n) / (n - 1)
            if aggregate.n != n or not np.allclose(
                (aggregate.mean, aggregate.variance), (y / n, variance), rtol=1e-9
            ):
                return False
    return True


def _fill(database: Database, users: int, events: int) -> None:
    add_users(database, users)
    start = to_micros(CLOCK.now() - timedelta(days=10))
    rng = np.random.default_rng(1)
    with database.transaction() as session:
        campaigns.create(session, CLOCK, actor="bench", document=campaign(metrics=METRICS))
        campaigns.start(session, CLOCK, actor="bench", key="bench")
    who = rng.integers(1, users + 1, events)
    at = start + rng.integers(-27 * DAY, 7 * DAY, events)
    is_order = rng.random(events) < 0.5
    revenue = np.round(rng.lognormal(3, 1, events), 2)

    def rows() -> Iterator[tuple[Any, ...]]:
        for i, (user, moment, order, money) in enumerate(
            zip(who.tolist(), at.tolist(), is_order.tolist(), revenue.tolist(), strict=True)
        ):
            properties = json.dumps({"revenue": money, "items": 1 + i % 5}) if order else "{}"
            yield f"m{i}", user, "Order" if order else "Visited", moment, moment, properties

    with plain_connection(database) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO assignments (experiment_id, user_pk, variant, epoch, propensity, assigned_at, planned_at) "
            "VALUES (1, ?, ?, 1, 0.333333, ?, ?)",
            ((i, ("silence", "reminder", "coupon")[i % 3], start, start) for i in range(1, users + 1)),
        )
        connection.executemany(
            "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) VALUES (?, ?, ?, ?, ?, ?)",
            rows(),
        )
        connection.execute("COMMIT")
        connection.execute("ANALYZE")


@benchmark("comparisons")
def comparisons(say: Say, *, count: int = 200) -> Sequence[Figure]:
    """Two-arm comparisons (p-value and interval, with CUPED) one by one, against scipy's t test from statistics."""
    rng = np.random.default_rng(1)
    arms = [
        Aggregate(n=1000, mean=1 + x, variance=4 + x, mean_x=1.0, variance_x=2.0 + x, covariance_xy=1.0)
        for x in rng.random(count + 1).tolist()
    ]

    def ours() -> None:
        for control, treatment in pairwise(arms):
            effect = difference(control, treatment)
            p_value(effect)
            absolute(effect, 0.05)

    def scipys() -> None:
        for a, b in pairwise(arms):
            stats.ttest_ind_from_stats(
                b.mean, b.variance**0.5, b.n, a.mean, a.variance**0.5, a.n, equal_var=False
            )

    mine, theirs = median_seconds(ours), median_seconds(scipys)
    say(f"{count / mine:,.0f} a second")
    return [
        Figure(
            what="two-arm comparisons, one by one",
            figure=count / mine,
            unit="/s",
            yardstick=count / theirs,
            against="scipy.stats.ttest_ind_from_stats (p-value only)",
            ratio=theirs / mine,
            bar=">= 200,000/s, vectorised",
            met=count / mine >= 200_000,
            note="analysis.stats has no vectorised comparison yet; a report needs a few dozen",
        )
    ]
