"""Users who come one by one, by rules; units larger than a user; and the holdout from everything."""

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select

from analysis.reports import service as reports
from delivery.models import Message
from delivery.planning import planner
from delivery.watch.summary import summary
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import Category
from targeting import campaigns
from targeting.bucketing import hash_unit
from targeting.enrolment import EnrolmentOutcome
from targeting.models import Enrolment, User
from tests.integration.enrolling import assignments, begin, counts, enrol, enrol_users, variants
from tests.integration.people import REMINDER, SILENCE, add_people, campaign

BY_RULE: dict[str, Any] = {"trigger": {"type": "rule"}}


def test_by_a_rule_or_by_the_walk_the_variant_is_the_same(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        walked = begin(session, clock, audience={"coverage": 0.8, "holdout": 0.1})
    enrol(database, clock, walked, global_holdout=0.1)
    expected, reasons = variants(database, walked), counts(database, walked)["excluded"]
    with database.transaction() as session:
        for row in assignments(database, walked).values():
            session.delete(session.merge(row))
        stored = session.get_one(Experiment, walked.id)
        stored.definition = {**stored.definition, "trigger": {"type": "rule", "at": None}}

    outcomes = enrol_users(database, clock, walked, [*range(100, 0, -1)], global_holdout=0.1)

    assert {pk: outcome.variant for pk, outcome in outcomes.items() if outcome.variant} == expected
    assert Counter(outcome.reason for outcome in outcomes.values() if outcome.reason) == reasons
    assert variants(database, walked) == expected
    assert {row.source for row in assignments(database, walked).values()} == {"rule:welcome"}


def test_doing_it_again_changes_nothing(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
        experiment = begin(session, clock, **BY_RULE)
    first = enrol_users(database, clock, experiment, [*range(1, 21)])
    rows = {pk: row.id for pk, row in assignments(database, experiment).items()}
    clock.advance(timedelta(days=1))
    with database.transaction() as session:
        service.set_weights(
            session,
            clock,
            actor="ann",
            key="spring",
            weights={"silence": 1, "reminder": 8, "coupon": 1},
            reason="other weights move nobody",
        )
    again = enrol_users(database, clock, experiment, [*range(1, 31)])
    assert {pk: row.id for pk, row in assignments(database, experiment).items() if pk <= 20} == rows
    assert all(first[pk].new and not again[pk].new for pk in range(1, 21))
    assert all(first[pk].variant == again[pk].variant for pk in range(1, 21))
    assert all(again[pk].new for pk in range(21, 31))
    assert enrol_users(database, clock, experiment, []) == {}


def test_each_user_is_told_the_first_reason(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1, 2, 3])
        add_people(session, clock, [4], attributes={"country": "BR", "plan": "x"})
        add_people(session, clock, [5], attributes={"plan": "basic"})
        add_people(session, clock, [6], phone=False, consent=[])
        add_people(session, clock, [7], consent=[])
        experiment = begin(
            session,
            clock,
            # the second clause is for the closure
            audience={"condition": {"country": "NL", "plan": {"$not": {"$regex": "^ba"}}}},
            **BY_RULE,
        )
    outcomes = enrol_users(
        database, clock, experiment, [1, 2, 3, 4, 5, 6, 7, 99], ineligible={"cap": col(User.id).in_([2, 7])}
    )
    assert {pk: outcome.reason for pk, outcome in outcomes.items()} == {
        1: None,
        2: "cap",
        3: None,
        4: "audience",
        5: "audience",
        6: "phone",
        7: "consent",
        99: "unknown",
    }
    assert set(assignments(database, experiment)) == {1, 3}
    with database.snapshot() as session:
        assert not session.exec(select(Enrolment)).all()


@pytest.mark.parametrize("move", [Move.PAUSE, Move.STOP])
def test_an_experiment_that_does_not_run_takes_nobody(
    database: Database, clock: SteppedClock, move: Move
) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        experiment = begin(session, clock, **BY_RULE)
        service.move(session, clock, actor="test", key="spring", move=move)
    assert enrol_users(database, clock, experiment, [1]) == {1: EnrolmentOutcome(None, "not_running")}


def test_before_its_moment_it_takes_nobody(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        experiment = begin(session, clock, trigger={"type": "rule", "at": "2026-12-02T00:00:00Z"})
    assert enrol_users(database, clock, experiment, [1])[1].reason == "not_running"
    clock.advance(timedelta(days=1))
    assert enrol_users(database, clock, experiment, [1])[1].new


def test_an_experiment_whose_audience_is_walked_takes_nobody_by_rules(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        experiment = begin(session, clock)
    assert enrol_users(database, clock, experiment, [1]) == {1: EnrolmentOutcome(None, "not_by_rules")}


def test_layers_hold_for_users_who_come_by_rules(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        first = begin(session, clock, key="first", audience={"layer": "promotions"}, **BY_RULE)
        second = begin(session, clock, key="second", audience={"layer": "promotions"}, **BY_RULE)
    enrol_users(database, clock, first, [1, 2, 3])
    outcomes = enrol_users(database, clock, second, [2, 3, 4])
    assert [outcomes[pk].reason for pk in (2, 3, 4)] == ["layer", "layer", None]


def test_the_planner_plans_those_who_came_by_rules_and_walks_nobody(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:  # nobody is there yet, and that is fine
        experiment = begin(session, clock, audience={"condition": {"country": "NL"}}, **BY_RULE)
    assert planner.plan_tick(database, clock, settings=Settings()).experiments == 0
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
    assert planner.plan_tick(database, clock, settings=Settings()).assigned == 0
    enrol_users(database, clock, experiment, [*range(1, 13)])
    planned = planner.plan_tick(database, clock, settings=Settings(), batch=5)
    steps = {"silence": 0, "reminder": 1, "coupon": 2}
    owed = sum(steps[variant] for variant in variants(database, experiment).values())
    assert (planned.experiments, planned.assigned, planned.messages) == (1, 0, owed)
    with database.snapshot() as session:
        assert {row.user_pk for row in session.exec(select(Message))} <= set(range(1, 13))
        assert summary(session).holds
    assert planner.plan_tick(database, clock, settings=Settings()).experiments == 0


def test_a_report_on_users_who_come_by_rules_never_thinks_that_it_is_at_the_end(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 41))
        experiment = begin(session, clock, **BY_RULE)
    enrol_users(database, clock, experiment, [*range(1, 41)])
    clock.advance(timedelta(days=15))
    for _ in range(2):
        with database.transaction() as session:
            report = reports.refresh_report(session, clock, key="spring").body
        assert (report["method"], report["information"]) == ("always_valid", None)
        assert any("no planned sample size is known" in warning for warning in report["warnings"])
        with database.transaction() as session:
            if session.get_one(Experiment, experiment.id).status == "running":
                service.move(session, clock, actor="test", key="spring", move=Move.STOP)


def _households(session: Session, clock: SteppedClock) -> None:
    """Sixty people in households of three; some households are numbers; three people have none."""
    for n in range(1, 61):
        household: Any = n // 3 if n % 2 else f"{n // 3}"
        add_people(session, clock, [n], attributes={"household": household if n > 3 else None})


def test_users_who_share_a_unit_share_a_variant(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        _households(session, clock)
        experiment = begin(session, clock, audience={"hash_attribute": "household"})
    enrol(database, clock, experiment, limit=7)
    drawn = variants(database, experiment)
    together = defaultdict(set)
    for pk, variant in drawn.items():
        together[pk // 3].add(variant)
    assert {len(found) for found in together.values()} == {1}
    assert len({*drawn.values()}) == 3
    assert counts(database, experiment) == {"assigned": 57, "excluded": {"no_unit": 3}}


def test_whoever_has_no_unit_is_drawn_by_the_fallback(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        _households(session, clock)
        audience = {"hash_attribute": "household", "fallback_attribute": "user_id"}
        experiment = begin(session, clock, audience=audience, variants=[SILENCE, REMINDER])
    enrol(database, clock, experiment)
    drawn = variants(database, experiment)
    assert len(drawn) == 60
    for pk in (1, 2, 3):
        assert drawn[pk] == ("silence" if (hash_unit("spring", f"user-{pk}", 2) or 0.0) < 0.5 else "reminder")
    with database.transaction() as session:
        report = reports.refresh_report(session, clock, key="spring").body
    assert any("drawn by household (else by user_id)" in warning for warning in report["warnings"])


def test_a_unit_that_nobody_has_stops_the_start(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        _households(session, clock)
        audience = {"hash_attribute": "houshold", "fallback_attribute": "zzz"}
        campaigns.create(session, clock, actor="test", document=campaign(audience=audience))
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    first, second = caught.value.problems
    assert (first.field, "did you mean 'household'" in first.message) == ("audience.hash_attribute", True)
    assert second.field == "audience.fallback_attribute"
    assert second.message.endswith("known are country, household, number, user_id")


def test_the_global_holdout_is_kept_from_all_marketing_and_from_nothing_else(
    database: Database, clock: SteppedClock
) -> None:
    numbers = range(1, 201)
    with database.transaction() as session:
        add_people(session, clock, numbers, consent=[Category.MARKETING, Category.UTILITY])
        promotions = [begin(session, clock, key=key) for key in ("first", "second")]
        receipts = begin(session, clock, key="receipts", category=Category.UTILITY)
    held = {n for n in numbers if (hash_unit("global-holdout", f"user-{n}", 2) or 0.0) < 0.2}
    planner.plan_tick(database, clock, settings=Settings(global_holdout=0.2))
    for experiment in promotions:
        assert set(assignments(database, experiment)) == set(numbers) - held
        assert counts(database, experiment)["excluded"] == {"global_holdout": len(held)}
    assert len(assignments(database, receipts)) == 200


def test_the_start_of_a_walk_still_needs_an_audience(database: Database, clock: SteppedClock) -> None:
    """The exception is for rules alone."""
    with database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign())
        campaigns.create(session, clock, actor="test", document=campaign("by-rule", **BY_RULE))
    with pytest.raises(Invalid, match="matches no user"), database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    with database.transaction() as session:
        assert campaigns.start(session, clock, actor="test", key="by-rule").status == "running"
