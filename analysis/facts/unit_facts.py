"""How many units were drawn, where users who share an attribute (a household) are drawn together.

A unit is drawn once. Its members share the variant, so their number says nothing of the draw: counted one by one they look like many draws
that came out alike. It counts in the epoch and variant of its first member; who joins it later is drawn with the same hash, and is no news.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, String, cast, func, select
from sqlalchemy.sql.functions import coalesce

from analysis.facts.engines import FactsEngine
from analysis.facts.fact_tables import ASSIGNMENTS, USERS, micros
from analysis.facts.outcome_facts import is_mature
from experiments.design import USER_ID, ExperimentDesign

Units = Mapping[str, Mapping[int, int]]
"""Variant -> epoch -> units."""


def shared_by(design: ExperimentDesign) -> tuple[str, ...]:
    """The attributes by which users are drawn together, the first that a user has; none where each is drawn alone."""
    audience = design.audience
    if audience.hash_attribute == USER_ID:
        return ()
    names = (audience.hash_attribute, audience.fallback_attribute)
    return tuple(name for name in names if name is not None and name != USER_ID)


def gather_units(
    engine: FactsEngine, *, experiment_id: int, attributes: Sequence[str], as_of: datetime
) -> Units:
    """The units of each variant and epoch until `as_of`, testers left out; one query. Attributes are those of now."""
    found: dict[str, dict[int, int]] = {}
    for row in engine.fetch(units_query(experiment_id, attributes, as_of=as_of)):
        found.setdefault(row["variant"], {})[int(row["epoch"])] = int(row["units"])
    return found


def units_query(experiment_id: int, attributes: Sequence[str], *, as_of: datetime) -> Select[Any]:
    """Columns variant, epoch, `units`."""
    a = ASSIGNMENTS.c
    # The number 5 and the text "5" are one unit.
    named = (cast(USERS.c.attributes[name].as_string(), String) for name in attributes)
    unit = coalesce(*named, USERS.c.user_id)
    members = (
        select(
            a.variant,
            a.epoch,
            func.row_number()
            .over(partition_by=unit, order_by=(micros(a.assigned_at), a.user_pk))
            .label("place"),
        )
        .select_from(ASSIGNMENTS.join(USERS, USERS.c.id == a.user_pk))
        .where(*is_mature(experiment_id, timedelta(0), as_of=as_of))
        .cte("members")
    )
    return (
        select(members.c.variant, members.c.epoch, func.count().label("units"))
        .where(members.c.place == 1)
        .group_by(members.c.variant, members.c.epoch)
        .order_by(members.c.variant, members.c.epoch)
    )
