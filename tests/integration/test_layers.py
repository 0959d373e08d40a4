"""Experiments beside each other: ranges of one layer, and variants of one that another asks for."""

import threading
from typing import Any

import pytest
from sqlmodel import select

from delivery.planning import planner
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import ExperimentStatus
from targeting import campaigns
from targeting.bucketing import hash_unit
from tests.integration.enrolling import assignments, begin, counts, enrol, variants
from tests.integration.people import REMINDER, SILENCE, add_people, campaign


def in_layer(start: float, end: float, *, layer: str = "promotions") -> dict[str, Any]:
    return {"audience": {"layer": {"key": layer, "range": [start, end]}}}


def needing(*asked: tuple[str, list[str]]) -> dict[str, Any]:
    return {
        "audience": {"prerequisites": [{"experiment": key, "variants": variants} for key, variants in asked]}
    }


def move(database: Database, clock: SteppedClock, key: str, move: Move) -> None:
    with database.transaction() as session:
        service.move(session, clock, actor="test", key=key, move=move)


def refused(database: Database, clock: SteppedClock, **changes: Any) -> Conflict:
    """The refusal of a start, which leaves a draft."""
    document = campaign(**changes)
    with database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=document)
    with pytest.raises(Conflict) as caught, database.transaction() as session:
        campaigns.start(session, clock, actor="test", key=document["key"])
    with database.snapshot() as session:
        found = session.exec(select(Experiment.status).where(Experiment.key == document["key"])).one()
    assert found == ExperimentStatus.DRAFT
    return caught.value


