"""Forks a process for each line on stdin, which runs one tick of reallocation and dies, by its own hand, where the line says.

Line: {"database": URL, "now": ISO time, "die": [point, n]}: at the n-th statement or just before the n-th commit. Answers with
the exit status of the process.
"""

import os
import signal
from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import event

from analysis.bandits.reallocation import reallocate_tick
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.forking import fork_each_line

POINTS = {"statement": "before_cursor_execute", "commit": "commit"}


def _run(order: dict[str, Any]) -> None:
    database = Database(order["database"])
    point, last = order["die"]
    seen: Counter[str] = Counter()

    def reached(*arguments: object) -> None:
        # The claim itself and all that comes after it.
        text = str(arguments[2]) if point == "statement" else ""
        seen["claimed"] += text.startswith("INSERT INTO reallocations")
        if point == "statement" and not seen["claimed"]:
            return
        seen[point] += 1
        if seen[point] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, POINTS[point], reached)
    reallocate_tick(database, SteppedClock(datetime.fromisoformat(order["now"])))
    database.dispose()


if __name__ == "__main__":
    fork_each_line(_run)
