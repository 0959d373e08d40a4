"""What a list of experiments shows of the newest report of each, read without making one. Reading it is no look at the data."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from analysis.reports import repository
from analysis.reports.service import LOOK_EVERY, is_due
from experiments.clock import Clock, passing_in
from experiments.models import Experiment
from experiments.vocabulary import MetricRole
from targeting.models import Enrolment

OLD: Final = 2 * LOOK_EVERY
"""A report that is due and older than this should have been followed by another: whoever makes them does not run."""
MAKING_SECONDS: Final = 60.0
"""Of the machine's own time. Reports are made by a machine, so on a hurried clock one may well be older than `OLD`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """document: a report in its own shape, with the primary metric as its only one and without words of warning. breached: metric
    and variant of each guardrail that is surely broken. alarms: failed checks that forbid to trust the effects.
    """

    report_id: int
    as_of: datetime
    document: Mapping[str, Any]
    breached: tuple[tuple[str, str], ...]
    alarms: tuple[Mapping[str, Any], ...]


def newest_digests(session: Session, experiment_ids: Collection[int]) -> dict[int, Digest]:
    """By the id of the experiment; one that was never looked at is absent. One query, however many there are."""
    rows = repository.newest_digests(session, experiment_ids) if experiment_ids else ()
    return {row.experiment_id: _digest(row) for row in rows}


def progress_of(session: Session, experiment_ids: Collection[int]) -> dict[int, Enrolment]:
    """How far the audience of each experiment was walked; absent before its first batch. One query."""
    return repository.enrolments_of(session, experiment_ids) if experiment_ids else {}


def old_after(clock: Clock) -> timedelta:
    """How old a report may be: `OLD`, but no less than what passes in `MAKING_SECONDS`."""
    return max(OLD, passing_in(clock, MAKING_SECONDS))


def is_old(
    experiment: Experiment,
    progress: Enrolment | None,
    newest: Digest | None,
    *,
    now: datetime,
    after: timedelta,
) -> bool:
    """Whether another report should have been made of a started experiment by now, when none may be older than `after`."""
    if experiment.started_at is None or now - experiment.started_at < after:
        return False
    return is_due(experiment, progress, last=newest.as_of if newest else None, now=now, every=after)


def copy_is_old(until: datetime | None, *, now: datetime, after: timedelta) -> bool:
    """Whether a copy of the facts lacks what happened since long ago, or everything."""
    return until is None or now - until > after


def _digest(row: Any) -> Digest:
    metrics, health = row.metrics or [], row.health or []
    return Digest(
        report_id=row.id,
        as_of=row.as_of,
        document={
            "method": row.method,
            "alpha": row.alpha,
            "arms": [_arm(arm) for arm in row.arms or []],
            "health": health,
            "metrics": [metric for metric in metrics if metric["role"] == MetricRole.PRIMARY][:1],
            "decision": row.decision,
        },
        breached=tuple(
            (metric["metric"], effect["variant"])
            for metric in metrics
            for effect in metric["effects"]
            if (effect.get("guardrail") or {}).get("breached")
        ),
        alarms=tuple(check for check in health if not check["ok"] and check.get("blocking")),
    )


def _arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: arm[name] for name in ("variant", "control", "assigned", "mature")}
    return {**shown, "messages": {"accepted": arm["messages"]["accepted"]}}
