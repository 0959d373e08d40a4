# ruff: noqa: S608 - what enters the text of a query is our own: numbers, letters and column names
"""What `certify` needs of the data: how the outcomes of all users are distributed, whatever their arm was.

The database counts users who are alike, so that few rows travel to Python. Where there are more than `BOUND` users (in a file:
different ones), a uniform sample is taken by a hash of the user (or of the cluster).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Select, Subquery, Table, func, not_, select
from sqlalchemy.sql.functions import coalesce

from analysis.certification.rerandomise import SUMS, Pool, pool_of_users
from analysis.facts.engines import FactsEngine, Row
from analysis.facts.facts import ASSIGNMENTS, MetricGroup
from analysis.facts.outcome_facts import Slicing, outcomes
from analysis.files.file_facts import FileFacts
from targeting.models import User

USERS: Final[Table] = User.__table__  # type: ignore[attr-defined]
BOUND: Final = 200_000
"""Users of one metric, and so rows at most, that may travel to Python: users who are alike are one row."""
_PRIME: Final = 2_147_483_647
_GOLDEN: Final = 1_327_217_885
"""_PRIME divided by the golden ratio: neighbours are sent far from each other (Knuth's multiplicative hash)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A pool, and which share of the units is in it (1.0: all of them). None when there is nobody."""

    pool: Pool | None
    share: float = 1.0


def assigned_query(experiment_id: int, *, as_of: datetime) -> Select[Any]:
    """Columns variant, epoch, assigned: who was drawn until `as_of`, testers left out."""
    a = ASSIGNMENTS.c
    return (
        select(a.variant, a.epoch, func.count().label("assigned"))
        .where(a.experiment_id == experiment_id, not_(a.forced), a.assigned_at <= as_of)
        .group_by(a.variant, a.epoch)
    )


def drawn_users(
    engine: FactsEngine,
    *,
    experiment_id: int,
    group: MetricGroup,
    number: int,
    variants: Sequence[str],
    clusters: Sequence[str],
    as_of: datetime,
    users: int,
    bound: int = BOUND,
) -> Drawn:
    """The mature users of the variants with their outcomes of metric `number` of the group.

    users: how many were assigned. clusters: names of attributes; users who share the first of them that they have were drawn together. Empty: one by one.
    """
    share = min(1.0, bound / max(users, 1))
    # A cap that is a quantile is of everybody, and so is a cluster; else only the sample's events are looked at.
    early = not clusters and not any(
        part.cap is not None and part.cap.quantile is not None
        for _, metric in group.metrics
        for part in metric.quantities.values()
    )
    sample = _sampled(ASSIGNMENTS.c.user_pk, share) if early else []
    # The users themselves are the slices: one row each.
    by_user = Slicing(people=ASSIGNMENTS, slice_of=ASSIGNMENTS.c.user_pk, only=sample[0] if sample else None)
    found = outcomes(experiment_id, group, as_of=as_of, slicing=by_user)
    each = select(
        *(column.label("user_pk") if column.name == "slice" else column for column in found.c)
    ).subquery("each")
    letters = [letter for letter in "ydx" if f"{letter}{number}" in each.c]
    values = {letter: each.c[f"{letter}{number}"] for letter in letters}
    chosen = each.c.variant.in_(variants)
    if not clusters:
        query = select(*(value.label(letter) for letter, value in values.items()), _times())
        query = query.where(chosen, *_sampled(each.c.user_pk, share))
        return Drawn(pool=_of_users(engine.fetch(query.group_by(*values.values())), letters), share=share)
    centre = engine.fetch(select(*(func.avg(v).label(k) for k, v in values.items())).where(chosen))[0]
    if centre["y"] is None:
        return Drawn(pool=None)
    shifts = {letter: float(centre[letter]) for letter in letters}
    sums = _per_cluster(each, values, shifts, clusters, chosen, share)
    rows = engine.fetch(select(*sums.c, _times()).group_by(*sums.c))
    return Drawn(pool=_of_clusters(_columns(rows), shifts), share=share)


def _per_cluster(
    each: Subquery,
    values: Mapping[str, ColumnElement[float]],
    shifts: Mapping[str, float],
    clusters: Sequence[str],
    chosen: ColumnElement[bool],
    share: float,
) -> Subquery:
    unit = coalesce(*(USERS.c.attributes[name].as_string() for name in clusters), USERS.c.user_id)
    deviations = {letter: value - shifts[letter] for letter, value in values.items()}
    query = (
        select(
            func.count().label("n"),
            *(func.sum(value).label(letter) for letter, value in deviations.items()),
            *(
                func.sum(deviations[a] * deviations[b]).label(_product(a, b))
                for a, b in combinations_with_replacement(deviations, 2)
            ),
        )
        .select_from(each.join(USERS, USERS.c.id == each.c.user_pk))
        .where(chosen)
        .group_by(unit)
    )
    for condition in _sampled(func.min(each.c.user_pk), share):
        query = query.having(condition)
    return query.subquery("clusters")


def _times() -> ColumnElement[int]:
    return func.count().label("times")


def _product(a: str, b: str) -> str:
    return a + b if a + b in SUMS else b + a


def _sampled(user_pk: ColumnElement[int], share: float) -> list[ColumnElement[bool]]:
    if share >= 1:
        return []
    return [user_pk % _PRIME * _GOLDEN % _PRIME < int(share * _PRIME)]


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    names = list(rows[0]) if rows else []
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}


