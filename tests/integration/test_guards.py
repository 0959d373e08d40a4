"""Variants that do harm are stopped while the campaign runs: planned, sent, answered, looked at; on both databases."""

import html
import math
from datetime import timedelta

import pytest
from rich.console import Console
from sqlalchemy import update
from sqlmodel import col, select

from analysis.bandits import guarding
from analysis.bandits.guarding import Seen
from analysis.bandits.reallocation import reallocate_tick
from analysis.bandits.repository import guarded_experiments, last_verdicts
from analysis.reports import service as reports
from analysis.reports.report_html import render_html
from analysis.reports.report_text import render
from delivery.models import Message
from delivery.planning import planner
from delivery.sending.dispatch import Dispatcher
from delivery.watch.summary import balance
from delivery.watch.summary_repository import tallies
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from experiments.lifecycle import Move
from experiments.stopped_arms import release_arm, stopped_arms
from targeting import campaigns
from targeting.models import Rule
from tests.integration import outbox
from tests.integration.guarded_world import KEY, KIND, PLAIN, PUSHY, SILENCE, World
from tests.integration.threads import together

HARM = {"plain": 0.02, "pushy": 0.2}
GUARDRAIL = ("cancelled", "guardrail")


def test_an_arm_whose_people_opt_out_is_stopped_and_the_rest_goes_on(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm=HARM)
    (stopped,) = world.run()
    assert (stopped.variant, stopped.guard, stopped.paused) == ("pushy", "opted_out", False)
    assert world.weights() == {"plain": 1.0, "pushy": 0.0}
    states = world.states("pushy")
    assert states[GUARDRAIL] == stopped.cancelled > 100
    assert not [state for state, _ in states if state in {"planned", "claimed"}]
    went = sum(count for (state, _), count in states.items() if state == "accepted")
    assert went < 0.5 * sum(states.values())
    sent = world.send(1000)
    assert sent["pushy"] == 0
    assert sent["plain"] > 100
    # Whoever is late does nothing, and nothing is told twice.
    assert world.guard() == []
    (entry,) = world.audited("experiment.stop_arm")
    assert entry.actor == "guard"
    assert entry.after is not None
    verdict = entry.after["verdicts"][0]
    assert (verdict["guard"], verdict["margin"]) == ("opted_out", 0.001)
    assert verdict["harmed"] / verdict["users"] == pytest.approx(0.2, abs=0.1)
    assert verdict["log_e"] >= verdict["needed"] == pytest.approx(math.log(3 / 0.05))
    assert entry.after["reason"] == stopped.reason
    assert f"{verdict['harmed']} of {verdict['users']} users" in stopped.reason
    with database.snapshot() as session:
        books = balance(service.design_of(world.experiment()), tallies(session, of=[world.id]))
    assert books.holds


def test_failures_stop_an_arm_as_well(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm={"plain": 0.02, "pushy": 0.3}, code=131049)
    (stopped,) = world.run()
    assert (stopped.variant, stopped.guard) == ("pushy", "failed")
    assert world.states("pushy")[GUARDRAIL] > 100
    # Put off by WhatsApp for a day, so planned again; now nothing of it goes out.
    assert world.states("pushy")["planned", "meta_cap"] == 0


def test_whom_a_message_failed_once_is_remembered_when_the_next_try_goes_well(
    database: Database, clock: SteppedClock
) -> None:
    """Nobody has looked meanwhile; a day later everything has been delivered, and it is the variant that was held back all the same."""
    world = World(database, clock, harm={"pushy": 0.35}, code=131049, people=240)
    world.send(240)
    put_off = world.states("pushy")["planned", "meta_cap"]
    assert put_off > 25
    world.clock.advance(timedelta(hours=25))
    world.harm = {}
    assert world.send(240)["pushy"] == put_off
    world.clock.advance(timedelta(hours=1))
    (stopped,) = world.guard()
    assert (stopped.variant, stopped.guard) == ("pushy", "failed")
    with database.snapshot() as session:
        (found,) = (each for each in last_verdicts(session, world.id) if each["guard"] == "failed")
    assert found["harmed"] == put_off


def test_equal_arms_and_harm_within_the_margin_are_left_alone(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm={"plain": 0.06, "pushy": 0.06})
    assert world.run() == []
    assert world.states("pushy")[GUARDRAIL] == 0
    assert stopped_arms(world.experiment()) == {}


def test_a_margin_of_the_design_replaces_the_default_one(database: Database, clock: SteppedClock) -> None:
    wide = [
        *outbox.design()["metrics"],
        {"key": "opted_out", "role": "guardrail", "margin": 0.5, "window": "7d"},
    ]
    world = World(database, clock, harm=HARM, metrics=wide)
    assert world.run() == []
    with database.snapshot() as session:
        found = {
            verdict.guard: verdict.margin for verdict in guarding.look(session, clock, world.experiment())
        }
    assert found == {"opted_out": 0.5, "blocked": 0.001, "failed": 0.01}


