"""Traffic moves when it should, once a slot, and stays where it is when it must; on both databases."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from analysis.bandits import considering
from analysis.bandits.reallocation import act, considered_now, due_experiments, reallocate_tick, would_do
from analysis.warehouse.export import export_facts
from experiments import service
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict
from experiments.lifecycle import Move
from targeting.models import Event
from tests.integration.analysis_rows import DAY, HOUR, START, design
from tests.integration.bandit_world import (
    CLOSE,
    KEY,
    RATES,
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


def begin_other(database: Database, clock: SteppedClock) -> None:
    """One more experiment with a bandit, without users, which comes after the first."""
    with database.transaction() as session:
        document = design(key="other", trigger={"type": "rule"}, allocation={"policy": "thompson"})
        service.create(session, clock, actor="test", document=document)
        service.move(session, clock, actor="test", key="other", move=Move.START)


def weigh(database: Database, clock: SteppedClock, **weights: float) -> None:
    with database.transaction() as session:
        service.set_weights(session, clock, actor="ann", key=KEY, weights=weights, reason="by hand")


def test_traffic_moves_to_the_better_arm_and_the_numbers_say_why(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock)
    rates = {"silence": 0.05, "reminder": 0.09, "coupon": 0.12}
    done = days_pass(database, clock, days=3, rates=rates)
    first, last = done[0], [row for row in done if row.outcome == "moved"][-1]
    # After one day hardly any window has closed, so nobody can know how many buy late.
    assert (first.outcome, first.epoch) == ("skipped", 1)
    assert "too early" in first.reason
    assert [row.slot for row in done] == [1, 2, 3]
    assert last.slot >= 2
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
    assert last.numbers["epochs"] == list(range(1, last.epoch))
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
    # All have considered the slot before any acts, and a skipped slot leaves the epoch as it is: the claim alone decides.
    with database.snapshot() as session:
        considered = considered_now(session, clock, key=KEY)
    assert considered is not None
    done: list[Any] = []

    def work(_: int) -> None:
        with database.transaction() as session:
            done.append(act(session, clock, considered))

    together(work, number=3)
    assert sorted(row is None for row in done) == [False, True, True]
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
    few, users = (row.numbers["arms"]["silence"][name] for name in ("conversions", "users"))
    # The control cannot be retired.
    assert row.reason == (
        f"too thin: arm silence has {few} of 10 conversions, of {users} users; nothing is moved before it has them: if it never will, set the weights by hand"
    )
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


@pytest.mark.parametrize("revenue", [1e99, 1e308])
def test_absurd_amounts_keep_nobody_waiting(database: Database, clock: SteppedClock, revenue: float) -> None:
    start(database, clock, allocation={"metric": "spent"})
    begin_other(database, clock)
    days_pass(database, clock, days=2, ticks=False)
    with database.transaction() as session:
        orders = session.exec(select(Event).order_by(Event.id).limit(2)).all()  # type: ignore[arg-type]
        for order in orders:
            order.properties = {"revenue": revenue}
    spring, other = reallocate_tick(database, clock)
    assert spring.outcome == "moved"
    assert math.fsum(weights_now(database).values()) == pytest.approx(1)
    assert other.reason == "nobody is assigned yet"


@pytest.mark.parametrize(("rate", "outcome"), [(0.0, "skipped"), (1.0, "moved")])
def test_arms_in_which_everybody_buys_or_nobody_keep_nobody_waiting(
    database: Database, clock: SteppedClock, rate: float, outcome: str
) -> None:
    start(database, clock, allocation={"burn_in": {"users": 100, "conversions": 0}})
    begin_other(database, clock)
    days_pass(database, clock, days=2, ticks=False, rates=dict.fromkeys(RATES, rate))
    spring, other = reallocate_tick(database, clock)
    assert spring.outcome == outcome
    assert math.fsum(weights_now(database).values()) == pytest.approx(1)
    assert other.reason == "nobody is assigned yet"


def test_an_experiment_that_cannot_be_computed_is_told_when_the_others_are_done(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(database, clock)
    begin_other(database, clock)
    users_come(database, number=90, at=clock.now())
    clock.advance(DAY)

    def fail(*_: object) -> None:
        raise ValueError("no such weights")

    monkeypatch.setattr(considering, "weights", fail)
    with pytest.raises(ValueError, match="no such weights"):
        reallocate_tick(database, clock)
    (row,) = reallocations(database)
    assert row.reason == "nobody is assigned yet"


def test_an_experiment_without_a_bandit_is_left_alone(database: Database, clock: SteppedClock) -> None:
    start(database, clock, allocation={"policy": "fixed"})
    users_come(database, number=900, at=clock.now())
    clock.advance(3 * DAY)
    assert reallocate_tick(database, clock) == []
    assert would_do(database, clock) == []
