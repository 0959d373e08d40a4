"""What a release gives back, and what it does not; releases and looks that cross each other; on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from analysis.bandits import guarding, repository
from analysis.bandits.guarding import Seen, guard_tick
from analysis.bandits.models import GuardLook
from delivery.models import Message
from delivery.planning import planner
from delivery.watch.summary import balance
from delivery.watch.summary_repository import tallies
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.stopped_arms import stopped_arms
from targeting import campaigns
from tests.integration import outbox
from tests.integration.guarded_world import KEY, KIND, PLAIN, PUSHY, SILENCE, World
from tests.integration.test_guards import GUARDRAIL, HARM, stop_by_hand

PLANNED = ("planned", None)


def seen_now(world: World) -> Seen:
    with world.database.snapshot() as session:
        experiment = world.experiment()
        return Seen(
            at=world.clock.now(),
            verdicts=guarding.look(session, world.clock, experiment),
            known=experiment.stopped_arms or {},
        )


def act(world: World, seen: Seen) -> list[guarding.ArmStopped]:
    with world.database.transaction() as session:
        return guarding.act(session, world.clock, key=KEY, seen=seen)


def test_a_look_from_before_a_release_does_not_stop_the_variant_again(
    database: Database, clock: SteppedClock
) -> None:
    """The release has begun when the look begins, and is committed when the look is over: its time is before that of the look."""
    world = World(database, clock, harm=HARM)
    while world.send(150):
        first = seen_now(world)
        if first.breached:
            break
    act(world, first)
    # Somebody was released once and has been stopped again; the look is of the users of then.
    world.release()
    clock.advance(timedelta(minutes=1))
    old = Seen(at=clock.now(), verdicts=first.verdicts, known=first.known)
    assert old.breached
    assert act(world, old) == []
    assert stopped_arms(world.experiment()) == {}


def test_who_is_stopped_already_is_looked_at_without_holding_the_experiment(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm=HARM)
    assert world.run()
    seen = seen_now(world)
    assert any(verdict.breached for verdict in seen.verdicts)
    assert not seen.breached


@pytest.mark.parametrize("restore", [False, True])
def test_cancelled_messages_are_planned_again_only_when_that_is_asked_for(
    database: Database, clock: SteppedClock, restore: bool
) -> None:
    world = World(database, clock, harm={})
    stop_by_hand(world)
    cancelled = world.states("pushy")[GUARDRAIL]
    assert cancelled > 100
    # Two that nobody may plan again: one has expired, the other was cancelled for something else.
    ids = [row.id for row in outbox.messages(database).values() if row.variant == "pushy"][:2]
    with database.transaction() as session:
        for message_id, values in zip(ids, ({"expires_at": clock.now()}, {"reason": "retired"}), strict=True):
            session.connection().execute(update(Message).where(col(Message.id) == message_id).values(values))
    assert world.release(restore=restore) == (cancelled - 2 if restore else 0)
    assert world.states("pushy")[PLANNED] == (cancelled - 2 if restore else 0)
    with database.snapshot() as session:
        assert balance(service.design_of(world.experiment()), tallies(session, of=[world.id])).holds
    told = [entry.after for entry in world.audited("experiment.restore_messages")]
    assert told == (
        [{"variant": "pushy", "messages": cancelled - 2, "reason": "a test list"}] if restore else []
    )
    assert world.send(2000)["pushy"] == (cancelled - 2 if restore else 0)


def test_restored_messages_are_judged_anew_and_cancelled_again(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm=HARM)
    (first,) = world.run()
    assert world.release(restore=True) == first.cancelled
    clock.advance(timedelta(hours=1))
    assert world.guard() == []
    (second,) = world.run()
    assert second.variant == "pushy"
    assert 0 < second.cancelled < first.cancelled
    assert world.states("pushy")[GUARDRAIL] == second.cancelled


def test_a_release_does_not_undo_a_retirement(database: Database, clock: SteppedClock) -> None:
    """Retired with `cancel`, then stopped for what it had done before: released, it is as retired as it was."""
    world = World(database, clock, harm={}, variants=[PLAIN, PUSHY, KIND])
    with database.transaction() as session:
        planner.retire(session, clock, actor="ann", key=KEY, variant="pushy", reason="sold out", cancel=True)
    stop_by_hand(world)
    world.release(restore=True)
    assert world.experiment().silenced == ["pushy"]
    assert world.weights()["pushy"] == 0.0
    assert world.send(2000)["pushy"] == 0
    # Weight by hand brings a retired variant back, as ever.
    with database.transaction() as session:
        weights = {"plain": 1, "pushy": 1, "kind": 1}
        service.set_weights(session, clock, actor="ann", key=KEY, weights=weights, reason="back")
    assert world.experiment().silenced is None


def test_a_release_where_nothing_else_was_sent(database: Database, clock: SteppedClock) -> None:
    """Paused by the stop, it stays so; what was restored goes out once somebody resumes it."""
    world = World(database, clock, harm={}, variants=[SILENCE, PUSHY])
    stop_by_hand(world)
    restored = world.release(restore=True)
    assert restored > 0
    assert world.send(2000) == {}
    with database.transaction() as session:
        campaigns.resume(session, clock, actor="ann", key=KEY)
    assert world.send(2000) == {"pushy": restored}


def test_a_look_of_the_future_keeps_nobody_from_looking(database: Database, clock: SteppedClock) -> None:
    """Another machine's clock ran ahead."""
    world = World(database, clock, harm=HARM)
    while world.send(150):
        if seen_now(world).breached:
            break
    ahead = GuardLook(
        experiment_id=world.id, looked_at=clock.now() + timedelta(days=1), seconds=9.0, verdicts=[]
    )
    with database.transaction() as session:
        repository.put_look(session, ahead)
    assert [stopped.variant for stopped in guard_tick(database, clock)] == ["pushy"]
