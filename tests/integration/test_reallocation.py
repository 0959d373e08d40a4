"""Traffic moves when it should, once a slot, and stays where it is when it must; on both databases."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from analysis.bandits import reallocation
from analysis.bandits.reallocation import act, considered_now, due_experiments, reallocate_tick, would_do
from analysis.reports import service as reports
from analysis.warehouse.export import export_facts
from experiments import arms, service
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from experiments.lifecycle import Move
from tests.integration.analysis_rows import DAY, HOUR, START
from tests.integration.bandit_world import (
    CLOSE,
    KEY,
    days_pass,
    epochs,
    reallocations,
    start,
    users_come,
    weights_now,
)
from tests.integration.threads import together
from tests.integration.warehouse_rows import opened

THIRD = pytest.approx(1 / 3)


def weigh(database: Database, clock: SteppedClock, **weights: float) -> None:
    with database.transaction() as session:
        service.set_weights(session, clock, actor="ann", key=KEY, weights=weights, reason="by hand")


def test_traffic_moves_to_the_better_arm_and_the_numbers_say_why(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    rates = {"silence": 0.05, "reminder": 0.09, "coupon": 0.12}
    done = days_pass(database, clock, days=3, rates=rates)
    first, last = done[0], done[-1]
    # After one day hardly any window has closed, so nobody can know how many buy late.
    assert (first.outcome, first.epoch) == ("skipped", 1)
    assert "too early" in first.reason
    assert [row.slot for row in done] == [1, 2, 3]
    assert last.outcome == "moved"
    assert "coupon is the best with probability" in last.reason
    weights = weights_now(database)
    assert weights["silence"] == pytest.approx(0.05, abs=1e-3)
    assert weights["coupon"] > 0.6 > weights["reminder"] > 0.05
    assert min(weights.values()) >= 0.05 - 1e-12
    assert math.fsum(weights.values()) == pytest.approx(1, abs=1e-9)
    arm = last.numbers["arms"]["coupon"]
    assert arm["new_weight"] == weights["coupon"]
    assert arm["mean"] == pytest.approx(0.12, abs=4 * arm["sd"])
    assert arm["p_best"] > 0.5
    assert 0 < arm["effective_n"] <= arm["users"]
    assert last.numbers["made_with"]["touchstone"]
    assert last.numbers["epochs"] == [1, 2]
    assert 0 <= last.numbers["drift"] < 0.1
    developed = last.numbers["delays"]["developed"]["coupon"]
    assert developed[0] == 0.0
    assert developed[-1] == 1.0
    assert developed == sorted(developed)


def test_what_was_moved_is_in_the_audit_log_with_its_numbers(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=3)
    moved = [row for row in reallocations(database) if row.outcome == "moved"]
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.weights")).all()
    assert len(entries) == len(moved) > 0
    for entry, row in zip(entries, moved, strict=True):
        assert entry.actor == "bandit"
        assert entry.after is not None
        assert entry.after["epoch"] == row.epoch
        assert entry.after["arms"] == row.numbers["arms"]
        assert entry.after["data"] == row.numbers["data"]
    assert [epoch.number for epoch in epochs(database)] == [1, *(row.epoch for row in moved)]


def test_a_slot_is_done_once(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=3)
    before = len(reallocations(database))
    assert reallocate_tick(database, clock) == []
    clock.advance(DAY - timedelta(seconds=1))
    assert reallocate_tick(database, clock) == []
    clock.advance(timedelta(seconds=1))
    assert len(reallocate_tick(database, clock)) == 1
    # Three slots go by unseen: the newest is made up for.
    clock.advance(3 * DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.slot == before + 4
    assert reallocate_tick(database, clock) == []


def test_the_same_data_get_the_same_weights_on_either_database(sqlite_url: str, postgres_url: str) -> None:
    found = []
    for url in (sqlite_url, postgres_url):
        database, clock = Database(url), SteppedClock(START)
        start(database, clock)
        days_pass(database, clock, days=3, ticks=False)
        (one,), (other,) = (would_do(database, clock) for _ in range(2))
        assert one == other
        found.append((one.weights, one.numbers["data"]))
        database.dispose()
    assert found[0] == found[1]
    assert found[0][0]["coupon"] > 0.5


def test_two_workers_at_once_act_once(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=2, rates=CLOSE)
    users_come(database, number=900, at=clock.now(), seed=99, rates=CLOSE)
    clock.advance(DAY)
    # Both have considered the slot before either acts.
    considered = []
    for _ in range(2):
        with database.snapshot() as session:
            considered.append(considered_now(session, clock, key=KEY))
    numbers = len(epochs(database))
    rows: list[Any] = [None, None]

    def work(index: int) -> None:
        with database.transaction() as session:
            rows[index] = act(session, clock, considered[index])

    together(work)
    assert sorted(row is None for row in rows) == [False, True]
    assert len(epochs(database)) == numbers + 1
    assert len(reallocations(database)) == 3


def test_two_workers_at_once_skip_once(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    users_come(database, number=30, at=clock.now())
    clock.advance(DAY)
    together(lambda _: reallocate_tick(database, clock), number=3)
    (row,) = reallocations(database)
    assert row.outcome == "skipped"
    assert len(epochs(database)) == 1


def test_thin_data_move_nothing_and_say_which_arm_lacks_what(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert (row.outcome, row.reason) == ("skipped", "nobody is assigned yet")
    users_come(database, number=120, at=clock.now())
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    least = row.numbers["arms"]["silence"]["users"]
    assert row.reason == f"too thin: arm silence has {least} of 100 users"
    assert least < 100
    assert row.numbers["arms"]["coupon"]["new_weight"] is None
    users_come(database, number=400, at=clock.now(), rates={"silence": 0.01, "reminder": 0.3, "coupon": 0.3})
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    few = row.numbers["arms"]["silence"]["conversions"]
    assert row.reason == f"too thin: arm silence has {few} of 10 conversions"
    assert len(epochs(database)) == 1


def test_a_pause_a_hold_and_a_single_arm_keep_the_weights(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=1)

    def skipped() -> str:
        users_come(database, number=900, at=clock.now(), seed=(clock.now() - START) // HOUR)
        clock.advance(DAY)
        (row,) = reallocate_tick(database, clock)
        assert row.outcome == "skipped"
        assert "arms" not in row.numbers
        return row.reason

    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.PAUSE)
    assert skipped() == "the experiment is paused"
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.RESUME)
        service.set_weights(
            session,
            clock,
            actor="ann",
            key=KEY,
            weights={"silence": 1, "reminder": 1, "coupon": 2},
            reason="a partner asks for it",
            hold=True,
        )
    assert "held by hand since 2026-12-03" in skipped()
    assert weights_now(database) == {"silence": 0.25, "reminder": 0.25, "coupon": 0.5}
    weigh(database, clock, silence=1, reminder=0, coupon=0)  # still held
    assert "held by hand" in skipped()
    with database.transaction() as session:
        service.release(session, clock, actor="ann", key=KEY, reason="it is over")
    assert skipped() == "there is nothing to choose: only silence gets users"
    with database.transaction() as session, pytest.raises(Conflict, match="nobody holds the weights"):
        service.release(session, clock, actor="ann", key=KEY, reason="again")
    with database.snapshot() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry).order_by(AuditEntry.id))]  # type: ignore[arg-type]
    assert [action for action in actions if action in {"experiment.hold", "experiment.release"}] == [
        "experiment.hold",
        "experiment.release",
    ]


def test_weights_that_are_set_meanwhile_win(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=2, rates=CLOSE)
    users_come(database, number=900, at=clock.now(), seed=98, rates=CLOSE)
    clock.advance(DAY)
    with database.snapshot() as session:
        considered = considered_now(session, clock, key=KEY)
    assert considered is not None
    assert considered.outcome == "moved"
    weigh(database, clock, silence=1, reminder=1, coupon=1)
    number = len(epochs(database))
    with database.transaction() as session:
        assert act(session, clock, considered) is None
    assert len(epochs(database)) == number
    # The slot is still to be done, from the weights that were set.
    with database.snapshot() as session:
        assert due_experiments(session, clock) == [KEY]
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["arms"]["coupon"]["weight"] == THIRD
    assert row.epoch == number + 1


def test_a_sample_ratio_mismatch_stops_the_bandit(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=2)
    # Users are drawn otherwise than the weights say.
    skew = {"silence": 0.1, "reminder": 0.6, "coupon": 0.3}
    users_come(database, number=900, at=clock.now(), seed=97, weights=skew)
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.outcome == "skipped"
    assert "sample ratio mismatch (e-value" in row.reason
    assert row.numbers["sample_ratio"]["e_value"] >= 1000
    assert row.numbers["arms"]["coupon"]["new_weight"] is None


def test_propensities_that_are_not_the_weights_stop_the_bandit(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    days_pass(database, clock, days=1, propensity=0.4)
    (row,) = reallocations(database)
    assert (
        "were drawn into 'coupon' with probability 0.4 to 0.4, and not with its weight, 0.333333"
        in row.reason
    )


@pytest.mark.parametrize("method", ["fixed", "always_valid"])
def test_with_one_look_the_chi_square_counts_as_well(
    database: Database, clock: SteppedClock, method: str
) -> None:
    start(database, clock, plan={"method": method})
    # p is about 0.0001: enough for a single look, not for one a day.
    skew = {"silence": 0.31, "reminder": 0.345, "coupon": 0.345}
    users_come(database, number=6000, at=clock.now(), seed=8, weights=skew)
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    ratio = row.numbers["sample_ratio"]
    assert ratio["p_value"] < 0.001
    assert ratio["e_value"] < 1000
    assert ("chi-square" in row.reason) is (method == "fixed")


def test_an_old_copy_of_the_facts_moves_nothing(
    database: Database, clock: SteppedClock, tmp_path: Path
) -> None:
    start(database, clock)
    users_come(database, number=900, at=clock.now())
    clock.advance(DAY)
    export_facts(database, clock, folder=tmp_path, format_="parquet")
    engine = opened(f"duckdb:///{tmp_path}")
    clock.advance(2 * DAY)
    (row,) = reallocate_tick(database, clock, facts=engine)
    assert row.reason == (
        "the copy of the facts is of 2026-12-02T10:00:00Z, and traffic is moved every 1d: export it anew"
    )
    export_facts(database, clock, folder=tmp_path, format_="parquet")
    engine.dispose()
    engine = opened(f"duckdb:///{tmp_path}")
    (there,) = would_do(database, clock, facts=engine)
    (here,) = would_do(database, clock)
    assert there.weights is not None
    assert there.weights == pytest.approx(here.weights)
    engine.dispose()


def test_an_epoch_goes_on_when_nothing_would_change(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days_pass(database, clock, days=3)
    number = len(epochs(database))
    # Nobody comes any more, and every window is closed: the data stay as they are.
    clock.advance(DAY)
    reallocate_tick(database, clock)
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.outcome == "skipped"
    assert "right as they are" in row.reason
    assert len(epochs(database)) in {number, number + 1}


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
    from delivery.models import Message
    from targeting.models import Assignment
    from tests.integration.analysis_rows import add_all

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
        ("cupon", Exception, "there is no variant 'cupon'; there are silence, reminder, coupon"),
    ],
)
def test_what_cannot_be_retired_is_told(
    database: Database, clock: SteppedClock, variant: str, error: type[Exception], words: str
) -> None:
    start(database, clock)
    with database.transaction() as session, pytest.raises(error, match=words):
        arms.retire_variant(session, clock, actor="ann", key=KEY, variant=variant, reason="x", silence=False)
    weigh(database, clock, silence=1, reminder=1, coupon=0)
    with database.transaction() as session, pytest.raises(Conflict, match="gets nobody new already"):
        arms.retire_variant(session, clock, actor="ann", key=KEY, variant="coupon", reason="x", silence=False)


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
            "metrics[0].window",
        ),
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


def test_an_experiment_without_a_bandit_is_left_alone(database: Database, clock: SteppedClock) -> None:
    start(database, clock, allocation={"policy": "fixed"})
    users_come(database, number=900, at=clock.now())
    clock.advance(3 * DAY)
    assert reallocate_tick(database, clock) == []
    assert would_do(database, clock) == []
    assert reallocation.due_experiments is due_experiments
