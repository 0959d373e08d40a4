"""The next wave of a broadcast by the numbers of a slot: when the control ends it, and when nobody can tell."""

from datetime import UTC, datetime

import pytest

from analysis.bandits.waves import Wave, next_wave
from experiments.design import read_design
from experiments.models import Experiment
from targeting.models import Enrolment

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
WEIGHTS = {"silence": 0.4, "reminder": 0.4, "late": 0.2}


def last_wave(p_best: dict[str, float], weights: dict[str, float]) -> Wave:
    design = read_design(
        {
            "key": "spring",
            "name": "Spring",
            "variants": [
                {"key": "silence", "control": True},
                {"key": "reminder", "message": {"text": "Hello"}},
                {"key": "late", "message": {"text": "Hello"}},
            ],
            "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}],
            "allocation": {"policy": "thompson", "waves": {"share": 0.5}},
        },
        library={},
    )
    assert design.bandit is not None
    experiment = Experiment(
        key="spring",
        name="Spring",
        status="running",
        definition={},
        created_at=NOW,
        updated_at=NOW,
        released=0.5,
    )
    progress = Enrolment(experiment_id=1, started_at=NOW, finished_at=NOW, counts={})
    found = next_wave(
        experiment, design, design.bandit, progress,
        doubt=None, waits_for=None, decision=None, weights=weights, p_best=p_best, now=NOW, upto=1.0,
    )  # fmt: skip
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("p_best", "weights", "action"),
    [
        ({"silence": 0.6, "reminder": 0.3, "late": 0.1}, WEIGHTS, "ended"),
        ({"silence": 0.3, "reminder": 0.6, "late": 0.1}, WEIGHTS, "released"),
        # It has just joined and keeps its share: it may be the better one.
        ({"silence": 0.6, "reminder": 0.4}, WEIGHTS, "released"),
        # It was retired: there is nothing to be told of it any more.
        ({"silence": 0.6, "reminder": 0.4}, {"silence": 0.5, "reminder": 0.5, "late": 0.0}, "ended"),
        ({}, WEIGHTS, "released"),
    ],
)
def test_the_control_ends_it_before_the_last_wave_where_it_leads_all_that_get_users(
    p_best: dict[str, float], weights: dict[str, float], action: str
) -> None:
    assert last_wave(p_best, weights).action == action
