"""The rules of a stored campaign decide about its stored report, on both databases."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import Enrolment
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, design, enrolment, store
from tests.integration.test_report import look, start, stop

MESSAGE = {"template": "spring", "language": "en_US"}


def campaign(rules: dict[str, Any], **plan: Any) -> dict[str, Any]:
    return design(
        variants=[{"key": "silence", "control": True}, {"key": "coupon", "message": MESSAGE}],
        metrics=[
            {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "1d"}
        ],
        plan={"method": "spending", "mde": 0.1, **plan, "rules": rules},
    )


def buyers(database: Database, rates: dict[str, float], *, users: int = 2000, days: int = 4) -> None:
    """Users assigned evenly over some days, of whom an exact share buys within the hour."""
    rng = np.random.default_rng(3)
    assigned = [
        Assigned(i + 1, "coupon" if i % 2 else "silence", START + (i * days // users) * DAY)
        for i in range(users)
    ]
    happened = [
        Happened(person.user, "Order", person.at + HOUR)
        for person in assigned
        if rng.random() < rates[person.variant]
    ]
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=users, finished_at=START + days * DAY)


def decided(database: Database, clock: SteppedClock) -> tuple[str, str]:
    decision = look(database, clock).body["decision"]
    return decision["action"], decision["rule"]


def test_a_winner_is_shipped_when_its_weeks_have_passed(database: Database, clock: SteppedClock) -> None:
    start(database, clock, campaign({"min_weeks": 2}))
    buyers(database, {"silence": 0.2, "coupon": 0.5})
    clock.advance(6 * DAY)
    assert decided(database, clock) == ("continue", "minimum_weeks")
    clock.advance(timedelta(weeks=2))
    assert decided(database, clock) == ("ship", "winner")


def test_an_audience_that_was_met_and_is_too_small_never_decides(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock, campaign({"min_users": 100}))
    buyers(database, {"silence": 0.2, "coupon": 0.5}, users=60)
    with database.transaction() as session:
        session.get_one(Enrolment, 1).finished_at = None
    clock.advance(timedelta(days=2))
    assert decided(database, clock) == ("continue", "minimum_users")
    with database.transaction() as session:
        session.get_one(Enrolment, 1).finished_at = START + 4 * DAY
    # Nobody need wait for the last windows to learn it.
    clock.advance(timedelta(days=2))
    decision = look(database, clock).body["decision"]
    assert (decision["action"], decision["rule"]) == ("inconclusive", "too_few_users")
    assert "silence has 30 users; a decision needs 100 in every arm" in decision["because"]


def test_a_campaign_that_is_stopped_early_stays_too_short(database: Database, clock: SteppedClock) -> None:
    start(database, clock, campaign({"min_weeks": 1}))
    buyers(database, {"silence": 0.2, "coupon": 0.5})
    clock.advance(5 * DAY)
    stop(database, clock, "spring")
    clock.advance(30 * DAY)
    assert decided(database, clock) == ("inconclusive", "minimum_weeks")


@pytest.mark.parametrize(("least", "rule"), [(900, "winner"), (1500, "too_few_users")])
def test_the_plan_says_how_many_users_an_arm_needs(
    database: Database, clock: SteppedClock, least: int, rule: str
) -> None:
    start(database, clock, campaign({"min_users": least}))
    buyers(database, {"silence": 0.2, "coupon": 0.5})
    clock.advance(20 * DAY)
    assert decided(database, clock)[1] == rule


def test_a_hopeless_campaign_is_given_up_half_way(database: Database, clock: SteppedClock) -> None:
    start(database, clock, campaign({"futility": 0.2}, mde=0.3))
    buyers(database, {"silence": 0.3, "coupon": 0.28})
    clock.advance(3 * DAY)  # half of the four days' users are mature
    report = look(database, clock)
    assert report.body["progress"][0]["conditional_power"] < 0.2
    assert (report.body["decision"]["action"], report.body["decision"]["rule"]) == (
        "inconclusive",
        "futility",
    )
