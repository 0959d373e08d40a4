"""Why somebody was sent a message, and when next: every answer about those who take part."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.limits import policy
from delivery.models import Message
from delivery.planning import planner
from delivery.watch.why import Why, why
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.lifecycle import Move
from targeting import campaigns, consent
from targeting.models import Assignment
from tests.integration.asking import ONE_ARM, SETTINGS, ask, begin, change, plan, somebody_in
from tests.integration.people import add_people, campaign, start_campaign


@pytest.fixture
def people(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
    return database


def test_a_silent_arm_is_silent_on_purpose(people: Database, clock: SteppedClock) -> None:
    begin(people, clock)
    plan(people, clock)
    found = ask(people, clock, somebody_in(people, "silence"))
    assert (found.outcome, found.messages, found.next_at) == ("silent", (), None)
    assert found.assignment is not None
    assert (found.assignment["variant"], found.assignment["epoch"], found.assignment["source"]) == (
        "silence",
        1,
        "audience",
    )
    assert found.assignment["propensity"] == pytest.approx(1 / 3)
    assert "on purpose" in found.because


def test_a_tester_was_chosen_by_hand(people: Database, clock: SteppedClock) -> None:
    begin(people, clock, audience={"condition": {"number": 9}, "forced": {"user-4": "coupon"}})
    plan(people, clock)
    assert "by hand" in ask(people, clock, 4).because


def test_an_assignment_without_a_plan_says_when_its_first_message_will_be_due(
    people: Database, clock: SteppedClock
) -> None:
    begin(people, clock)
    plan(people, clock)
    user = somebody_in(people, "coupon")
    due = ask(people, clock, user).messages[0].due_at
    with people.transaction() as session:
        for row in session.exec(select(Message)).all():
            session.delete(row)
        for assignment in session.exec(select(Assignment)).all():
            assignment.planned_at, assignment.occasions = None, 0
    found = ask(people, clock, user)
    assert (found.outcome, found.next_at) == ("not_planned_yet", due)


def test_a_planned_message_says_when_and_by_what_choice(people: Database, clock: SteppedClock) -> None:
    begin(people, clock)
    plan(people, clock)
    user = somebody_in(people, "coupon")
    # Half past six in Amsterdam, and three days later.
    due = datetime(2026, 12, 1, 17, 30, tzinfo=UTC)
    change(people, user, choice={"by": "best_hour", "rule": "learned", "hour": 18, "propensity": 0.91})
    found = ask(people, clock, user)
    first, second = found.messages
    assert (found.outcome, found.next_at, first.next_at) == ("waiting", due, due)
    assert second.next_at == second.due_at == due + timedelta(days=3)
    assert "2026-12-01 18:30 (Europe/Amsterdam)" in found.because
    assert "with probability 0.91" in first.because
    assert first.held_by == ()


def test_a_deferred_message_says_why_and_exactly_until_when(people: Database, clock: SteppedClock) -> None:
    begin(people, clock, variants=ONE_ARM)
    begin(people, clock, "winter", variants=ONE_ARM)
    plan(people, clock)
    with people.transaction() as session:
        policy.put(session, clock, actor="test", document={"marketing": {"week": 1}})
        for row in session.exec(
            select(Message).where(Message.user_pk == 7, Message.experiment_id == 2)
        ).all():
            row.state, row.slot_at = "read", clock.now() - timedelta(days=2)
        (ours,) = session.exec(select(Message).where(Message.user_pk == 7, Message.experiment_id == 1)).all()
        # Put off for a minute only, while the cap lets it go in five days.
        ours.reason, ours.due_at = "slow_down", clock.now() + timedelta(minutes=1)
    found = ask(people, clock, 7)
    (message,) = found.messages
    assert found.next_at == message.next_at == clock.now() + timedelta(days=5)
    assert {"rule": "cap", "at": clock.now() + timedelta(days=5)} in message.rules
    assert "sending too fast" in message.because
    assert "as many messages as the caps allow" in message.because
    clock.advance(timedelta(days=5))
    assert ask(people, clock, 7).next_at == clock.now()


def test_quiet_hours_are_asked_of_the_moment_at_which_it_is_due(
    people: Database, clock: SteppedClock
) -> None:
    begin(people, clock, variants=ONE_ARM)
    plan(people, clock)
    with people.transaction() as session:
        policy.put(
            session,
            clock,
            actor="test",
            document={"quiet_hours": {"start": "21:00", "end": "08:00"}, "marketing": {}},
        )
    # At ten in the evening in Amsterdam.
    change(
        people,
        7,
        due_at=datetime(2026, 12, 1, 21, tzinfo=UTC),
        first_due_at=datetime(2026, 12, 1, 21, tzinfo=UTC),
    )
    assert ask(people, clock, 7).next_at == datetime(2026, 12, 2, 7, tzinfo=UTC)


def test_what_would_never_go_out_says_so(people: Database, clock: SteppedClock) -> None:
    begin(people, clock, variants=ONE_ARM)
    plan(people, clock)
    with people.transaction() as session:
        consent.record(
            session, clock, actor="test", user_id="user-7", category="marketing", granted=False, source="test"
        )
    found = ask(people, clock, 7)
    assert found.next_at is None
    assert "will not go out, because they have not agreed" in found.because
    change(people, 8, expires_at=clock.now())
    assert "expired by then" in ask(people, clock, 8).because


def test_pauses_and_fuses_that_hold_a_message_are_named(people: Database, clock: SteppedClock) -> None:
    begin(people, clock)
    plan(people, clock)
    user = somebody_in(people, "reminder")
    with people.transaction() as session:
        service.move(session, clock, actor="test", key="spring", move=Move.PAUSE)
        breakers.pause_all(session, clock, actor="test", reason="stocktaking")
        for kind, key in (("template", "reminder/en_US"), ("template", "coupon/en_US"), ("number", "1")):
            breakers.trip(
                session, kind=breakers.Kind(kind), key=key, at=clock.now(), until=None, code=None, reason="no"
            )
    held = ask(people, clock, user).messages[0].held_by
    assert len(held) == 4
    assert "paused until somebody resumes" in held[0]
    assert any("stocktaking" in each for each in held)
    assert any("reminder/en_US" in each for each in held)
    assert not any("coupon" in each for each in held)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"state": "claimed"}, "just being looked at"),
        ({"state": "inflight", "slot_at": True, "lease_until": True}, "never sent a second time"),
        (
            {"state": "accepted", "accepted_at": True, "reason": "held_for_quality_assessment"},
            "held_for_quality_assessment",
        ),
        (
            {"state": "read", "accepted_at": True, "sent_at": True, "delivered_at": True, "read_at": True},
            "read on 2026-12-01",
        ),
        (
            {"state": "delivered", "accepted_at": True, "delivered_at": True, "first_failed_at": True},
            "An earlier try failed on 2026-12-01",
        ),
        ({"state": "unknown", "slot_at": True, "reason": "no_answer"}, "nobody knows whether it arrived"),
        (
            {"state": "failed", "failed_at": True, "reason": "bad_request", "error_code": 132000},
            "another number of parameters",
        ),
        ({"state": "suppressed", "reason": "consent"}, "have not agreed"),
        ({"state": "suppressed", "reason": "content: 'coupon' is undefined"}, "'coupon' is undefined"),
        ({"state": "suppressed", "reason": "undeliverable", "error_code": 131026}, "came twice"),
        ({"state": "expired", "reason": "cap"}, "as many messages as the caps allow"),
        ({"state": "expired", "reason": "late"}, "there was a pause, an open fuse"),
        ({"state": "cancelled", "reason": "stopped"}, "the experiment was stopped"),
    ],
)
def test_every_state_is_told(
    people: Database, clock: SteppedClock, values: dict[str, Any], says: str
) -> None:
    begin(people, clock, variants=ONE_ARM)
    plan(people, clock)
    change(people, 7, **{name: clock.now() if value is True else value for name, value in values.items()})
    found = ask(people, clock, 7)
    (message,) = found.messages
    assert found.outcome == ("waiting" if values["state"] == "claimed" else values["state"])
    assert says in message.because
    assert says in found.because
    assert set(message.times) == {name for name, value in values.items() if value is True} - {"lease_until"}
    if values["state"] == "failed":
        assert message.error is not None
        assert "Correct the template" in message.error.remedy


def test_all_experiments_of_a_user_the_newest_first(people: Database, clock: SteppedClock) -> None:
    begin(people, clock)
    plan(people, clock)
    clock.advance(timedelta(days=1))
    begin(people, clock, "winter", audience={"condition": {"country": "NL", "number": {"$gt": 20}}})
    with people.transaction() as session:
        campaigns.create(session, clock, actor="test", document=campaign("draft"))
    with people.snapshot() as session:
        everything = why(session, clock, user_id="user-5", experiment=None, settings=SETTINGS)
        assert [each.experiment for each in everything.experiments] == ["winter", "spring"]
        assert not everything.more
        with pytest.raises(NotFound):
            why(session, clock, user_id="nobody", experiment=None, settings=SETTINGS)
        with pytest.raises(NotFound):
            why(session, clock, user_id="user-5", experiment="nothing", settings=SETTINGS)


def test_asking_writes_nothing_and_tells_no_phone(people: Database, clock: SteppedClock) -> None:
    begin(people, clock)
    plan(people, clock)
    with people.snapshot() as session:
        told: list[Why] = [
            why(session, clock, user_id=f"user-{user}", experiment=None, settings=SETTINGS)
            for user in range(1, 31)
        ]
        assert not session.new
        assert not session.dirty
    assert "555" not in str(told)


def test_over_http(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 31))
        start_campaign(session, clock, campaign("spring"))
    planner.plan_tick(wiring.database, clock, settings=wiring.settings)
    answer = writer.get("/v1/users/user-5/why", params={"experiment": "spring"})
    assert answer.status_code == 200
    document = answer.json()
    assert document["user_id"] == "user-5"
    assert [each["experiment"] for each in document["experiments"]] == ["spring"]
    assert document["experiments"][0]["because"]
    assert writer.get("/v1/users/user-5/why").json()["experiments"] == document["experiments"]
    assert writer.get("/v1/users/nobody/why").status_code == 404
    assert writer.get("/v1/users/user-5/why", params={"experiment": "none"}).status_code == 404
    assert writer.get("/v1/users/user-5/why", headers={"Authorization": ""}).status_code == 401


def test_what_a_user_is_instead_is_told_without_numbers(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    audience = {"condition": {"$and": [{"mobile": {"$exists": False}}, {"number": {"$in": [5, 7]}}]}}
    with wiring.database.transaction() as session:
        add_people(session, clock, range(5, 7), attributes={"mobile": "+1 202 555 0101"})
        add_people(session, clock, [7])
        start_campaign(session, clock, campaign("spring", audience=audience))
    (found,) = writer.get("/v1/users/user-6/why").json()["experiments"]
    assert found["because"] == (
        "Left out, because they are not in the audience, which asks: mobile is unknown; and number is 5 or 7. "
        'For this user none of that holds (mobile is "…01", number is 6).'
    )
    assert "0101" not in str(found)
    (only,) = writer.get("/v1/users/user-5/why").json()["experiments"]
    assert only["excluded_by"][0]["because"].endswith('For this user that does not hold (mobile is "…01")')


def test_room_that_came_while_a_message_waits_is_told_with_when_it_is_looked_at_again(
    people: Database, clock: SteppedClock
) -> None:
    begin(people, clock, variants=ONE_ARM)
    plan(people, clock)
    tomorrow = clock.now() + timedelta(days=1)
    # As a place given back, or a higher tier, leaves it: nothing holds it any more, but it still waits.
    put_off = {"first_due_at": clock.now(), "due_at": tomorrow, "expires_at": tomorrow + timedelta(days=1)}
    change(people, 7, reason="tier", **put_off)
    found = ask(people, clock, 7)
    assert found.next_at == tomorrow
    assert "the rules would let it go from 2026-12-01" in found.because
    assert "looked at again at 2026-12-02" in found.because
    # The rest that WhatsApp asked for is no rule of ours, which room could shorten.
    change(people, 7, reason="meta_cap", **put_off)
    assert "would let it go" not in ask(people, clock, 7).because
    with people.transaction() as session:
        policy.put(session, clock, actor="test", document={"marketing": {"min_interval": "1d"}})
    change(people, 7, reason="interval", **put_off)
    with people.transaction() as session:
        other = session.exec(select(Message).where(Message.user_pk == 8)).first()
        assert other is not None
        other.user_pk, other.step, other.state, other.slot_at = 7, 5, "read", clock.now()
    assert "would let it go" not in ask(people, clock, 7).because
