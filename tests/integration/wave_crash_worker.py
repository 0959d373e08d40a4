"""Forks a process for each line on stdin, which walks what is released, does the slot that is due and walks again.

Line: {"database": URL, "now": ISO time, "die": [point, n] | null}. The points are the database's own: the n-th `statement`, the n-th `commit`
(just before it) or the n-th connection given back (`checkin`, just after a commit). Dying is SIGKILL by its own hand; others may kill
it at any moment. Answers with the process id, and when it has ended with its exit status.
"""

import json
import os
import signal
import sys
from collections import Counter
from datetime import datetime

from sqlalchemy import Engine, event

from analysis.bandits.reallocation import reallocate_tick
from delivery.planning import planner
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.outbox import settings

BATCH = 30
POINTS = ("statement", "commit", "checkin")
_LISTENERS = {"statement": "before_cursor_execute", "commit": "commit", "checkin": "checkin"}


def _let_die(engine: Engine, point: str, at: int) -> None:
    seen: Counter[str] = Counter()

    def reached(*_args: object) -> None:
        seen[point] += 1
        if seen[point] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, _LISTENERS[point], reached)


def _run(order: dict) -> None:
    database = Database(order["database"])
    clock = SteppedClock(datetime.fromisoformat(order["now"]))
    if order["die"]:
        _let_die(database.engine, *order["die"])
    planner.plan_tick(database, clock, settings=settings(), batch=BATCH)
    reallocate_tick(database, clock)
    planner.plan_tick(database, clock, settings=settings(), batch=BATCH)
    database.dispose()


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201
        print(os.waitpid(pid, 0)[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
