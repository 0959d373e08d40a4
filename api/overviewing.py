"""The whole installation at a glance: what calls for somebody, what runs, what goes out. Nothing is computed for it but counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlmodel import Session

from analysis.facts.engines import FactsEngine
from analysis.reports.copies import copied_by
from analysis.reports.digest import Digest, copy_is_old, is_old, newest_digests, old_after, progress_of
from analysis.verdicts.decision import TOO_FEW_USERS
from api.overview_memory import Overviews
from delivery.watch.today import BAD, Today
from experiments import repository
from experiments.clock import Clock
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.stopped_arms import stopped_arms
from experiments.vocabulary import ExperimentStatus
from targeting.rules import repository as rule_repository

LIVE: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)
MOST_LIVE: Final = 200
"""So many live experiments, the newest, are looked at for alerts."""
MOST_SHOWN: Final = 20
MOST_ALERTS: Final = 100


class AlertKind(StrEnum):
    """What may be wrong. Red: sending or trusting is not safe. Amber: somebody should look."""

    SRM = "srm"
    HEALTH = "health"
    GUARDRAIL_BREACHED = "guardrail_breached"
    VARIANT_STOPPED = "variant_stopped"
    DELIVERY_PAUSED = "delivery_paused"
    BREAKER_OPEN = "breaker_open"
    BOOKS_BROKEN = "books_broken"
    SENDING_STOPPED = "sending_stopped"
    QUALITY_RED = "quality_red"
    QUALITY_YELLOW = "quality_yellow"
    FACTS_OLD = "facts_old"
    REPORT_OLD = "report_old"
    RULES_PARKED = "rules_parked"
    TOO_FEW_USERS = "too_few_users"


AMBER: Final = frozenset(
    {
        AlertKind.QUALITY_YELLOW,
        AlertKind.FACTS_OLD,
        AlertKind.REPORT_OLD,
        AlertKind.RULES_PARKED,
        AlertKind.TOO_FEW_USERS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """subject: the variant, fuse or stage that it is about; detail: the reason in words, or a number. at: since when."""

    kind: AlertKind
    experiment: str | None = None
    name: str | None = None
    subject: str | None = None
    detail: str = ""
    at: datetime | None = None

    @property
    def severity(self) -> str:
        return "amber" if self.kind in AMBER else "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An experiment as a list shows it. newest: of its last report, None when there is none; old: another should be there by now."""

    experiment: Experiment
    newest: Digest | None
    old: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """alerts: red ones first, `alerts_left_out` beyond `MOST_ALERTS`. live: the newest that run or are paused, at most `MOST_SHOWN`.
    not_looked_at: live experiments beyond `MOST_LIVE`, whose reports raise no alerts here. counts: experiments by state.
    """

    at: datetime
    alerts: Sequence[Alert]
    alerts_left_out: int
    live: Sequence[Card]
    not_looked_at: int
    counts: Mapping[str, int]
    today: Today


def glance(
    session: Session,
    clock: Clock,
    *,
    settings: Settings,
    overviews: Overviews,
    facts: FactsEngine | None = None,
) -> Glance:
    """Everything that a first look needs, from kept reports and counts; call it in a snapshot."""
    now = clock.now()
    counts = repository.count_by_status(session)
    live = repository.newest_experiments(session, limit=MOST_LIVE, statuses=LIVE)
    shown = _cards(session, live, now=now, after=old_after(clock))
    seen = overviews.glance(session, clock, settings=settings)
    found = [*_of_delivery(seen), *_of_facts(facts, clock), *_of_rules(session)]
    found += [alert for card in shown for alert in _of_experiment(card)]
    found.sort(key=lambda alert: alert.kind in AMBER)
    return Glance(
        at=now,
        alerts=found[:MOST_ALERTS],
        alerts_left_out=max(0, len(found) - MOST_ALERTS),
        live=shown[:MOST_SHOWN],
        not_looked_at=max(0, sum(counts.get(state, 0) for state in LIVE) - MOST_LIVE),
        counts=counts,
        today=seen,
    )


