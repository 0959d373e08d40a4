"""Killed anywhere between the claim of a slot and its commit, a reallocation has not happened; the next one does it once."""

import signal
import subprocess
import sys
from pathlib import Path

from analysis.bandits.reallocation import reallocate_tick
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.bandit_world import CLOSE, days_pass, epochs, reallocations, start, weights_now

ROOT = Path(__file__).resolve().parents[2]
LAST = 4
"""Statements from the claim on: it, the old epoch, the new one, the audit log (and the commit)."""


def run(database: Database, clock: SteppedClock, point: str, at: int) -> int:
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.integration.reallocation_crash_worker", url]
    done = subprocess.run(
        [*command, clock.now().isoformat(), point, str(at)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def test_a_slot_is_done_once_however_often_it_is_killed(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=2, ticks=False, rates=CLOSE)
    kills = [("statement", at) for at in range(1, LAST + 1)] + [("commit", 1)]
    for point, at in kills:
        assert run(database, clock, point, at) == -signal.SIGKILL, (point, at)
        assert reallocations(database) == []
        assert [epoch.closed_at for epoch in epochs(database)] == [None]
    assert run(database, clock, "statement", 99) == 0
    (row,) = reallocations(database)
    assert (row.outcome, row.epoch, row.slot) == ("moved", 2, 2)
    assert [epoch.number for epoch in epochs(database)] == [1, 2]
    assert weights_now(database) == {
        variant: arm["new_weight"] for variant, arm in row.numbers["arms"].items()
    }
    assert reallocate_tick(database, clock) == []
