"""When WhatsApp refuses a message or does not answer, on both databases: what waits, what is given up, what holds."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlmodel import select

from delivery.fuses import breakers
from delivery.fuses.breakers import Kind
from delivery.whatsapp.client import Accepted, NotSent, SendOutcome, Unknown
from delivery.whatsapp.payloads import TemplateMessage
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from targeting import consent
from targeting.models import Event
from tests.integration import outbox
from tests.integration.outbox import HOUR, NUMBER, FakeSender, campaign, dispatch, rejected, states


def test_no_answer_keeps_the_slot_is_never_resent_and_ends_as_unknown(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    sender = FakeSender(lambda _: Unknown("ReadTimeout"))
    assert dispatch(database, clock, sender).unanswered == 1
    waiting = outbox.message(database, pk)
    assert (waiting.state, waiting.reason, waiting.slot_at) == ("inflight", "no_answer", clock.now())
    for _ in range(25):
        clock.advance(HOUR)
        dispatch(database, clock, sender)
    ended = outbox.message(database, pk)
    assert (ended.state, ended.slot_at, ended.lease_until) == ("unknown", waiting.slot_at, None)
    assert len(sender.sent) == 1


def test_an_unforeseen_error_of_the_sender_counts_as_no_answer(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)

    def broken(_: TemplateMessage) -> SendOutcome:
        raise KeyError("oops")

    assert dispatch(database, clock, FakeSender(broken)).unanswered == 1
    assert outbox.message(database, pk).state == "inflight"


def test_too_fast_pauses_the_number_keeps_the_messages_and_costs_no_try(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 5)
    sender = FakeSender(lambda _: rejected(130429))
    done = dispatch(database, clock, sender, dispatch_concurrency=1)
    assert (done.posted, done.replanned) == (1, 5)
    assert all(
        (m.state, m.slot_at, m.tries, m.reason) == ("planned", None, 0, "slow_down")
        for m in outbox.messages(database).values()
    )
    fuse = outbox.breakers(database)["number", NUMBER]
    assert fuse.until is not None
    assert timedelta(seconds=0.5) <= fuse.until - clock.now() <= timedelta(seconds=1.5)
    sender.answer = None
    assert dispatch(database, clock, sender).claimed == 0
    clock.advance(timedelta(seconds=2))
    assert dispatch(database, clock, sender).accepted == 5


def test_a_pause_that_does_not_help_is_followed_by_a_longer_one(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 1)
    sender = FakeSender(lambda _: rejected(130429))
    lengths = []
    for _ in range(4):
        dispatch(database, clock, sender)
        until = outbox.breakers(database)["number", NUMBER].until
        assert until is not None
        lengths.append(until - clock.now())
        clock.current = until
    assert lengths == sorted(lengths)
    assert lengths[-1] > 3 * lengths[0]


def test_when_nobody_answers_the_phone_the_rest_waits(database: Database, clock: SteppedClock) -> None:
    campaign(database, clock, 5)
    done = dispatch(database, clock, FakeSender(lambda _: NotSent("ConnectError")), dispatch_concurrency=1)
    assert done.posted == 1
    assert Counter((m.reason, m.tries) for m in outbox.messages(database).values()) == {
        ("retry", 1): 1,
        ("slow_down", 0): 4,
    }


def test_a_blocked_number_waits_for_a_hand(database: Database, clock: SteppedClock) -> None:
    campaign(database, clock, 3)
    sender = FakeSender(lambda _: rejected(131031))
    dispatch(database, clock, sender, dispatch_concurrency=1)
    sender.answer = None
    clock.advance(timedelta(days=1))
    assert dispatch(database, clock, sender).claimed == 0
    assert outbox.breakers(database)["number", NUMBER].until is None
    outbox.change(database, lambda s: breakers.close(s, clock, actor="ops", kind=Kind.NUMBER, key=NUMBER))
    assert dispatch(database, clock, sender).accepted == 3
    with database.snapshot() as session:
        assert [e.subject_key for e in session.exec(select(AuditEntry)) if e.action == "breaker.close"] == [
            f"number/{NUMBER}"
        ]
    with pytest.raises(NotFound):
        outbox.change(database, lambda s: breakers.close(s, clock, actor="ops", kind=Kind.NUMBER, key=NUMBER))


def test_a_paused_template_holds_back_its_variant_only(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 4)
    outbox.add_messages(database, clock, experiment_id, users[:2], variant="a")
    outbox.add_messages(database, clock, experiment_id, users[2:], variant="b")
    sender = FakeSender(
        lambda m: (
            rejected(132015) if m.template == "promo_a" else Accepted(f"wamid.{m.callback_data}", None, None)
        )
    )
    assert dispatch(database, clock, sender).accepted == 2
    assert outbox.breakers(database)["template", "promo_a/en_US"].until is None
    assert states(database) == {"planned": 2, "accepted": 2}
    assert dispatch(database, clock, sender).claimed == 0
    outbox.change(
        database,
        lambda s: breakers.template_restored(s, name="promo_a", language="en_US", at=clock.now()),
    )
    sender.answer = None
    assert dispatch(database, clock, sender).accepted == 2


def test_five_equal_errors_stop_the_variant_before_every_row_is_burnt(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 20)
    done = dispatch(database, clock, FakeSender(lambda _: rejected(132000)), dispatch_batch=2)
    # The next batch may be under way before the one with the fifth error is recorded.
    assert done.failed in (6, 8)
    assert outbox.breakers(database)["variant", "spring/a"].error_code == 132000
    assert states(database) == {"failed": done.failed, "planned": 20 - done.failed}


def test_somebody_who_opted_out_at_whatsapp_is_believed_everywhere(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    assert dispatch(database, clock, FakeSender(lambda _: rejected(131050))).suppressed == 1
    message = outbox.message(database, pk)
    assert (message.state, message.reason, message.slot_at) == ("suppressed", "opted_out", None)
    with database.snapshot() as session:
        (state,) = consent.consents_of(session, user_pk=message.user_pk)
        assert not state.granted
        assert [event.name for event in session.exec(select(Event))] == ["Marketing Stopped", "Opted Out"]
