"""A crossed campaign from its document to its effects by factor, on both databases, against numpy on the same users."""

import numpy as np
import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.design import read_design
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
from tests.integration.test_report import look, start

MESSAGE = {"template": "spring", "language": "en_US"}
CROSSED = design(
    variants=[{"key": "silence", "control": True}],
    factors=[
        {
            "key": "content",
            "levels": [
                {"key": "plain", "message": MESSAGE},
                {"key": "coupon", "message": {**MESSAGE, "template": "c"}},
            ],
        },
        {
            "key": "hour",
            "levels": [
                {"key": "early", "send_time": {"local_time": "09:30"}},
                {"key": "late", "send_time": {"local_time": "18:30"}},
            ],
        },
    ],
    plan={"method": "fixed"},
)
CELLS = ("plain.early", "plain.late", "coupon.early", "coupon.late")


def crowd() -> tuple[list[Assigned], list[Happened]]:
    rng = np.random.default_rng(8)
    names = ("silence", *CELLS)
    assigned = [Assigned(i + 1, names[i % 5], START) for i in range(1500)]
    happened = []
    for person in assigned:
        value = 20 + 10 * ("coupon" in person.variant) + 4 * (person.variant == "coupon.late")
        for when in (HOUR, -3 * DAY):
            if rng.random() < 0.6:
                amount = round(float(rng.gamma(4, value / 4)), 2)
                happened.append(Happened(person.user, "Order", START + when, {"revenue": amount}))
    return assigned, happened


def test_effects_by_factor_come_from_the_users_rows(database: Database, clock: SteppedClock) -> None:
    start(database, clock, CROSSED)
    assigned, happened = crowd()
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=1500, finished_at=START)
    clock.advance(8 * DAY)
    body = look(database, clock).body
    by_metric = {metric["metric"]: metric["factors"] for metric in body["metrics"]}
    metric = read_design(CROSSED, library={}).metric_definitions()["revenue"]
    rows = {cell: outcomes(metric, assigned, happened, as_of=clock.now(), variant=cell) for cell in CELLS}
    within = [np.cov(y, x) * (len(y) - 1) for y, x in rows.values()]
    theta = sum(c[0, 1] for c in within) / sum(c[1, 1] for c in within)
    adjusted = {cell: y - theta * x for cell, (y, x) in rows.items()}
    for found, weights in zip(
        by_metric["revenue"],
        ([-0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, -0.5, 0.5], [1, -1, -1, 1]),
        strict=True,
    ):
        expected = sum(w * adjusted[cell].mean() for w, cell in zip(weights, CELLS, strict=True))
        error = (
            sum(
                w * w * adjusted[c].var(ddof=1) / len(adjusted[c])
                for w, c in zip(weights, CELLS, strict=True)
            )
            ** 0.5
        )
        assert found["absolute"]["estimate"] == pytest.approx(expected, rel=1e-9)
        half = found["absolute"]["upper"] - found["absolute"]["estimate"]
        assert half / error == pytest.approx(1.96, rel=0.01)
    assert [effect["levels"] for effect in by_metric["revenue"]] == [["coupon"], ["late"], ["coupon", "late"]]
    assert by_metric["revenue"][0]["significant"]
    assert by_metric["bought"][0]["adjusted_p_value"] is not None
    assert {effect["p_value"] for effect in by_metric["opted_out"]} == {None}
    assert len(body["metrics"][0]["effects"]) == 4


def test_a_campaign_without_factors_says_nothing_by_factor(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    assert [metric["factors"] for metric in look(database, clock).body["metrics"]] == [[], [], []]
