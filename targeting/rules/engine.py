"""The engine of rules: evaluates what has happened, and walks for what nobody's doing sets off.

Exactly once: an occasion is written in the transaction in which it happened (`rule_triggers`), and deleted in the one that
holds its effects and its firings. Killed before that commit, nothing has happened and the occasion waits; after it, both are
there. Any number of engines run side by side: each claims other occasions, and holds their users while it decides, so that
a cool-down and `once_per_user` hold across engines.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement

from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.errors import Unavailable
from targeting.rules import repository as rule_repository
from targeting.rules.acting import Terms
from targeting.rules.evaluation import Evaluated, evaluate_batch
from targeting.rules.walks import walk_stretch

BATCH: Final = 500
"""Occasions, or users reached by a walk, in one transaction."""
STRETCH: Final = 20_000
"""Users looked at in one step of a walk, so that what happens meanwhile is never kept waiting for long."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one tick did: occasions taken, firings, rules parked, stretches walked."""

    occasions: int = 0
    fired: int = 0
    parked: int = 0
    stretches: int = 0

    def plus(self, step: Evaluated, *, stretches: int = 0) -> "Ticked":
        return Ticked(
            self.occasions + step.occasions,
            self.fired + step.fired,
            self.parked + step.parked,
            self.stretches + stretches,
        )


def rules_tick(
    database: Database,
    clock: Clock,
    *,
    ineligible: Callable[[ExperimentDesign], Mapping[str, ColumnElement[bool]]],
    global_holdout: float,
    batch: int = BATCH,
    stretch: int = STRETCH,
) -> Ticked:
    """Evaluate until nothing waits. On an idle database this is one query.

    `ineligible` says who cannot be enrolled in an experiment: reason -> condition on rows of `users`. Opens its own
    transactions: one for each batch, so that others can write in between and a crash costs one batch of work. Raises
    Unavailable when the database is busy; nothing is lost by that.
    """
    with _busy_is_no_news():
        return _tick(database, clock, Terms(ineligible, global_holdout), batch, stretch)


def _tick(database: Database, clock: Clock, terms: Terms, batch: int, stretch: int) -> Ticked:
    done = Ticked()
    while True:
        with database.snapshot() as session:
            if not rule_repository.has_work(session, now=clock.now()):
                return done
        before = done
        while (step := _evaluate(database, clock, terms, batch)).occasions:
            done = done.plus(step)
        with database.snapshot() as session:
            due = rule_repository.walking_rules(session, now=clock.now())
        for rule in due:
            walked = walk_stretch(database, clock, rule=rule, terms=terms, length=stretch, batch=batch)
            if walked is not None:
                done = done.plus(walked, stretches=1)
        if done == before:
            # What is left is in other hands.
            return done


def _evaluate(database: Database, clock: Clock, terms: Terms, batch: int) -> Evaluated:
    with database.transaction() as session:
        return evaluate_batch(session, clock, terms=terms, limit=batch)


@contextmanager
def _busy_is_no_news() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if rule_repository.is_passing(error):
            raise Unavailable(
                "the database is busy or gone; what waits is evaluated at the next tick"
            ) from error
        raise
