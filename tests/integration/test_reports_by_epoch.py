"""Reports of experiments whose weights have changed, on both databases: against numbers worked out by hand and over rows."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from analysis.facts.engines import SessionFacts
from analysis.facts.epoch_facts import gather_epochs
from analysis.reports import history
from analysis.reports.models import StoredReport
from analysis.reports.replay import replay
from analysis.reports.report_html import render_html
from analysis.reports.segment_reports import segment_report
from analysis.warehouse.export import export_facts
from experiments import service as campaigns
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.metrics import MetricDefinition
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, enrolment, epoch, store
from tests.integration.test_report import look, start, two_arms
from tests.integration.warehouse_rows import opened

BOUGHT = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "7d"}
REVENUE = {
    "key": "revenue",
    "role": "secondary",
    "kind": "mean",
    "event": "Order",
    "value": "revenue",
    "window": "7d",
}
OTHERS: list[dict[str, Any]] = [
    {"key": "per_order", "role": "secondary", "kind": "ratio", "window": "7d",
     "numerator": {"event": "Order", "value": "revenue"}, "denominator": {"event": "Order"}},
    {"key": "median", "role": "secondary", "kind": "quantile", "level": 0.5, "event": "Order", "value": "revenue", "window": "7d"},
]  # fmt: skip
CELLS = {
    (1, "silence"): (200, 20),
    (1, "coupon"): (200, 30),
    (2, "silence"): (80, 16),
    (2, "coupon"): (320, 80),
}
"""Users and buyers: 50:50 while 12.5 % buy, then 20:80 while 24 % do. Pooled, the coupon has 21 % against 13 %."""


def drawn() -> tuple[list[Assigned], list[Happened]]:
    assigned, happened = [], []
    for (number, variant), (users, buyers) in CELLS.items():
        for i in range(users):
            user = len(assigned) + 1
            at = START + (number - 1) * DAY
            assigned.append(Assigned(user, variant, at, epoch=number))
            if i < buyers:
                happened.append(Happened(user, "Order", at + HOUR, {"revenue": 10.0 + (i % 7)}))
    return assigned, happened


def changed(
    database: Database, clock: SteppedClock, *, metrics: list[dict[str, Any]], known: int = 2, **plan: Any
) -> StoredReport:
    key = start(database, clock, two_arms(metrics=metrics, plan={"method": "fixed", **plan}))
    assigned, happened = drawn()
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=len(assigned), finished_at=START + DAY)
    if known > 1:
        epoch(database, 2, {"silence": 0.2, "coupon": 0.8})
    clock.advance(9 * DAY)
    return look(database, clock, key)


def weights() -> np.ndarray:
    b = np.sqrt(np.array([400 * 200 * 200 / 400, 400 * 80 * 320 / 400]))
    return b / b.sum()


def test_shares_by_epoch_by_hand(database: Database, clock: SteppedClock) -> None:
    body = changed(database, clock, metrics=[BOUGHT]).body
    (metric,) = body["metrics"]
    (effect,) = metric["effects"]
    b, delta, rate = weights(), np.array([0.15 - 0.10, 0.25 - 0.20]), np.array([50 / 400, 96 / 400])
    error = math.sqrt(float((b**2 * rate * (1 - rate) * np.array([1 / 100, 1 / 80 + 1 / 320])).sum()))
    assert effect["test"] == "score_by_epoch"
    assert effect["absolute"]["estimate"] == pytest.approx(float(b @ delta), rel=1e-12) == pytest.approx(0.05)
    assert effect["p_value"] == pytest.approx(2 * stats.norm.sf(0.05 / error), rel=1e-9)
    for end, side in (("lower", 1), ("upper", -1)):
        d = effect["absolute"][end]
        q = (np.array([50.0, 96.0]) - np.array([200, 320]) * d) / 400
        parts = q * (1 - q) / np.array([200, 80]) + (q + d) * (1 - q - d) / np.array([200, 320])
        assert (0.05 - d) / math.sqrt(float(b**2 @ parts)) == pytest.approx(
            side * stats.norm.isf(0.025), rel=1e-9
        )
    control = float(b @ [0.10, 0.20])
    assert effect["relative"]["estimate"] == pytest.approx(0.05 / control, rel=1e-12)
    assert effect["significant"] is (effect["p_value"] < 0.05)
    # Every epoch had 400 users, so the arms' means count both alike; pooled, the coupon would have 21 % and silence 13 %.
    means = {arm["variant"]: arm["mean"] for arm in metric["arms"]}
    assert means == {"silence": pytest.approx(0.15), "coupon": pytest.approx(0.20)}
    assert [arm["n"] for arm in metric["arms"]] == [280, 520]


def test_the_reader_is_told_which_estimator_and_why(database: Database, clock: SteppedClock) -> None:
    body = changed(database, clock, metrics=[BOUGHT]).body
    (told,) = [each for each in body["warnings"] if "different weights over time" in each]
    for words in ("compared by itself", "not compared as one pool", "epoch 2: silence 0.2, coupon 0.8"):
        assert words in told
    checks = {check["check"]: check for check in body["health"]}
    assert (checks["weights_changed"]["ok"], checks["weights_changed"]["blocking"]) == (True, False)
    # 280 of 800 are what the logged chances promise: a mean of 0.5 and 0.2.
    assert "expected 280.0, 520.0" in checks["srm"]["detail"]
    assert body["decision"]["rule"] != "health"
    assert any("AW-AIPW" in note for note in body["notes"])
    assert "Weights changed while it ran" in render_html(body)


def test_means_by_epoch_are_those_of_the_rows(database: Database, clock: SteppedClock) -> None:
    body = changed(database, clock, metrics=[BOUGHT, REVENUE]).body
    effect = body["metrics"][1]["effects"][0]
    assigned, happened = drawn()
    spent = {event.user: event.properties["revenue"] for event in happened}
    cells = {
        cell: np.array([spent.get(p.user, 0.0) for p in assigned if (p.epoch, p.variant) == cell])
        for cell in CELLS
    }
    b = weights()
    delta = np.array([cells[t, "coupon"].mean() - cells[t, "silence"].mean() for t in (1, 2)])
    parts = np.array(
        [[cells[t, v].var(ddof=1) / len(cells[t, v]) for v in ("silence", "coupon")] for t in (1, 2)]
    )
    parts = b[:, None] ** 2 * parts
    shared = np.array([
        np.concatenate([cells[t, v] - cells[t, v].mean() for v in ("silence", "coupon")]).var(ddof=2) for t in (1, 2)
    ])  # fmt: skip
    square = max(parts.sum(), float((b**2 * shared * np.array([1 / 200 + 1 / 200, 1 / 80 + 1 / 320])).sum()))
    free = np.array([[199, 199], [79, 319]])
    freedom = parts.sum() ** 2 / (parts**2 / free).sum()
    half = -special.stdtrit(freedom, 0.025) * math.sqrt(square)
    assert effect["test"] == "welch_by_epoch"
    assert effect["absolute"]["estimate"] == pytest.approx(float(b @ delta), rel=1e-9)
    assert effect["absolute"]["upper"] - effect["absolute"]["estimate"] == pytest.approx(half, rel=1e-9)


def test_what_is_not_told_by_epoch_is_refused_with_a_reason(database: Database, clock: SteppedClock) -> None:
    body = changed(database, clock, metrics=[BOUGHT, *OTHERS]).body
    for metric in body["metrics"][1:]:
        (effect,) = metric["effects"]
        for name in ("absolute", "relative", "p_value", "adjusted_p_value", "significant", "bayes", "cace"):
            assert effect[name] is None, (metric["metric"], name)
        assert any(
            f"{metric['metric']}, coupon against silence: weights have changed" in each
            and metric["kind"] in each
            for each in body["warnings"]
        )


def test_without_the_weights_of_an_epoch_nothing_is_compared(database: Database, clock: SteppedClock) -> None:
    body = changed(database, clock, metrics=[BOUGHT], known=1).body
    (effect,) = body["metrics"][0]["effects"]
    assert (effect["absolute"], effect["p_value"], effect["significant"]) == (None, None, None)
    assert any(
        "the chances that users of epoch 2 were drawn with are not known" in each for each in body["warnings"]
    )
    assert body["decision"]["rule"] == "health"


def test_a_report_by_epoch_is_made_again_byte_for_byte(database: Database, clock: SteppedClock) -> None:
    report = changed(database, clock, metrics=[BOUGHT, REVENUE, *OTHERS], method="spending")
    document = json.loads(json.dumps(history.exported(report)))
    assert replay(document).same
    (silence, _) = document["inputs"]["data"]["arms"]
    assert [(each["epoch"], each["users"], each["propensity"]) for each in silence["epochs"]["bought"]] == [
        (1, 400, 0.5), (2, 400, 0.2),
    ]  # fmt: skip
    silence["epochs"]["bought"][1]["propensity"] = 0.25
    assert replay(document).altered == ("data",)


def test_slices_are_not_told_from_pooled_arms(database: Database, clock: SteppedClock) -> None:
    report = changed(database, clock, metrics=[BOUGHT])
    (metric,) = segment_report(database, report, by="day").metrics
    for each in metric.slices:
        if each.n_control >= 100:
            assert each.effect.absolute is None
            assert any("not told by epoch" in reason for reason in each.reasons)
    assert [each.differs for each in metric.heterogeneity] == [None]


def test_weights_set_by_hand_and_back_again(database: Database, clock: SteppedClock) -> None:
    """What `set_weights` opens is what the report goes by; epochs in which nobody came do not count."""
    key = start(database, clock, two_arms(metrics=[BOUGHT], plan={"method": "fixed"}))
    for share in (0.2, 0.5):
        with database.transaction() as session:
            campaigns.set_weights(
                session,
                clock,
                actor="ann",
                key=key,
                weights={"silence": share, "coupon": 1 - share},
                reason="test",
            )
    assigned, happened = drawn()
    store(
        database,
        assigned=[Assigned(p.user, p.variant, p.at, epoch=1) for p in assigned[:400]],
        happened=happened[:50],
    )
    clock.advance(9 * DAY)
    effect = look(database, clock, key).body["metrics"][0]["effects"][0]
    assert effect["test"] == "welch"


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_copy_tells_the_same_by_epoch(
    database: Database, clock: SteppedClock, tmp_path: Path, form: str
) -> None:
    changed(database, clock, metrics=[BOUGHT, REVENUE])
    definitions = {
        use["key"]: MetricDefinition.model_validate(
            {k: v for k, v in use.items() if k not in ("key", "role")}
        )
        for use in (BOUGHT, REVENUE)
    }
    export_facts(database, clock, folder=tmp_path / "copy", format_=form)
    engine = opened(f"duckdb:///{tmp_path / 'copy'}")
    with database.snapshot() as session:
        ours = gather_epochs(
            SessionFacts(session), experiment_id=1, definitions=definitions, as_of=clock.now()
        )
    theirs = gather_epochs(engine, experiment_id=1, definitions=definitions, as_of=clock.now())
    engine.dispose()
    assert ours["bought"][2]["coupon"].n == 320
    assert {key: set(value) for key, value in theirs.items()} == {"bought": {1, 2}, "revenue": {1, 2}}
    for key, by_number in ours.items():
        for number, by_variant in by_number.items():
            for variant, value in by_variant.items():
                other = theirs[key][number][variant]
                assert (other.n, other.mean, other.variance) == pytest.approx(
                    (value.n, value.mean, value.variance)
                )
