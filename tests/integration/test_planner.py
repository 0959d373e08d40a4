"""Planning on both databases: every assignment becomes the right messages, once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select

from delivery.models import Message
from delivery.planning import planner
from delivery.planning.planner import Planned
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, NotFound
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import Category, MessageState
from targeting.models import Assignment, Enrolment
from tests.integration.people import COUPON, REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.threads import together

SETTINGS = Settings(cap_week=2)
NOTHING = Planned(experiments=0, assigned=0, messages=0)


def tick(database: Database, clock: SteppedClock, *, batch: int = 40) -> Planned:
    return planner.plan_tick(database, clock, settings=SETTINGS, batch=batch)


def messages(database: Database, **where: object) -> list[Message]:
    with database.snapshot() as session:
        return list(session.exec(select(Message).filter_by(**where).order_by(col(Message.id))))


def assignments(database: Database) -> list[Assignment]:
    with database.snapshot() as session:
        return list(session.exec(select(Assignment).order_by(col(Assignment.id))))


def test_each_step_of_each_variant_becomes_one_message(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        experiment = start_campaign(session, clock, campaign(priority=7))

    planned = tick(database, clock)

    drawn = {row.user_pk: row.variant for row in assignments(database)}
    assert len(drawn) == 100
    steps = {"silence": 0, "reminder": 1, "coupon": 2}
    rows = messages(database)
    assert sorted((row.user_pk, row.step) for row in rows) == sorted(
        (user, step) for user, variant in drawn.items() for step in range(steps[variant])
    )
    assert all(row.variant == drawn[row.user_pk] for row in rows)
    assert planned == Planned(experiments=1, assigned=100, messages=len(rows))
    assert {
        (row.experiment_id, row.state, row.category, row.priority, row.tries, row.slot_at, row.reason)
        for row in rows
    } == {(experiment.id, MessageState.PLANNED, Category.MARKETING, 7, 0, None, None)}
    assert all(row.due_at == row.first_due_at for row in rows)
    assert {row.planned_at for row in assignments(database)} == {clock.now()}


def test_due_times_are_on_each_users_own_clock(database: Database, clock: SteppedClock) -> None:
    zones = {1: "Europe/Amsterdam", 2: "America/Sao_Paulo", 3: None, 4: "Mars/Olympus"}
    with database.transaction() as session:
        for number, zone in zones.items():
            add_people(session, clock, range(number * 10, number * 10 + 8), time_zone=zone)
        start_campaign(session, clock, campaign(variants=[SILENCE, COUPON]))
    tick(database, clock)
    due = {(row.user_pk // 10, row.step, row.due_at) for row in messages(database)}
    assert due == {
        (group, step, datetime(2026, 12, 1 + 3 * step, hour, 30, tzinfo=UTC))
        for group, hour in ((1, 17), (2, 21), (3, 18), (4, 18))
        for step in (0, 1)
    }


def test_variants_are_interleaved_in_the_order_of_sending(database: Database, clock: SteppedClock) -> None:
    other = {**REMINDER, "key": "other", "control": True}
    with database.transaction() as session:
        add_people(session, clock, range(1, 301))
        start_campaign(session, clock, campaign(variants=[other, REMINDER]))
    tick(database, clock, batch=100)
    order = [row.variant for row in sorted(messages(database), key=lambda row: (row.due_at, row.id))]
    assert len(order) == 300
    for start in range(0, 300, 50):
        assert 12 <= order[start : start + 50].count("other") <= 38


def test_planning_again_plans_nothing_twice(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 51))
        start_campaign(session, clock, campaign())
    first = tick(database, clock)
    clock.advance(timedelta(hours=1))
    assert tick(database, clock) == NOTHING
    assert len(messages(database)) == first.messages


def test_an_experiment_waits_for_its_moment(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        start_campaign(session, clock, campaign(trigger={"type": "once", "at": "2026-12-01T12:00:00Z"}))
    assert tick(database, clock) == NOTHING
    clock.advance(timedelta(hours=2))
    assert tick(database, clock).assigned == 10


@pytest.mark.parametrize("move", [Move.PAUSE, Move.STOP])
def test_only_running_experiments_are_planned(database: Database, clock: SteppedClock, move: Move) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        start_campaign(session, clock, campaign())
        service.move(session, clock, actor="test", key="spring", move=move)
    assert tick(database, clock) == NOTHING
    assert assignments(database) == []
    if move == Move.PAUSE:
        with database.transaction() as session:
            service.move(session, clock, actor="test", key="spring", move=Move.RESUME)
        assert tick(database, clock).assigned == 10


def test_a_user_at_the_cap_is_excluded_from_all_arms(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
        earlier = start_campaign(session, clock, campaign("earlier", trigger={"at": "2027-01-01T00:00:00Z"}))
        start_campaign(session, clock, campaign())
        week, tiny = timedelta(days=7), timedelta(microseconds=1)
        for user, slots in {
            1: [now - week + tiny, now],  # both count
            2: [now - week, now],  # the first has just left the window
            3: [now],
            4: [now, None],  # a message without a slot has not been sent
        }.items():
            for step, slot in enumerate(slots):
                session.add(_message(earlier, user, step, slot))
        for step in range(2):
            session.add(_message(earlier, 5, step, now, category=Category.UTILITY))
    tick(database, clock)
    with database.snapshot() as session:
        spring = session.exec(select(Experiment.id).where(Experiment.key == "spring")).one()
        progress = session.get_one(Enrolment, spring)
    assert progress.counts == {"assigned": 29, "excluded": {"cap": 1}}
    assert {row.user_pk for row in assignments(database)} == set(range(2, 31))


def _message(
    experiment: Experiment, user: int, step: int, slot: datetime | None, *, category: str = Category.MARKETING
) -> Message:
    at = slot or datetime(2026, 12, 1, tzinfo=UTC)
    return Message(
        experiment_id=experiment.id or 0,
        user_pk=user,
        variant="coupon",
        step=step,
        category=category,
        state=MessageState.DELIVERED if slot else MessageState.PLANNED,
        first_due_at=at,
        due_at=at,
        slot_at=slot,
    )


def test_the_cap_is_for_marketing_only(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 6), consent=[Category.UTILITY])
        start_campaign(session, clock, campaign(category="utility"))
    planned = planner.plan_tick(database, clock, settings=Settings(cap_week=0))
    assert planned.assigned == 5
    assert {row.category for row in messages(database)} == {Category.UTILITY}


def test_stopping_cancels_what_waits_and_leaves_the_rest(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 41))
        experiment = start_campaign(session, clock, campaign(variants=[SILENCE, REMINDER]))
        other = start_campaign(session, clock, campaign("other", variants=[SILENCE, REMINDER]))
    tick(database, clock)
    mine = messages(database, experiment_id=experiment.id)
    with database.transaction() as session:
        for row, state in zip(
            mine,
            [MessageState.CLAIMED, MessageState.INFLIGHT, MessageState.READ, MessageState.FAILED],
            strict=False,
        ):
            stored = session.get_one(Message, row.id)
            stored.state, stored.claimed_by, stored.lease_until = state, "worker", clock.now()
    with database.transaction() as session:
        assert planner.stop(session, clock, actor="test", key="spring").status == "stopped"
    after = messages(database, experiment_id=experiment.id)
    assert [row.state for row in after[:4]] == ["cancelled", "inflight", "read", "failed"]
    gone = [row for row in after if row.state == MessageState.CANCELLED]
    assert len(gone) == len(mine) - 3
    assert {(row.reason, row.claimed_by, row.lease_until) for row in gone} == {("stopped", None, None)}
    assert {row.state for row in messages(database, experiment_id=other.id)} == {MessageState.PLANNED}
    assert tick(database, clock) == NOTHING


@pytest.mark.parametrize("stopped_before", [False, True])
def test_stopping_what_does_not_run_is_refused(
    database: Database, clock: SteppedClock, stopped_before: bool
) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        if stopped_before:
            start_campaign(session, clock, campaign())
            planner.stop(session, clock, actor="test", key="spring")
    with pytest.raises(Conflict if stopped_before else NotFound), database.transaction() as session:
        planner.stop(session, clock, actor="test", key="spring")


class DyingClock(SteppedClock):
    """Kills its process, as it were, at the n-th look at the time."""

    def __init__(self, current: datetime, looks: int) -> None:
        super().__init__(current)
        self.looks = looks

    def now(self) -> datetime:
        self.looks -= 1
        if self.looks < 0:
            raise KeyboardInterrupt
        return self.current


def test_killed_anywhere_it_goes_on_where_it_was(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        start_campaign(session, clock, campaign())
    survived = False
    for looks in range(1, 60):
        try:
            tick(database, DyingClock(clock.now(), looks), batch=10)
        except KeyboardInterrupt:
            continue
        survived = True
        break
    assert survived
    assert looks > 3
    rows = assignments(database)
    assert [row.user_pk for row in rows] == list(range(1, 61))
    assert all(row.planned_at for row in rows)
    steps = {"silence": 0, "reminder": 1, "coupon": 2}
    assert len(messages(database)) == sum(steps[row.variant] for row in rows)
    with database.snapshot() as session:
        assert session.exec(select(Enrolment)).one().counts["assigned"] == 60


def test_two_planners_at_once_share_the_work(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        start_campaign(session, clock, campaign())
    done: list[Planned] = []
    together(lambda _: done.append(tick(database, clock, batch=10)))
    rows = assignments(database)
    assert sorted(row.user_pk for row in rows) == list(range(1, 201))
    assert sum(part.assigned for part in done) == 200
    assert sum(part.messages for part in done) == len(messages(database))
    assert len({(row.user_pk, row.step) for row in messages(database)}) == len(messages(database))


def test_two_experiments_of_one_layer_enrolled_at_once_share_nobody(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        keys = ["first", "second"]
        for key in keys:
            start_campaign(session, clock, campaign(key, audience={"layer": "promotions", "coverage": 0.5}))
    together(lambda _: tick(database, clock, batch=7))
    users = [row.user_pk for row in assignments(database)]
    assert len(users) == len(set(users)) > 120


def test_a_stop_that_comes_between_two_batches_is_final(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 41))
        start_campaign(session, clock, campaign())

    class StoppingClock(SteppedClock):
        """Somebody stops the experiment while the tick is looking at the time for its first batch."""

        looks = 0

        def now(self) -> datetime:
            self.looks += 1
            if self.looks == 2:
                with database.transaction() as session:
                    planner.stop(session, clock, actor="test", key="spring")
            return self.current

    tick(database, StoppingClock(clock.now()), batch=10)
    assert {row.state for row in messages(database)} <= {MessageState.CANCELLED}
