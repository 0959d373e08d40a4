"""Rules act on what happens: which rule, for whom, how often, and what came of it."""

from datetime import timedelta

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import update
from sqlmodel import col

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from experiments.lifecycle import Move
from experiments.service import move
from targeting import consent
from targeting.models import Rule
from targeting.rules import service as rules
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.rule_world import (
    ORDERED,
    TAG,
    assigned,
    attributes_of,
    causes,
    error_of,
    fired,
    happens,
    person,
    put,
    rule,
    tick,
    times_fired,
    waiting,
)


def test_an_event_sets_a_rule_off_once(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule())
    happens(database, clock, "ann", message_id="m1")
    assert waiting(database) == 1
    assert tick(database, clock).fired == 1
    happens(database, clock, "ann", message_id="m1")  # the same one, sent again
    assert tick(database, clock).fired == 0
    assert waiting(database) == 0
    assert fired(database) == [("ann", [{**TAG, "changed": True}])]
    assert attributes_of(database, "ann") == {"tags": ["buyer"]}


def test_only_the_awaited_event_with_the_right_properties_counts(
    database: Database, clock: SteppedClock
) -> None:
    trigger = {"type": "event", "event": ORDERED, "properties": {"revenue": {"$gt": 50}}}
    put(database, clock, rule(trigger=trigger, condition={"country": {"$in": ["NL", "BR"]}}))
    for user_id, country in (("ann", "NL"), ("bob", "DE"), ("cyd", "BR")):
        person(database, clock, user_id, country=country)
    happens(database, clock, "ann", "bob", revenue=80)
    happens(database, clock, "cyd", revenue=20)
    happens(database, clock, "ann", "cyd", name="Something Else", revenue=80)
    assert waiting(database) == 3
    tick(database, clock)
    assert times_fired(database) == {"ann": 1}


def test_a_rule_that_is_off_waits_for_nothing(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(), on=False)
    happens(database, clock, "ann")
    assert waiting(database) == 0
    with database.transaction() as session:
        rules.enable(session, clock, actor="test", key="buyers")
    happens(database, clock, "bob")
    with database.transaction() as session:
        rules.disable(session, clock, actor="test", key="buyers")
    happens(database, clock, "cyd")
    assert waiting(database) == 1
    # It was switched off before anybody looked.
    assert tick(database, clock).fired == 0
    assert waiting(database) == 0


def test_cool_down_and_once_per_user(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule("weekly", cool_down="7d"), rule("once", once_per_user=True), rule("always"))
    for _ in range(3):
        happens(database, clock, "ann", "ann")
        tick(database, clock)
        clock.advance(timedelta(days=4))
    assert times_fired(database, "weekly") == {"ann": 2}
    assert times_fired(database, "once") == {"ann": 1}
    assert times_fired(database, "always") == {"ann": 6}


def test_a_cool_down_is_over_to_the_second(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(cool_down="7d"))
    for wait in (timedelta(days=7) - timedelta(seconds=1), timedelta(seconds=1)):
        happens(database, clock, "ann")
        tick(database, clock)
        clock.advance(wait)
    happens(database, clock, "ann")
    tick(database, clock)
    assert times_fired(database) == {"ann": 2}


def test_a_condition_may_ask_for_the_event_that_started_the_rule(
    database: Database, clock: SteppedClock
) -> None:
    third = {"$event": {"name": ORDERED, "within": "30d", "count": {"$gte": 3}}}
    put(database, clock, rule(condition=third))
    for _ in range(4):
        happens(database, clock, "ann", at=clock.now() + timedelta(minutes=1))  # her clock runs ahead
        tick(database, clock)
        clock.advance(timedelta(days=1))
    assert times_fired(database) == {"ann": 2}


def test_attributes_that_change(database: Database, clock: SteppedClock) -> None:
    upgraded = {"type": "attribute", "attribute": "plan", "from": "free", "to": {"$in": ["paid", "gold"]}}
    moved = {"type": "attribute", "attribute": "address.city"}
    put(database, clock, rule("upgraded", trigger=upgraded), rule("moved", trigger=moved))
    for plan in ("free", "paid", "paid", "gold", "free", "gold"):
        person(database, clock, "ann", plan=plan)
    person(database, clock, "ann", address={"city": "Delft", "number": 1})
    person(database, clock, "ann", address={"city": "Delft", "number": 2})
    person(database, clock, "bob", plan="paid")
    tick(database, clock)
    assert times_fired(database, "upgraded") == {"ann": 2}
    assert times_fired(database, "moved") == {"ann": 1}
    assert all(cause.startswith("change:") for cause in causes(database))


