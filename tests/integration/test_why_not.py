"""Why somebody takes no part, or not yet: every reason there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from delivery.limits import policy
from delivery.models import Message
from delivery.planning import planner
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from targeting import campaigns, consent
from targeting.models import User
from tests.integration.asking import ONE_ARM, ask, begin, plan
from tests.integration.people import add_people, campaign, start_campaign


@pytest.fixture
def people(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
    return database


def test_the_clauses_that_fail_are_named_in_english(people: Database, clock: SteppedClock) -> None:
    condition = {
        "country": "NL",
        "number": {"$gt": 10},
        "$and": [{"country": {"$in": ["NL", "BR"]}}, {"plan": "pro"}],
    }
    with people.transaction() as session:
        for user in session.exec(select(User).where(col(User.id) > 20)).all():
            user.attributes = {**user.attributes, "plan": "pro"}
    begin(people, clock, audience={"condition": condition})
    plan(people, clock)
    low = ask(people, clock, 3)
    assert (low.outcome, [each["reason"] for each in low.excluded_by]) == ("excluded", ["audience"])
    assert len(low.excluded_by[0]["details"]) == 2
    assert "number" in low.because
    assert "plan" in low.because
    assert "country" not in low.because
    # The databases keep the clauses of a condition in orders of their own.
    parts = ["number is more than 10", "plan is pro"], ["number is 3", "plan is unknown"]
    assert low.because in [
        f"Left out, because they are not in the audience, which asks: {'; and '.join(asks)}. "
        f"For this user none of that holds ({', '.join(own)})."
        for asks, own in (parts, tuple(part[::-1] for part in parts))
    ]
    assert (low.next_at, low.assignment) == (None, None)
    assert ask(people, clock, 25).assignment is not None


def test_every_reason_that_holds_is_told_not_only_the_first(people: Database, clock: SteppedClock) -> None:
    with people.transaction() as session:
        start_campaign(session, clock, campaign("winter", variants=ONE_ARM))
        user = session.get_one(User, 3)
        user.phone = None
        consent.record(
            session, clock, actor="test", user_id="user-3", category="marketing", granted=False, source="test"
        )
    begin(
        people,
        clock,
        audience={
            "holdout": 0.9999,
            "condition": {"number": {"$gt": 3}},
            "prerequisites": [{"experiment": "winter", "variants": ["reminder"]}],
        },
    )
    found = ask(people, clock, 3)
    assert [each["reason"] for each in found.excluded_by] == [
        "audience",
        "phone",
        "consent",
        "prerequisite",
        "holdout",
    ]
    assert found.excluded_by[3]["details"] == ["winter"]
    assert found.outcome == "excluded"
    assert "no phone number" in found.because


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        ({"holdout": 0.9999}, "holdout"),
        ({"coverage": 0.0001}, "coverage"),
        ({"hash_attribute": "household"}, "no_unit"),
    ],
)
def test_gates(people: Database, clock: SteppedClock, audience: dict[str, Any], reason: str) -> None:
    if reason == "no_unit":
        with people.transaction() as session:
            user = session.get_one(User, 30)
            user.attributes = {**user.attributes, "household": "h-1"}
    begin(people, clock, audience=audience)
    plan(people, clock)
    assert [each["reason"] for each in ask(people, clock, 5).excluded_by] == [reason]


def test_caps_and_layers_keep_out_too(people: Database, clock: SteppedClock) -> None:
    begin(people, clock, "winter", variants=ONE_ARM, audience={"layer": "promotions"})
    plan(people, clock)
    with people.transaction() as session:
        for row in session.exec(select(Message).where(Message.user_pk == 7)).all():
            row.state, row.slot_at = "read", clock.now()
        policy.put(session, clock, actor="test", document={"marketing": {"week": 1}})
    begin(people, clock, audience={"layer": "promotions"})
    found = ask(people, clock, 7)
    assert [each["reason"] for each in found.excluded_by] == ["layer", "cap"]
    assert found.excluded_by[0]["details"] == ["winter"]
    assert [each["reason"] for each in ask(people, clock, 8).excluded_by] == ["layer"]


def test_who_is_not_enrolled_yet_is_told_what_it_waits_for(people: Database, clock: SteppedClock) -> None:
    with people.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign("draft"))
    opens = clock.now() + timedelta(days=2)
    begin(people, clock, "later", trigger={"type": "once", "at": opens.isoformat()})
    begin(people, clock, "now")
    begin(people, clock, "event", trigger={"type": "event", "event": "Order Completed", "delay": "2h"})
    begin(people, clock, "quiet", trigger={"type": "inactivity", "after": "30d"})
    begin(people, clock, "rule", trigger={"type": "rule"})
    begin(people, clock, "weekly", trigger={"type": "recurring", "cron": "0 9 * * 1"})
    found = {
        key: ask(people, clock, 5, key)
        for key in ("draft", "later", "now", "event", "quiet", "rule", "weekly")
    }
    assert {key: each.outcome for key, each in found.items()} == {
        "draft": "not_started",
        "later": "not_open_yet",
        "now": "waiting_for_enrolment",
        "event": "waiting_for_trigger",
        "quiet": "waiting_for_trigger",
        "rule": "waiting_for_trigger",
        "weekly": "not_open_yet",
    }
    assert found["later"].next_at == opens
    assert found["weekly"].next_at == datetime(2026, 12, 7, 9, tzinfo=UTC)
    assert "'Order Completed'" in found["event"].because
    assert "30d" in found["quiet"].because
    with people.transaction() as session:
        service.move(session, clock, actor="test", key="now", move=Move.PAUSE)
        planner.stop(session, clock, actor="test", key="rule")
    assert ask(people, clock, 5, "now").outcome == "paused"
    assert ask(people, clock, 5, "rule").outcome == "ended"


def test_who_comes_to_match_after_the_walk_came_too_late(people: Database, clock: SteppedClock) -> None:
    begin(people, clock, audience={"condition": {"number": {"$lt": 10}}})
    plan(people, clock)
    with people.transaction() as session:
        user = session.get_one(User, 20)
        user.attributes = {**user.attributes, "number": 1}
    found = ask(people, clock, 20)
    assert (found.outcome, found.excluded_by) == ("came_too_late", ())