def test_what_the_plan_tells_to_be_quiet_stops_nothing(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm=HARM, plan={"rules": {"stop_for_harm": {"opted_out": False}}})
    assert world.run() == []


def test_harm_is_what_comes_soon(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm=HARM, plan={"rules": {"harm_within": "30s"}})
    assert world.run() == []


def test_users_count_once_they_were_watched(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm={"plain": 0.0, "pushy": 1.0}, people=300)
    world.send(300)
    assert world.guard() == []
    clock.advance(timedelta(minutes=29))
    assert [stopped.variant for stopped in world.guard()] == ["pushy"]


def test_over_silence_the_margin_is_what_is_tolerated_and_nothing_left_pauses_it(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm={"pushy": 0.15}, variants=[SILENCE, PUSHY])
    (stopped,) = world.run()
    assert stopped.paused
    assert world.experiment().status == "paused"
    assert world.weights() == {"silence": 1.0, "pushy": 0.0}
    assert "margin of 0.02" in stopped.reason
    assert world.send(1000) == {}
    assert [entry.actor for entry in world.audited("experiment.pause")] == ["guard"]


def test_a_pause_by_a_guard_is_one_like_any_other(database: Database, clock: SteppedClock) -> None:
    """The trigger is a rule that belongs to the experiment, and it rests as well."""
    world = World(
        database, clock, harm={}, variants=[SILENCE, PUSHY], trigger={"type": "event", "event": "Cart Abandoned"}
    )  # fmt: skip
    stop_by_hand(world)
    assert world.experiment().status == "paused"
    with database.snapshot() as session:
        assert [rule.enabled for rule in session.exec(select(Rule))] == [False]


def test_over_silence_a_few_opt_outs_are_tolerated(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm={"pushy": 0.02}, variants=[SILENCE, PUSHY])
    assert world.run() == []


def test_one_of_three_is_stopped_and_its_share_goes_to_the_others(
    database: Database, clock: SteppedClock
) -> None:
    variants = [{**PLAIN, "weight": 2}, {**PUSHY, "weight": 1}, {**KIND, "weight": 1}]
    world = World(database, clock, harm={**HARM, "kind": 0.02}, variants=variants, people=2000)
    (stopped,) = world.run()
    assert stopped.variant == "pushy"
    assert world.weights() == pytest.approx({"plain": 2 / 3, "pushy": 0, "kind": 1 / 3})
    assert world.states("kind")[GUARDRAIL] == 0
    assert not stopped.paused


def test_many_workers_stop_once(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm=HARM)
    while world.send(150):
        with database.snapshot() as session:
            seen = Seen(at=clock.now(), verdicts=guarding.look(session, clock, world.experiment()))
        if any(verdict.breached for verdict in seen.verdicts):
            break
    done = []

    def work(_index: int) -> None:
        with database.transaction() as session:
            done.extend(guarding.act(session, clock, key=KEY, seen=seen))

    together(work)
    assert [stopped.variant for stopped in done] == ["pushy"]
    assert len(world.audited("experiment.stop_arm")) == len(world.audited("experiment.weights")) == 1


def stop_by_hand(world: World) -> None:
    with world.database.transaction() as session:
        planner.stop_harmful(
            session, world.clock, actor="guard", key=KEY, variant="pushy", guard="opted_out", reason="harm", numbers={"verdicts": []}
        )  # fmt: skip


def come_back(world: World, **values: str) -> None:
    """The messages of the stopped variant are planned again, as after a try that failed."""
    with world.database.transaction() as session:
        changed = update(Message).where(col(Message.variant) == "pushy")
        session.connection().execute(changed.values({"state": "planned", "reason": "retry", **values}))


def test_a_stop_between_planning_and_claiming_keeps_everything_back(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm={})
    stop_by_hand(world)
    assert world.send(2000)["pushy"] == 0
    assert set(world.states("pushy")) == {GUARDRAIL}
    # What comes back from a failed try later is not sent either, and cancelled when the planner comes by.
    come_back(world)
    assert world.send(2000) == {}
    world.plan()
    assert set(world.states("pushy")) == {GUARDRAIL}


def test_a_stop_between_claiming_and_reserving_cancels_what_is_claimed(
    database: Database, clock: SteppedClock
) -> None:
    world = World(database, clock, harm={}, people=100)
    dispatcher = Dispatcher(database, clock, outbox.settings(), world.sender, "w")
    claims = dispatcher._claim(100)
    assert len(claims) == 100
    stop_by_hand(world)
    reserved = dispatcher._reserve(claims)
    variants = {begun.story.variant for begun in reserved.begun}
    assert variants == {"plain"}
    assert set(world.states("pushy")) == {GUARDRAIL}


