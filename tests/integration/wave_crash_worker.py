"""Forks a process for each line on stdin, which walks what is released, does the slot that is due and walks again.

Line: {"database": URL, "now": ISO time, "die": [point, n] | null}. The points are those of
`rule_crash_worker`. Dying is SIGKILL by its own hand; others may kill it at any moment. Answers with the process id, and when it has ended with its exit status.
"""

import json
import os
import sys
from datetime import datetime

from analysis.bandits.reallocation import reallocate_tick
from delivery.planning import planner
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.outbox import settings
from tests.integration.rule_crash_worker import let_die

BATCH = 30


def _run(order: dict) -> None:
    database = Database(order["database"])
    clock = SteppedClock(datetime.fromisoformat(order["now"]))
    if order["die"]:
        let_die(database.engine, *order["die"])
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
