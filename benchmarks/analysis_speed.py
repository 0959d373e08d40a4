"""What happened: a report against hand-written SQL and against tea-tasting, certifying, and comparisons of two arms."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import tea_tasting
from pyarrow import parquet
from scipy import stats

from analysis.certification.certify_sources import certify_experiment, certify_file
from analysis.facts import facts
from analysis.facts.engines import SessionFacts
from analysis.files.files import analyze_file
from analysis.reports import service as reports
from analysis.stats import comparisons as many
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
WHOLE: Final = 1_000_000
"""Users of the bar."""
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
    return _report(say, users, events, repeats)[:1]


@benchmark("report_whole", on_request=True)
def report_of_a_million(say: Say) -> Sequence[Figure]:
    """The same at the size that the bar names."""
    return _report(say, WHOLE, 5 * WHOLE, 1)


def _report(say: Say, users: int, events: int, repeats: int) -> Sequence[Figure]:
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
        certified = 0.0
        if users >= WHOLE:
            with database.snapshot() as session:
                certified = seconds(lambda: certify_experiment(session, CLOCK, key="bench"))
            say(f"certify {certified:.1f} s")
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
            note=("" if users >= WHOLE else "a tenth of the bar's size; ")
            + f"the queries alone {only_facts:.2f} s; means "
            + ("agree with the SQL" if same else "DIFFER from the SQL"),
        ),
        Figure(
            what=f"certify: 10,000 re-randomisations of the same {users:,} users, 3 arms, 5 metrics with CUPED",
            figure=certified,
            unit="s",
            bar="< 60 s",
            met=certified < 60,
            note="queries included; once",
        ),
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
            if (
                not isinstance(aggregate, Aggregate)
                or aggregate.n != n
                or not np.allclose((aggregate.mean, aggregate.variance), (y / n, variance), rtol=1e-9)
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


@benchmark("analyze")
def table_of_a_million(say: Say, *, rows: int = 1_000_000, repeats: int = 3) -> Sequence[Figure]:
    """From a Parquet file to results: five metrics with CUPED, ours (checks, health, decision) against tea-tasting's."""
    metrics = [
        "bought=proportion:bought",
        "per_order=ratio:y0/orders",
        *(f"m{i}=mean:y{i}" for i in range(3)),
    ]
    covariates = ["bought=bought_before", *(f"m{i}=x{i}" for i in range(3))]
    experiment = tea_tasting.Experiment(
        {
            "bought": tea_tasting.Mean("bought", "bought_before"),
            "per_order": tea_tasting.RatioOfMeans("y0", "orders"),
            **{f"m{i}": tea_tasting.Mean(f"y{i}", f"x{i}") for i in range(3)},
        },
        variant="arm",
    )
    with TemporaryDirectory(prefix="touchstone-bench-") as folder:
        path = Path(folder) / "table.parquet"
        parquet.write_table(_table(rows), path)
        answers: dict[str, Any] = {}

        def ours() -> float:
            return seconds(
                lambda: answers.update(
                    ours=analyze_file(
                        path, variant="arm", control="A", metrics=metrics, covariates=covariates
                    )
                )
            )

        def theirs() -> float:
            return seconds(
                lambda: answers.update(theirs=experiment.analyze(parquet.read_table(path), control="A"))
            )

        ours()
        theirs()
        mine, yours, times = alternating(ours, theirs, repeats)
    say(f"ours {mine:.2f} s, tea-tasting {yours:.2f} s")
    found = next(metric for metric in answers["ours"].metrics if metric.metric == "per_order").effects[0]
    same = found.absolute is not None and np.isclose(
        found.absolute.estimate, answers["theirs"]["per_order"].effect_size, rtol=1e-9
    )
    return [
        Figure(
            what=f"analyze: {rows:,} rows of Parquet, 5 metrics, 4 with CUPED",
            figure=mine,
            unit="s",
            yardstick=yours,
            against="tea-tasting on the same file, read with pyarrow",
            ratio=1 / times,
            bar="not slower (ratio >= 1)",
            met=bool(same) and times <= 1,
            note="ours checks every value, and the sizes of the arms; the ratio metric "
            + ("agrees" if same else "DIFFERS"),
        )
    ]


