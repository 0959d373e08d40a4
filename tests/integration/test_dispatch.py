"""From claim to record, on both databases: what goes out, what stays, and that the commit comes before the POST."""

import asyncio
from collections import Counter
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import event, update
from sqlmodel import Session, select

from delivery import breakers
from delivery.breakers import Kind
from delivery.dispatch import Dispatched, Dispatcher, dispatch_tick
from delivery.models import Link, Message
from delivery.planner import cancel_planned
from delivery.whatsapp.client import Accepted, NotSent, Rejected, SendOutcome, Unknown
from delivery.whatsapp.error_table import classify
from delivery.whatsapp.payloads import TemplateMessage
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.lifecycle import Move
from experiments.service import move
from targeting import consent
from targeting.models import Event, User, UserAlias
from tests.integration import outbox
from tests.integration.outbox import HOUR, NUMBER, FakeSender, later


def _dispatch(
    database: Database,
    clock: SteppedClock,
    sender: FakeSender,
    *,
    limit: int = 1000,
    worker: str = "w",
    **changes,
) -> Dispatched:
    dispatcher = Dispatcher(database, clock, outbox.settings(**changes), sender, worker)
    return asyncio.run(dispatcher.run(limit))


def _rejected(code: int) -> Rejected:
    return Rejected(code, classify(code, http_status=400), "details", 400)


def _campaign(database: Database, clock: SteppedClock, number: int, **changes) -> list[int]:
    experiment_id = outbox.add_experiment(database, clock)
    return outbox.add_messages(
        database, clock, experiment_id, outbox.add_users(database, clock, number), **changes
    )


def _states(database: Database) -> Counter[str]:
    return Counter(message.state for message in outbox.messages(database).values())


def test_due_messages_go_out_once_with_their_parameters(database: Database, clock: SteppedClock) -> None:
    ids = _campaign(database, clock, 3)
    sender = FakeSender()
    done = _dispatch(database, clock, sender)
    assert (done.claimed, done.posted, done.accepted) == (3, 3, 3)
    assert [message.callback_data for message in sender.sent] == [str(pk) for pk in ids]
    assert sender.sent[0].body_parameters == ("Ann0",)
    first = outbox.message(database, ids[0])
    assert (first.state, first.wamid, first.tries, first.parameters) == ("accepted", "wamid.1", 1, ["Ann0"])
    assert (first.slot_at, first.accepted_at, first.lease_until) == (clock.now(), clock.now(), None)
    assert _dispatch(database, clock, sender).claimed == 0


def test_the_message_is_in_flight_and_holds_its_slot_before_the_post(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)
    seen: list[Message] = []

    def answer(message: TemplateMessage) -> SendOutcome:
        seen.append(outbox.message(database, pk))
        return Accepted("wamid.1", "accepted", None)

    _dispatch(database, clock, FakeSender(answer))
    assert (seen[0].state, seen[0].slot_at, seen[0].claimed_by) == ("inflight", clock.now(), "w")
    assert seen[0].lease_until == later(clock, hours=24)


def test_a_link_token_is_made_with_the_reservation_and_kept_for_the_next_try(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1, variant="b")
    sender = FakeSender(lambda _: _rejected(131000))
    _dispatch(database, clock, sender)
    clock.advance(timedelta(seconds=10))
    sender.answer = None
    _dispatch(database, clock, sender)
    with database.snapshot() as session:
        (link,) = session.exec(select(Link)).all()
    assert (link.message_pk, link.url) == (pk, "https://shop.example/b")
    assert [message.url_suffix for message in sender.sent] == [link.token] * 2
    assert [message.callback_data for message in sender.sent] == [str(pk), f"{pk}.2"]


def test_what_is_not_due_or_not_running_stays(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 2)
    outbox.add_messages(database, clock, experiment_id, users[:1], due_at=later(clock, seconds=1))
    paused = outbox.add_experiment(database, clock, key="paused")
    outbox.add_messages(database, clock, paused, users[1:])
    outbox.change(database, lambda s: move(s, clock, actor="t", key="paused", move=Move.PAUSE))
    assert _dispatch(database, clock, FakeSender()).claimed == 0
    clock.advance(timedelta(seconds=1))
    outbox.change(database, lambda s: move(s, clock, actor="t", key="paused", move=Move.RESUME))
    assert _dispatch(database, clock, FakeSender()).accepted == 2


def test_priority_then_due_time_then_id_decide_the_order(database: Database, clock: SteppedClock) -> None:
    users = outbox.add_users(database, clock, 4)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    late = outbox.add_messages(database, clock, low, users[:2])
    early = outbox.add_messages(database, clock, low, users[2:3], due_at=later(clock, hours=-1))
    urgent = outbox.add_messages(database, clock, high, users[3:], priority=5)
    sender = FakeSender()
    _dispatch(database, clock, sender, dispatch_batch=1)
    assert [message.callback_data for message in sender.sent] == [str(pk) for pk in [*urgent, *early, *late]]


