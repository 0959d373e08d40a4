"""The main job, end to end, on real people: imported, assigned, messaged through the simulator, observed, analysed.

The real file lies beside the checkout (`../shared/data/hillstrom.csv`). Where it is absent the same test runs on a
made-up file of the same shape, and the one that needs the real people says so.
"""

from pathlib import Path

import numpy as np
import pytest

from examples.hillstrom.people import generate
from examples.hillstrom.run import Outcome, rehearse

SAMPLE = 1500


def _check(outcome: Outcome) -> None:
    assert outcome.problems() == []
    arms = {arm["variant"]: arm for arm in outcome.report["arms"]}
    assigned = sum(arm["assigned"] for arm in arms.values())
    assert 0.9 * SAMPLE < assigned < SAMPLE
    assert arms["silence"]["messages"]["accepted"] == 0
    for key in ("mens", "womens"):
        messages = arms[key]["messages"]
        assert messages["accepted"] == arms[key]["assigned"]
        assert messages["accepted"] >= messages["delivered"] >= messages["read"] >= messages["clicked"] > 0
    assert all(check["ok"] for check in outcome.report["health"])
    assert outcome.simulator["statuses"] > 0
    assert outcome.simulator["posts_per_message_max"] == 1


@pytest.mark.slow
def test_a_sample_of_the_real_people(shared: Path, tmp_path: Path) -> None:
    _check(rehearse(shared / "data/hillstrom.csv", tmp_path, limit=SAMPLE, seconds=30))


@pytest.mark.slow
def test_made_up_people_of_the_same_shape_on_postgresql(blank_postgres_url: str, tmp_path: Path) -> None:
    source = tmp_path / "people_of_2008.csv"
    generate(source, SAMPLE, rng=np.random.default_rng(7))
    _check(rehearse(source, tmp_path, seconds=30, database_url=blank_postgres_url))
