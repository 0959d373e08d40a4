"""Two users who turn out to be one, on both databases: nothing is lost, nothing counts twice."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, func, select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from targeting import consent, users
from targeting.calls import AliasCall, Call, GroupCall, IdentifyCall, TrackCall
from targeting.events import ingest
from targeting.models import (
    Assignment,
    ConsentRecord,
    Event,
    PendingTrigger,
    Rule,
    RuleFiring,
    Segment,
    SegmentMember,
    User,
)
from tests.integration.people import campaign, start_campaign


def send(database: Database, clock: SteppedClock, *calls: Call) -> None:
    with database.transaction() as session:
        ingest(session, clock, calls=calls, default_region="")


def track(clock: SteppedClock, message_id: str, user_id: str | None = None, **changes: Any) -> TrackCall:
    fields = {"anonymous_id": None, "event": "Viewed", "at": clock.now()} | changes
    return TrackCall(message_id=message_id, user_id=user_id, **fields)


def identify(clock: SteppedClock, user_id: str, anonymous_id: str, **traits: Any) -> IdentifyCall:
    return IdentifyCall(f"i-{user_id}-{anonymous_id}", user_id, anonymous_id, clock.now(), traits)


def alias(clock: SteppedClock, previous_id: str, user_id: str) -> AliasCall:
    return AliasCall(f"alias-{previous_id}-{user_id}", previous_id, user_id, clock.now())


def user(database: Database, user_id: str) -> User:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id)


def events_of(database: Database, user_id: str) -> list[str]:
    with database.snapshot() as session:
        query = select(Event.message_id).join(User, col(User.id) == Event.user_pk)
        return sorted(session.exec(query.where(User.user_id == user_id)).all())


def people(database: Database) -> list[str]:
    with database.snapshot() as session:
        return sorted(session.exec(select(User.user_id)).all())


@pytest.fixture(params=["identify", "alias"])
def joined(request: pytest.FixtureRequest, clock: SteppedClock) -> Call:
    """The call that says that the anonymous a1 is the known u1."""
    return identify(clock, "u1", "a1") if request.param == "identify" else alias(clock, "a1", "u1")


def test_events_of_both_belong_to_the_known_one_and_later_calls_land_there(
    database: Database, clock: SteppedClock, joined: Call
) -> None:
    send(database, clock, track(clock, "m1", anonymous_id="a1"), track(clock, "m2", "u1"))
    for _again in range(2):
        send(database, clock, joined)
        assert events_of(database, "u1") == ["m1", "m2"]
    send(database, clock, track(clock, "m3", anonymous_id="a1"), track(clock, "m1", anonymous_id="a1"))
    assert events_of(database, "u1") == ["m1", "m2", "m3"]
    assert people(database) == ["u1"]


def test_the_known_one_keeps_what_it_has_and_gets_what_it_lacks(
    database: Database, clock: SteppedClock, joined: Call
) -> None:
    late = clock.now() - timedelta(minutes=1)
    early = late - timedelta(days=1)
    phone = {"phone": "+12025550123", "plan": "free", "age": 30, "timezone": "Asia/Tokyo", "locale": "ja"}
    send(
        database,
        clock,
        IdentifyCall("m1", None, "a1", late, phone),
        IdentifyCall("m2", "u1", None, early, {"plan": "paid", "locale": "nl"}),
    )
    send(database, clock, joined)
    found = user(database, "u1")
    assert found.attributes == {"plan": "paid", "age": 30}
    assert (found.phone, found.time_zone, found.locale) == ("+12025550123", "Asia/Tokyo", "nl")
    assert found.last_seen_at == clock.now()


def test_a_withdrawal_wins_and_the_ledger_is_kept(
    database: Database, clock: SteppedClock, joined: Call
) -> None:
    send(database, clock, track(clock, "m1", anonymous_id="a1"), track(clock, "m2", "u1"))
    guest, known = (user(database, name).id for name in ("anonymous:a1", "u1"))
    assert guest is not None
    assert known is not None
    with database.transaction() as session:
        for pk, category, granted in [
            (guest, "marketing", True),
            (known, "marketing", True),
            (guest, "utility", True),
            (known, "authentication", True),
        ]:
            change = consent.grant if granted else consent.withdraw
            change(session, clock, user_pk=pk, category=category, source="form")
        consent.withdraw(session, clock, user_pk=guest, category="marketing", source="chat")
    send(database, clock, joined)
    with database.snapshot() as session:
        state = {row.category: row.granted for row in consent.consents_of(session, user_pk=known)}
        ledger = session.exec(select(ConsentRecord).order_by(col(ConsentRecord.id))).all()
    assert state == {"marketing": False, "utility": True, "authentication": True}
    assert {row.user_pk for row in ledger} == {known}
    assert len(ledger) == 6
    assert (ledger[-1].granted, ledger[-1].source, ledger[-1].evidence) == (
        False,
        "merge",
        "withdrawn as anonymous:a1",
    )


def test_lists_rules_and_what_they_wait_for_come_along(
    database: Database, clock: SteppedClock, joined: Call
) -> None:
    now = clock.now()
    send(database, clock, track(clock, "m1", anonymous_id="a1"), track(clock, "m2", "u1"))
    guest, known = (user(database, name).id for name in ("anonymous:a1", "u1"))
    with database.transaction() as session:
        for pk, key in enumerate(("both", "guests"), start=1):
            session.add(Segment(id=pk, key=key, name=key, created_at=now, updated_at=now))
        session.add(Rule(id=1, key="r", name="r", definition={}, created_at=now, updated_at=now))
        session.flush()
        for segment_id, pk in [(1, guest), (1, known), (2, guest)]:
            session.add(SegmentMember(segment_id=segment_id, user_pk=pk, added_at=now))
        for cause, pk in [("x", guest), ("x", known), ("y", guest)]:
            session.add(RuleFiring(rule_id=1, version=1, user_pk=pk, cause=cause, at=now))
        session.add(PendingTrigger(user_pk=guest, changes={"plan": {}}, at=now))
    send(database, clock, joined)
    with database.snapshot() as session:
        members = session.exec(select(SegmentMember.segment_id, SegmentMember.user_pk)).all()
        assert sorted(members) == [(1, known), (2, known)]
        fired = session.exec(select(RuleFiring.cause, RuleFiring.user_pk)).all()
        assert sorted(fired) == [("x", known), ("y", known)]
        assert session.exec(select(PendingTrigger.user_pk)).all() == [known]


def test_who_takes_part_in_an_experiment_stays_and_later_calls_go_to_the_known_one(
    database: Database, clock: SteppedClock, joined: Call
) -> None:
    send(database, clock, track(clock, "m1", anonymous_id="a1"), track(clock, "m2", "u1"))
    with database.transaction() as session:
        session.add(
            Assignment(
                experiment_id=start_campaign(session, clock, campaign()).id,
                user_pk=users.find(session, user_id="anonymous:a1").id,
                variant="silence",
                epoch=0,
                propensity=0.5,
                assigned_at=clock.now(),
            )
        )
    send(database, clock, joined, track(clock, "m3", anonymous_id="a1"))
    assert events_of(database, "anonymous:a1") == ["m1"]
    assert events_of(database, "u1") == ["m2", "m3"]
    with database.snapshot() as session:
        assert session.exec(select(func.count()).select_from(Assignment)).one() == 1


def test_a_known_user_gets_a_new_id_and_answers_to_the_old_one(
    database: Database, clock: SteppedClock
) -> None:
    send(database, clock, track(clock, "m1", "mail@example.org"))
    before = user(database, "mail@example.org").id
    send(database, clock, alias(clock, "mail@example.org", "u1"))
    assert user(database, "u1").id == before
    send(database, clock, track(clock, "m2", "mail@example.org"))
    assert events_of(database, "u1") == ["m1", "m2"]
    assert people(database) == ["u1"]


def test_two_known_users_become_one_by_alias_only(database: Database, clock: SteppedClock) -> None:
    send(database, clock, track(clock, "m1", "old"), track(clock, "m2", "new"))
    send(database, clock, identify(clock, "new", "old"))
    assert people(database) == ["new", "old"]
    send(database, clock, alias(clock, "old", "new"), alias(clock, "new", "old"))
    assert events_of(database, "new") == ["m1", "m2"]
    assert people(database) == ["new"]


def test_a_chain_of_merges_in_one_batch_ends_with_the_last(database: Database, clock: SteppedClock) -> None:
    for n, name in enumerate(("a", "b", "c")):
        send(database, clock, track(clock, f"m{n}", name))
    send(
        database,
        clock,
        track(clock, "m3", "a"),
        alias(clock, "a", "b"),
        track(clock, "m4", "a"),
        alias(clock, "b", "c"),
        track(clock, "m5", "a"),
        track(clock, "m6", anonymous_id="b"),
    )
    assert events_of(database, "c") == [f"m{n}" for n in range(7)]
    assert people(database) == ["c"]


def test_all_of_it_within_one_batch_of_people_nobody_knew(database: Database, clock: SteppedClock) -> None:
    send(
        database,
        clock,
        track(clock, "m1", anonymous_id="a1"),
        track(clock, "m2", "u1"),
        identify(clock, "u1", "a1", plan="free"),
        alias(clock, "a2", "u1"),
        track(clock, "m3", anonymous_id="a2"),
    )
    assert events_of(database, "u1") == ["m1", "m2", "m3"]
    assert people(database) == ["u1"]
    assert user(database, "u1").attributes == {"plan": "free"}


def test_a_phone_moves_with_the_one_who_has_it(database: Database, clock: SteppedClock) -> None:
    now = clock.now()
    phone = {"phone": "+12025550123"}
    send(database, clock, IdentifyCall("m1", None, "a1", now, phone), track(clock, "m2", "u1"))
    send(database, clock, identify(clock, "u1", "a1", **phone))
    assert user(database, "u1").phone == "+12025550123"
    with pytest.raises(NotFound):
        user(database, "anonymous:a1")


def test_a_group_is_an_attribute_and_a_newer_one_replaces_it(database: Database, clock: SteppedClock) -> None:
    for n, (group_id, traits) in enumerate(
        [("acme", {"plan": "big", "seats": 5}), ("globex", {"plan": "small"})]
    ):
        send(database, clock, GroupCall(f"g{n}", "u1", None, clock.now(), group_id, traits))
    assert user(database, "u1").attributes == {"group_id": "globex", "group": {"plan": "small"}}
