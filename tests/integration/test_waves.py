"""A broadcast goes out in waves: each after what came of those before, nobody twice, nobody lost; on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import select

from analysis.bandits.reallocation import act, considered_now, reallocate_tick, would_do
from analysis.reports.service import refresh_report
from delivery.models import Message
from delivery.watch.books import Books
from delivery.watch.why import why
from experiments import service
from experiments.arms import retire_variant
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.lifecycle import Move
from experiments.repository import get_experiment
from targeting import campaigns
from targeting.bucketing import hash_unit
from targeting.enrolment import enrol_batch
from tests.integration.analysis_rows import DAY
from tests.integration.broadcast import (
    COUPON,
    EVEN,
    KEY,
    LOSES,
    WINS,
    a_slot,
    arms,
    assigned,
    audited,
    begin,
    experiment,
    people_buy,
    plan,
    within,
)
from tests.integration.enrolling import counts, enrol
from tests.integration.outbox import settings
from tests.integration.people import REMINDER, SILENCE, campaign


def test_waves_go_out_one_a_slot_and_leave_nobody(database: Database, clock: SteppedClock) -> None:
    made = begin(database, clock, allocation={"burn_in": {"users": 10, "conversions": 2}})
    everybody = range(1, 1501)
    outs = []
    for upto in (0.25, 0.5, 0.75):
        plan(database, clock)
        out = assigned(database)
        assert set(out) == within(upto, everybody)
        # What was drawn before stays.
        for before in outs:
            assert {pk: row.variant for pk, row in before.items()}.items() <= {
                pk: row.variant for pk, row in out.items()
            }.items()
        outs.append(out)
        found = counts(database, made)
        assert found["assigned"] + found["excluded"]["wave"] == found["expected"] == 1500
        people_buy(database, clock, EVEN)
        clock.advance(2 * DAY)
        (row,) = reallocate_tick(database, clock)
        assert row.numbers["wave"]["action"] == "released", row.numbers["wave"]
        assert (row.numbers["wave"]["before"], row.numbers["wave"]["upto"]) == (upto, upto + 0.25)
    plan(database, clock)
    assert set(assigned(database)) == set(everybody)
    assert counts(database, made) == {"assigned": 1500, "excluded": {}}
    assert experiment(database).released == 1.0
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert "wave" not in row.numbers
    assert [entry.after["released"] for entry in audited(database, "experiment.wave") if entry.after] == [
        0.5,
        0.75,
        1.0,
    ]
    # Each wave is drawn with the weights of its moment, and that is what is logged.
    weights = {
        epoch: row.propensity
        for row in assigned(database).values()
        if row.variant == "coupon"
        for epoch in [row.epoch]
    }
    assert len(weights) > 1


def test_a_report_counts_on_the_whole_audience_and_not_on_the_waves_that_are_out(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, people=1000)
    plan(database, clock)
    out = len(assigned(database))
    clock.advance(2 * DAY)
    with database.transaction() as session:
        look = refresh_report(session, clock, key=KEY)
    assert look.information == pytest.approx(out / 1000)
    # Every window is closed, and it is not the planned end all the same.
    assert look.body["decision"]["action"] == "continue"
    with database.transaction() as session:
        campaigns.release_wave(
            session, clock, actor="ann", experiment=get_experiment(session, KEY), upto=1.0, reason="all"
        )
    plan(database, clock)
    clock.advance(2 * DAY)
    with database.transaction() as session:
        assert refresh_report(session, clock, key=KEY).information == 1.0


def test_the_first_wave_goes_at_the_trigger_and_the_slots_count_from_there(
    database: Database, clock: SteppedClock
) -> None:
    at = clock.now() + timedelta(hours=30)
    begin(database, clock, trigger={"type": "once", "at": at.isoformat()})
    plan(database, clock)
    assert assigned(database) == {}
    clock.advance(DAY)
    assert reallocate_tick(database, clock) == []
    clock.advance(timedelta(hours=6))
    plan(database, clock)
    assert len(assigned(database)) == len(within(0.25, range(1, 1501)))
    clock.advance(DAY - timedelta(seconds=1))
    assert reallocate_tick(database, clock) == []
    clock.advance(timedelta(seconds=1))
    (row,) = reallocate_tick(database, clock)
    assert row.slot == 1


def test_a_wave_waits_while_waiting_can_tell_more(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, allocation={"interval": "6h"})
    plan(database, clock)
    people_buy(database, clock, WINS)
    clock.advance(timedelta(hours=6))
    (row,) = reallocate_tick(database, clock)
    # Nobody's whole window has passed, so nobody knows how many buy late.
    assert row.numbers["wave"]["action"] == "held"
    assert row.numbers["wave"]["reason"] == row.reason
    assert row.reason.startswith("too ")
    assert experiment(database).released == 0.25
    assert plan(database, clock).assigned == 0


def test_thin_data_hold_nobody_up_once_every_window_has_closed(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, allocation={"interval": "12h", "burn_in": 100_000})
    plan(database, clock)
    for action in ("held", "released"):
        clock.advance(timedelta(hours=12))
        (row,) = reallocate_tick(database, clock)
        assert "too thin" in row.reason
        assert row.numbers["wave"]["action"] == action
    assert experiment(database).released == 0.5


def test_a_pause_and_doubt_hold_waves_and_weights_by_hand_do_not(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    plan(database, clock)
    people_buy(database, clock, EVEN)
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.PAUSE)
    clock.advance(2 * DAY)
    (row,) = reallocate_tick(database, clock)
    assert (row.numbers["wave"]["action"], row.numbers["wave"]["reason"]) == (
        "held",
        "the experiment is paused",
    )
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.RESUME)
        session.connection().exec_driver_sql("UPDATE assignments SET variant = 'coupon' WHERE user_pk < 800")
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["wave"]["action"] == "held"
    assert "sample ratio mismatch" in row.numbers["wave"]["reason"]
    with database.transaction() as session:
        service.set_weights(
            session, clock, actor="ann", key=KEY, weights={"silence": 1, "reminder": 1, "coupon": 2}, reason="mine", hold=True
        )  # fmt: skip
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    assert "held by hand" in row.reason
    assert row.numbers["wave"]["action"] == "released"


def test_so_many_users_at_a_time(database: Database, clock: SteppedClock) -> None:
    made = begin(database, clock, people=3000, allocation={"waves": {"users": 600}, "burn_in": 20})
    plan(database, clock)
    first = assigned(database)
    # A share of those who can take part, found by counting them: 600 on average, sd 22.
    assert abs(len(first) - 600) < 100
    upto = experiment(database).released
    assert upto == 0.2
    assert set(first) == within(upto, range(1, 3001))
    (entry,) = audited(database, "experiment.wave")
    assert entry.after is not None
    assert entry.after["reason"] == "the first wave, of 3000 users who can take part"
    sizes = [len(first)]
    while (experiment(database).released or 0.0) < 1:
        a_slot(database, clock, EVEN, days=2)
        plan(database, clock)
        sizes.append(len(assigned(database)) - sum(sizes))
    assert sum(sizes) == 3000
    assert all(abs(size - 600) < 110 for size in sizes[:-1])
    assert counts(database, made) == {"assigned": 3000, "excluded": {}}


def test_more_coverage_newcomers_and_testers_join_with_their_wave(
    database: Database, clock: SteppedClock
) -> None:
    begin(
        database,
        clock,
        people=1000,
        audience={"coverage": 0.5, "holdout": 0.1, "forced": {"user-7": "coupon"}},
    )
    plan(database, clock)

    def taking_part(coverage: float, upto: float) -> set[int]:
        def place(seed: str, n: int) -> float:
            return hash_unit(f"{seed}:spring", f"user-{n}", 2) or 0.0

        drawn = {
            n for n in range(1, 1001)
            if place("holdout", n) >= 0.1 and place("coverage", n) < coverage and place("wave", n) < upto
        }  # fmt: skip
        return drawn | {7}

    assert set(assigned(database)) == taking_part(0.5, 0.25)
    assert assigned(database)[7].forced
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=1.0)
    plan(database, clock)
    assert set(assigned(database)) == taking_part(1.0, 0.25)
    a_slot(database, clock, EVEN, days=2)
    plan(database, clock)
    assert set(assigned(database)) == taking_part(1.0, 0.5)


def test_why_somebody_waits_and_the_books_are_right(database: Database, clock: SteppedClock) -> None:
    made = begin(database, clock, people=400)
    plan(database, clock)
    waiting = min(set(range(1, 401)) - set(assigned(database)))
    with database.snapshot() as session:
        found = why(
            session, clock, user_id=f"user-{waiting}", experiment=KEY, settings=settings()
        ).experiments[0]
        messages = session.exec(select(Message).where(Message.experiment_id == made.id)).all()
    assert found.outcome == "excluded"
    assert found.because == "Left out, because the audience goes out in waves, and theirs comes later."
    assert len(messages) == sum(n for arm, n in arms(database).items() if arm != "silence")
    Books(database, clock).tick()


def test_waves_that_would_expire_are_not_released(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, expires={"at": (clock.now() + DAY).isoformat()})
    row = a_slot(database, clock, EVEN, days=2)
    assert row.numbers["wave"]["action"] == "held"
    assert "would expire unsent" in row.numbers["wave"]["reason"]


def test_a_named_day_has_no_waves(database: Database, clock: SteppedClock) -> None:
    document = campaign(
        variants=[SILENCE, REMINDER, COUPON],
        trigger={"type": "once", "local_time": "2026-12-20T18:30"},
        allocation={"policy": "thompson"},
    )
    with database.transaction() as session, pytest.raises(Invalid) as refused:
        campaigns.create(session, clock, actor="test", document=document)
    assert [problem.field for problem in refused.value.problems] == ["trigger.local_time"]


def test_the_winner_is_shipped_to_the_rest(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, people=3000)
    row = a_slot(database, clock, WINS, days=2)
    drawn = assigned(database)
    assert row.outcome == "shipped", row.reason
    assert row.reason.startswith("the rest gets coupon: bought, coupon against silence")
    assert row.epoch == 2
    found = experiment(database)
    assert (found.status, found.shipped, found.released) == ("running", "coupon", 1.0)
    plan(database, clock)
    after = assigned(database)
    assert set(after) == set(range(1, 3001))
    rest = {pk: row for pk, row in after.items() if pk not in drawn}
    assert {(row.variant, row.forced, row.source, row.epoch, row.propensity) for row in rest.values()} == {
        ("coupon", True, "ship", 2, 1.0)
    }
    # Whoever was drawn keeps the variant and has one message, not two.
    with database.snapshot() as session:
        messages = [message.user_pk for message in session.exec(select(Message))]
    assert len(messages) == len(set(messages))
    assert set(messages) == set(rest) | {pk for pk, row in drawn.items() if row.variant != "silence"}
    clock.advance(DAY)
    assert reallocate_tick(database, clock) == []
    assert would_do(database, clock) == []
    (entry,) = audited(database, "experiment.ship")
    assert entry.actor == "bandit"
    assert entry.after is not None
    assert entry.after["arms"]["coupon"]["users"] == sum(row.variant == "coupon" for row in drawn.values())
    Books(database, clock).tick()


def test_a_winner_that_was_retired_is_not_shipped(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, people=3000)
    plan(database, clock)
    people_buy(database, clock, WINS)
    with database.transaction() as session:
        retire_variant(
            session, clock, actor="ann", key=KEY, variant="coupon", reason="sold out", silence=False
        )
    clock.advance(2 * DAY)
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["wave"]["action"] == "released"
    assert experiment(database).shipped is None


def test_nobody_more_is_messaged_when_nothing_is_better(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, people=3000)
    row = a_slot(database, clock, LOSES, days=2)
    assert row.outcome == "ended", row.reason
    assert row.reason.startswith("nobody more is messaged: bought, reminder against silence")
    found = experiment(database)
    assert (found.status, found.shipped) == ("stopped", "silence")
    before = assigned(database)
    plan(database, clock)
    assert assigned(database).keys() == before.keys()
    with database.snapshot() as session:
        assert {str(message.state) for message in session.exec(select(Message))} == {"cancelled"}
        told = why(
            session, clock, user_id=f"user-{min(set(range(1, 3001)) - set(before))}", experiment=KEY, settings=settings()
        ).experiments[0]  # fmt: skip
    assert told.because.startswith(
        "The experiment is over, and 'silence' was shipped; this user did not take part."
    )
    Books(database, clock).tick()


def test_at_the_last_wave_the_control_ends_it_where_it_leads(database: Database, clock: SteppedClock) -> None:
    """Without a sure result: silence buys a little more, which no report would decide by."""
    begin(database, clock, people=1200, allocation={"waves": {"share": 0.5}})
    row = a_slot(database, clock, {"silence": 0.16, "reminder": 0.1, "coupon": 0.1}, days=2)
    assert row.outcome == "ended", row.reason
    assert "before the last wave nothing is better than silence" in row.reason
    assert experiment(database).status == "stopped"


def test_a_wave_that_was_killed_in_the_middle_goes_on(database: Database, clock: SteppedClock) -> None:
    """The release is one transaction with its slot; what it has released is walked by whoever comes next."""
    begin(database, clock)
    plan(database, clock)
    people_buy(database, clock, EVEN)
    clock.advance(2 * DAY)

    class KilledError(Exception):
        pass

    with database.transaction() as session:
        refresh_report(session, clock, key=KEY)
    with database.snapshot() as session:
        considered = considered_now(session, clock, key=KEY)
    assert considered is not None
    with pytest.raises(KilledError), database.transaction() as session:
        assert act(session, clock, considered) is not None
        raise KilledError
    assert experiment(database).released == 0.25
    assert plan(database, clock).assigned == 0
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["wave"]["action"] == "released"
    # A batch of the walk, and then another process.
    before = len(assigned(database))
    with database.transaction() as session:
        step = enrol_batch(
            session, clock, experiment=experiment(database), limit=300, ineligible={}, global_holdout=0.0
        )
    assert not step.finished
    assert before < len(assigned(database)) < len(within(0.5, range(1, 1501)))
    enrol(database, clock, experiment(database))
    assert set(assigned(database)) == within(0.5, range(1, 1501))
    assert reallocate_tick(database, clock) == []
