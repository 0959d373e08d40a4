"""Everything that can be wrong about a plan is refused in one line that names its field, or answered with null and a reason; never a crash."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from pydantic import ValidationError

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from tests.integration.command_line import CommandLine
from tests.integration.planned_world import METRICS, PLAN, document, plan, settle

NUMBERS_THAT_ARE_NONE = ["0.1", "many", True, [], {}, math.nan, math.inf, -math.inf]
BELOW: dict[str, list[Any]] = {
    "alpha": [0, -0.05, 0.5, 1, 2, None],
    "power": [0, -0.8, 1, 80, None],
    "mde": [0, -0.1, 101, 1e-9],
}
GIVEN: dict[str, list[Any]] = {
    "reach": [0, -0.1, 1.01, 0.0005],
    "users": [0, -5, 1.5, 10**10],
    "per_day": [-1, 10**10],
    "days": [0, -1, 1.5, 366],
    "looks": [0, -1, 2.5, 201],
    "half_life": ["0s", "-1d", "soon", 7],
}
BY_METRIC: dict[str, tuple[str, list[Any]]] = {
    "baseline": ("bought", [0, -0.1, 1, 1.5]),
    "sd": ("revenue", [0, -1, 1e13]),
    "rho": ("revenue", [1, -1, 1.5]),
}
MARGINS = [-0.002, "0.002", True, math.inf]
DURATIONS = ["0s", "-7d", "week", 7, "4000d"]
WEIGHTS: list[list[Any]] = [[0, 0, 0], [1, 1, 0], [-1, 1, 1], [0.5, 0.6, 0.2], ["1", 1, 1]]


def with_metric(**changes: Any) -> dict[str, Any]:
    return document(metrics=[METRICS[0] | changes, *METRICS[1:]])


def with_weights(weights: list[Any]) -> dict[str, Any]:
    variants = [
        each | {"weight": weight} for each, weight in zip(document()["variants"], weights, strict=True)
    ]
    return document(variants=variants)


def cases() -> Iterator[tuple[dict[str, Any], str]]:
    good = document()
    for field, wrong in BELOW.items():
        for value in [*wrong, *NUMBERS_THAT_ARE_NONE]:
            yield {"campaign": document(plan=PLAN | {field: value})}, f"campaign.plan.{field}"
    for field, wrong in GIVEN.items():
        for value in [*wrong, *NUMBERS_THAT_ARE_NONE]:
            yield {"campaign": good, "assumptions": {field: value}}, f"assumptions.{field}"
    for field, (metric, wrong) in BY_METRIC.items():
        for value in [*wrong, None, *NUMBERS_THAT_ARE_NONE]:
            yield {"campaign": good, "assumptions": {field: {metric: value}}}, f"assumptions.{field}.{metric}"
        yield {"campaign": good, "assumptions": {field: {"sold": 0.1}}}, f"assumptions.{field}.sold"
        yield {"campaign": good, "assumptions": {field: 0.1}}, f"assumptions.{field}"
    for value in MARGINS:
        metrics = [*METRICS[:2], METRICS[2] | {"margin": value}]
        yield {"campaign": document(metrics=metrics)}, "campaign.metrics[2].margin"
    for value in DURATIONS:
        yield {"campaign": document(plan=PLAN | {"ends_after": value})}, "campaign.plan.ends_after"
        yield {"campaign": with_metric(window=value)}, "campaign.metrics[0].window"
    for weights in WEIGHTS:
        yield {"campaign": with_weights(weights)}, "campaign.variants"
    yield {"campaign": document(variants=document()["variants"][:1])}, "campaign.variants"
    yield {"campaign": document(metrics=[])}, "campaign.metrics"
    yield {"campaign": document(plan=PLAN | {"method": "luck"})}, "campaign.plan.method"
    yield {"campaign": document(audience={"coverage": 0})}, "campaign.audience.coverage"
    yield {"campaign": good, "simulate": -1}, "simulate"
    yield {"campaign": good, "simulate": 1.5}, "simulate"
    yield {"campaign": good, "simulate": 5_001}, "simulate"


def test_every_field_that_cannot_be_is_named(http: TestClient, keys: dict[str, str]) -> None:
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    for body, field in cases():
        if any(isinstance(value, float) and not math.isfinite(value) for value in _leaves(body)):
            continue
        answer = http.post("/v1/plan", json=body)
        assert answer.status_code == 422, (field, body, answer.text)
        problems = answer.json()["errors"]
        assert any(problem["field"].startswith(field) for problem in problems), (field, problems)
        assert all("\n" not in problem["message"] for problem in problems)


def test_numbers_that_are_none_are_refused_by_the_planner_itself(
    database: Database, clock: SteppedClock
) -> None:
    for body, field in cases():
        if "simulate" in body:
            continue
        with pytest.raises((Invalid, ValidationError)) as refused:
            plan(database, clock, body["campaign"], **body.get("assumptions", {}))
        named = field.removeprefix("campaign.").split(".")[-1].split("[")[0]
        assert named in str(refused.value), (field, str(refused.value))


@pytest.mark.parametrize(
    ("said", "assumptions"),
    [
        (document(plan=PLAN | {"alpha": 1e-9, "mde": 1e-6}), {"baseline": {"bought": 0.1}}),
        (document(plan=PLAN | {"alpha": 1e-300}), {"baseline": {"bought": 0.1}}),
        (document(plan=PLAN | {"power": 1 - 1e-12}), {"baseline": {"bought": 0.1}}),
        (document(plan=PLAN | {"mde": 100.0}), {"baseline": {"bought": 0.9}}),
        (document(plan=PLAN | {"method": "exact", "mde": 100.0}), {"baseline": {"bought": 0.9}}),
        (document(plan=PLAN | {"method": "exact"}), {"baseline": {"bought": 1e-9}, "users": 1}),
        (document(plan=PLAN | {"method": "exact", "alpha": 0.49}), {"baseline": {"bought": 0.999999}}),
        (document(), {"baseline": {"revenue": 1e12}, "sd": {"revenue": 1e-9}}),
        (document(), {"users": 1, "baseline": {"bought": 0.1}}),
        (document(trigger={"type": "rule"}), {"per_day": 0.0, "baseline": {"bought": 0.1}}),
        (
            document(metrics=[METRICS[0], {**METRICS[2], "margin": 0.0}]),
            {"baseline": {"bought": 0.1, "opted_out": 0.01}},
        ),
    ],
)
def test_what_is_extreme_is_planned_or_null_with_a_reason(
    database: Database, clock: SteppedClock, said: dict[str, Any], assumptions: dict[str, Any]
) -> None:
    with database.transaction() as session:
        settle(session, clock)
    made = plan(database, clock, said, simulate=20, **assumptions)
    for metric in made.metrics:
        if metric.base is None or metric.users_needed is None:
            assert metric.reasons, metric
        for number in (metric.power, metric.minimum_effect, metric.assigned_effect):
            assert number is None or math.isfinite(number)
        assert metric.power is None or 0 <= metric.power <= 1


OPTIONS = [
    ("--reach", ["0", "-1", "1.5", "nan", "x"]),
    ("--users", ["0", "-1", "x"]),
    ("--per-day", ["-1", "nan", "x"]),
    ("--days", ["0", "400", "x"]),
    ("--looks", ["0", "201", "x"]),
    ("--half-life", ["0s", "x"]),
    ("--baseline", ["bought=0", "bought=nan", "bought=x", "=0.1", "sold=0.1"]),
    ("--sd", ["revenue=-1", "bought=1"]),
    ("--rho", ["revenue=1", "bought=0.1"]),
]


def test_options_that_cannot_be_are_named_in_one_line(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(document()))
    for option, wrong in OPTIONS:
        # One of each through the real program; the others are the same checks as over HTTP.
        for value in wrong[:1]:
            said = touchstone.fails("plan", "campaign.yaml", f"{option}={value}")
            assert option in said
            assert len(said.strip().splitlines()) == 1, said


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]