def test_one_user_has_one_message_in_a_batch_and_the_cap_decides_by_priority(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 1)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    (second,) = outbox.add_messages(database, clock, low, users)
    (first,) = outbox.add_messages(database, clock, high, users, priority=5)
    dispatcher = Dispatcher(database, clock, outbox.settings(cap_messages=1), FakeSender(), "w")
    assert asyncio.run(dispatcher.run_once(100)).claimed == 1
    assert asyncio.run(dispatcher.run_once(100)).deferred == 1
    assert outbox.message(database, first).state == "accepted"
    kept = outbox.message(database, second)
    assert (kept.state, kept.reason, kept.due_at) == ("planned", "cap", later(clock, days=7))
    clock.advance(timedelta(days=7))
    assert asyncio.run(dispatcher.run_once(100)).accepted == 1


def test_consent_is_asked_again_at_the_last_moment(database: Database, clock: SteppedClock) -> None:
    ids = _campaign(database, clock, 2)
    user_pk = outbox.message(database, ids[0]).user_pk
    outbox.change(
        database, lambda s: consent.withdraw(s, clock, user_pk=user_pk, category="marketing", source="test")
    )
    done = _dispatch(database, clock, FakeSender())
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
    _dispatch(database, clock, sender)
    assert sender.sent == []
    assert Counter(m.reason for m in outbox.messages(database).values()) == {"consent": 1, "no_phone": 1}


def test_text_that_cannot_be_made_names_the_variable_and_takes_no_slot(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)
    outbox.change(database, lambda s: s.exec(update(User).values(attributes={})))
    assert _dispatch(database, clock, FakeSender()).suppressed == 1
    held = outbox.message(database, pk)
    assert (held.reason, held.slot_at, held.tries) == ("content: user.first_name is missing", None, 0)


def test_an_experiment_that_is_stopped_after_the_claim_sends_nothing(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)

    class StoppedInBetween(Dispatcher):
        def _reserve(self, claims):
            with database.transaction() as session:
                move(session, clock, actor="t", key="spring", move=Move.STOP)
                cancel_planned(
                    session, experiment_id=outbox.message(database, pk).experiment_id, reason="stopped"
                )
            return super()._reserve(claims)

    sender = FakeSender()
    asyncio.run(StoppedInBetween(database, clock, outbox.settings(), sender, "w").run(10))
    assert sender.sent == []
    assert outbox.message(database, pk).state == "cancelled"


def test_an_expired_claim_is_planned_again_and_its_first_worker_no_longer_sends_it(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)
    slow = Dispatcher(database, clock, outbox.settings(), FakeSender(), "slow")
    claims = slow._claim(10)
    assert _dispatch(database, clock, FakeSender(), worker="other").claimed == 0
    clock.advance(timedelta(minutes=5))
    sender = FakeSender()
    done = _dispatch(database, clock, sender, worker="other")
    assert (done.returned, done.accepted) == (1, 1)
    assert slow._reserve(claims).begun == []
    assert len(sender.sent) == 1
    assert outbox.message(database, pk).claimed_by == "other"


def test_no_answer_keeps_the_slot_is_never_resent_and_ends_as_unknown(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)
    sender = FakeSender(lambda _: Unknown("ReadTimeout"))
    assert _dispatch(database, clock, sender).unanswered == 1
    waiting = outbox.message(database, pk)
    assert (waiting.state, waiting.reason, waiting.slot_at) == ("inflight", "no_answer", clock.now())
    for _ in range(25):
        clock.advance(HOUR)
        _dispatch(database, clock, sender)
    ended = outbox.message(database, pk)
    assert (ended.state, ended.slot_at, ended.lease_until) == ("unknown", waiting.slot_at, None)
    assert len(sender.sent) == 1


def test_an_unforeseen_error_of_the_sender_counts_as_no_answer(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)

    def broken(_: TemplateMessage) -> SendOutcome:
        raise KeyError("oops")

    assert _dispatch(database, clock, FakeSender(broken)).unanswered == 1
    assert outbox.message(database, pk).state == "inflight"


def test_a_user_with_a_message_in_flight_gets_no_second_one(database: Database, clock: SteppedClock) -> None:
    users = outbox.add_users(database, clock, 1)
    one = outbox.add_experiment(database, clock, key="one")
    two = outbox.add_experiment(database, clock, key="two")
    outbox.add_messages(database, clock, one, users)
    sender = FakeSender(lambda _: Unknown("ReadTimeout"))
    _dispatch(database, clock, sender, dispatch_batch=1)
    (pk,) = outbox.add_messages(database, clock, two, users)
    assert _dispatch(database, clock, sender).deferred == 1
    held = outbox.message(database, pk)
    assert (held.reason, held.due_at) == ("in_flight", later(clock, seconds=6))
    assert len(sender.sent) == 1