def test_the_reservation_itself_looks_once_more(database: Database, clock: SteppedClock) -> None:
    """A message that came back from a try after the stop, and was claimed by a worker that had read of no stop."""
    world = World(database, clock, harm={}, people=100)
    dispatcher = Dispatcher(database, clock, outbox.settings(), world.sender, "w")
    claims = dispatcher._claim(100)
    stop_by_hand(world)
    come_back(world, state="claimed", claimed_by="w")
    reserved = dispatcher._reserve(claims)
    assert {begun.story.variant for begun in reserved.begun} == {"plain"}
    assert {story.variant for story in reserved.held} == {"pushy"}
    assert set(world.states("pushy")) == {GUARDRAIL}


def test_the_gate_lets_nothing_of_a_stopped_arm_begin(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm={}, people=100)
    dispatcher = Dispatcher(database, clock, outbox.settings(), world.sender, "w")
    reserved = dispatcher._reserve(dispatcher._claim(100))
    stop_by_hand(world)
    with dispatcher._gate(reserved.begun) as look:
        assert {begun.story.variant for begun in look.goes} == {"plain"}
        assert {why for _, why in look.stays} == {"guardrail"}


def test_a_stopped_arm_comes_back_only_by_release(database: Database, clock: SteppedClock) -> None:
    world = World(
        database, clock, harm=HARM, people=2400, audience={"coverage": 0.5},
        variants=[{**PLAIN, "weight": 1}, {**PUSHY, "weight": 3}],
    )  # fmt: skip
    world.run(300)
    with (
        database.transaction() as session,
        pytest.raises(Conflict, match="guardrail opted_out has stopped 'pushy'") as caught,
    ):
        service.set_weights(
            session, clock, actor="ann", key=KEY, weights={"plain": 1, "pushy": 1}, reason="so there"
        )
    assert caught.value.problems[0].field == "weights.pushy"
    with database.transaction() as session, pytest.raises(Invalid):
        release_arm(session, clock, actor="ann", key=KEY, variant="pushy", reason=" ")
    with database.transaction() as session, pytest.raises(NotFound, match="no variant 'nobody'"):
        release_arm(session, clock, actor="ann", key=KEY, variant="nobody", reason="x")
    with database.transaction() as session, pytest.raises(Conflict, match="no guardrail has stopped 'plain'"):
        release_arm(session, clock, actor="ann", key=KEY, variant="plain", reason="x")
    world.release()
    assert world.weights() == pytest.approx({"plain": 0.25, "pushy": 0.75})
    assert world.experiment().silenced is None
    # Those who had it before do not count any more.
    clock.advance(timedelta(hours=1))
    assert world.guard() == []
    (entry,) = world.audited("experiment.release_arm")
    assert entry.after == {"variant": "pushy", "reason": "a test list"}
    # New people get it again, and when it goes on to do harm it is stopped once more.
    cancelled = world.states("pushy")[GUARDRAIL]
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=1.0)
    world.plan()
    assert world.states("pushy")["planned", None] > 100
    (stopped,) = world.run(300)
    assert stopped.variant == "pushy"
    assert world.states("pushy")[GUARDRAIL] == cancelled + stopped.cancelled


def test_a_bandit_leaves_a_stopped_arm_alone(database: Database, clock: SteppedClock) -> None:
    world = World(
        database, clock, harm=HARM, trigger={"type": "rule"},
        variants=[PLAIN, PUSHY, KIND], allocation={"policy": "thompson", "burn_in": 0},
    )  # fmt: skip
    stop_by_hand(world)
    clock.advance(timedelta(days=1))
    reallocate_tick(database, clock)
    assert world.weights()["pushy"] == 0.0


def test_the_report_says_which_guard_fired(database: Database, clock: SteppedClock) -> None:
    world = World(database, clock, harm=HARM)
    (stopped,) = world.run()
    with database.snapshot() as session:
        look = reports.prepare(session, clock, key=KEY)
    decision = look.body["decision"]
    assert (decision["action"], decision["variant"], decision["rule"]) == ("stop_harm", "pushy", "guardrail")
    assert stopped.reason in decision["because"]
    assert f"pushy is stopped and gets nobody new: {stopped.reason}" in look.body["warnings"]
    console = Console(width=2000)
    with console.capture() as shown:
        console.print(render(look.body))
    for page in (shown.get(), html.unescape(render_html(look.evidence.exported()))):
        assert "pushy is stopped and gets nobody new" in page


def test_looks_are_spread_over_the_time_that_they_take(database: Database, clock: SteppedClock) -> None:
    World(database, clock, harm={}, people=10)
    times = iter([0.0, 2.0, 2.0, 2.1])
    guarding.guard_tick(database, clock, monotonic=lambda: next(times))

    def is_due() -> bool:
        with database.snapshot() as session:
            return any(guarding.is_due(last, now=clock.now()) for _, last in guarded_experiments(session))

    assert not is_due()
    clock.advance(timedelta(seconds=39))
    assert not is_due()
    clock.advance(timedelta(seconds=1))
    assert is_due()
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.STOP)
    assert not is_due()
