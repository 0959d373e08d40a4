"""A dry run says what a rule would have done, changes nothing, and is bounded."""

from datetime import timedelta

import numpy as np
import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, NotFound
from targeting.models import Assignment
from targeting.rules import dry_run as rule_dry_run
from targeting.rules import service as rules
from targeting.segments import attributes
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.rule_world import ORDERED, TAG, happens, person, put, row_counts, rule

ENROL = {"type": "enrol", "experiment": "spring"}


def dry_run(database: Database, clock: SteppedClock, document=None, **options):
    with database.snapshot() as session:
        return rules.dry_run(session, clock, document=document, **options)


def test_says_who_and_why_and_changes_nothing(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1, 2, 3])
        start_campaign(session, clock, campaign(trigger={"type": "rule"}))
    person(database, clock, "user-3", country="DE")
    trigger = {"type": "event", "event": ORDERED, "properties": {"revenue": {"$gt": 50}}}
    for day in range(10):
        happens(database, clock, "user-1", "user-3", revenue=80)
        happens(database, clock, "user-2", revenue=20)
        happens(database, clock, "user-2", name="Looked", revenue=80)
        if day < 9:
            clock.advance(timedelta(days=1))
    before = row_counts(database)
    document = rule(
        trigger=trigger, condition={"country": {"$in": ["NL", "BR"]}}, actions=[ENROL, TAG], cool_down="4d"
    )
    found = dry_run(database, clock, document, days=7)
    assert row_counts(database) == before
    # Seven full days back, both ends included: eight of the ten days.
    assert (found.seen, found.fires, found.users) == (24, 2, 1)
    assert (found.trigger_failed, found.condition_failed) == (8, 8)
    assert (found.cool_down, found.once_per_user, found.truncated) == (6, 0, False)
    first = found.firings[0]
    assert first.user_id == "user-1"
    assert first.at == clock.now() - timedelta(days=7)
    assert first.cause.startswith("event:")
    assert first.because == f"When {ORDERED} happens of which revenue is more than 50; country is NL or BR"
    assert first.actions == ("enrol in spring", "add the tag buyer")
    assert found.to_json()["firings"][0]["user_id"] == "user-1"
    assert dry_run(database, clock, document, days=7, limit=1).firings == found.firings[:1]


def test_tries_a_stored_rule_or_a_document(database: Database, clock: SteppedClock) -> None:
    happens(database, clock, "ann", "ann")
    put(database, clock, rule(once_per_user=True), on=False)
    stored = dry_run(database, clock, key="buyers")
    assert (stored.rule, stored.fires, stored.once_per_user) == ("buyers", 1, 1)
    nameless = {name: value for name, value in rule().items() if name != "key"}
    assert dry_run(database, clock, nameless).fires == 2
    with pytest.raises(NotFound):
        dry_run(database, clock, key="other")
    with pytest.raises(Invalid, match="actions"):
        dry_run(database, clock, {**rule(), "actions": []})
    for days in (0, 366):
        with pytest.raises(Invalid, match="days"):
            dry_run(database, clock, rule(), days=days)


def test_warns_of_attributes_that_nobody_has(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "ann", country="NL")
    attributes.discover(database, clock, rng=np.random.default_rng(1))
    document = rule(condition={"contry": "NL"})
    assert any("did you mean `country`" in note for note in dry_run(database, clock, document).notes)
    with database.transaction() as session:
        assert len(rules.put(session, clock, actor="test", document=document).warnings) == 1
        assert rules.put(session, clock, actor="test", document=rule()).warnings == ()


def test_what_is_known_of_events_is_what_was_known_then(database: Database, clock: SteppedClock) -> None:
    for _ in range(4):
        happens(database, clock, "ann")
        clock.advance(timedelta(days=2))
    third = {"$event": {"name": ORDERED, "within": "5d", "count": {"$gte": 3}}}
    found = dry_run(database, clock, rule(condition=third))
    assert [firing.at for firing in found.firings] == [
        clock.now() - timedelta(days=4),
        clock.now() - timedelta(days=2),
    ]


