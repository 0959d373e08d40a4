"""The books of delivery on both databases."""

import json
from collections import Counter

import pytest
from sqlmodel import col, delete, select

from delivery.models import Message, WebhookBody
from delivery.planning import planner
from delivery.watch.summary import Summary, messages_of, summary
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.settings import Settings
from experiments.vocabulary import MessageState
from tests.integration.people import add_people, campaign, start_campaign


def planned(database: Database, clock: SteppedClock, *keys: str) -> dict[str, int]:
    """Running, planned campaigns over sixty people; their ids by key."""
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        ids = {key: start_campaign(session, clock, campaign(key)).id or 0 for key in keys}
    planner.plan_tick(database, clock, settings=Settings())
    return ids


def books(database: Database, key: str | None = None) -> Summary:
    with database.snapshot() as session:
        return summary(session, key=key)


def test_an_empty_outbox_balances(database: Database) -> None:
    empty = books(database)
    assert (empty.states, empty.reasons, empty.experiments, empty.holds) == ({}, {}, (), True)


def test_every_state_has_its_place(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring")
    with database.transaction() as session:
        rows = session.exec(select(Message).order_by(col(Message.id))).all()
        assert len(rows) > 2 * len(MessageState)
        for row, state in zip(rows, [*MessageState, *MessageState], strict=False):
            row.state = state
            row.reason = {"suppressed": "consent", "failed": "132000"}.get(state)
        rows[0].state, rows[0].reason = MessageState.SUPPRESSED, "cap"
        states = Counter(row.state for row in rows)
        variants = Counter((row.variant, row.state) for row in rows)

    found = books(database)

    assert found.holds
    assert found.states == states
    assert found.reasons == {"suppressed": {"consent": 2, "cap": 1}, "failed": {"132000": 2}}
    (spring,) = found.experiments
    assert spring.holds
    assert spring.slots == spring.accounted == len(rows)
    assert (spring.sent, spring.inflight, spring.waiting) == (8, 2, states["planned"] + 2)
    assert (spring.suppressed, spring.failed, spring.unknown, spring.cancelled, spring.expired) == (
        3,
        2,
        2,
        2,
        2,
    )
    assert spring.reasons == {"consent": 2, "cap": 1}
    assert {
        (part.variant, state): number for part in spring.variants for state, number in part.states.items()
    } == variants
    assert [part.variant for part in spring.variants] == ["silence", "reminder", "coupon"]
    assert spring.variants[0].slots == 0


def test_the_funnel_counts_how_far_messages_came(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring")
    with database.transaction() as session:
        rows = session.exec(select(Message).order_by(col(Message.id))).all()
        for row, state in zip(
            rows, ["read", "read", "delivered", "sent", "accepted", "failed", "claimed"], strict=False
        ):
            row.state = state
        for row in rows[:3]:
            row.clicked_at = clock.now()
        session.add(WebhookBody(body=b"{}", received_at=clock.now()))
        session.add(WebhookBody(body=b"{}", received_at=clock.now(), projected_at=clock.now()))
    document = books(database, "spring").to_json()
    assert document["funnel"] == {
        "planned": len(rows),
        "accepted": 5,
        "delivered": 3,
        "read": 2,
        "clicked": 3,
    }
    assert document["waiting"] == len(rows) - 6
    assert document["webhooks_waiting"] == 1
    assert json.loads(json.dumps(document))["experiments"][0]["variants"][0] == {
        "variant": "silence",
        "slots": 0,
        "states": {},
        "suppressed": {},
    }


def test_the_outbox_is_read_in_pages(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring", "autumn")
    with database.transaction() as session:
        rows = session.exec(select(Message).where(Message.experiment_id == 1).order_by(col(Message.id))).all()
        rows[4].state, rows[4].reason = MessageState.SUPPRESSED, "cap"
        expected = [(row.id, f"user-{row.user_pk}", row.variant, row.step, row.state) for row in rows]
    seen = []
    with database.snapshot() as session:
        while page := messages_of(session, key="spring", after_id=seen[-1].id if seen else 0, limit=7):
            assert len(page) <= 7
            seen += page
        (suppressed,) = messages_of(session, key="spring", after_id=0, limit=7, state=MessageState.SUPPRESSED)
        with pytest.raises(NotFound):
            messages_of(session, key="winter", after_id=0, limit=7)
    assert [row[:5] for row in seen] == expected
    assert (suppressed, suppressed.reason) == (seen[4], "cap")
    assert {row.clicked_at for row in seen} == {None}


def test_one_experiment_alone(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring", "autumn")
    both = books(database)
    assert [part.experiment for part in both.experiments] == ["spring", "autumn"]
    autumn = books(database, "autumn")
    assert autumn.experiments == both.experiments[1:]
    assert autumn.states == {"planned": autumn.experiments[0].slots}
    with pytest.raises(NotFound):
        books(database, "winter")


def test_a_lost_message_is_noticed(database: Database, clock: SteppedClock) -> None:
    ids = planned(database, clock, "spring", "autumn")
    with database.transaction() as session:
        lost = session.exec(select(Message.id).where(Message.experiment_id == ids["spring"]).limit(1)).one()
        session.execute(delete(Message).where(col(Message.id) == lost))
    found = books(database)
    spring, autumn = found.experiments
    assert (found.holds, spring.holds, autumn.holds) == (False, False, True)
    assert spring.accounted == spring.slots - 1


def test_a_message_too_many_does_not_make_up_for_one_too_few(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring")
    with database.transaction() as session:
        moved = session.exec(select(Message).where(Message.variant == "coupon")).first()
        assert moved is not None
        moved.variant = "reminder"
    (spring,) = books(database).experiments
    assert spring.accounted == spring.slots
    assert not spring.holds


def test_a_state_that_nobody_knows_is_noticed(database: Database, clock: SteppedClock) -> None:
    planned(database, clock, "spring")
    with database.transaction() as session:
        row = session.exec(select(Message)).first()
        assert row is not None
        row.state = "mislaid"
    assert not books(database).holds
