"""Statistics by attribute and by day of assignment, against numpy on the same rows and against the whole."""

from functools import reduce

import numpy as np
import pytest
from sqlalchemy import update

from analysis.facts.engines import SessionFacts
from analysis.facts.slice_facts import MOST_SLICES, OTHERS, UNKNOWN, By, Slices, gather_by
from analysis.stats.aggregates import Aggregate
from experiments.database import Database
from experiments.errors import Invalid
from targeting.models import User
from tests.integration.analysis_rows import START, VARIANTS, Assigned, store
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


@pytest.mark.parametrize("name", ['a"b', "a.b", "", "x" * 200])
def test_an_attribute_that_sql_cannot_look_up_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="by: "):
        By(attribute=name)
