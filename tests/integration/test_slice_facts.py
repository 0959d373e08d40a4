"""Statistics by attribute and by day of assignment, against numpy on the same rows and against the whole."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Select, update

from analysis.facts.engines import Row, SessionFacts
from analysis.facts.metric_groups import group_metrics
from analysis.facts.slice_facts import MOST_SLICES, OTHERS, UNKNOWN, By, Slices, gather_by
from analysis.stats.aggregates import Aggregate
from experiments.clock import MICROSECOND
from experiments.database import Database
from experiments.errors import Invalid
from targeting.models import User
from tests.integration.analysis_rows import DAY, START, VARIANTS, Assigned, store
from tests.integration.metric_oracle import columns
from tests.integration.test_metric_kinds import AS_OF, METRICS, agrees, gather, random_world, store_world

TOLD = {key: metric for key, metric in METRICS.items() if metric.level is None}
COUNTRIES = ("NL", "BR", "5", "true", UNKNOWN)


def sliced(database: Database, by: By) -> Slices:
    with database.snapshot() as session:
        return gather_by(SessionFacts(session), experiment_id=1, definitions=METRICS, as_of=AS_OF, by=by)


def give(database: Database, user: int, **attributes: object) -> None:
    with database.transaction() as session:
        session.connection().execute(update(User).where(User.id == user).values(attributes=attributes))  # type: ignore[arg-type]


def test_slices_agree_with_numpy_and_add_up_to_the_whole(database: Database) -> None:
    world = random_world(11)
    store_world(database, world)
    values: tuple[object, ...] = ("NL", "BR", 5, True, None)
    for one in world.assigned:
        give(database, one.user, country=values[one.user % 5])
    whole = gather(database, TOLD, as_of=AS_OF).metrics
    for by in (By(attribute="country"), By()):
        found = sliced(database, by)
        assert found.keys() == TOLD.keys()
        for key, metric in TOLD.items():
            variants, expected = columns(metric, world, as_of=AS_OF)
            mature = [one for one in world.assigned if one.at + metric.window <= AS_OF]
            slices = np.array(
                [COUNTRIES[one.user % 5] if by.attribute else f"{one.at:%Y-%m-%d}" for one in mature]
            )
            assert found[key].keys() == set(slices)
            for name in found[key]:
                for variant, value in found[key][name].items():
                    chosen = (variants == variant) & (slices == name)
                    if chosen.sum() > 1:
                        agrees(value, metric, {letter: y[chosen] for letter, y in expected.items()})
            for variant in VARIANTS:
                parts = [by_variant[variant] for by_variant in found[key].values() if variant in by_variant]
                together, all_of_them = reduce(Aggregate.merge, parts), whole[key][variant]
                assert isinstance(all_of_them, Aggregate)
                assert (together.n, together.mean) == (
                    all_of_them.n,
                    pytest.approx(all_of_them.mean, abs=1e-9),
                )
                assert together.variance == pytest.approx(all_of_them.variance, rel=1e-9, abs=1e-9)


def test_rare_values_are_told_together(database: Database) -> None:
    users = range(1, MOST_SLICES + 21)
    store(database, assigned=[Assigned(user, "coupon", START) for user in users])
    for user in users:
        give(database, user, plan=f"plan{user if user > 5 else 1}", odd={"a": 1})
    found = sliced(database, By(attribute="plan"))["cost"]
    sizes = {name: by_variant["coupon"].n for name, by_variant in found.items()}
    assert (len(sizes), sizes["plan1"], sum(sizes.values())) == (MOST_SLICES + 1, 5, len(users))
    assert sizes[OTHERS] == len(users) - 5 - (MOST_SLICES - 1)
    assert sliced(database, By(attribute="odd"))["cost"].keys() == {UNKNOWN}


class Counting(SessionFacts):
    """Counts what it is asked."""

    asked = 0

    def fetch(self, query: Select[Any]) -> Sequence[Row]:
        self.asked += 1
        return super().fetch(query)


def test_what_happened_is_asked_only_where_a_window_has_closed(database: Database) -> None:
    """And which values are frequent is a question of those who count: others may have joined since, with values of their own."""
    early, late = range(1, 11), range(11, 10 + 2 * (MOST_SLICES + 5))
    store(
        database,
        assigned=[
            *(Assigned(user, "coupon", START) for user in early),
            *(Assigned(user, "coupon", START + 30 * DAY) for user in late),
        ],
    )
    for user in (*early, *late):
        give(database, user, plan="first" if user in early else f"plan{user // 2}")
    definitions = {key: METRICS[key] for key in ("sum", "cost")}
    windows = {metric.window for metric in definitions.values()}
    asked: dict[str, Any] = {"experiment_id": 1, "definitions": definitions, "by": By(attribute="plan")}
    with database.snapshot() as session:
        engine = Counting(session)
        assert gather_by(engine, as_of=START + min(windows) - MICROSECOND, **asked) == {
            "sum": {},
            "cost": {},
        }
        assert engine.asked == 1
        found = gather_by(engine, as_of=START + max(windows), **asked)
        assert {key: list(by_slice) for key, by_slice in found.items()} == {
            "sum": ["first"],
            "cost": ["first"],
        }
        assert {key: by_slice["first"]["coupon"].n for key, by_slice in found.items()} == {
            "sum": 10,
            "cost": 10,
        }
        assert engine.asked == 2 + len(group_metrics(definitions))


@pytest.mark.parametrize("name", ['a"b', "a.b", "", "x" * 200])
def test_an_attribute_that_sql_cannot_look_up_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="by: "):
        By(attribute=name)