def list_cards(
    session: Session,
    clock: Clock,
    *,
    before_id: int | None,
    limit: int,
    status: ExperimentStatus | None = None,
    search: str = "",
) -> tuple[list[Card], Mapping[str, int]]:
    """A page of experiments, newest first, with what their last reports say; and how many are in each state, by the same search."""
    rows = repository.newest_experiments(
        session, before_id=before_id, limit=limit, statuses=(status,) if status else (), search=search
    )
    return _cards(session, rows, now=clock.now(), after=old_after(clock)), repository.count_by_status(
        session, search=search
    )


def _cards(session: Session, rows: Sequence[Experiment], *, now: datetime, after: timedelta) -> list[Card]:
    started = [row.id for row in rows if row.id is not None and row.started_at]
    digests, walked = newest_digests(session, started), progress_of(session, started)
    found = [(row, digests.get(row.id or 0), walked.get(row.id or 0)) for row in rows]
    return [
        Card(experiment=row, newest=newest, old=is_old(row, progress, newest, now=now, after=after))
        for row, newest, progress in found
    ]


def _of_experiment(card: Card) -> Iterator[Alert]:
    experiment, newest = card.experiment, card.newest
    named = {"experiment": experiment.key, "name": experiment.name}
    stopped = stopped_arms(experiment)
    for variant, told in stopped.items():
        yield Alert(
            kind=AlertKind.VARIANT_STOPPED, subject=variant, detail=told["reason"], at=told["at"], **named
        )
    if newest is not None:
        for check in newest.alarms:
            kind = AlertKind.SRM if check["check"] == "srm" else AlertKind.HEALTH
            subject = check["stage"] if kind is AlertKind.SRM else check["check"]
            yield Alert(kind=kind, subject=subject, detail=check["detail"], at=newest.as_of, **named)
        for metric, variant in newest.breached:
            if variant not in stopped:
                yield Alert(
                    kind=AlertKind.GUARDRAIL_BREACHED,
                    subject=variant,
                    detail=metric,
                    at=newest.as_of,
                    **named,
                )
        decision = newest.document["decision"] or {}
        if decision.get("rule") == TOO_FEW_USERS and experiment.shipped is None:
            yield Alert(
                kind=AlertKind.TOO_FEW_USERS, detail=str(decision["because"]), at=newest.as_of, **named
            )
    if card.old:
        yield Alert(kind=AlertKind.REPORT_OLD, at=newest.as_of if newest else None, **named)


def _of_delivery(seen: Today) -> Iterator[Alert]:
    if seen.pause is not None:
        yield Alert(kind=AlertKind.DELIVERY_PAUSED, detail=seen.pause.reason, at=seen.pause.opened_at)
    for fuse in seen.fuses:
        yield Alert(
            kind=AlertKind.BREAKER_OPEN,
            subject=f"{fuse.kind} {fuse.key}",
            detail=fuse.reason,
            at=fuse.opened_at,
        )
    for kept in seen.broken:
        yield Alert(kind=AlertKind.BOOKS_BROKEN, experiment=kept.experiment, at=kept.broken_at)
    if seen.due and not seen.workers:
        yield Alert(kind=AlertKind.SENDING_STOPPED, detail=str(seen.due), at=seen.oldest_due)
    if seen.quality in BAD:
        yield Alert(kind=AlertKind.QUALITY_RED if seen.quality == "RED" else AlertKind.QUALITY_YELLOW)


def _of_facts(facts: FactsEngine | None, clock: Clock) -> Iterator[Alert]:
    copied = copied_by(facts)
    if copied is not None and copy_is_old(copied.until, now=clock.now(), after=old_after(clock)):
        yield Alert(kind=AlertKind.FACTS_OLD, at=copied.until)


def _of_rules(session: Session) -> Iterator[Alert]:
    parked = rule_repository.count_parked(session)
    if parked:
        yield Alert(kind=AlertKind.RULES_PARKED, detail=str(parked))
