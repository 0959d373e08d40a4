"""Runs one tick of reallocation and dies, by its own hand, at the n-th statement or just before the n-th commit.

python -m tests.integration.reallocation_crash_worker DATABASE NOW POINT N; says on stdout how many statements were run before.
"""

import os
import signal
import sys
from collections import Counter
from datetime import datetime

from sqlalchemy import event

from analysis.bandits.reallocation import reallocate_tick
from experiments.clock import SteppedClock
from experiments.database import Database

POINTS = {"statement": "before_cursor_execute", "commit": "commit"}


def main(url: str, now: str, point: str, at: str) -> None:
    database = Database(url)
    seen: Counter[str] = Counter()

    def reached(*arguments: object) -> None:
        # The claim itself and all that comes after it.
        text = str(arguments[2]) if point == "statement" else ""
        seen["claimed"] += text.startswith("INSERT INTO reallocations")
        if point == "statement" and not seen["claimed"]:
            return
        seen[point] += 1
        if seen[point] == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, POINTS[point], reached)
    reallocate_tick(database, SteppedClock(datetime.fromisoformat(now)))
    database.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