def test_a_number_becomes_true_and_is_another_value(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(trigger={"type": "attribute", "attribute": "vip"}))
    for vip in (1, True, True, "true", 1):
        person(database, clock, "ann", vip=vip)
    tick(database, clock)
    assert times_fired(database) == {"ann": 4}


def test_withdrawing_consent_is_an_event_too(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(trigger={"type": "event", "event": "Opted Out"}))
    with database.transaction() as session:
        add_people(session, clock, [1])
        consent.withdraw(session, clock, user_pk=1, category="marketing", source="test")
    tick(database, clock)
    assert times_fired(database) == {"user-1": 1}


def test_enrols_into_a_running_experiment_and_says_why_not(database: Database, clock: SteppedClock) -> None:
    enrol = {"type": "enrol", "experiment": "spring"}
    with database.transaction() as session:
        add_people(session, clock, [1, 2])
        add_people(session, clock, [3], consent=())
        add_people(session, clock, [4], phone=False)
        start_campaign(session, clock, campaign(trigger={"type": "rule"}))
    put(database, clock, rule(actions=[TAG, enrol]))
    happens(database, clock, "user-1", "user-3", "user-4")
    tick(database, clock)
    outcomes = {user_id: actions[1] for user_id, actions in fired(database)}
    assert {user_id: made["reason"] for user_id, made in outcomes.items()} == {
        "user-1": None,
        "user-3": "consent",
        "user-4": "phone",
    }
    assert assigned(database) == {"user-1": (outcomes["user-1"]["variant"], "rule:buyers")}

    with database.transaction() as session:
        move(session, clock, actor="test", key="spring", move=Move.PAUSE)
    happens(database, clock, "user-2")
    tick(database, clock)
    assert fired(database)[-1][1][1] == {**enrol, "variant": None, "reason": "paused"}
    assert error_of(database) is None


def test_enrolment_sees_what_earlier_actions_changed(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        add_people(session, clock, [2], attributes={"tags": ["buyer"]})
        audience = {"condition": {"tags": {"$in": ["buyer"]}}}
        start_campaign(session, clock, campaign(trigger={"type": "rule"}, audience=audience))
    put(database, clock, rule(actions=[TAG, {"type": "enrol", "experiment": "spring"}]))
    happens(database, clock, "user-1")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}


def test_actions_on_attributes(database: Database, clock: SteppedClock) -> None:
    actions = [
        {"type": "set_attribute", "name": "stage", "value": {"name": "buyer", "since": 2026}},
        {"type": "set_attribute", "name": "lead", "value": None},
        {"type": "remove_tag", "tag": "quiet"},
        TAG,
    ]
    put(database, clock, rule(actions=actions))
    person(database, clock, "ann", lead=True, tags=["quiet", "vip"])
    happens(database, clock, "ann", "ann")
    tick(database, clock)
    assert attributes_of(database, "ann") == {
        "stage": {"name": "buyer", "since": 2026},
        "tags": ["vip", "buyer"],
    }
    assert [[made["changed"] for made in actions] for _, actions in fired(database)] == [
        [True] * 4,
        [False] * 4,
    ]


def test_a_profile_that_is_full_is_an_outcome_not_an_error(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(actions=[{"type": "set_attribute", "name": "note", "value": "x" * 20_000}]))
    person(database, clock, "ann", a="y" * 31_000)
    person(database, clock, "ann", b="y" * 31_000)
    happens(database, clock, "ann", "bob")
    tick(database, clock)
    made = {user_id: actions[0] for user_id, actions in fired(database)}
    assert "at most 64000" in made["ann"]["reason"]
    assert made["bob"]["changed"] is True
    assert error_of(database) is None


