"""What the scheduler does, as plain functions over the wiring; each is also `touchstone run NAME`."""

import logging
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from api.wiring import Wiring
from delivery.limits import policy
from delivery.planning import planner
from delivery.receipts import inbox as receipts
from delivery.sending.dispatch import Dispatched
from delivery.templates import template_sync
from experiments.errors import TouchstoneError
from targeting.pulls import runs as pull_runs
from targeting.rules.engine import rules_tick
from targeting.segments import attributes, membership

_log = logging.getLogger(__name__)

MESSAGES_PER_RUN: Final = 20_000
"""A run ends after so many messages, so that webhooks and pauses get their turn."""

SECONDS_AT_A_TIME: Final = 5


def plan(wiring: Wiring) -> Any:
    """Enrol audiences whose moment has come, and turn assignments into messages."""
    return planner.plan_tick(wiring.database, wiring.clock, settings=wiring.settings)


def evaluate_rules(wiring: Wiring) -> Any:
    """Let the rules act on what has happened."""
    with wiring.database.snapshot() as session:
        obeyed = policy.current(session, wiring.settings)
    return rules_tick(
        wiring.database,
        wiring.clock,
        ineligible=lambda design: planner.ineligible(design, policy=obeyed, now=wiring.clock.now()),
        global_holdout=wiring.settings.global_holdout,
    )


def guard(wiring: Wiring) -> Any:
    """Stop variants that do harm, in every experiment that it is time to look at."""
    # scipy takes a second to load, which no other job should wait for.
    from analysis.bandits import guarding

    return guarding.guard_tick(wiring.database, wiring.clock)


def dispatch(wiring: Wiring) -> Any:
    """Send what is due, a few seconds' worth at a time, so that a process that is to end does so soon.

    The guards look before each of these times (and in a job of their own), so that nothing is claimed of a variant that is known
    to do harm. What keeps them from looking at one experiment holds that one back (`guarding`); what keeps them from looking at
    all, such as a database that does not answer, ends the run: nobody is sent anything that nobody watches.
    """
    some = SECONDS_AT_A_TIME * wiring.settings.messages_per_second
    done = total = _guarded_run(wiring, some)
    while done.claimed >= some and total.claimed < MESSAGES_PER_RUN and not wiring.ending.is_set():
        done = _guarded_run(wiring, some)
        total += done
    return total


def _guarded_run(wiring: Wiring, limit: int) -> Dispatched:
    guard(wiring)
    return wiring.dispatcher.run_blocking(limit=limit)


def project_webhooks(wiring: Wiring) -> Any:
    """Make sense of the webhooks that have come in."""
    return receipts.project_tick(wiring.database, wiring.clock, settings=wiring.settings)


def refresh_reports(wiring: Wiring) -> Any:
    """Make the report of every running experiment anew."""
    # scipy takes a second to load, which no other job should wait for.
    from analysis.reports import service as reports

    return reports.refresh_tick(wiring.database, wiring.clock, facts=wiring.facts)


def reallocate(wiring: Wiring) -> Any:
    """Let bandits move traffic, where a slot is due."""
    from analysis.bandits import reallocation

    return reallocation.reallocate_tick(wiring.database, wiring.clock, facts=wiring.facts)


def pull_sources(wiring: Wiring) -> Any:
    """Bring people from other databases, where a pull is due."""
    return pull_runs.pull_tick(wiring.database, wiring.clock, settings=wiring.settings)


def refresh_segments(wiring: Wiring) -> Any:
    """Work out anew who is in the segments whose membership is old."""
    return membership.refresh_tick(wiring.database, wiring.clock, every=wiring.settings.segments_every)


def discover_attributes(wiring: Wiring) -> Any:
    """Find out what attributes users have, after an import or once an hour."""
    return attributes.discover_tick(wiring.database, wiring.clock, rng=np.random.default_rng())


def check_books(wiring: Wiring) -> Any:
    """Make sure that every slot of every experiment is accounted for."""
    return wiring.books.tick()


def sync_templates(wiring: Wiring) -> Any:
    """Bring the registry of templates in line with WhatsApp's list, once an hour."""
    return template_sync.sync_tick(wiring.database, wiring.clock, settings=wiring.settings)


JOBS: Final[dict[str, Callable[[Wiring], Any]]] = {
    "evaluate-rules": evaluate_rules,
    "plan": plan,
    "guard": guard,
    "dispatch": dispatch,
    "project-webhooks": project_webhooks,
    "refresh-reports": refresh_reports,
    "reallocate": reallocate,
    "pull-sources": pull_sources,
    "refresh-segments": refresh_segments,
    "discover-attributes": discover_attributes,
    "sync-templates": sync_templates,
    "check-books": check_books,
}


SHARED: Final = frozenset({"dispatch", "project-webhooks"})
"""Jobs that every process takes its part of. All others are `SINGLE`."""

SINGLE: Final = frozenset(JOBS) - SHARED
"""Jobs that one process runs for all: the leader."""

_said: dict[str, str] = {}
"""The last complaint of each job, so that one which comes back at every tick is said once."""


def guarded(name: str, job: Callable[[Wiring], Any], wiring: Wiring) -> None:
    """Run a job for the scheduler if it is for this process: an error of ours is logged as one line, and the next tick tries
    again.
    """
    if name in SINGLE and not wiring.leadership.is_leader:
        return
    try:
        job(wiring)
    except TouchstoneError as error:
        if _said.get(name) != str(error):
            _log.warning("%s: %s", name, error)
        _said[name] = str(error)
    else:
        _said.pop(name, None)
