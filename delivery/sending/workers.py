"""Workers that send share the throughput of their number: each says now and then that it is alive, and counts the others.

A worker that ends says so; one that dies is counted until it has been silent for `ALIVE_SECONDS`. Times are those of the
clock, lengths are the machine's own, since that is what throughput is measured in.
"""

from collections.abc import Sequence
from typing import Final

from sqlmodel import Session

from delivery.models import Worker
from delivery.sending import worker_repository as repository
from experiments.clock import Clock, passing_in

BEAT_SECONDS: Final = 2.0
"""How often a worker that sends says that it is alive, and learns its share."""
ALIVE_SECONDS: Final = 10.0
"""How long a silent worker keeps its share."""
_KEPT: Final = 60
"""Rows are kept so many times longer than that, to be looked at."""


def beat(session: Session, clock: Clock, *, name: str, number: str) -> int:
    """Say that worker `name` is alive; returns how many workers of this number are, itself included.

    Workers that begin at the same moment do so one after the other: the second one counts the first.
    """
    repository.lock(session)
    now = clock.now()
    silent = passing_in(clock, ALIVE_SECONDS)
    repository.forget(session, before=now - _KEPT * silent)
    repository.put(session, Worker(name=name, number=number, started_at=now, seen_at=now))
    return repository.count(session, number=number, since=now - silent)


def leave(session: Session, *, name: str) -> None:
    """The worker ends, and its share is free at once."""
    repository.remove(session, name=name)


def alive(session: Session, clock: Clock) -> Sequence[Worker]:
    """Workers seen lately, by number and name."""
    return repository.seen(session, since=clock.now() - passing_in(clock, ALIVE_SECONDS))
