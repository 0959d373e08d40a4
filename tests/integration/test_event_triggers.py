"""Campaigns whose users come by an event or by silence, from start to messages, on both databases."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from delivery.models import Message
from delivery.planning import planner
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from experiments.settings import Settings
from targeting import campaigns
from targeting.models import Assignment, Rule, RuleFiring
from targeting.rules import service as rules
from targeting.rules.engine import rules_tick
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.rule_world import ORDERED, assigned, error_of, happens, tick, waiting

RULE = "experiment.spring"
ON_ORDER: dict[str, Any] = {"type": "event", "event": ORDERED, "delay": "2h"}
WHEN_QUIET: dict[str, Any] = {"type": "inactivity", "after": "30d"}
BOTH = [REMINDER | {"control": True}, REMINDER | {"key": "other"}]


def begin(database: Database, clock: SteppedClock, **changes: Any) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 21))
        start_campaign(session, clock, campaign(trigger=ON_ORDER, variants=BOTH) | changes)


def plan(database: Database, clock: SteppedClock) -> int:
    return planner.plan_tick(database, clock, settings=Settings()).messages


def move(database: Database, clock: SteppedClock, what: str) -> None:
    with database.transaction() as session:
        turn = planner.stop if what == "stop" else getattr(campaigns, what)
        turn(session, clock, actor="ann", key="spring")


def rule(database: Database) -> Rule:
    with database.snapshot() as session:
        return rules.find(session, key=RULE)


def due(database: Database) -> dict[int, datetime]:
    with database.snapshot() as session:
        return {row.user_pk: row.due_at for row in session.exec(select(Message))}


def test_the_first_event_enrols_and_the_message_is_due_after_the_delay(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    for _time in range(3):
        happens(database, clock, "user-1", "user-2")
        tick(database, clock)
        plan(database, clock)
        clock.advance(timedelta(hours=1))
    happens(database, clock, "user-3", name="Looked")
    tick(database, clock)
    assert {user: source for user, (_, source) in assigned(database).items()} == {
        "user-1": f"rule:{RULE}",
        "user-2": f"rule:{RULE}",
    }
    started = clock.now() - timedelta(hours=3)
    assert due(database) == dict.fromkeys((1, 2), started + timedelta(hours=2))
    with database.snapshot() as session:
        assert len(session.exec(select(RuleFiring)).all()) == 2


def test_only_events_with_these_properties_count(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, trigger=ON_ORDER | {"properties": "revenue >= 100"})
    happens(database, clock, "user-1", revenue=99)
    happens(database, clock, "user-2", revenue=100)
    tick(database, clock)
    assert set(assigned(database)) == {"user-2"}
    happens(database, clock, "user-1", revenue=500)
    tick(database, clock)
    assert set(assigned(database)) == {"user-1", "user-2"}


def test_what_happened_before_the_start_does_not_count_however_late_it_arrives(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 5))
        campaigns.create(session, clock, actor="test", document=campaign(trigger=ON_ORDER))
    happens(database, clock, "user-1")
    tick(database, clock)
    clock.advance(timedelta(hours=1))
    with database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    tick(database, clock)
    instant = timedelta(microseconds=1)
    happens(database, clock, "user-2", at=clock.now() - instant)
    happens(database, clock, "user-3", at=clock.now())
    tick(database, clock)
    assert set(assigned(database)) == {"user-3"}


def test_only_the_audience_takes_part(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, audience={"condition": {"number": {"$lte": 5}}})
    happens(database, clock, *(f"user-{number}" for number in range(1, 11)))
    tick(database, clock)
    assert set(assigned(database)) == {f"user-{number}" for number in range(1, 6)}


def test_nobody_enters_from_until_on(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, trigger=ON_ORDER | {"until": "2026-12-02T10:00:00Z"})
    instant = timedelta(microseconds=1)
    clock.advance(timedelta(days=1) - instant)
    happens(database, clock, "user-1")
    tick(database, clock)
    happens(database, clock, "user-2")
    clock.advance(instant)
    happens(database, clock, "user-3")
    # user-2 ordered in time, and was met too late.
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    assert plan(database, clock) == 1


def test_what_happens_during_a_pause_enrols_nobody(database: Database, clock: SteppedClock) -> None:
    begin(database, clock)
    assert rules.state_of(rule(database)) == "on"
    move(database, clock, "pause")
    assert rules.state_of(rule(database)) == "off"
    happens(database, clock, "user-1", "user-2")
    assert waiting(database) == 0
    tick(database, clock)
    clock.advance(timedelta(days=1))
    move(database, clock, "resume")
    tick(database, clock)
    assert assigned(database) == {}
    happens(database, clock, "user-1")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    move(database, clock, "stop")
    assert rules.state_of(rule(database)) == "off"
    happens(database, clock, "user-2")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    with database.snapshot() as session:
        assert {row.state for row in session.exec(select(Message))} <= {"cancelled"}


def test_a_pause_between_enrolment_and_planning_plans_when_resumed(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    happens(database, clock, "user-1")
    tick(database, clock)
    move(database, clock, "pause")
    assert plan(database, clock) == 0
    clock.advance(timedelta(hours=5))
    move(database, clock, "resume")
    assert plan(database, clock) == 1
    # The delay is from the event, not from the planning.
    assert due(database) == {1: clock.now() - timedelta(hours=3)}


def test_the_rule_is_the_experiments_alone(database: Database, clock: SteppedClock) -> None:
    begin(database, clock)
    document = rule(database).definition
    for attempt in (
        lambda session: rules.put(session, clock, actor="ann", document=document | {"cool_down": "7d"}),
        lambda session: rules.put(session, clock, actor="ann", document=document, key=RULE),
        lambda session: rules.enable(session, clock, actor="ann", key=RULE),
        lambda session: rules.disable(session, clock, actor="ann", key=RULE),
        lambda session: rules.delete(session, clock, actor="ann", key=RULE),
    ):
        with (
            pytest.raises(Conflict, match="belongs to experiment 'spring'"),
            database.transaction() as session,
        ):
            attempt(session)
    with database.snapshot() as session:
        listed = rules.list_rules(session, after_id=0, limit=10)
        assert [(row.key, row.version) for row in listed] == [(RULE, 1)]
        assert rules.dry_run(session, clock, key=RULE).fires == 0


def test_a_failing_rule_is_mended_by_a_pause_and_a_resume(database: Database, clock: SteppedClock) -> None:
    begin(database, clock)
    with database.transaction() as session:
        stored = rules.find(session, key=RULE)
        good = stored.definition
        stored.definition = good | {"condition": {"$inSegment": "gone"}}
    happens(database, clock, "user-1")
    assert tick(database, clock).parked == 1
    assert "gone" in (error_of(database, RULE) or "")
    with database.transaction() as session:
        rules.find(session, key=RULE).definition = good
    move(database, clock, "pause")
    move(database, clock, "resume")
    assert error_of(database, RULE) is None
    happens(database, clock, "user-1")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}


def test_a_rule_of_that_name_from_before_stops_the_start_whole(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign(trigger=ON_ORDER))
        made = rules.put(
            session,
            clock,
            actor="test",
            document={
                "key": "taken",
                "trigger": {"type": "event", "event": ORDERED},
                "actions": [{"type": "add_tag", "tag": "x"}],
            },
        )
        made.rule.key = RULE
    with pytest.raises(Conflict, match="is not its own"), database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    with database.snapshot() as session:
        assert campaigns.enrolment_of(session, key="spring") is None
        assert rules.find(session, key=RULE).enabled is False


def test_silence_enrols_those_who_are_quiet_already_and_those_who_become_so(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 6))
    happens(database, clock, "user-1")
    clock.advance(timedelta(days=20))
    happens(database, clock, "user-2", "user-3")
    clock.advance(timedelta(days=10))
    with database.transaction() as session:
        start_campaign(session, clock, campaign(trigger=WHEN_QUIET, variants=BOTH))
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    happens(database, clock, "user-3")
    clock.advance(timedelta(days=20))
    tick(database, clock)
    assert set(assigned(database)) == {"user-1", "user-2"}
    assert plan(database, clock) == 2
    # Whoever comes back and falls silent again has been met.
    happens(database, clock, "user-1")
    clock.advance(timedelta(days=40))
    tick(database, clock)
    assert set(assigned(database)) == {"user-1", "user-2", "user-3"}
    with database.snapshot() as session:
        assert len(session.exec(select(RuleFiring)).all()) == 3


def test_silence_about_an_event_until_an_end(database: Database, clock: SteppedClock) -> None:
    end = "2027-01-31T00:00:00Z"
    begin(database, clock, trigger=WHEN_QUIET | {"event": ORDERED, "until": end})
    happens(database, clock, "user-1", "user-2")
    clock.advance(timedelta(days=29))
    happens(database, clock, "user-2", "user-3")
    happens(database, clock, "user-1", name="Looked")
    clock.advance(timedelta(days=1))
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    clock.current = datetime(2027, 1, 31, tzinfo=UTC)
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    assert rule(database).next_walk_at is None


def test_who_falls_silent_during_a_pause_is_met_after_it(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, trigger=WHEN_QUIET)
    happens(database, clock, "user-1")
    move(database, clock, "pause")
    clock.advance(timedelta(days=31))
    tick(database, clock)
    assert assigned(database) == {}
    move(database, clock, "resume")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}


def test_engines_and_planners_side_by_side_enrol_and_plan_once(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    for _time in range(3):
        happens(database, clock, *(f"user-{number}" for number in range(1, 21)))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _time in range(3):
                rules_tick(database, clock, ineligible=lambda _design: {}, global_holdout=0.0, batch=7)
                planner.plan_tick(database, clock, settings=Settings(), batch=3)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(assigned(database)) == 20
    with database.snapshot() as session:
        assert sorted(session.exec(select(Message.user_pk))) == list(range(1, 21))
        assert set(session.exec(select(Assignment.occasions))) == {1}


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        (ON_ORDER | {"until": "2026-12-01T10:00:00Z"}, "trigger.until"),
        (WHEN_QUIET | {"until": "2026-11-01T10:00:00Z"}, "trigger.until"),
        ({"type": "rule", "until": "2026-12-01T10:00:00Z"}, "trigger.until"),
        ({"type": "recurring", "cron": "0 12 * * *", "until": "2026-12-01T12:00:00Z"}, "trigger.until"),
        ({"local_time": "2026-11-30T21:59"}, "trigger.local_time"),
    ],
    ids=["event", "inactivity", "rule", "recurring", "local"],
)
def test_a_start_that_comes_too_late_is_refused(
    database: Database, clock: SteppedClock, trigger: dict[str, Any], field: str
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 3))
        campaigns.create(session, clock, actor="test", document=campaign(trigger=trigger))
    with pytest.raises(Invalid) as told, database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    assert [problem.field for problem in told.value.problems] == [field]
    with database.snapshot() as session:
        assert not session.exec(select(Rule)).all()
        status = session.exec(select(col(Assignment.id))).all()
        assert status == []


def test_messages_that_would_all_expire_are_refused_at_the_start(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 3))
        document = campaign(trigger={"at": "2026-12-05T10:00:00Z"}, expires={"at": "2026-12-05T10:00:00Z"})
        campaigns.create(session, clock, actor="test", document=document)
    with (
        pytest.raises(Invalid, match=r"expires\.at: 2026-12-05T10:00:00Z is not after"),
        database.transaction() as session,
    ):
        campaigns.start(session, clock, actor="test", key="spring")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trigger": ON_ORDER | {"properties": {"revenue": {"$gt": {}}}}}, "trigger.properties.revenue.$gt"),
        ({"trigger": ON_ORDER | {"properties": {"$inSegment": "vip"}}}, "trigger.properties"),
        ({"trigger": ON_ORDER | {"properties": "revenue >="}}, "trigger.properties"),
        (
            {
                "trigger": ON_ORDER | {"properties": {"revenue": {"$nope": 1}}},
                "audience": {"condition": {"x": {"$nope": 1}}},
            },
            "audience.condition.x.$nope",
        ),
        ({"trigger": ON_ORDER, "key": "k" * 53}, "key"),
        ({"trigger": ON_ORDER | {"event": ""}}, "trigger.event"),
        ({"trigger": ON_ORDER | {"cron": "* * * * *"}}, "trigger.cron"),
        ({"trigger": {"type": "recurring", "cron": "0 0 30 2 *"}}, "trigger.cron"),
        (
            {"trigger": {"type": "recurring", "cron": "0 9 * * 1", "time_zone": "Mars/Olympus"}},
            "trigger.time_zone",
        ),
        ({"trigger": WHEN_QUIET | {"after": "0d"}}, "trigger.after"),
        ({"trigger": {"type": "weekly"}}, "trigger.type"),
        ({"trigger": {"local_time": "2026-12-24"}}, "trigger.local_time"),
        ({"trigger": {"local_time": "2026-12-24T18:00", "at": "2026-12-24T00:00:00Z"}}, "trigger"),
        ({"expires": {"after": "0h"}}, "expires.after"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_trigger_is_told_with_its_path(
    database: Database, clock: SteppedClock, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Invalid) as error, database.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign(**changes))
    assert told in [problem.field for problem in error.value.problems], error.value


def test_a_silent_arm_gets_nothing(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, variants=[SILENCE, REMINDER])
    happens(database, clock, *(f"user-{number}" for number in range(1, 21)))
    tick(database, clock)
    messages = plan(database, clock)
    drawn = [variant for variant, _ in assigned(database).values()]
    assert messages == drawn.count("reminder")
    assert 0 < messages < 20
    with database.snapshot() as session:
        assert campaigns.enrolment_of(session, key="spring") is None
        assert {row.occasions for row in session.exec(select(Assignment))} == {1}