def test_disjoint_ranges_share_a_layer_without_sharing_a_user(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        first = begin(session, clock, key="first", **in_layer(0, 0.3))
        second = begin(session, clock, key="second", **in_layer(0.3, 1))
    enrol(database, clock, second)
    enrol(database, clock, first)
    place = {n: hash_unit("layer:promotions", f"user-{n}", 2) or 0.0 for n in range(1, 201)}
    assert set(assignments(database, first)) == {n for n, at in place.items() if at < 0.3}
    assert set(assignments(database, second)) == {n for n, at in place.items() if at >= 0.3}
    assert counts(database, first)["excluded"] == {"layer": 200 - len(assignments(database, first))}


def test_the_range_of_a_stopped_experiment_is_free_again(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        first = begin(session, clock, key="first", **in_layer(0, 0.5))
    enrol(database, clock, first)
    refusal = refused(database, clock, key="second", **in_layer(0.25, 0.5))
    (problem,) = refusal.problems
    assert problem.field == "audience.layer.range"
    assert "[0, 0.5) of layer 'promotions', which experiment 'first' has" in problem.message
    move(database, clock, "first", Move.PAUSE)
    with pytest.raises(Conflict, match="first"), database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="second")
    move(database, clock, "first", Move.STOP)
    with database.transaction() as session:
        second = campaigns.start(session, clock, actor="test", key="second")
    enrol(database, clock, second)
    assert set(assignments(database, second)) < set(assignments(database, first))


def test_ranges_of_other_layers_are_no_business_of_ours(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        begin(session, clock, key="first", **in_layer(0, 1))
        begin(session, clock, key="second", **in_layer(0, 1, layer="other"))
        begin(session, clock, key="third", audience={"layer": "promotions"})


def test_with_and_without_a_range_they_exclude_each_other(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        ranged = begin(session, clock, key="ranged", **in_layer(0, 0.5))
        late = begin(session, clock, key="late", audience={"layer": "promotions", "coverage": 0.5})
        later = begin(session, clock, key="later", **in_layer(0.5, 1))
    for experiment in (ranged, late, later):
        enrol(database, clock, experiment)
    mine, theirs, last = (set(assignments(database, each)) for each in (ranged, late, later))
    assert mine
    assert theirs
    assert last
    assert not mine & theirs
    assert not theirs & last
    assert not mine & last


def test_two_starts_at_once_never_get_the_same_range(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 3))
        for key in ("first", "second"):
            campaigns.create(session, clock, actor="test", document=campaign(key, **in_layer(0.1, 0.2)))
    outcomes: list[str] = []
    both = threading.Barrier(2)

    def start(key: str) -> None:
        both.wait(30)
        try:
            with database.transaction() as session:
                campaigns.start(session, clock, actor="test", key=key)
        except Conflict:
            outcomes.append("refused")
        else:
            outcomes.append("started")

    threads = [threading.Thread(target=start, args=(key,)) for key in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["refused", "started"]


def test_only_those_with_a_variant_that_is_asked_for_take_part(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 151))
        first = begin(session, clock, key="first", audience={"coverage": 0.8})
        other = begin(session, clock, key="other", variants=[SILENCE, REMINDER])
    enrol(database, clock, first)
    enrol(database, clock, other)
    with database.transaction() as session:
        experiment = begin(
            session,
            clock,
            **needing(("first", ["reminder", "coupon"]), ("other", ["reminder"])),
        )
    enrol(database, clock, experiment)
    earlier, elsewhere = variants(database, first), variants(database, other)
    allowed = {
        pk
        for pk in range(1, 151)
        if earlier.get(pk) in {"reminder", "coupon"} and elsewhere[pk] == "reminder"
    }
    assert allowed
    assert set(assignments(database, experiment)) == allowed
    assert counts(database, experiment) == {
        "assigned": len(allowed),
        "excluded": {"prerequisite": 150 - len(allowed)},
    }


def test_a_prerequisite_that_is_not_there_is_refused_by_its_path(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign("first"))
    wrong = {
        "audience.prerequisites[0].variants[1]": ("first", ["coupon", "cupon"]),
        "audience.prerequisites[1].experiment": ("nobody", ["a"]),
    }
    itself = ("spring", ["silence"])
    for verb in (campaigns.create, campaigns.apply):
        with pytest.raises(Invalid) as caught, database.transaction() as session:
            verb(session, clock, actor="test", document=campaign(**needing(*wrong.values())))
        assert [problem.field for problem in caught.value.problems] == [*wrong]
        with pytest.raises(Invalid, match="itself") as caught, database.transaction() as session:
            verb(session, clock, actor="test", document=campaign(**needing(itself)))
        assert [problem.field for problem in caught.value.problems] == [
            "audience.prerequisites[0].experiment"
        ]


def test_a_circle_is_refused_wherever_it_is_closed(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign("a"))
        campaigns.create(session, clock, actor="test", document=campaign("b", **needing(("a", ["coupon"]))))
        campaigns.create(session, clock, actor="test", document=campaign("c", **needing(("b", ["coupon"]))))
        campaigns.create(session, clock, actor="test", document=campaign("d", **needing(("b", ["coupon"]))))
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.apply(
            session,
            clock,
            actor="test",
            document=campaign("a", **needing(("d", ["silence"]))),
        )
    (problem,) = caught.value.problems
    assert problem.field == "audience.prerequisites[0].experiment"
    assert "a needs d needs b needs a" in problem.message
    with database.transaction() as session:
        campaigns.apply(session, clock, actor="test", document=campaign("d", **needing(("c", ["coupon"]))))


def test_what_became_wrong_since_is_found_at_the_start(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        campaigns.create(session, clock, actor="test", document=campaign("first"))
        campaigns.create(
            session, clock, actor="test", document=campaign("next", **needing(("first", ["coupon"])))
        )
    with pytest.raises(Invalid, match="never started") as early, database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="next")
    assert [problem.field for problem in early.value.problems] == ["audience.prerequisites[0].experiment"]
    with database.transaction() as session:
        campaigns.apply(
            session, clock, actor="test", document=campaign("first", variants=[SILENCE, REMINDER])
        )
        campaigns.start(session, clock, actor="test", key="first")
    with pytest.raises(Invalid, match="no variant 'coupon'") as caught, database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="next")
    assert [problem.field for problem in caught.value.problems] == ["audience.prerequisites[0].variants[0]"]


def test_a_chain_of_experiments_is_planned_one_after_the_other(
    database: Database, clock: SteppedClock
) -> None:
    """The first has the higher priority, so its audience has been walked when the next asks for its variants."""
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        first = begin(session, clock, key="first", priority=5)
        following = begin(session, clock, key="next", **needing(("first", ["coupon"])))
    planner.plan_tick(database, clock, settings=Settings())
    drawn = variants(database, first)
    assert set(assignments(database, following)) == {pk for pk in drawn if drawn[pk] == "coupon"}
