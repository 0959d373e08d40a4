"""The rows of the outbox that one occasion of some assignments comes to. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

from delivery.local_time import zone_of
from delivery.planning.best_hour import Hours, draws
from delivery.planning.planning_repository import NewMessage
from delivery.planning.schedule import Due, is_drawn, plan_times, trigger_moment
from experiments.design import ExperimentDesign
from targeting.repository import Unplanned


def rows_of(
    design: ExperimentDesign,
    assignments: Sequence[Unplanned],
    *,
    experiment_id: int,
    ttl: timedelta,
    occasion_at: datetime | None = None,
    learned: Mapping[int, Hours] | None = None,
) -> list[NewMessage]:
    """One row for each step of each assignment, in their order; none for those of a silent arm.

    occasion_at: of a recurring trigger. learned: the hours of users of whom something is known, by internal id. ttl: how long
    a message lives where the design does not say. Steps count on from one occasion of a user to the next.
    """
    variants = {variant.key: variant for variant in design.variants}
    learned = learned or {}

    @cache
    def begins(time_zone: str | None, assigned_at: datetime) -> datetime:
        # Everybody's steps count from the occasion, also of those who were found a while into the walk.
        return trigger_moment(
            design.trigger,
            assigned_at=occasion_at or assigned_at,
            zone=zone_of(time_zone),
            occasion_at=occasion_at,
        )

    @cache
    def shared(variant: str, time_zone: str | None, assigned_at: datetime) -> list[tuple[Due, datetime]]:
        due = plan_times(
            variants[variant],
            trigger_at=begins(time_zone, assigned_at),
            zone=zone_of(time_zone),
            learned=None,
            draw=lambda _step: 0.0,
        )
        return [(each, design.expires.of(each.at, ttl=ttl)) for each in due]

    def drawn(each: Unplanned, first_step: int) -> list[tuple[Due, datetime]]:
        due = plan_times(
            variants[each.variant],
            trigger_at=begins(each.time_zone, each.assigned_at),
            zone=zone_of(each.time_zone),
            learned=learned.get(each.user_pk),
            draw=draws(experiment_id=experiment_id, user_pk=each.user_pk, first_step=first_step),
        )
        return [(one, design.expires.of(one.at, ttl=ttl)) for one in due]

    rows: list[NewMessage] = []
    for each in assignments:
        variant = variants[each.variant]
        first_step = each.occasions * variant.steps
        times = (
            drawn(each, first_step)
            if is_drawn(variant)
            else shared(each.variant, each.time_zone, each.assigned_at)
        )
        rows += [
            NewMessage(each.user_pk, each.variant, step, due.at, expires_at, due.choice)
            for step, (due, expires_at) in enumerate(times, first_step)
        ]
    return rows
