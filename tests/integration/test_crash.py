"""Workers that are killed at any moment, over a bad network, send nothing twice and lose nothing.

The short form of the campaign that `make certify` runs: real processes, killed with SIGKILL at each step (before and after each
commit, before and after each request) and at random moments, against the simulator in a process of its own.
"""

import pytest

from benchmarks.crash_campaign import SHORT, crash_campaign
from benchmarks.crash_worker import STEPS
from experiments.database import Database


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_sent_twice_and_nothing_is_lost(database: Database) -> None:
    outcome = crash_campaign(database, SHORT, seed=20261201)
    assert [step for step in STEPS if not outcome.steps[step]] == []
    assert outcome.ended == []
    assert (outcome.doubled, outcome.twice, outcome.lost) == (0, 0, [])
    assert outcome.holds
    assert set(outcome.states) <= {"sent", "delivered", "read", "unknown", "failed"}
    assert outcome.kills >= len(STEPS)
    assert outcome.accepted > outcome.unanswered > 0, "the network was too good to prove anything"
