"""The scheduler: every job of `jobs.py` at every tick (rules more often), each at most once at a time in this process.

Jobs that must run once for all processes (`jobs.SINGLE`) run where `wiring.leadership` says so; the others everywhere.
"""

import gc
import logging
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from api import jobs
from api.leadership import SEEK_EVERY
from api.wiring import Wiring
from experiments.clock import SystemClock

SHORTEST_TICK: Final = 0.2
"""Seconds. A hurried clock makes ticks short; shorter than this would only spin."""

REPORTS_EVERY: Final = 12
"""Reports are made anew at every twelfth tick; each one is a look at the data."""

RULES_EVERY: Final = 0.25
"""Seconds. Rules act within a second of what sets them off; when nothing has, looking is one cheap query."""

SEEK: Final = "seek-leadership"


def settle_memory() -> None:
    """Tell the collector that what is loaded by now stays. Call it once, when a process that lives long is about to work.

    Python looks through everything it keeps again and again, modules included; that was a third of the time of a reservation.
    """
    gc.collect()
    gc.freeze()


def make_scheduler(wiring: Wiring) -> BackgroundScheduler:
    """A scheduler with every job, not started."""
    # A run that takes longer than a tick is no news: the next one starts when it has ended.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    seconds = max(SHORTEST_TICK, wiring.clock.real_seconds(wiring.settings.tick))
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    )
    # Before anything else, and again and again: on the machine's own time, since it is about machines.
    scheduler.add_job(
        wiring.leadership.seek,
        "interval",
        seconds=SEEK_EVERY,
        id=SEEK,
        next_run_time=SystemClock().now(),
    )
    for name, job in jobs.JOBS.items():
        every = seconds * (REPORTS_EVERY if name == "refresh-reports" else 1)
        every = min(every, RULES_EVERY) if name == "evaluate-rules" else every
        scheduler.add_job(jobs.guarded, "interval", args=(name, job, wiring), seconds=every, id=name)
    return scheduler
