"""What arms are compared by, and arms that are added or retired under way; on both databases."""

import math
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from analysis.bandits import words
from analysis.bandits.reallocation import reallocate_tick, would_do
from analysis.reports import service as reports
from delivery.models import Message
from experiments import arms, service
from experiments.arms import retire_variant
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from experiments.lifecycle import Move
from experiments.stopped_arms import stop_arm
from targeting.models import Assignment
from tests.integration.analysis_rows import DAY, add_all
from tests.integration.bandit_world import (
    KEY,
    days_pass,
    epochs,
    reallocations,
    start,
    users_come,
    weights_now,
)


@pytest.mark.parametrize(
    ("allocation", "best"),
    [
        # What coupons bring in is less than they cost: 0.15 x 20 - 1 x 3 = 0 against 0.05 x 20 for silence.
        ({"metric": "bought", "cost": {"message": 3.0, "conversion": 20.0}}, "silence"),
        ({"metric": "bought", "cost": {"message": 0.01, "conversion": 20.0}}, "coupon"),
        ({"metric": "spent"}, "coupon"),
        ({"policy": "top_two"}, "coupon"),
    ],
)
def test_what_a_message_costs_may_count(
    database: Database, clock: SteppedClock, allocation: dict[str, Any], best: str
) -> None:
    experiment_id = start(database, clock, allocation=allocation)
    days_pass(database, clock, days=2, ticks=False)
    delivered(database, experiment_id)
    (considered,) = would_do(database, clock)
    assert considered.weights is not None, considered.reason
    assert max(considered.weights, key=lambda arm: considered.weights[arm]) == best
    arms_told = considered.numbers["arms"]
    if "cost" in allocation:
        assert arms_told["silence"]["messages"] == 0
        assert arms_told["coupon"]["messages"] == 1
        price, worth = allocation["cost"]["message"], allocation["cost"]["conversion"]
        assert arms_told["coupon"]["mean"] == pytest.approx(0.15 * worth - price, abs=0.8)


def delivered(database: Database, experiment_id: int) -> None:
    """A message delivered to everybody but the silent, an hour after the assignment."""
    with database.transaction() as session:
        rows = session.exec(select(Assignment).where(Assignment.variant != "silence")).all()
        add_all(
            session,
            Message,
            [
                {
                    "experiment_id": experiment_id,
                    "user_pk": row.user_pk,
                    "variant": row.variant,
                    "step": 0,
                    "category": "marketing",
                    "priority": 0,
                    "tries": 0,
                    "state": "delivered",
                    "first_due_at": row.assigned_at,
                    "due_at": row.assigned_at,
                    "delivered_at": row.assigned_at + timedelta(minutes=1),
                }
                for row in rows
            ],
        )


def test_a_metric_that_should_fall_is_made_small(database: Database, clock: SteppedClock) -> None:
    falling = {
        "key": "returned",
        "role": "primary",
        "kind": "proportion",
        "event": "Order",
        "window": "1d",
        "direction": "decrease",
    }
    with database.transaction() as session:
        made = service.create(
            session,
            clock,
            actor="test",
            document={
                "key": KEY,
                "name": "Spring",
                "trigger": {"type": "rule"},
                "variants": [
                    {"key": "silence", "control": True},
                    {"key": "coupon", "message": {"text": "Hello"}},
                ],
                "metrics": [falling],
                "allocation": {"policy": "thompson"},
            },
        )
        service.move(session, clock, actor="test", key=made.key, move=Move.START)
    days_pass(database, clock, days=3)
    assert weights_now(database)["silence"] == pytest.approx(0.95, abs=0.01)


