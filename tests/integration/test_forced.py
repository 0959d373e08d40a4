"""Testers whose variant was chosen by hand: they get their messages, and no number of a report knows of them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from analysis.reports import service as reports
from delivery.models import Message
from delivery.planning import planner
from delivery.watch.summary import summary
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import MessageState
from targeting import campaigns
from targeting.draw import draw_variants
from targeting.models import Event, User
from tests.integration.enrolling import assignments, begin, counts, enrol, enrol_users, variants
from tests.integration.people import REMINDER, SILENCE, add_people, campaign

EVERYBODY = range(1, 101)
TESTERS = {"user-1": "coupon", "user-2": "coupon", "user-3": "silence"}


def test_a_tester_gets_the_variant_that_was_chosen_whatever_the_hash(
    database: Database, clock: SteppedClock
) -> None:
    chosen = {
        f"user-{n}": key for n, key in zip(range(1, 31), ["silence", "reminder", "coupon"] * 10, strict=True)
    }
    with database.transaction() as session:
        add_people(session, clock, EVERYBODY)
        experiment = begin(session, clock, audience={"coverage": 0.2, "holdout": 0.5, "forced": chosen})
    enrol(database, clock, experiment, limit=20, global_holdout=0.5)
    rows = assignments(database, experiment)
    assert {f"user-{pk}": rows[pk].variant for pk in range(1, 31)} == chosen
    assert {(rows[pk].forced, rows[pk].propensity) for pk in range(1, 31)} == {(True, 1.0)}
    assert {rows[pk].forced for pk in rows if pk > 30} == {False}
    found = counts(database, experiment)
    assert found["forced"] == {"assigned": 30, "excluded": {}}
    assert found["assigned"] + sum(found["excluded"].values()) == 70


def test_a_tester_needs_no_more_than_phone_and_consent(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 5), attributes={"country": "BR"})
        add_people(session, clock, [5], phone=False)
        add_people(session, clock, [6], consent=[])
        add_people(session, clock, range(7, 30))
        other = begin(session, clock, key="other", audience={"layer": "promotions"})
    enrol(database, clock, other)
    with database.transaction() as session:
        experiment = begin(
            session,
            clock,
            audience={
                "condition": {"country": "NL"},
                "layer": "promotions",
                "forced": {f"user-{n}": "coupon" for n in (1, 2, 5, 6, 7, 999)},
            },
        )
    enrol(database, clock, experiment, ineligible={"cap": col(User.id) == 7})
    assert variants(database, experiment) == {1: "coupon", 2: "coupon", 7: "coupon"}
    found = counts(database, experiment)
    assert found["forced"] == {"assigned": 3, "excluded": {"phone": 1, "consent": 1, "unknown": 1}}
    # 22 others of the audience, all of them in the other experiment
    assert (found["assigned"], found["excluded"]) == (0, {"layer": 22})


def test_a_tester_who_consents_later_joins_with_the_next_walk(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        experiment = begin(
            session, clock, audience={"coverage": 0.5, "forced": {"user-1": "coupon", "user-11": "silence"}}
        )
    enrol(database, clock, experiment)
    assert counts(database, experiment)["forced"] == {"assigned": 1, "excluded": {"unknown": 1}}
    with database.transaction() as session:
        add_people(session, clock, [11])
        campaigns.ramp(session, clock, actor="ann", key="spring", coverage=1.0)
    enrol(database, clock, experiment)
    assert counts(database, experiment)["forced"] == {"assigned": 2, "excluded": {}}
    assert assignments(database, experiment)[11].forced


def test_a_variant_that_is_not_there_is_refused_by_its_path(database: Database, clock: SteppedClock) -> None:
    for verb in (campaigns.create, campaigns.apply):
        with pytest.raises(Invalid) as caught, database.transaction() as session:
            verb(session, clock, actor="ann", document=campaign(audience={"forced": {"user-1": "cupon"}}))
        (problem,) = caught.value.problems
        assert (problem.field, "no variant 'cupon'" in problem.message) == ("audience.forced.user-1", True)


def test_a_tester_is_messaged_and_the_books_balance(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 41))
        begin(session, clock, audience={"forced": TESTERS, "coverage": 0.5})
    planner.plan_tick(database, clock, settings=Settings(), batch=7)
    with database.snapshot() as session:
        rows = session.exec(select(Message.user_pk, Message.step).where(col(Message.user_pk) <= 3)).all()
        books = summary(session)
    assert sorted(rows) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert books.holds
    (part,) = books.experiments
    assert part.slots == part.accounted == part.waiting


def test_a_tester_comes_by_a_rule_as_well(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1], attributes={"country": "BR"})
        add_people(session, clock, [2], consent=[])
        experiment = begin(
            session,
            clock,
            trigger={"type": "rule"},
            audience={
                "condition": {"country": "NL"},
                "forced": {"user-1": "coupon", "user-2": "coupon"},
            },
        )
    outcomes = enrol_users(database, clock, experiment, [1, 2], global_holdout=0.9)
    assert (outcomes[1].variant, outcomes[1].new, outcomes[2].reason) == ("coupon", True, "consent")
    assert assignments(database, experiment)[1].forced


def _world(database: Database, clock: SteppedClock, forced: dict[str, str]) -> Experiment:
    """Sixty people, with orders, messages in every stage, and some suppressed; user 1 to 6 may be testers."""
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        experiment = begin(session, clock, variants=[SILENCE, REMINDER], audience={"forced": forced})
    planner.plan_tick(database, clock, settings=Settings())
    now = clock.now()
    with database.transaction() as session:
        for row in session.exec(select(Message)).all():
            if row.user_pk % 5 == 1:
                row.state, row.reason = MessageState.SUPPRESSED, "cap"
            else:
                row.state = MessageState.READ
                row.accepted_at = row.sent_at = row.delivered_at = row.read_at = row.clicked_at = now
        for n in range(1, 61):
            if n % 3 == 0 or n <= 6:
                for message_id, at in ((f"before-{n}", -1), (f"after-{n}", 1)):
                    session.add(
                        Event(
                            message_id=message_id,
                            user_pk=n,
                            name="Order Completed",
                            at=now + timedelta(days=at),
                            received_at=now,
                            properties={"revenue": 10.0 * n},
                        )
                    )
    clock.advance(timedelta(days=15))
    return experiment


def _report(database: Database, clock: SteppedClock) -> dict[str, Any]:
    with database.transaction() as session:
        return reports.refresh_report(session, clock, key="spring").body


def test_no_number_of_a_report_knows_a_tester(database: Database, clock: SteppedClock) -> None:
    """The report with six testers is that of the fifty-four others, figure by figure."""
    experiment = _world(database, clock, {f"user-{n}": "reminder" for n in range(1, 7)})
    with_testers = _report(database, clock)
    with database.transaction() as session:
        rows = assignments(database, experiment)
        for pk in range(1, 7):
            session.delete(session.merge(rows[pk]))
        for message in session.exec(select(Message).where(col(Message.user_pk) <= 6)).all():
            session.delete(message)
    without = _report(database, clock)
    assert with_testers == without
    assert sum(arm["assigned"] for arm in with_testers["arms"]) == 54
    reminded = next(arm for arm in with_testers["arms"] if arm["variant"] == "reminder")
    assert reminded["messages"]["read"] + reminded["messages"]["suppressed"]["cap"] == reminded["assigned"]


def test_the_same_people_count_when_nobody_forced_them(database: Database, clock: SteppedClock) -> None:
    """So that the test above can fail: the six are in these numbers."""
    _world(database, clock, {})
    report = _report(database, clock)
    assert sum(arm["assigned"] for arm in report["arms"]) == 60


def test_testers_do_not_tip_the_split_between_arms(database: Database, clock: SteppedClock) -> None:
    forced = {f"user-{n}": "reminder" for n in range(1, 61)}
    with database.transaction() as session:
        add_people(session, clock, range(1, 161))
        experiment = begin(session, clock, variants=[SILENCE, REMINDER], audience={"forced": forced})
    enrol(database, clock, experiment)
    clock.advance(timedelta(days=15))
    report = _report(database, clock)
    with database.snapshot() as session:
        design = service.design_of(session.get_one(Experiment, experiment.id))
    drawn = draw_variants(
        design, weights=design.shares, units=[f"user-{n}" for n in range(61, 161)], global_holdout=0.0
    )
    assert {arm["variant"]: arm["assigned"] for arm in report["arms"]} == {
        key: drawn.variants.count(key) for key in ("silence", "reminder")
    }
    assert all(check["ok"] for check in report["health"])
