"""Whatever is killed, and wherever: each event sets its rules off once, and a walk reaches everybody once."""

import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.rules import service as rules
from tests.integration.rule_crash_worker import EVENTS, POINTS, USERS
from tests.integration.rule_world import (
    TAG,
    error_of,
    fired,
    put,
    rule,
    times_fired,
    waiting,
)

ROOT = Path(__file__).resolve().parents[2]
KILLS = 4
"""At each point, for taking events in and for the engine."""
PEOPLE = {f"u{number}" for number in range(USERS)}


class Worker:
    """Runs one process after another; says how each ended."""

    def __init__(self, process: subprocess.Popen[str], database: Database, clock: SteppedClock) -> None:
        self._process, self._clock = process, clock
        self._url = database.url.render_as_string(hide_password=False)

    def run(self, do: str, die: list[object] | None = None) -> bool:
        """Whether it was killed."""
        order = {"database": self._url, "now": self._clock.now().isoformat(), "do": do, "die": die}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, signal.SIGKILL)
        return status != 0


@pytest.mark.slow
def test_killed_anywhere_each_occasion_counts_once(database: Database, clock: SteppedClock) -> None:
    marked = {"type": "set_attribute", "name": "stage", "value": "buyer"}
    changed = {"type": "attribute", "attribute": "stage", "to": "buyer"}
    put(
        database,
        clock,
        rule("ordered", actions=[marked, TAG]),
        rule("became", trigger=changed, actions=[{**TAG, "tag": "new"}]),
        rule("daily", trigger={"type": "schedule", "cron": "0 0 * * *"}),
    )
    rng = np.random.default_rng(20261201)
    killed: Counter[str] = Counter()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.rule_crash_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        worker = Worker(process, database, clock)
        for point in POINTS:
            for _ in range(KILLS):
                killed["ingest"] += worker.run("ingest", [point, int(rng.integers(1, 9))])
                killed["tick"] += worker.run(
                    "tick", [point, int(rng.integers(1, 25 if point == "statement" else 4))]
                )
        worker.run("ingest")
        between = times_fired(database, "ordered")
        assert 0 < sum(between.values()) < EVENTS, "the kills came too early or too late to prove anything"
        worker.run("tick")
        clock.advance(timedelta(days=1))
        for point in POINTS:
            killed["walk"] += worker.run("tick", [point, int(rng.integers(2, 6))])
        worker.run("tick")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert killed["ingest"] + killed["tick"] > 4 * KILLS
    assert killed["walk"] == len(POINTS)

    with database.snapshot() as session:
        causes = [row.cause for row, _ in rules.firings(session, key="ordered", limit=10_000)]
    assert len(causes) == len(set(causes)) == EVENTS
    assert times_fired(database, "ordered") == dict.fromkeys(PEOPLE, EVENTS // USERS)
    assert times_fired(database, "became") == dict.fromkeys(PEOPLE, 1)
    assert times_fired(database, "daily") == dict.fromkeys(PEOPLE, 1)
    # An effect and its record are there together: the first event of each user changed something, the others nothing.
    changes = Counter(user_id for user_id, actions in fired(database, "ordered") if actions[0]["changed"])
    assert changes == dict.fromkeys(PEOPLE, 1)
    assert waiting(database) == 0
    assert [error_of(database, key) for key in ("ordered", "became", "daily")] == [None] * 3
