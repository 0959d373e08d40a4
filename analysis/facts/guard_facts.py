"""What guards know: users met by a message, and those of them who were harmed soon after, by epoch and variant.

A user is *met* when a first message of the experiment has gone out or failed; a user of a silent control when assigned. Everybody
counts once as much time has passed since then as harm is given to come (`plan.rules.harm_within`), with what came within that
time. A message that is tried again meets its user anew, and `failed` goes on counting that it failed once. So all users of all arms are watched equally long, whenever their messages went out, and a count never grows by waiting.
Testers count nowhere. Only rows of this experiment are read, and only sums come back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import CTE, ColumnElement, Select, and_, case, exists, func, literal, not_, or_, select

from analysis.facts.engines import FactsEngine
from analysis.facts.fact_tables import ASSIGNMENTS, EVENTS, MESSAGES, micros
from analysis.facts.outcome_facts import stage_before
from analysis.facts.property_facts import holds
from experiments.clock import MICROSECOND, to_micros
from experiments.guards import Guard
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MessageStage

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFacts:
    """Epochs T, variants K: users met, (T, K), and by guard those of them who were harmed, (T, K) each."""

    epochs: tuple[int, ...]
    variants: tuple[str, ...]
    users: NDArray[np.int64]
    harmed: Mapping[str, NDArray[np.int64]]


def gather_harm(
    engine: FactsEngine,
    *,
    experiment_id: int,
    guards: Sequence[Guard],
    variants: Sequence[str],
    silent_control: str | None,
    within: timedelta,
    as_of: datetime,
    since: datetime | None = None,
) -> GuardFacts:
    """Facts of one look, in one query, two where the control (`silent_control`) has no messages.

    since: leave out users whom a message met before.
    """
    queries = [met_query(experiment_id, guards, within=within, as_of=as_of, since=since)]
    if silent_control is not None:
        queries.append(
            silent_query(experiment_id, guards, variant=silent_control, within=within, as_of=as_of)
        )
    rows = [row for query in queries for row in engine.fetch(query) if row["variant"] in variants]
    epochs = tuple(sorted({int(row["epoch"]) for row in rows}))
    shape = (len(epochs), len(variants))
    users = np.zeros(shape, dtype=np.int64)
    harmed = {guard.key: np.zeros(shape, dtype=np.int64) for guard in guards}
    for row in rows:
        at = epochs.index(int(row["epoch"])), list(variants).index(row["variant"])
        users[at] += int(row["users"])
        for i, guard in enumerate(guards):
            harmed[guard.key][at] += int(row[f"harmed{i}"])
    return GuardFacts(epochs=epochs, variants=tuple(variants), users=users, harmed=harmed)


def met_query(
    experiment_id: int,
    guards: Sequence[Guard],
    *,
    within: timedelta,
    as_of: datetime,
    since: datetime | None = None,
) -> Select[Any]:
    """Per epoch and variant: `users` whom a message met long enough ago (from `since` on), and `harmed<i>` of them by guard number i."""
    m, now = MESSAGES.c, literal(to_micros(as_of))
    tried = func.coalesce(micros(m.slot_at), micros(m.failed_at))
    begun = 0 if since is None else to_micros(since)
    stages = [(i, guard.metric.message) for i, guard in enumerate(guards) if guard.metric.message is not None]
    tries = (
        select(
            m.user_pk,
            micros(m.failed_at).label("failed_at"),
            micros(m.first_failed_at).label("first_failed_at"),
            func.min(tried).over(partition_by=m.user_pk).label("met_at"),
            *(case((stage_before(stage, now), 1), else_=0).label(f"harmed{i}") for i, stage in stages),
        )
        .where(m.experiment_id == experiment_id, or_(m.slot_at.is_not(None), m.failed_at.is_not(None)))
        .cte("tries")
    )
    ends = tries.c.met_at + within // MICROSECOND

    def soon(stage: MessageStage) -> ColumnElement[bool]:
        if stage != MessageStage.FAILED:
            return tries.c.failed_at < ends
        # Whoever waits for a further try is met anew by it, and stays one whom the message failed once; a released variant is not told of before.
        failed_at = func.coalesce(tries.c.first_failed_at, tries.c.failed_at)
        return and_(failed_at < ends, failed_at >= begun)

    met = (
        select(
            tries.c.user_pk,
            tries.c.met_at,
            *(
                func.max(case((soon(stage), tries.c[f"harmed{i}"]), else_=0)).label(f"harmed{i}")
                for i, stage in stages
            ),
        )
        .where(
            tries.c.met_at <= to_micros(as_of) - within // MICROSECOND,
            *([] if since is None else [tries.c.met_at >= to_micros(since)]),
        )
        .group_by(tries.c.user_pk, tries.c.met_at)
        .cte("met")
    )
    return _counted(experiment_id, guards, met, within=within)


def silent_query(
    experiment_id: int, guards: Sequence[Guard], *, variant: str, within: timedelta, as_of: datetime
) -> Select[Any]:
    """The same of a variant without messages, whose users are met when they are assigned. Messages cannot harm them."""
    a = ASSIGNMENTS.c
    met = (
        select(
            a.user_pk,
            micros(a.assigned_at).label("met_at"),
            *(
                literal(0).label(f"harmed{i}")
                for i, guard in enumerate(guards)
                if guard.metric.message is not None
            ),
        )
        .where(
            a.experiment_id == experiment_id,
            a.variant == variant,
            micros(a.assigned_at) <= to_micros(as_of) - within // MICROSECOND,
        )
        .cte("met")
    )
    return _counted(experiment_id, guards, met, within=within)


def _counted(experiment_id: int, guards: Sequence[Guard], met: CTE, *, within: timedelta) -> Select[Any]:
    a = ASSIGNMENTS.c
    harmed = [
        func.sum(
            met.c[f"harmed{i}"]
            if guard.metric.message is not None
            else case((_happened(guard.metric, met, within=within), 1), else_=0)
        ).label(f"harmed{i}")
        for i, guard in enumerate(guards)
    ]
    mine = and_(a.experiment_id == experiment_id, a.user_pk == met.c.user_pk, not_(a.forced))
    return (
        select(a.epoch, a.variant, func.count().label("users"), *harmed)
        .select_from(met.join(ASSIGNMENTS, mine))
        .group_by(a.epoch, a.variant)
        .order_by(a.epoch, a.variant)
    )


def _happened(metric: MetricDefinition, met: CTE, *, within: timedelta) -> ColumnElement[bool]:
    """Whether an event that counts came soon enough. What WhatsApp tells has whole seconds, so it may seem to come before."""
    e = EVENTS.c
    second = met.c.met_at - met.c.met_at % (SECOND // MICROSECOND)
    counts = [
        e.user_pk == met.c.user_pk,
        e.name == metric.event,
        micros(e.at) >= second,
        micros(e.at) < met.c.met_at + within // MICROSECOND,
    ]
    where = holds(metric.where, e.properties)
    return exists(select(literal(1)).where(*counts, *([] if where is None else [where])))
