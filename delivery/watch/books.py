"""Conservation, checked all the time: at every tick the books of some experiments are drawn up anew and kept.

How many at a tick depends on what checking costs: it may take one part in a hundred of the time (`SHARE`). A small experiment is
checked at every tick; one of a million messages, whose books take a fifth of a second, every twenty seconds or so.
Books that do not hold are an error in the log, once, a number in `/metrics`, and stand in `/v1/delivery/summary`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlmodel import Session

from delivery.models import Balance
from delivery.watch import book_repository as repository
from delivery.watch.summary import ExperimentSummary, balance
from delivery.watch.summary_repository import Tally, tallies
from experiments import service
from experiments.clock import Clock
from experiments.database import Database
from experiments.models import Experiment

_log = logging.getLogger(__name__)

SHARE: Final = 0.01
"""Checking may take this part of the time of one processor."""
SAVED: Final = 0.1
"""Seconds of checking that may be saved up for one tick."""
REST: Final = timedelta(days=1)
"""A stopped experiment, in whose books only states change, is looked at as often as this."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a tick did: experiments checked, those whose books do not hold, and the seconds that it took."""

    experiments: int
    broken: tuple[str, ...]
    seconds: float


class Books:
    """The books of all experiments, checked one after another in the time that there is for it.

    The first tick checks everything. `monotonic` gives the machine's time in seconds.
    """

    def __init__(
        self, database: Database, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._last: float | None = None
        self._allowance = 0.0

    def tick(self) -> Checked:
        """Check those that have waited longest, as far as the time goes."""
        began = self._monotonic()
        everything = self._last is None
        if self._last is not None:
            self._allowance = min(SAVED, self._allowance + SHARE * (began - self._last))
        self._last = began
        checked, broken = 0, []
        for experiment in self._unchecked():
            start = self._monotonic()
            if not everything and self._allowance <= 0:
                break
            if not check(self._database, self._clock, experiment, monotonic=self._monotonic):
                broken.append(experiment.key)
            self._allowance -= self._monotonic() - start
            checked += 1
        return Checked(checked, tuple(broken), self._monotonic() - began)

    def _unchecked(self) -> list[Experiment]:
        with self._database.snapshot() as session:
            return list(repository.unchecked(session, now=self._clock.now(), rest=REST))


def check(
    database: Database,
    clock: Clock,
    experiment: Experiment,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """Draw up the books of one experiment in one snapshot and keep what they say; returns whether they hold."""
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    began = monotonic()
    with database.snapshot() as session:
        lines = tallies(session, of=[experiment.id])
    drawn = balance(service.design_of(experiment), lines)
    seconds = monotonic() - began
    with database.transaction() as session:
        _keep(session, clock, experiment.id, drawn, lines, seconds)
    return drawn.holds


def _keep(
    session: Session,
    clock: Clock,
    experiment_id: int,
    drawn: ExperimentSummary,
    lines: Sequence[Tally],
    seconds: float,
) -> None:
    before = repository.find(session, experiment_id)
    since = None if before is None else before.broken_at
    detail = differences(drawn)
    if not drawn.holds and since is None:
        _log.error("the books of experiment %s do not hold: %s", drawn.experiment, detail)
    elif drawn.holds and since is not None:
        _log.warning("the books of experiment %s hold again", drawn.experiment)
    now = clock.now()
    repository.put(
        session,
        Balance(
            experiment_id=experiment_id,
            checked_at=now,
            slots=drawn.slots,
            messages=sum(sum(variant.states.values()) for variant in drawn.variants),
            seconds=seconds,
            broken_at=None if drawn.holds else since or now,
            detail=detail or None,
            lines=[line[1:] for line in lines],
        ),
    )


def differences(drawn: ExperimentSummary) -> dict[str, Any]:
    """Slots owed and messages by state of each variant whose numbers differ, or with a state that nobody knows."""
    return {
        variant.variant: {"slots": variant.slots, "states": dict(variant.states)}
        for variant in drawn.variants
        if not variant.holds
    }
