"""Who is in which arm, and what became of the messages: the counts of a report, in two queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, func, not_, or_, select

from analysis.facts.engines import Row
from analysis.facts.fact_tables import ASSIGNMENTS, MESSAGES, STAGES, micros
from analysis.inputs import Messages, Reached
from experiments.clock import to_micros
from experiments.vocabulary import MessageState

NO_REASON: Final = "unspecified"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """One variant that somebody was assigned to. assigned: users by number of the epoch they were drawn in."""

    assigned: Mapping[int, int]
    messages: Messages
    reached: Reached


def arms_query(experiment_id: int, *, as_of: datetime) -> Select[Any]:
    """Per variant and epoch: users assigned, and how many messages and users got to each stage until `as_of`.

    Columns: variant, epoch, assigned, and for each stage `messages_<stage>` and `users_<stage>`.
    """
    a, m = ASSIGNMENTS.c, MESSAGES.c
    now = to_micros(as_of)
    counts = [
        func.sum(case((_until(now, columns), 1), else_=0)).label(stage) for stage, columns in STAGES.items()
    ]
    users = (
        select(func.min(a.variant).label("variant"), func.min(a.epoch).label("epoch"), *counts)
        .select_from(
            ASSIGNMENTS.outerjoin(MESSAGES, and_(m.experiment_id == a.experiment_id, m.user_pk == a.user_pk))
        )
        .where(a.experiment_id == experiment_id, not_(a.forced), micros(a.assigned_at) <= now)
        .group_by(a.user_pk)
        .cte("users_of_arms")
    )
    columns: list[ColumnElement[Any]] = []
    for stage in STAGES:
        columns.append(cast(func.sum(users.c[stage]), BigInteger).label(f"messages_{stage}"))
        columns.append(func.sum(case((users.c[stage] > 0, 1), else_=0)).label(f"users_{stage}"))
    return (
        select(users.c.variant, users.c.epoch, func.count().label("assigned"), *columns)
        .group_by(users.c.variant, users.c.epoch)
        .order_by(users.c.variant, users.c.epoch)
    )


def suppressed_query(experiment_id: int) -> Select[Any]:
    """Messages that were not sent, per variant and reason. A suppression has no time of its own: it counts at once."""
    a, m = ASSIGNMENTS.c, MESSAGES.c
    return (
        select(m.variant, m.reason, func.count().label("messages"))
        .select_from(
            MESSAGES.join(ASSIGNMENTS, and_(a.experiment_id == m.experiment_id, a.user_pk == m.user_pk))
        )
        .where(m.experiment_id == experiment_id, m.state == str(MessageState.SUPPRESSED), not_(a.forced))
        .group_by(m.variant, m.reason)
        .order_by(m.variant, m.reason)
    )


def arms_of(rows: Sequence[Row], suppressed_rows: Sequence[Row]) -> dict[str, ArmCounts]:
    """The rows of both queries by variant."""
    suppressed: dict[str, dict[str, int]] = {}
    for row in suppressed_rows:
        suppressed.setdefault(row["variant"], {})[row["reason"] or NO_REASON] = int(row["messages"])
    by_variant: dict[str, list[Row]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], []).append(row)
    return {
        variant: ArmCounts(
            assigned={int(row["epoch"]): int(row["assigned"]) for row in epochs},
            messages=Messages(
                **{stage: sum(int(row[f"messages_{stage}"]) for row in epochs) for stage in STAGES},
                suppressed=suppressed.get(variant, {}),
            ),
            reached=Reached(**{stage: sum(int(row[f"users_{stage}"]) for row in epochs) for stage in STAGES}),
        )
        for variant, epochs in by_variant.items()
    }


def _until(now: int, columns: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(micros(MESSAGES.c[column]) <= now for column in columns))
