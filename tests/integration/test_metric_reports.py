"""Reports over metrics of every kind, and over data that cannot tell: null with a reason, never a crash."""

import json
from typing import Any

import numpy as np
import pytest

from analysis.facts import facts
from analysis.reports.service import refresh_report
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.metrics import MetricDefinition
from tests.integration.analysis_rows import (
    DAY,
    HOUR,
    START,
    VARIANTS,
    Assigned,
    Happened,
    design,
    epoch,
    store,
)
from tests.integration.test_facts import DuckFacts, exported, known
from tests.integration.test_metric_kinds import AS_OF, METRICS, World, gather, random_world, store_world

PRIMARY = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "7d"}


def report(
    database: Database, clock: SteppedClock, *metrics: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """The report of experiment 1 with these metrics beside the primary one."""
    from experiments.design import read_design
    from experiments.models import Experiment

    document = design(metrics=[PRIMARY, *metrics], **changes)
    with database.transaction() as session:
        row = session.get(Experiment, 1)
        assert row is not None
        row.definition = read_design(document, library={}).model_dump(mode="json")
        row.key, row.started_at = "spring", START
    epoch(database, 1, {each["key"]: 1 / len(document["variants"]) for each in document["variants"]})
    clock.advance(AS_OF - clock.now())
    with database.transaction() as session:
        body = refresh_report(session, clock, key="spring").body
    text = json.dumps(body, allow_nan=False)
    assert "NaN" not in text
    return json.loads(text)  # type: ignore[no-any-return]


def finding(body: dict[str, Any], key: str) -> dict[str, Any]:
    return next(metric for metric in body["metrics"] if metric["metric"] == key)


def test_a_report_compares_every_kind(database: Database, clock: SteppedClock) -> None:
    store_world(database, random_world(7, users=600))
    metrics = [
        {
            "key": key.replace(" ", "-"),
            "role": "secondary",
            **METRICS[key].model_dump(mode="json", exclude_none=True),
        }
        for key in ("sum", "per order", "p90", "came back", "cut", "reads")
    ]
    built_in = [
        {"key": key, "role": "secondary"} for key in ("delivered", "read", "clicked", "replied", "cost")
    ]
    body = report(
        database, clock, *metrics, *built_in, {"key": "blocked", "role": "guardrail", "margin": 0.01}
    )
    for metric in body["metrics"]:
        for effect in metric["effects"]:
            assert effect["absolute"] is not None, metric["metric"]
            assert 0 <= effect["p_value"] <= 1
    tests = {metric["metric"]: metric["effects"][0]["test"] for metric in body["metrics"]}
    assert (tests["p90"], tests["per-order"], tests["sum"]) == ("order_statistics", "welch", "welch")
    assert finding(body, "came-back")["kind"] == "retention"
    assert finding(body, "per-order")["effects"][0]["variance_reduction"] is not None
    delivered = {arm["variant"]: arm["mean"] for arm in finding(body, "delivered")["arms"]}
    assert delivered["silence"] == 0
    assert delivered["coupon"] > 0


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"kind": "ratio", "numerator": {"event": "Order"}, "denominator": {"event": "Nothing"}}, "the denominator is 0"),
        ({"kind": "quantile", "level": 0.5, "event": "Order"}, "tied at the 0.5 quantile"),
        ({"kind": "quantile", "level": 0.999, "event": "Order"}, "too few for an interval of the 0.999 quantile"),
        ({"kind": "sum", "event": "Order", "value": "note"}, "no outcome varies"),
        ({"kind": "count", "event": "Nothing"}, "no outcome varies"),
        ({"kind": "retention", "event": "Nothing", "after": "5d", "window": "9d"}, ""),
        ({"kind": "count", "event": "Order", "cap": {"quantile": 0.1}}, "no outcome varies"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_told_is_null_with_a_reason(
    database: Database, clock: SteppedClock, metric: dict[str, Any], reason: str
) -> None:
    assigned = [Assigned(user, VARIANTS[user % 3], START) for user in range(1, 91)]
    happened = [Happened(user, "Order", START + HOUR, {"note": "12"}) for user in range(1, 91, 5)]
    store(database, assigned=assigned, happened=happened)
    body = report(database, clock, {"key": "odd", "role": "secondary", "window": "7d", **metric})
    for effect in finding(body, "odd")["effects"]:
        assert (effect["p_value"], effect["relative"]) == (None, None)
        assert any(
            line.startswith(f"odd, {effect['variant']} against silence: ") and reason in line
            for line in body["warnings"]
        )
    assert finding(body, "bought")["effects"][0]["p_value"] is not None


def test_a_quantile_of_an_empty_arm_and_of_one_user(database: Database, clock: SteppedClock) -> None:
    assigned = [Assigned(user, "silence", START) for user in range(1, 41)] + [Assigned(41, "reminder", START)]
    happened = [Happened(user, "Order", START + HOUR, {"revenue": user}) for user in range(1, 42)]
    store(database, assigned=assigned, happened=happened)
    fields = {"kind": "quantile", "level": 0.5, "event": "Order", "value": "revenue", "window": "7d"}
    body = report(database, clock, {"key": "median", "role": "secondary", **fields})
    arms = {arm["variant"]: (arm["n"], arm["mean"]) for arm in finding(body, "median")["arms"]}
    assert arms == {"silence": (40, 20.5), "reminder": (1, 41), "coupon": (0, None)}
    assert "median, coupon against silence: an arm has no users" in body["warnings"]
    assert (
        "median, reminder against silence: 1 rows are too few for an interval of the 0.5 quantile"
        in body["warnings"]
    )


def test_fifty_arms(database: Database, clock: SteppedClock) -> None:
    keys = [f"arm{i}" for i in range(50)]
    rng = np.random.default_rng(1)
    assigned = [Assigned(user, keys[user % 50], START) for user in range(1, 1501)]
    happened = [
        Happened(user, "Order", START + HOUR, {"revenue": float(rng.gamma(2, 9))}) for user in range(1, 1501)
    ]
    store(database, assigned=assigned, happened=happened)
    variants = [
        {"key": key, "control": key == "arm0", "message": {"template": "spring", "language": "en_US"}}
        for key in keys
    ]
    order = {"event": "Order", "value": "revenue"}
    body = report(
        database,
        clock,
        {"key": "median", "role": "secondary", "kind": "quantile", "level": 0.5, "window": "7d", **order},
        {
            "key": "each",
            "role": "secondary",
            "kind": "ratio",
            "numerator": order,
            "denominator": {"event": "Order"},
        },
        variants=variants,
    )
    for key in ("median", "each"):
        effects = finding(body, key)["effects"]
        assert len(effects) == 49
        assert all(effect["p_value"] is not None for effect in effects)


def test_unusable_values_reach_the_report(database: Database, clock: SteppedClock) -> None:
    assigned = [Assigned(user, VARIANTS[user % 3], START) for user in range(1, 31)]
    happened = [
        Happened(user, "Order", START + HOUR, {"revenue": "a lot" if user == 4 else 5})
        for user in range(1, 9)
    ]
    store(database, assigned=assigned, happened=[*happened, Happened(9, "Order", AS_OF + DAY, {})])
    fields = {"kind": "sum", "event": "Order", "value": "revenue", "window": "7d"}
    warnings = report(database, clock, {"key": "revenue", "role": "secondary", **fields})["warnings"]
    assert (
        "revenue: 1 value of `revenue` could not be used (no number, or an absurd one) and counted as 0"
        in warnings
    )
    assert "1 events 'Order' have a time that is still to come and count nowhere yet" in warnings


def test_every_kind_is_the_same_on_duckdb(database: Database) -> None:
    world: World = random_world(5, users=60)
    store_world(database, world)
    definitions: dict[str, MetricDefinition] = METRICS
    here = gather(database, definitions, as_of=AS_OF)
    there = facts.gather(DuckFacts(exported(database)), experiment_id=1, definitions=definitions, as_of=AS_OF)
    assert there.warnings == here.warnings
    for key in definitions:
        for variant in VARIANTS:
            ours, theirs = here.metrics[key][variant], there.metrics[key][variant]
            assert known(theirs) == pytest.approx(known(ours), rel=1e-9, abs=1e-9), key  # type: ignore[arg-type]