def _of_users(rows: Sequence[Row], letters: Sequence[str]) -> Pool | None:
    columns = _columns(rows)
    return (
        pool_of_users(columns["times"], **{letter: columns[letter] for letter in letters}) if rows else None
    )


def _of_clusters(columns: dict[str, Any], shifts: dict[str, float]) -> Pool | None:
    if not columns or not len(columns["n"]):
        return None
    return Pool(
        sums={name: np.asarray(columns[name], dtype=np.float64) for name in SUMS if name in columns},
        times=np.asarray(columns["times"], dtype=np.int64),
        shifts=shifts,
    )


def drawn_rows(
    facts: FileFacts, *, number: int, letters: Sequence[str], clustered: bool, bound: int = BOUND
) -> Drawn:
    """The units of a loaded file with their outcomes of metric `number`; clustered: those who share `cluster` were drawn together."""
    source = (
        f"SELECT * FROM ({_clusters(facts, number, letters)})"
        if clustered
        else f"SELECT {_listed(letters, number)} FROM units"
    )
    kinds = f"SELECT *, count(*) AS times FROM ({source}) GROUP BY ALL"
    count = int(facts.columns_of(f"SELECT count(*) AS kinds FROM ({kinds})")["kinds"][0])
    share = 1.0
    if count > bound:
        share = 0.9 * bound / count
        sample = f"SELECT * EXCLUDE (place) FROM (SELECT *, row_number() OVER () AS place FROM ({source})) WHERE hash(place) % 1000000 < {int(share * 1e6):d}"
        kinds = f"SELECT *, count(*) AS times FROM ({sample}) GROUP BY ALL"
    columns = facts.columns_of(f"SELECT * FROM ({kinds}) ORDER BY ALL")
    if not len(columns["times"]):
        return Drawn(pool=None)
    if not clustered:
        return Drawn(
            pool=pool_of_users(columns["times"], **{letter: columns[letter] for letter in letters}),
            share=share,
        )
    return Drawn(pool=_of_clusters(columns, _centre(facts, number, letters)), share=share)


def _listed(letters: Sequence[str], number: int) -> str:
    return ", ".join(f"{letter}{number} AS {letter}" for letter in letters)


def _centre(facts: FileFacts, number: int, letters: Sequence[str]) -> dict[str, float]:
    means = ", ".join(f"favg({letter}{number}) AS {letter}" for letter in letters)
    row = facts.columns_of(f"SELECT {means} FROM units")
    return {letter: float(row[letter][0]) for letter in letters}


def _clusters(facts: FileFacts, number: int, letters: Sequence[str]) -> str:
    shift = _centre(facts, number, letters)
    deviation = {letter: f"({letter}{number} - {shift[letter]!r})" for letter in letters}
    sums = [f"fsum({value}) AS {letter}" for letter, value in deviation.items()]
    sums += [
        f"fsum({deviation[a]} * {deviation[b]}) AS {_product(a, b)}"
        for a, b in combinations_with_replacement(deviation, 2)
    ]
    return f"SELECT count(*) AS n, {', '.join(sums)} FROM units WHERE cluster IS NOT NULL GROUP BY cluster"


def split_clusters(facts: FileFacts) -> tuple[int, int]:
    """How many clusters of a loaded file are in several variants, and how many there are."""
    found = facts.columns_of(
        "SELECT count(*) FILTER (WHERE several) AS several, count(*) AS clusters FROM "
        "(SELECT min(variant) <> max(variant) AS several FROM units WHERE cluster IS NOT NULL GROUP BY cluster)"
    )
    return int(found["several"][0]), int(found["clusters"][0])
