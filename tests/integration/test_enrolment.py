"""Enrolment on both databases: who is assigned, who is excluded and why, and that nothing is lost or doubled."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlmodel import col, select

from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.models import Epoch
from experiments.vocabulary import Category
from targeting import enrolment
from targeting.bucketing import bucket_ranges, choose_variant, hash_unit
from targeting.enrolment import EnrolmentStep
from targeting.models import Assignment, Consent, User
from tests.integration.enrolling import assignments, begin, counts, enrol
from tests.integration.people import COUPON, REMINDER, SILENCE, add_people


def test_everybody_gets_the_variant_of_their_hash(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        experiment = begin(session, clock)

    steps = enrol(database, clock, experiment)

    ranges = bucket_ranges(3, 1.0, None)
    keys = ["silence", "reminder", "coupon"]
    rows = assignments(database, experiment)
    assert {pk: row.variant for pk, row in rows.items()} == {
        number: keys[choose_variant(hash_unit("spring", f"user-{number}", 2) or 0.0, ranges)]
        for number in range(1, 201)
    }
    assert {(row.epoch, row.assigned_at, row.planned_at) for row in rows.values()} == {(1, clock.now(), None)}
    assert {row.propensity for row in rows.values()} == {1 / 3}
    # 4 full pages, and an empty one that shows that nobody is left
    assert [step.looked_at for step in steps] == [50, 50, 50, 50, 0]
    assert counts(database, experiment) == {"assigned": 200, "excluded": {}}


def test_uneven_weights_are_the_propensity(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 301))
        experiment = begin(session, clock, variants=[{**SILENCE, "weight": 1}, {**REMINDER, "weight": 3}])

    enrol(database, clock, experiment)

    rows = assignments(database, experiment)
    assert {(row.variant, row.propensity) for row in rows.values()} == {("silence", 0.25), ("reminder", 0.75)}
    assert 40 < Counter(row.variant for row in rows.values())["silence"] < 110


def test_each_exclusion_is_counted_by_its_first_reason(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 21))
        add_people(session, clock, range(21, 31), phone=False)
        add_people(session, clock, range(31, 46), consent=[])
        add_people(session, clock, range(46, 50), phone=False, consent=[])
        add_people(session, clock, range(50, 52), attributes={"country": "BR"})
        withdrawn = session.get_one(Consent, (1, Category.MARKETING))
        withdrawn.granted = False
        experiment = begin(session, clock, audience={"condition": {"country": "NL"}})

    steps = enrol(
        database,
        clock,
        experiment,
        ineligible={"cap": col(User.id).in_([2, 3, 25]), "number": col(User.id).in_([3, 4])},
    )

    assert counts(database, experiment) == {
        "assigned": 16,
        "excluded": {"phone": 14, "consent": 16, "cap": 2, "number": 1},
    }
    assert sum(step.looked_at for step in steps) == 16 + 14 + 16 + 2 + 1
    assert sorted(assignments(database, experiment)) == list(range(5, 21))


@pytest.mark.parametrize("category", [Category.UTILITY, Category.AUTHENTICATION])
def test_consent_to_marketing_is_no_consent_to_another_category(
    database: Database, clock: SteppedClock, category: Category
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 6))
        add_people(session, clock, range(6, 9), consent=[category])
        experiment = begin(session, clock, category=category)

    enrol(database, clock, experiment)

    assert sorted(assignments(database, experiment)) == [6, 7, 8]


def test_holdout_is_kept_out_and_is_a_fair_sample_of_all_variants(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 401))
        experiment = begin(session, clock, audience={"holdout": 0.25})

    enrol(database, clock, experiment)

    held = {n for n in range(1, 401) if (hash_unit("holdout:spring", f"user-{n}", 2) or 0.0) < 0.25}
    assert set(assignments(database, experiment)) == set(range(1, 401)) - held
    assert counts(database, experiment) == {"assigned": 400 - len(held), "excluded": {"holdout": len(held)}}
    ranges = bucket_ranges(3, 1.0, None)
    would_be = Counter(choose_variant(hash_unit("spring", f"user-{n}", 2) or 0.0, ranges) for n in held)
    assert all(would_be[index] > len(held) / 6 for index in range(3))


def test_experiments_of_one_layer_share_nobody_until_one_is_stopped(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        layered = {"audience": {"layer": "promotions", "coverage": 0.4}}
        first = begin(session, clock, key="first", **layered)
        second = begin(session, clock, key="second", audience={"layer": "promotions"})
        apart = begin(session, clock, key="apart", audience={"layer": "other"})
    for experiment in (first, second, apart):
        enrol(database, clock, experiment)

    ours, theirs = assignments(database, first), assignments(database, second)
    assert ours
    assert not set(ours) & set(theirs)
    assert counts(database, second) == {"assigned": 100 - len(ours), "excluded": {"layer": len(ours)}}
    assert len(assignments(database, apart)) == 100

    with database.transaction() as session:
        service.move(session, clock, actor="test", key="first", move=Move.STOP)
        service.move(session, clock, actor="test", key="second", move=Move.STOP)
        third = begin(session, clock, key="third", audience={"layer": "promotions"})
    enrol(database, clock, third)
    assert len(assignments(database, third)) == 100


def test_a_paused_experiment_still_owns_its_users(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
        first = begin(session, clock, key="first", audience={"layer": "promotions"})
    enrol(database, clock, first)
    with database.transaction() as session:
        service.move(session, clock, actor="test", key="first", move=Move.PAUSE)
        second = begin(session, clock, key="second", audience={"layer": "promotions"})
    enrol(database, clock, second)
    assert counts(database, second) == {"assigned": 0, "excluded": {"layer": 30}}


def test_what_sql_cannot_say_is_decided_by_the_closure(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        # Whole pages without anybody come first: they are no sign that nobody is left.
        add_people(session, clock, range(1, 31), attributes={"city": "Bonn"})
        add_people(session, clock, range(31, 61), attributes={"city": "Utrecht"})
        experiment = begin(
            session,
            clock,
            audience={"condition": {"city": {"$regex": "^Ut"}, "number": {"$lt": 51}}},
        )

    steps = enrol(database, clock, experiment, limit=7)

    assert sorted(assignments(database, experiment)) == list(range(31, 51))
    assert sum(step.looked_at for step in steps) == 20
    assert counts(database, experiment) == {"assigned": 20, "excluded": {}}


def test_a_crash_inside_a_batch_loses_and_doubles_nobody(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        experiment = begin(session, clock)

    class Killed(Exception):
        pass

    def die_before_the_commit() -> None:
        with database.transaction() as session:
            enrolment.enrol_batch(
                session, clock, experiment=experiment, limit=30, ineligible={}, global_holdout=0.0
            )
            raise Killed

    for after in range(3):
        with pytest.raises(Killed):
            die_before_the_commit()
        with database.transaction() as session:
            step = enrolment.enrol_batch(
                session, clock, experiment=experiment, limit=30, ineligible={}, global_holdout=0.0
            )
        assert len(assignments(database, experiment)) == 30 * (after + 1)
        assert step.assigned == 30
    enrol(database, clock, experiment, limit=30)
    assert sorted(assignments(database, experiment)) == list(range(1, 101))
    assert counts(database, experiment)["assigned"] == 100


def test_finished_enrolment_does_nothing_more(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        experiment = begin(session, clock)
    enrol(database, clock, experiment)
    with database.transaction() as session:
        add_people(session, clock, range(11, 15))
    assert enrol(database, clock, experiment) == [EnrolmentStep(looked_at=0, assigned=0, finished=True)]
    with database.snapshot() as session:
        assert enrolment.is_finished(session, experiment_id=experiment.id or 0)


def test_an_assignment_made_by_another_way_stays_as_it_is(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        experiment = begin(session, clock)
        session.add(
            Assignment(
                experiment_id=experiment.id or 0,
                user_pk=4,
                variant="silence",
                epoch=1,
                propensity=1.0,
                assigned_at=clock.now() - timedelta(hours=1),
            )
        )
    enrol(database, clock, experiment)
    rows = assignments(database, experiment)
    assert len(rows) == 10
    assert (rows[4].variant, rows[4].propensity) == ("silence", 1.0)
    assert counts(database, experiment)["assigned"] == 9


@pytest.mark.parametrize("move", [Move.PAUSE, Move.STOP])
def test_an_experiment_that_does_not_run_enrols_nobody(
    database: Database, clock: SteppedClock, move: Move
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        experiment = begin(session, clock)
        service.move(session, clock, actor="test", key="spring", move=move)
    assert enrol(database, clock, experiment) == [EnrolmentStep(looked_at=0, assigned=0, finished=True)]
    assert not assignments(database, experiment)


def test_the_current_epoch_decides_for_new_users_only(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        experiment = begin(session, clock, variants=[SILENCE, REMINDER])
        enrolment.enrol_batch(
            session, clock, experiment=experiment, limit=100, ineligible={}, global_holdout=0.0
        )
    before = {pk: row.variant for pk, row in assignments(database, experiment).items()}
    with database.transaction() as session:
        old = session.exec(select(Epoch).where(Epoch.experiment_id == experiment.id)).one()
        old.closed_at = clock.now()
        session.add(
            Epoch(
                experiment_id=experiment.id or 0,
                number=2,
                weights={"silence": 0.1, "reminder": 0.9},
                opened_at=clock.now(),
                reason="reallocation",
            )
        )
    enrol(database, clock, experiment)
    rows = assignments(database, experiment)
    assert {pk: rows[pk].variant for pk in before} == before
    assert {(rows[pk].epoch, rows[pk].variant, rows[pk].propensity) for pk in rows if pk not in before} == {
        (2, "silence", 0.1),
        (2, "reminder", 0.9),
    }


def test_unplanned_assignments_are_given_out_until_they_are_marked(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11), time_zone="America/Sao_Paulo")
        experiment = begin(session, clock, variants=[SILENCE, COUPON])
    enrol(database, clock, experiment)
    with database.transaction() as session:
        first = enrolment.unplanned(session, experiment_id=experiment.id or 0, limit=6)
        assert [row.user_pk for row in first] == [1, 2, 3, 4, 5, 6]
        assert {(row.time_zone, row.assigned_at) for row in first} == {("America/Sao_Paulo", clock.now())}
        enrolment.mark_planned(session, ids=[row.id for row in first], at=clock.now())
    with database.snapshot() as session:
        rest = enrolment.unplanned(session, experiment_id=experiment.id or 0, limit=6)
    assert [row.user_pk for row in rest] == [7, 8, 9, 10]