def test_too_fast_pauses_the_number_keeps_the_messages_and_costs_no_try(
    database: Database, clock: SteppedClock
) -> None:
    _campaign(database, clock, 5)
    sender = FakeSender(lambda _: _rejected(130429))
    done = _dispatch(database, clock, sender, dispatch_concurrency=1)
    assert (done.posted, done.replanned) == (1, 5)
    assert all(
        (m.state, m.slot_at, m.tries, m.reason) == ("planned", None, 0, "slow_down")
        for m in outbox.messages(database).values()
    )
    fuse = outbox.breakers(database)["number", NUMBER]
    assert fuse.until is not None
    assert timedelta(seconds=0.5) <= fuse.until - clock.now() <= timedelta(seconds=1.5)
    sender.answer = None
    assert _dispatch(database, clock, sender).claimed == 0
    clock.advance(timedelta(seconds=2))
    assert _dispatch(database, clock, sender).accepted == 5


def test_a_pause_that_does_not_help_is_followed_by_a_longer_one(
    database: Database, clock: SteppedClock
) -> None:
    _campaign(database, clock, 1)
    sender = FakeSender(lambda _: _rejected(130429))
    lengths = []
    for _ in range(4):
        _dispatch(database, clock, sender)
        until = outbox.breakers(database)["number", NUMBER].until
        assert until is not None
        lengths.append(until - clock.now())
        clock.current = until
    assert lengths == sorted(lengths)
    assert lengths[-1] > 3 * lengths[0]


def test_when_nobody_answers_the_phone_the_rest_waits(database: Database, clock: SteppedClock) -> None:
    _campaign(database, clock, 5)
    done = _dispatch(database, clock, FakeSender(lambda _: NotSent("ConnectError")), dispatch_concurrency=1)
    assert done.posted == 1
    assert Counter((m.reason, m.tries) for m in outbox.messages(database).values()) == {
        ("retry", 1): 1,
        ("slow_down", 0): 4,
    }


def test_a_blocked_number_waits_for_a_hand(database: Database, clock: SteppedClock) -> None:
    _campaign(database, clock, 3)
    sender = FakeSender(lambda _: _rejected(131031))
    _dispatch(database, clock, sender, dispatch_concurrency=1)
    sender.answer = None
    clock.advance(timedelta(days=1))
    assert _dispatch(database, clock, sender).claimed == 0
    assert outbox.breakers(database)["number", NUMBER].until is None
    outbox.change(database, lambda s: breakers.close(s, clock, actor="ops", kind=Kind.NUMBER, key=NUMBER))
    assert _dispatch(database, clock, sender).accepted == 3
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
            _rejected(132015) if m.template == "promo_a" else Accepted(f"wamid.{m.callback_data}", None, None)
        )
    )
    assert _dispatch(database, clock, sender).accepted == 2
    assert outbox.breakers(database)["template", "promo_a/en_US"].until is None
    assert _states(database) == {"planned": 2, "accepted": 2}
    assert _dispatch(database, clock, sender).claimed == 0
    outbox.change(
        database,
        lambda s: breakers.template_restored(s, name="promo_a", language="en_US", at=clock.now()),
    )
    sender.answer = None
    assert _dispatch(database, clock, sender).accepted == 2


def test_five_equal_errors_stop_the_variant_before_every_row_is_burnt(
    database: Database, clock: SteppedClock
) -> None:
    _campaign(database, clock, 20)
    done = _dispatch(database, clock, FakeSender(lambda _: _rejected(132000)), dispatch_batch=2)
    assert done.failed == 6
    assert outbox.breakers(database)["variant", "spring/a"].error_code == 132000
    assert _states(database) == {"failed": 6, "planned": 14}


