"""Guards that cannot look: each experiment stands alone, and what nobody watches is not sent for long; on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from analysis.bandits import guarding
from analysis.bandits.guarding import guard_tick
from analysis.bandits.harm import Verdict
from delivery.fuses import breakers, unguarded
from delivery.fuses.breakers import Kind
from delivery.fuses.unguarded import FAILED_LOOKS
from delivery.planning import planner
from delivery.watch.operations import overview
from delivery.watch.why import why
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.models import Epoch
from experiments.repository import get_experiment
from targeting.models import User
from tests.integration import outbox
from tests.integration.guarded_world import KEY, PLAIN, PUSHY, World

OTHER = "other"
PEOPLE = 600
UNCAPPED = {"cap_day": None, "cap_week": None, "cap_month": None, "cap_interval": None}
REASON = "its guards cannot look: TypeError"


@pytest.fixture
def world(database: Database, clock: SteppedClock) -> World:
    """A campaign in which pushy does harm, and one before it, whose messages are due first, with two other templates, to the same people."""
    said = [{**each, "message": {**each["message"], "template": name}} for each, name in ((PLAIN, "calm"), (PUSHY, "loud"))]  # fmt: skip
    outbox.add_experiment(database, clock, key=OTHER, variants=said)
    world = World(database, clock, harm={"pushy": 0.3}, people=PEOPLE)
    assert send(world, 40).keys() == {"calm", "loud"}
    return world


def spoil(world: World, key: str = OTHER, weights: object = None) -> None:
    """Weights of an epoch that no look can read; or those that it had."""
    with world.database.transaction() as session:
        experiment = get_experiment(session, key)
        spoilt = {"plain": "half", "pushy": "half"} if weights is None else weights
        where = col(Epoch.experiment_id) == experiment.id
        session.connection().execute(update(Epoch).where(where).values(weights=spoilt))


def send(world: World, number: int) -> dict[str, int]:
    """Send without caps between the two campaigns, and let an hour pass."""
    before = len(world.sender.sent)
    outbox.dispatch(world.database, world.clock, world.sender, limit=number, **UNCAPPED)
    world.clock.advance(timedelta(hours=1))
    templates = [message.template for message in world.sender.sent[before:]]
    return {name: templates.count(name) for name in sorted(set(templates))}


def look(world: World, times: int = 1) -> list[guarding.ArmStopped]:
    stopped = []
    for _ in range(times):
        stopped += guard_tick(world.database, world.clock)
        world.clock.advance(timedelta(minutes=1))
    return stopped


def fuse(world: World) -> tuple[bool, str] | None:
    """Whether it is open, and why; None without any."""
    row = outbox.breakers(world.database).get((Kind.GUARD, OTHER))
    return None if row is None else (breakers.is_open(row, world.clock.now()), row.reason)


def is_held(world: World) -> bool | None:
    """Whether the fuse is open; None where no look has failed."""
    known = fuse(world)
    return None if known is None else known[0]


def test_one_that_cannot_be_looked_at_waits_and_the_others_are_guarded(world: World) -> None:
    spoil(world)
    assert look(world) == []
    assert is_held(world) is False
    assert send(world, 40).keys() == {"calm", "loud"}
    look(world, FAILED_LOOKS - 1)
    opened = fuse(world)
    assert opened is not None
    assert is_held(world)
    assert opened[1].startswith(REASON)
    assert send(world, 100).keys() == {"plain", "pushy"}
    (entry,) = world.audited("experiment.guards_fail")
    assert (entry.actor, entry.subject_key) == ("guard", OTHER)
    assert entry.after == {"reason": opened[1], "looks": FAILED_LOOKS}
    # It can be seen wherever somebody would look.
    with world.database.snapshot() as session:
        seen = overview(session, world.clock, settings=outbox.settings()).to_json()["breakers"]
        assert [(each["kind"], each["key"]) for each in seen] == [("guard", OTHER)]
    waiting = [row for row in outbox.messages(world.database).values() if row.variant == "pushy" and row.state == "planned"]  # fmt: skip
    assert waiting
    with world.database.snapshot() as session:
        user = session.get_one(User, waiting[0].user_pk)
        found = why(session, world.clock, user_id=user.user_id, experiment=OTHER, settings=outbox.settings())
    assert "nobody would see whether messages of other do harm" in str(found)
    # A look that works lets it go on.
    spoil(world, weights={"plain": 0.5, "pushy": 0.5})
    look(world)
    assert fuse(world) is None
    assert len(world.audited("experiment.guards_look")) == 1
    assert send(world, 100).keys() == {"calm", "loud"}


def test_harm_is_stopped_although_another_cannot_be_looked_at(
    database: Database, clock: SteppedClock
) -> None:
    """The broken one comes first, by id."""
    outbox.add_experiment(database, clock, key=OTHER, variants=[PLAIN, PUSHY], trigger={"type": "rule"})
    world = World(database, clock, harm={"plain": 0.02, "pushy": 0.3})
    spoil(world)
    stopped: list[guarding.ArmStopped] = []
    while not stopped and world.send(150):
        stopped = guard_tick(database, clock)
    assert [(each.experiment, each.variant) for each in stopped] == [(KEY, "pushy")]


def test_whoever_closes_it_by_hand_is_obeyed_until_a_look_has_worked(world: World) -> None:
    spoil(world)
    look(world, FAILED_LOOKS)
    with world.database.transaction() as session:
        breakers.close(session, world.clock, actor="ann", kind=Kind.GUARD, key=OTHER)
    look(world, 2 * FAILED_LOOKS)
    assert is_held(world) is False
    assert send(world, 100).keys() == {"calm", "loud"}
    spoil(world, weights={"plain": 0.5, "pushy": 0.5})
    look(world)
    spoil(world)
    look(world, FAILED_LOOKS)
    assert is_held(world)


def test_failures_that_do_not_follow_each_other_hold_nothing_back(world: World) -> None:
    for _ in range(FAILED_LOOKS):
        spoil(world)
        look(world, FAILED_LOOKS - 1)
        spoil(world, weights={"plain": 0.5, "pushy": 0.5})
        look(world)
    assert fuse(world) is None
    assert world.audited("experiment.guards_fail") == []


def test_an_experiment_that_ends_takes_its_fuse_with_it(world: World) -> None:
    spoil(world)
    look(world, FAILED_LOOKS)
    with world.database.transaction() as session:
        service.move(session, world.clock, actor="ann", key=OTHER, move=Move.STOP)
    look(world)
    assert fuse(world) is None


def test_harm_that_is_seen_and_cannot_be_stopped_holds_everything_back_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(world, PEOPLE)  # of the other one
    while world.send(150):
        if any(verdict.breached for verdict in verdicts(world)):
            break

    def fail(*_args: object, **_values: object) -> None:
        raise RuntimeError("deadlock detected")

    act = planner.stop_harmful
    monkeypatch.setattr(planner, "stop_harmful", fail)
    assert guard_tick(world.database, world.clock, key=KEY) == []
    assert outbox.breakers(world.database)[Kind.GUARD, KEY].until is None
    assert world.states("pushy")["planned", None] > 0
    assert send(world, 100) == {}
    monkeypatch.setattr(planner, "stop_harmful", act)
    (stopped,) = guard_tick(world.database, world.clock, key=KEY)
    assert stopped.variant == "pushy"
    assert (Kind.GUARD, KEY) not in outbox.breakers(world.database)
    assert send(world, 100).keys() == {"plain"}


def verdicts(world: World) -> list[Verdict]:
    with world.database.snapshot() as session:
        return guarding.look(session, world.clock, world.experiment())


def test_two_workers_that_fail_count_both_and_open_it_once(world: World) -> None:
    with world.database.transaction() as session:
        opened = [
            unguarded.note_failed(session, world.clock, experiment=OTHER, error="x") for _ in range(2 * FAILED_LOOKS)
        ]  # fmt: skip
    assert opened.count(True) == 1
    assert len(world.audited("experiment.guards_fail")) == 1
