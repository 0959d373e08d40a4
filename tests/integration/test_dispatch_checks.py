"""What is asked once more before a message goes out, on both databases: consent, the cap, the text, the experiment."""

import asyncio
from collections import Counter
from datetime import timedelta

from sqlalchemy import update

from delivery.planning.planner import cancel_planned
from delivery.sending.dispatch import Dispatcher
from delivery.whatsapp.client import Unknown
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.service import move
from targeting import consent
from targeting.models import User
from tests.integration import outbox
from tests.integration.outbox import FakeSender, campaign, dispatch, later


def test_one_user_has_one_message_in_a_batch_and_the_cap_decides_by_priority(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 1)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    (second,) = outbox.add_messages(database, clock, low, users)
    (first,) = outbox.add_messages(database, clock, high, users, priority=5)
    dispatcher = Dispatcher(database, clock, outbox.settings(cap_week=1), FakeSender(), "w")
    assert asyncio.run(dispatcher.run_once(100)).claimed == 1
    assert asyncio.run(dispatcher.run_once(100)).deferred == 1
    assert outbox.message(database, first).state == "accepted"
    kept = outbox.message(database, second)
    assert (kept.state, kept.reason, kept.due_at) == ("planned", "cap", later(clock, days=7))
    clock.advance(timedelta(days=7))
    assert asyncio.run(dispatcher.run_once(100)).accepted == 1


def test_consent_is_asked_again_at_the_last_moment(database: Database, clock: SteppedClock) -> None:
    ids = campaign(database, clock, 2)
    user_pk = outbox.message(database, ids[0]).user_pk
    outbox.change(
        database, lambda s: consent.withdraw(s, clock, user_pk=user_pk, category="marketing", source="test")
    )
    done = dispatch(database, clock, FakeSender())
    assert (done.accepted, done.suppressed) == (1, 1)
    held = outbox.message(database, ids[0])
    assert (held.state, held.reason, held.slot_at, held.claimed_by) == ("suppressed", "consent", None, None)


def test_nobody_is_messaged_who_was_never_asked_or_has_no_phone(
    database: Database, clock: SteppedClock
) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    never_asked = outbox.add_users(database, clock, 1, consented=False)
    no_phone = outbox.add_users(database, clock, 1, first=1)
    outbox.change(database, lambda s: s.exec(update(User).where(User.id == no_phone[0]).values(phone=None)))
    outbox.add_messages(database, clock, experiment_id, [*never_asked, *no_phone])
    sender = FakeSender()
    dispatch(database, clock, sender)
    assert sender.sent == []
    assert Counter(m.reason for m in outbox.messages(database).values()) == {"consent": 1, "no_phone": 1}


def test_text_that_cannot_be_made_names_the_variable_and_takes_no_slot(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    outbox.change(database, lambda s: s.exec(update(User).values(attributes={})))
    assert dispatch(database, clock, FakeSender()).suppressed == 1
    held = outbox.message(database, pk)
    assert (held.reason, held.slot_at, held.tries) == ("content: user.first_name is missing", None, 0)


def test_an_experiment_that_is_stopped_after_the_claim_sends_nothing(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)

    class StoppedInBetween(Dispatcher):
        def _reserve(self, claims, contents=None):
            with database.transaction() as session:
                move(session, clock, actor="t", key="spring", move=Move.STOP)
                cancel_planned(
                    session, experiment_id=outbox.message(database, pk).experiment_id, reason="stopped"
                )
            return super()._reserve(claims, contents)

    sender = FakeSender()
    asyncio.run(StoppedInBetween(database, clock, outbox.settings(), sender, "w").run(10))
    assert sender.sent == []
    assert outbox.message(database, pk).state == "cancelled"


def test_a_user_with_a_message_in_flight_gets_no_second_one(database: Database, clock: SteppedClock) -> None:
    users = outbox.add_users(database, clock, 1)
    one = outbox.add_experiment(database, clock, key="one")
    two = outbox.add_experiment(database, clock, key="two")
    outbox.add_messages(database, clock, one, users)
    sender = FakeSender(lambda _: Unknown("ReadTimeout"))
    dispatch(database, clock, sender, dispatch_batch=1)
    (pk,) = outbox.add_messages(database, clock, two, users)
    assert dispatch(database, clock, sender).deferred == 1
    held = outbox.message(database, pk)
    assert (held.reason, held.due_at) == ("in_flight", later(clock, seconds=6))
    assert len(sender.sent) == 1


def test_later_steps_wait_for_earlier_ones(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 1)
    outbox.add_messages(database, clock, experiment_id, users, variant="b", due_at=later(clock, hours=1))
    (second,) = outbox.add_messages(database, clock, experiment_id, users, variant="b", step=1)
    assert dispatch(database, clock, FakeSender()).deferred == 1
    assert outbox.message(database, second).due_at == later(clock, hours=73)
    clock.advance(timedelta(hours=2))
    assert dispatch(database, clock, FakeSender()).accepted == 1
    clock.advance(timedelta(hours=71))
    assert dispatch(database, clock, FakeSender()).deferred == 1
    assert outbox.message(database, second).due_at == later(clock, hours=1)