def test_somebody_who_opted_out_at_whatsapp_is_believed_everywhere(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = _campaign(database, clock, 1)
    assert _dispatch(database, clock, FakeSender(lambda _: _rejected(131050))).suppressed == 1
    message = outbox.message(database, pk)
    assert (message.state, message.reason, message.slot_at) == ("suppressed", "opted_out", None)
    with database.snapshot() as session:
        (state,) = consent.consents_of(session, user_pk=message.user_pk)
        assert not state.granted
        assert [event.name for event in session.exec(select(Event))] == ["Opted Out"]


def test_another_number_at_whatsapp_is_remembered_as_an_alias(
    database: Database, clock: SteppedClock
) -> None:
    _campaign(database, clock, 2)
    answers = iter(["5511987654321", outbox.phone_of(1).removeprefix("+")])
    numbers = iter(range(10))
    sender = FakeSender(lambda _: Accepted(f"wamid.{next(numbers)}", None, next(answers)))
    _dispatch(database, clock, sender, dispatch_concurrency=1)
    with database.snapshot() as session:
        assert [(a.kind, a.value) for a in session.exec(select(UserAlias))] == [("wa_id", "5511987654321")]


def test_an_id_that_whatsapp_gives_twice_does_not_lose_the_batch(
    database: Database, clock: SteppedClock
) -> None:
    _campaign(database, clock, 3)
    sender = FakeSender(lambda _: Accepted("wamid.same", None, None))
    assert _dispatch(database, clock, sender, dispatch_batch=2).accepted == 3
    wamids = [message.wamid for message in outbox.messages(database).values()]
    assert sorted(wamids, key=str) == [None, None, "wamid.same"]


def test_later_steps_wait_for_earlier_ones(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 1)
    outbox.add_messages(database, clock, experiment_id, users, variant="b", due_at=later(clock, hours=1))
    (second,) = outbox.add_messages(database, clock, experiment_id, users, variant="b", step=1)
    assert _dispatch(database, clock, FakeSender()).deferred == 1
    assert outbox.message(database, second).due_at == later(clock, hours=73)
    clock.advance(timedelta(hours=2))
    assert _dispatch(database, clock, FakeSender()).accepted == 1
    clock.advance(timedelta(hours=71))
    assert _dispatch(database, clock, FakeSender()).deferred == 1
    assert outbox.message(database, second).due_at == later(clock, hours=1)


def test_two_workers_never_take_the_same_message_nor_both_the_last_slot(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 60)
    for key in ("one", "two", "three"):
        outbox.add_messages(database, clock, outbox.add_experiment(database, clock, key=key), users)
    errors: list[BaseException] = []
    senders = [FakeSender(wamids=outbox.wamids("first")), FakeSender(wamids=outbox.wamids("second"))]

    def work(index: int) -> None:
        try:
            _dispatch(database, clock, senders[index], worker=f"w{index}", cap_messages=2, dispatch_batch=7)
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            errors.append(error)

    for _ in range(4):
        threads = [Thread(target=work, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.advance(timedelta(seconds=10))
    assert errors == []
    sent = Counter(message.callback_data for sender in senders for message in sender.sent)
    assert set(sent.values()) == {1}
    slots = Counter(m.user_pk for m in outbox.messages(database).values() if m.slot_at is not None)
    assert set(slots.values()) == {2}
    assert len(slots) == 60
    assert _states(database) == {"accepted": 120, "planned": 60}


def test_a_batch_is_no_larger_than_what_goes_out_in_a_second(database: Database, clock: SteppedClock) -> None:
    _campaign(database, clock, 8)
    dispatcher = Dispatcher(database, clock, outbox.settings(messages_per_second=5), FakeSender(), "w")
    assert asyncio.run(dispatcher.run_once(100)).claimed == 5


def test_a_transaction_that_the_database_rolls_back_is_done_again(
    database: Database, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy.exc import OperationalError

    failures = [OperationalError("x", {}, RuntimeError("deadlock"))] * 2
    dispatcher = Dispatcher(database, clock, outbox.settings(), FakeSender(), "w")

    def work(session: Session) -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert dispatcher._commit(work) == "done"
    failures += [OperationalError("x", {}, RuntimeError("deadlock"))] * 3
    with pytest.raises(OperationalError):
        dispatcher._commit(work)


def test_the_blocking_form_runs_many_times_on_one_loop_and_closes_its_client(
    database: Database, clock: SteppedClock
) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, 2)
    sender = FakeSender()
    dispatcher = Dispatcher(database, clock, outbox.settings(), sender, "w")
    for pk in users:
        outbox.add_messages(database, clock, experiment_id, [pk])
        assert dispatch_tick(dispatcher, limit=10).accepted == 1
    dispatcher.close()
    assert sender.closed


def test_a_claim_walks_along_the_due_times_and_never_sorts_the_backlog(
    sqlite_url: str, clock: SteppedClock
) -> None:
    """A whole audience may be due at once; a claim of fifty must not look at a million."""
    database = Database(sqlite_url)
    _campaign(database, clock, 2)
    plans: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("SELECT messages.id"):
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    dispatcher = Dispatcher(database, clock, outbox.settings(), FakeSender(), "w")
    assert len(dispatcher._claim(50)) == 2
    database.dispose()
    assert len(plans) == 1, plans
    assert "USING INDEX ix_messages_due" in plans[0]