def test_a_variant_that_is_added_keeps_its_share_until_its_burn_in_is_over(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    days_pass(database, clock, days=3)
    before = weights_now(database)
    with database.transaction() as session:
        _, epoch = arms.add_variant(
            session,
            clock,
            actor="ann",
            key=KEY,
            variant={"key": "late", "message": {"text": "Hello"}},
            share=0.1,
            reason="a new idea",
        )
    assert epoch.weights["late"] == pytest.approx(0.1)
    assert epoch.weights["coupon"] == pytest.approx(0.9 * before["coupon"])
    (row,) = days_pass(database, clock, days=1, number=600)
    told = row.numbers["arms"]["late"]
    assert told["pinned"] is True
    assert told["p_best"] is None
    assert told["users"] < 100
    assert weights_now(database)["late"] == pytest.approx(0.1)
    assert min(weights_now(database).values()) >= 0.05 - 1e-9
    days_pass(database, clock, days=5)
    (last,) = reallocations(database)[-1:]
    assert last.numbers["arms"]["late"]["pinned"] is False
    weights = weights_now(database)
    assert max(weights, key=lambda arm: weights[arm]) == "late"
    with database.transaction() as session:
        body = reports.refresh_report(session, clock, key=KEY).body
    assert {arm["variant"] for arm in body["arms"]} == {"silence", "reminder", "coupon", "late"}
    assert all(check["ok"] for check in body["health"] if check["check"] in {"srm", "zero_weight"})


def test_a_variant_that_is_retired_gets_nobody_new_and_the_others_go_on(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    days_pass(database, clock, days=3)
    with database.transaction() as session:
        arms.retire_variant(
            session, clock, actor="ann", key=KEY, variant="coupon", reason="sold out", silence=False
        )
    assert weights_now(database)["coupon"] == 0
    days_pass(database, clock, days=2)
    row = reallocations(database)[-1]
    assert row.numbers["arms"]["coupon"]["active"] is False
    weights = weights_now(database)
    assert weights["coupon"] == 0
    assert weights["reminder"] + weights["silence"] == pytest.approx(1)
    with database.transaction() as session:
        body = reports.refresh_report(session, clock, key=KEY).body
    assert all(check["ok"] for check in body["health"] if check["check"] in {"srm", "zero_weight"})


@pytest.mark.parametrize(
    ("variant", "error", "words"),
    [
        ("silence", Conflict, "is the control"),
        ("cupon", NotFound, "there is no variant 'cupon'; there are silence, reminder, coupon"),
    ],
)
def test_what_cannot_be_retired_is_told(
    database: Database, clock: SteppedClock, variant: str, error: type[Exception], words: str
) -> None:
    start(database, clock)
    with database.transaction() as session, pytest.raises(error, match=words):
        arms.retire_variant(session, clock, actor="ann", key=KEY, variant=variant, reason="x", silence=False)
    with database.transaction() as session:
        weights = {"silence": 1, "reminder": 1, "coupon": 0}
        service.set_weights(session, clock, actor="ann", key=KEY, weights=weights, reason="by hand")
    with database.transaction() as session, pytest.raises(Conflict, match="gets nobody new already"):
        arms.retire_variant(session, clock, actor="ann", key=KEY, variant="coupon", reason="x", silence=False)


def test_variants_that_get_nobody_new_leave_room_for_another(database: Database, clock: SteppedClock) -> None:
    start(database, clock, allocation={"floor": 0.3})
    late = {"key": "late", "message": {"text": "x"}}
    with database.transaction() as session, pytest.raises(Invalid) as caught:
        arms.add_variant(session, clock, actor="ann", key=KEY, variant=late, share=None, reason="a new idea")
    assert [problem.field for problem in caught.value.problems] == ["allocation.floor"]
    with database.transaction() as session:
        arms.retire_variant(
            session, clock, actor="ann", key=KEY, variant="coupon", reason="sold out", silence=False
        )
        arms.add_variant(session, clock, actor="ann", key=KEY, variant=late, share=None, reason="a new idea")
    assert set(arms.active_arms(weights_now(database))) == {"silence", "reminder", "late"}


@pytest.mark.parametrize(
    ("variant", "share", "field"),
    [
        ({"key": "coupon", "message": {"text": "x"}}, None, "variant.key"),
        ({"message": {"text": "x"}}, None, "variant.key"),
        ({"key": "late", "message": {"text": "{{ usr }}"}}, None, "variant.message.text"),
        ({"key": "late", "control": True}, None, "variant.control"),
        ({"key": "late", "weight": 2}, None, "variant.weight"),
        ({"key": "late", "levels": {"a": "b"}}, None, "variant.levels"),
        ({"key": "late", "massage": {}}, None, "variant.massage"),
        ({"key": "late"}, 1.0, "share"),
        ({"key": "late"}, math.nan, "share"),
        (
            {"key": "late", "message": {"text": "x"}, "frequency": {"steps": 3, "min_interval": "12h"}},
            None,
            "variant.frequency",
        ),
        ({"key": "late", "message": {"text": "x"}, "send_time": {"after": "2d"}}, None, "variant.send_time"),
        ({"key": "late"}, 1e-12, "share"),
        ({"key": "late"}, 0.049, "share"),
    ],
)
def test_a_variant_is_checked_as_in_a_draft(
    database: Database, clock: SteppedClock, variant: dict[str, Any], share: float | None, field: str
) -> None:
    start(database, clock)
    with database.transaction() as session, pytest.raises(Invalid) as caught:
        arms.add_variant(
            session, clock, actor="ann", key=KEY, variant=variant, share=share, reason="a new idea"
        )
    assert field in {problem.field for problem in caught.value.problems}
    assert len(epochs(database)) == 1


def test_a_slot_says_which_variants_a_guardrail_has_stopped(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=1)
    with database.transaction() as session:
        stop_arm(
            session,
            clock,
            actor="guard",
            key=KEY,
            variant="coupon",
            guard="failed",
            reason="harm",
            numbers={"verdicts": []},
        )
    (found,) = would_do(database, clock, key=KEY)
    assert found.numbers["stopped"] == ["coupon"]
    (said,) = (
        line
        for line in words.told(found.outcome, found.reason, found.numbers)
        if line.startswith("  coupon: ")
    )
    assert said.endswith("; stopped by a guardrail, gets nobody new")


def test_an_arm_in_which_nobody_converts_is_waited_for_until_somebody_retires_it(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    clock.advance(DAY)
    users_come(database, number=900, at=clock.now(), rates={"silence": 0.2, "reminder": 0.0, "coupon": 0.3})
    clock.advance(2 * DAY)
    (row,) = reallocate_tick(database, clock)
    users = row.numbers["arms"]["reminder"]["users"]
    assert users > 250
    assert row.reason == (
        f"too thin: arm reminder has 0 of 10 conversions, of {users} users; nothing is moved before it has them: "
        "if it never will, retire reminder, or set the weights by hand"
    )
    with database.transaction() as session:
        retire_variant(
            session, clock, actor="ann", key=KEY, variant="reminder", reason="nobody", silence=False
        )
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.outcome == "moved", row.reason
    assert row.numbers["arms"]["reminder"]["new_weight"] == 0