def _table(rows: int) -> Any:
    rng = np.random.default_rng(1)
    x = rng.gamma(2, 1, (3, rows))
    y = 0.5 * x + rng.gamma(2, 1, (3, rows))
    return pa.table(
        {
            "arm": np.array(["A", "B"])[rng.integers(0, 2, rows)],
            **{f"y{i}": y[i] for i in range(3)},
            **{f"x{i}": x[i] for i in range(3)},
            "orders": 1.0 + rng.poisson(1, rows),
            "bought": (rng.random(rows) < 0.1).astype(float),
            "bought_before": (rng.random(rows) < 0.1).astype(float),
        }
    )


@benchmark("certify")
def certified_file(say: Say, *, rows: int = 100_000) -> Sequence[Figure]:
    """Ten thousand re-randomisations of a file, queries and verdicts included."""
    with TemporaryDirectory(prefix="touchstone-bench-") as folder:
        path = Path(folder) / "table.parquet"
        parquet.write_table(_table(rows), path)
        taken = seconds(
            lambda: certify_file(
                path,
                variant="arm",
                metrics=["bought=proportion:bought", "m0=mean:y0", "per_order=ratio:y1/orders"],
                covariates=["m0=x0"],
            )
        )
    say(f"{taken:.1f} s")
    return [
        Figure(
            what=f"certify: 10,000 re-randomisations of a file, {rows:,} users, 3 metrics, no two users alike",
            figure=taken,
            unit="s",
            bar="< 60 s",
            met=taken < 60,
            note="once",
        )
    ]


@benchmark("comparisons")
def comparisons(say: Say, *, count: int = 20_000, one_by_one: int = 1_000) -> Sequence[Figure]:
    """Two-arm comparisons (p-value and interval, with CUPED): many at once, and one by one, against scipy's t test."""
    rng = np.random.default_rng(1)
    arms = [
        Aggregate(n=1000, mean=1 + x, variance=4 + x, mean_x=1.0, variance_x=2.0 + x, covariance_xy=1.0)
        for x in rng.random(count + 1).tolist()
    ]
    controls, treatments = many.arms_of(arms[:-1]), many.arms_of(arms[1:])
    few = arms[: one_by_one + 1]

    def at_once() -> None:
        effects = many.differences(controls, treatments)
        many.p_values(effects)
        many.absolute(effects, 0.05)

    def ours() -> None:
        for control, treatment in pairwise(few):
            effect = difference(control, treatment)
            p_value(effect)
            absolute(effect, 0.05)

    def scipys_at_once() -> None:
        means, spreads = [np.asarray(m) for m in zip(*((a.mean, a.variance**0.5) for a in arms), strict=True)]
        stats.ttest_ind_from_stats(
            means[1:], spreads[1:], 1000, means[:-1], spreads[:-1], 1000, equal_var=False
        )

    def scipys() -> None:
        for a, b in pairwise(few):
            stats.ttest_ind_from_stats(
                b.mean, b.variance**0.5, b.n, a.mean, a.variance**0.5, a.n, equal_var=False
            )

    mine, theirs = median_seconds(at_once, 15), median_seconds(scipys_at_once, 15)
    begun = time.process_time()
    at_once()
    processor = time.process_time() - begun
    alone, theirs_alone = median_seconds(ours), median_seconds(scipys)
    say(f"{count / mine:,.0f} a second at once, {one_by_one / alone:,.0f} one by one")
    return [
        Figure(
            what=f"two-arm comparisons with CUPED, {count:,} at once",
            figure=count / mine,
            unit="/s",
            yardstick=count / theirs,
            against="scipy.stats.ttest_ind_from_stats at once (p-value only, no CUPED)",
            ratio=theirs / mine,
            bar=">= 200,000/s, vectorised",
            met=count / mine >= 200_000,
            note=f"{count / processor:,.0f} a second of processor time",
        ),
        Figure(
            what="two-arm comparisons with CUPED, one by one",
            figure=one_by_one / alone,
            unit="/s",
            yardstick=one_by_one / theirs_alone,
            against="the same of scipy, one by one",
            ratio=theirs_alone / alone,
        ),
    ]
