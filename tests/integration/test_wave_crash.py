"""Waves under SIGKILL: real processes, two at a time, die at chosen and at random moments of a walk and of a slot, on both databases.

Nobody is in two waves, nobody is lost, nobody is assigned or messaged twice, each slot is done once, and the books hold.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from analysis.bandits.models import Reallocation
from delivery.models import Message
from delivery.watch.books import Books
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Epoch
from targeting.models import Assignment
from tests.integration.analysis_rows import DAY
from tests.integration.broadcast import EVEN, assigned, audited, begin, experiment, people_buy, within
from tests.integration.enrolling import counts
from tests.integration.rule_crash_worker import POINTS

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 900
WAVES = 3
KILLS = 2
"""At each point of each wave; as many pairs of workers are killed at random moments."""


class Workers:
    """Two processes that fork workers."""

    def __init__(self, servers: list[subprocess.Popen[str]], database: Database, clock: SteppedClock) -> None:
        self._servers, self._clock = servers, clock
        self._url = database.url.render_as_string(hide_password=False)
        self.killed: Counter[str] = Counter()

    def run(self, die: list[object] | None = None) -> bool:
        """One worker to its end; whether it was killed."""
        self._begin(self._servers[0], die)
        died = self._end(self._servers[0])
        self.killed[str(die[0]) if die else ""] += died
        return died

    def kill_two(self, seconds: float) -> None:
        """Two at once, killed from outside after so long, wherever they are."""
        pids = [self._begin(server, None) for server in self._servers]
        time.sleep(seconds)  # the moment of the kill
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.killed["outside"] += sum(self._end(server) for server in self._servers)

    def _begin(self, server: subprocess.Popen[str], die: list[object] | None) -> int:
        assert server.stdin is not None
        assert server.stdout is not None
        order = {"database": self._url, "now": self._clock.now().isoformat(), "die": die}
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    def _end(self, server: subprocess.Popen[str]) -> bool:
        assert server.stdout is not None
        status = int(server.stdout.readline())
        assert status in (0, signal.SIGKILL)
        return status != 0


@pytest.fixture
def workers(database: Database, clock: SteppedClock) -> Iterator[Workers]:
    command = [sys.executable, "-m", "tests.integration.wave_crash_worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        yield Workers([one, other], database, clock)
        for server in (one, other):
            assert server.stdin is not None
            server.stdin.close()
            assert server.wait(timeout=60) == 0


def slots(database: Database) -> list[Reallocation]:
    with database.snapshot() as session:
        return list(session.exec(select(Reallocation).order_by(Reallocation.slot)).all())  # type: ignore[arg-type]


def weights(database: Database) -> dict[int, dict[str, float]]:
    with database.snapshot() as session:
        return {epoch.number: epoch.weights for epoch in session.exec(select(Epoch))}


def check(database: Database, clock: SteppedClock, before: dict[int, Assignment]) -> dict[int, Assignment]:
    """What holds whenever nobody is at work any more; returns who is assigned."""
    made, out, drawn = experiment(database), assigned(database), weights(database)
    assert made.released is not None
    assert set(out) == within(made.released, range(1, PEOPLE + 1))
    kept = {pk: (row.variant, row.epoch, row.assigned_at) for pk, row in out.items()}
    assert {
        pk: (row.variant, row.epoch, row.assigned_at) for pk, row in before.items()
    }.items() <= kept.items()
    assert {row.propensity - drawn[row.epoch][row.variant] for row in out.values()} == {0.0}
    with database.snapshot() as session:
        messages = Counter(message.user_pk for message in session.exec(select(Message)))
    assert messages == Counter(pk for pk, row in out.items() if row.variant != "silence")
    found = counts(database, made)
    assert found["assigned"] == len(out)
    assert found["assigned"] + found["excluded"].get("wave", 0) == PEOPLE
    assert not Books(database, clock).tick().broken
    return out


@pytest.mark.slow
def test_killed_anywhere_waves_lose_and_double_nobody(
    database: Database, clock: SteppedClock, workers: Workers
) -> None:
    begin(
        database,
        clock,
        people=PEOPLE,
        allocation={"waves": {"share": 0.34}, "burn_in": {"users": 10, "conversions": 2}},
    )
    rng = np.random.default_rng(20261201)
    out: dict[int, Assignment] = {}
    partly = 0
    for wave in range(1, WAVES + 1):
        wanted = within(min(0.34 * wave, 1.0), range(1, PEOPLE + 1))
        for kill in range(KILLS):
            for point in POINTS:
                workers.run([point, int(rng.integers(1, 60 if point == "statement" else 16))])
            workers.kill_two(float(rng.uniform(0.005, 0.15)))
            partly += len(out) < len(assigned(database)) < len(wanted)
            if kill == 0 and wave > 1:
                # Whoever did the slot, it is there once, with its wave.
                assert [row.slot for row in slots(database)] in (
                    [2 * n for n in range(1, wave)],
                    [2 * n for n in range(1, wave - 1)],
                )
        assert not workers.run()
        out = check(database, clock, out)
        assert set(out) == wanted
        people_buy(database, clock, EVEN)
        clock.advance(2 * DAY)
    rows = slots(database)
    assert [(row.slot, row.numbers["wave"]["action"]) for row in rows] == [(2, "released"), (4, "released")]
    assert [entry.after["released"] for entry in audited(database, "experiment.wave") if entry.after] == [
        0.68,
        1.0,
    ]
    assert set(out) == set(range(1, PEOPLE + 1))
    assert partly >= WAVES, "the kills came too early or too late to prove anything"
    assert all(workers.killed[point] >= WAVES for point in (*POINTS, "outside")), workers.killed
