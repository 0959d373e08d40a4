"""A script of faults does the same to the same requests, whatever their order, and says what is wrong with it."""

import math

import pytest

from delivery.simulator.fault_plan import Fault, FaultPlan, FaultStep, load_fault_plan, read_fault_plan
from experiments.errors import Invalid

DOCUMENT = {
    "steps": [
        {"fault": "drop", "share": 0.3, "from": 0, "to": 600},
        {"fault": "error", "code": 131016, "from": 5, "to": 8, "by": "posts"},
        {"fault": "slow", "share": 0.5, "seconds": 3},
        {"fault": "late", "share": 0.4, "to": 100},
        {"fault": "refuse", "from": 900, "to": 960},
        {"fault": "refuse", "from": 7, "by": "posts", "seconds": 2},
    ]
}
PLAN = read_fault_plan(DOCUMENT)
KEYS = [f"m-{n}\x001" for n in range(2000)]


def _faults(plan: FaultPlan, seed: int, *, elapsed: float, number: int) -> dict[str, Fault | None]:
    hits = {key: plan.of_post(seed, key, elapsed=elapsed, number=number) for key in KEYS}
    return {key: step.fault if step is not None else None for key, step in hits.items()}


def test_the_first_step_that_hits_decides():
    early = _faults(PLAN, 1, elapsed=10, number=100)
    shares = {
        fault: sum(one is fault for one in early.values()) / len(KEYS)
        for fault in (Fault.DROP, Fault.SLOW, None)
    }
    assert shares == {
        Fault.DROP: pytest.approx(0.3, abs=0.04),
        Fault.SLOW: pytest.approx(0.35, abs=0.04),
        None: pytest.approx(0.35, abs=0.04),
    }
    assert Fault.DROP not in _faults(PLAN, 1, elapsed=600, number=100).values()
    assert set(_faults(PLAN, 1, elapsed=700, number=5).values()) == {Fault.ERROR}
    assert Fault.ERROR not in _faults(PLAN, 1, elapsed=700, number=8).values()


def test_the_same_seed_gives_the_same_faults():
    assert _faults(PLAN, 1, elapsed=10, number=1) == _faults(
        read_fault_plan(DOCUMENT["steps"]), 1, elapsed=20, number=2
    )
    assert _faults(PLAN, 1, elapsed=10, number=1) != _faults(PLAN, 2, elapsed=10, number=1)


def test_statuses_have_faults_of_their_own():
    hit = [key for key in KEYS if PLAN.of_status(1, key, elapsed=50)]
    assert 700 <= len(hit) <= 900
    assert PLAN.of_status(1, hit[0], elapsed=50) == [FaultStep(Fault.LATE, 0.4, 0, 100, "seconds", 7200.0)]
    assert not any(PLAN.of_status(1, key, elapsed=100) for key in KEYS)


def test_refusals_are_by_time_or_by_posts():
    assert [(step.start, step.end) for step in PLAN.refusals("seconds")] == [(900, 960)]
    assert [(step.start, step.end, step.seconds) for step in PLAN.refusals("posts")] == [(7, math.inf, 2)]


@pytest.mark.parametrize(
    ("name", "text"),
    [("f.yaml", "steps:\n  - {fault: drop, share: 0.5}\n"), ("f.json", '[{"fault": "drop", "share": 0.5}]')],
)
def test_a_plan_comes_from_a_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert load_fault_plan(path) == FaultPlan((FaultStep(Fault.DROP, 0.5),))


@pytest.mark.parametrize(
    ("name", "text"),
    [("f.yaml", "steps: ["), ("f.json", "{"), ("gone.yaml", None), ("f.yaml", "!!python/name:os.system")],
)
def test_a_file_that_cannot_be_read_is_said(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(Invalid, match="cannot be read"):
        load_fault_plan(tmp_path / name)


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (3, "faults[0]"),
        ({"fault": "gremlin"}, "faults[0].fault"),
        ({}, "faults[0].fault"),
        ({"fault": ["drop"]}, "faults[0].fault"),
        ({"fault": "drop", "until": 3}, "faults[0].until"),
        ({"fault": "drop", "share": 1.5}, "faults[0].share"),
        ({"fault": "drop", "share": True}, "faults[0].share"),
        ({"fault": "drop", "from": 5, "to": 5}, "faults[0].to"),
        ({"fault": "drop", "from": -1}, "faults[0].from"),
        ({"fault": "drop", "from": float("nan")}, "faults[0].from"),
        ({"fault": "drop", "by": "moons"}, "faults[0].by"),
        ({"fault": "late", "by": "posts"}, "faults[0].by"),
        ({"fault": "error"}, "faults[0].code"),
        ({"fault": "error", "code": True}, "faults[0].code"),
        ({"fault": "drop", "code": 3}, "faults[0].code"),
        ({"fault": "refuse"}, "faults[0].to"),
        ({"fault": "refuse", "to": 5, "share": 0.5}, "faults[0].share"),
    ],
)
def test_what_is_wrong_is_named(step, field):
    with pytest.raises(Invalid) as caught:
        read_fault_plan({"steps": [step]})
    assert caught.value.problems[0].field == field


@pytest.mark.parametrize("document", [None, {}, {"steps": 3}, {"steps": [], "more": 1}])
def test_what_is_no_plan_is_refused(document):
    with pytest.raises(Invalid) as caught:
        read_fault_plan(document)
    assert caught.value.problems[0].field == "faults"