@pytest.mark.parametrize("break_it", ["definition", "experiment"])
def test_a_rule_that_fails_is_parked_and_the_others_go_on(
    database: Database, clock: SteppedClock, break_it: str
) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        start_campaign(session, clock, campaign(trigger={"type": "rule"}))
    enrol = [TAG, {"type": "enrol", "experiment": "spring"}]
    put(database, clock, rule("a-before"), rule("broken", actions=enrol), rule("c-after", actions=enrol))
    broken = rule("broken", name="broken", actions=[*enrol, {"type": "enrol", "experiment": "gone"}])
    if break_it == "definition":
        broken = {"no": "definition"}
    with database.transaction() as session:
        session.execute(update(Rule).where(col(Rule.key) == "broken").values(definition=broken))
    happens(database, clock, "user-1")
    done = tick(database, clock)
    assert (done.fired, done.parked) == (2, 1)
    assert times_fired(database, "a-before") == times_fired(database, "c-after") == {"user-1": 1}
    assert fired(database, "broken") == []
    # What the broken rule did before it failed was undone; the healthy one behind it did it for good.
    assert assigned(database)["user-1"][1] == "rule:c-after"
    with database.snapshot() as session:
        parked = rules.find(session, key="broken")
    assert rules.state_of(parked) == "parked"
    assert parked.error is not None
    assert ("gone" in parked.error) == (break_it == "experiment")
    happens(database, clock, "user-1")
    assert tick(database, clock).parked == 0

    with database.transaction() as session:
        rules.put(session, clock, actor="test", document=rule("broken"))
        assert rules.enable(session, clock, actor="test", key="broken").error is None
    happens(database, clock, "user-1")
    tick(database, clock)
    assert times_fired(database, "broken") == {"user-1": 1}


def test_rules_follow_from_one_another_but_never_from_themselves(
    database: Database, clock: SteppedClock
) -> None:
    def step(number: int, to: int) -> dict[str, object]:
        trigger = {"type": "attribute", "attribute": f"a{number}"}
        # A time that moves would go round for ever.
        return rule(
            f"r{number}",
            trigger=trigger,
            actions=[{"type": "set_attribute", "name": f"a{to}", "value": f"from {number}"}],
        )

    put(database, clock, *(step(n, n + 1) for n in range(8)))
    put(database, clock, step(20, 21), step(21, 20))
    person(database, clock, "ann", a0=1, a20=1)
    tick(database, clock)
    assert [len(fired(database, f"r{n}")) for n in range(8)] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert [len(fired(database, f"r{n}")) for n in (20, 21)] == [1, 1]
    assert attributes_of(database, "ann")["a20"] == "from 21"


def test_idle_is_one_query(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(), rule("later", trigger={"type": "schedule", "cron": "0 9 * * 1"}))
    tick(database, clock)
    statements: list[str] = []
    sqlalchemy_event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    tick(database, clock)
    assert len([text for text in statements if text != "BEGIN"]) == 1


def test_versions_audit_and_deletion(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule())
    with database.transaction() as session:
        assert rules.put(session, clock, actor="eve", document=rule()).outcome == "unchanged"
        changed = rules.put(session, clock, actor="eve", document=rule(cool_down="1d"))
        assert (changed.outcome, changed.rule.version, rules.state_of(changed.rule)) == ("changed", 2, "on")
    happens(database, clock, "ann")
    tick(database, clock)
    with database.transaction() as session:
        kept = rules.versions(session, key="buyers", after=0, limit=10)
        assert [(row.version, row.actor, row.definition["cool_down"]) for row in kept] == [
            (1, "test", None),
            (2, "eve", "1d"),
        ]
        assert rules.firings(session, key="buyers")[0][0].version == 2
        with pytest.raises(Conflict, match="disable it"):
            rules.delete(session, clock, actor="eve", key="buyers")
    put(database, clock, rule("mistake"))
    with database.transaction() as session:
        rules.delete(session, clock, actor="eve", key="mistake")
    with database.snapshot() as session, pytest.raises(NotFound):
        rules.find(session, key="mistake")


def test_what_a_rule_names_must_exist(database: Database, clock: SteppedClock) -> None:
    document = rule(
        condition={"$or": [{"country": "NL"}, {"$inSegment": "nobody"}]},
        actions=[TAG, {"type": "enrol", "experiment": "nothing"}],
    )
    with database.transaction() as session, pytest.raises(Invalid) as caught:
        rules.put(session, clock, actor="test", document=document)
    assert {problem.field for problem in caught.value.problems} == {
        "actions[1].experiment",
        "condition.$or[1].$inSegment",
    }
