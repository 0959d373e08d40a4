"""Killed anywhere between the claim of a slot and its commit, a reallocation has not happened; the next one does it once."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from analysis.bandits.reallocation import reallocate_tick
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.bandit_world import CLOSE, days_pass, epochs, reallocations, start, weights_now

ROOT = Path(__file__).resolve().parents[2]
LAST = 4
"""Statements from the claim on: it, the old epoch, the new one, the audit log (and the commit)."""


@pytest.fixture
def run(database: Database, clock: SteppedClock) -> Iterator[Callable[[str, int], int]]:
    """One tick in a process of its own, which dies at a point; how it ended. Forked from one that has loaded everything."""
    command = [sys.executable, "-m", "tests.integration.reallocation_crash_worker"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        to, answers = server.stdin, server.stdout

        def ended(point: str, at: int) -> int:
            url = database.url.render_as_string(hide_password=False)
            order = {"database": url, "now": clock.now().isoformat(), "die": [point, at]}
            to.write(json.dumps(order) + "\n")
            to.flush()
            return int(answers.readline())

        yield ended
        to.close()
        assert server.wait(timeout=60) == 0


def test_a_slot_is_done_once_however_often_it_is_killed(
    database: Database, clock: SteppedClock, run: Callable[[str, int], int]
) -> None:
    start(database, clock)
    days_pass(database, clock, days=2, ticks=False, rates=CLOSE)
    kills = [("statement", at) for at in range(1, LAST + 1)] + [("commit", 1)]
    for point, at in kills:
        assert run(point, at) == signal.SIGKILL, (point, at)
        assert reallocations(database) == []
        assert [epoch.closed_at for epoch in epochs(database)] == [None]
    assert run("statement", 99) == 0
    (row,) = reallocations(database)
    assert (row.outcome, row.epoch, row.slot) == ("moved", 2, 2)
    assert [epoch.number for epoch in epochs(database)] == [1, 2]
    assert weights_now(database) == {
        variant: arm["new_weight"] for variant, arm in row.numbers["arms"].items()
    }
    assert reallocate_tick(database, clock) == []