def test_remembers_what_the_rule_itself_would_have_changed(database: Database, clock: SteppedClock) -> None:
    happens(database, clock, "ann", "bob", "ann")
    unless_tagged = {"$not": {"tags": {"$in": ["buyer"]}}}
    found = dry_run(database, clock, rule(condition=unless_tagged))
    assert (found.fires, found.condition_failed) == (2, 1)


def test_stops_at_its_bound_and_says_so(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_dry_run, "MAX_EVENTS", 4)
    monkeypatch.setattr(rule_dry_run, "_PAGE", 2)
    for _ in range(5):
        happens(database, clock, "ann", "bob")
        clock.advance(timedelta(hours=1))
    found = dry_run(database, clock, rule())
    assert (found.seen, found.truncated) == (4, True)
    assert found.until == clock.now() - timedelta(hours=4)
    monkeypatch.setattr(rule_dry_run, "MAX_EVENTS", 100)
    found = dry_run(database, clock, rule())
    assert (found.seen, found.truncated, found.until) == (10, False, clock.now())


def test_a_condition_that_costs_too_much_stops_early_and_says_so(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_dry_run, "SCOPED", 2)
    monkeypatch.setattr(rule_dry_run, "_HELD", 3)
    for _ in range(5):
        happens(database, clock, "ann", "bob")
        clock.advance(timedelta(hours=1))
    document = rule(condition={"$event": {"name": ORDERED, "count": {"$gte": 2}}})
    whole = dry_run(database, clock, document)
    assert (whole.seen, whole.fires, whole.truncated) == (10, 8, False)
    monkeypatch.setattr(rule_dry_run, "MAX_STEPS", 120)
    part = dry_run(database, clock, document)
    assert part.truncated
    assert 0 < part.seen < 10
    assert part.until < clock.now() - timedelta(hours=1)


def test_the_other_triggers_say_who_would_be_reached_now(database: Database, clock: SteppedClock) -> None:
    person(database, clock, "never", plan="free")
    happens(database, clock, "ann", "bob", "cyd")
    person(database, clock, "ann", plan="paid")
    person(database, clock, "bob", plan="free")
    clock.advance(timedelta(days=20))
    happens(database, clock, "cyd")
    clock.advance(timedelta(days=15))
    free = {"plan": "free"}
    quiet = dry_run(database, clock, rule(trigger={"type": "inactivity", "after": "30d"}, condition=free))
    assert (quiet.seen, quiet.fires, quiet.condition_failed) == (2, 1, 1)
    assert [(each.user_id, each.cause) for each in quiet.firings] == [
        ("bob", "inactive:2026-12-01T10:00:00Z")
    ]
    daily = dry_run(database, clock, rule(trigger={"type": "schedule", "cron": "0 9 * * *"}), limit=0)
    assert (daily.seen, daily.fires, daily.users, daily.firings) == (4, 4, 4, ())
    became = {"type": "attribute", "attribute": "plan", "to": "free"}
    changed = dry_run(database, clock, rule(trigger=became))
    assert sorted(each.user_id for each in changed.firings) == ["bob", "never"]
    assert "not kept" in changed.notes[0]


def test_who_takes_part_already_is_not_said_to_be_enrolled(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 5))
        spring = start_campaign(session, clock, campaign(trigger={"type": "rule"}))
        for user in (1, 2):
            session.add(
                Assignment(
                    experiment_id=spring.id or 0, user_pk=user, variant="silence", epoch=1, propensity=0.5,
                    assigned_at=clock.now(), unit=f"user-{user}", source="rule",
                )
            )  # fmt: skip
    happens(database, clock, "user-1", "user-3")
    told = "are in spring already: they keep their variant and are not enrolled again"
    by_event = dry_run(database, clock, rule(actions=[ENROL]))
    assert (by_event.users, [note for note in by_event.notes if "already" in note]) == (
        2,
        [f"1 of these users {told}"],
    )
    daily = rule(trigger={"type": "schedule", "cron": "0 9 * * *"}, actions=[ENROL, TAG])
    for limit in (0, 10):
        everybody = dry_run(database, clock, daily, limit=limit)
        assert [note for note in everybody.notes if "already" in note] == [f"2 of these users {told}"]
    assert not any("already" in note for note in dry_run(database, clock, rule()).notes)
