"""Forks a process for each line on stdin, which takes in events or runs the engine of rules, and dies where it is told to.

Line: {"database": URL, "now": ISO time, "do": "ingest" | "tick", "die": [point, n] | null}. The points are the database's own:
the n-th `statement`, the n-th `commit` (just before it) or the n-th connection given back (`checkin`, just after a commit).
Dying is SIGKILL by its own hand. Answers with the exit status of the process.
"""

import os
import signal
from collections import Counter
from datetime import datetime

from sqlalchemy import Engine, event

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting import events
from tests.integration.forking import fork_each_line
from tests.integration.rule_world import ORDERED, tick

EVENTS = 240
USERS = 40
POINTS = ("statement", "commit", "checkin")
_LISTENERS = {"statement": "before_cursor_execute", "commit": "commit", "checkin": "checkin"}


def calls(clock: SteppedClock) -> list[events.TrackCall]:
    """The events of the test, the same each time."""
    return [
        events.TrackCall(
            message_id=f"event-{number}",
            user_id=f"u{number % USERS}",
            anonymous_id=None,
            event=ORDERED,
            at=clock.now(),
        )
        for number in range(EVENTS)
    ]


def let_die(engine: Engine, point: str, at: int) -> None:
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
        let_die(database.engine, *order["die"])
    if order["do"] == "ingest":
        every = calls(clock)
        for start in range(0, EVENTS, 30):
            with database.transaction() as session:
                events.ingest(session, clock, calls=every[start : start + 30], default_region="")
    else:
        tick(database, clock, batch=15, stretch=25)
    database.dispose()


if __name__ == "__main__":
    fork_each_line(_run)
