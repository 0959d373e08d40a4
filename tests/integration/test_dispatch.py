"""From claim to record, on both databases: what goes out, in which order, and that the commit comes before the POST."""

import asyncio
from collections import Counter
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from delivery.models import Breaker, Link, Message
from delivery.sending.dispatch import Dispatcher
from delivery.whatsapp.client import Accepted, SendOutcome
from delivery.whatsapp.payloads import TemplateMessage
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.service import move
from targeting.models import UserAlias
from tests.integration import outbox
from tests.integration.outbox import FakeSender, campaign, dispatch, later, rejected, states


def test_due_messages_go_out_once_with_their_parameters(database: Database, clock: SteppedClock) -> None:
    ids = campaign(database, clock, 3)
    sender = FakeSender()
    done = dispatch(database, clock, sender)
    assert (done.claimed, done.posted, done.accepted) == (3, 3, 3)
    assert [message.callback_data for message in sender.sent] == [str(pk) for pk in ids]
    assert sender.sent[0].body_parameters == ("Ann0",)
    first = outbox.message(database, ids[0])
    assert (first.state, first.wamid, first.tries, first.parameters) == ("accepted", "wamid.1", 1, ["Ann0"])
    assert (first.slot_at, first.accepted_at, first.lease_until) == (clock.now(), clock.now(), None)
    assert dispatch(database, clock, sender).claimed == 0


def test_the_message_is_in_flight_and_holds_its_slot_before_the_post(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    seen: list[Message] = []

    def answer(message: TemplateMessage) -> SendOutcome:
        seen.append(outbox.message(database, pk))
        return Accepted("wamid.1", "accepted", None)

    dispatch(database, clock, FakeSender(answer))
    assert (seen[0].state, seen[0].slot_at, seen[0].claimed_by) == ("inflight", clock.now(), "w")
    assert seen[0].lease_until == later(clock, hours=24)


def test_a_link_token_is_made_with_the_reservation_and_kept_for_the_next_try(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1, variant="b")
    sender = FakeSender(lambda _: rejected(131000))
    dispatch(database, clock, sender)
    clock.advance(timedelta(seconds=10))
    sender.answer = None
    dispatch(database, clock, sender)
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
    assert dispatch(database, clock, FakeSender()).claimed == 0
    clock.advance(timedelta(seconds=1))
    outbox.change(database, lambda s: move(s, clock, actor="t", key="paused", move=Move.RESUME))
    assert dispatch(database, clock, FakeSender()).accepted == 2


def test_nothing_is_claimed_while_everything_is_stopped(database: Database, clock: SteppedClock) -> None:
    campaign(database, clock, 1)
    stop = Breaker(kind="all", key="*", opened_at=clock.now(), until=None, reason="by hand")
    outbox.change(database, lambda s: s.add(stop))
    assert dispatch(database, clock, FakeSender()).claimed == 0
    outbox.change(database, lambda s: s.merge(stop.model_copy(update={"until": clock.now()})))
    assert dispatch(database, clock, FakeSender()).accepted == 1


def test_priority_then_due_time_then_id_decide_the_order(database: Database, clock: SteppedClock) -> None:
    users = outbox.add_users(database, clock, 4)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    late = outbox.add_messages(database, clock, low, users[:2])
    early = outbox.add_messages(database, clock, low, users[2:3], due_at=later(clock, hours=-1))
    urgent = outbox.add_messages(database, clock, high, users[3:], priority=5)
    sender = FakeSender()
    dispatch(database, clock, sender, dispatch_batch=1)
    assert [message.callback_data for message in sender.sent] == [str(pk) for pk in [*urgent, *early, *late]]


def test_an_expired_claim_is_planned_again_and_its_first_worker_no_longer_sends_it(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    slow = Dispatcher(database, clock, outbox.settings(), FakeSender(), "slow")
    claims = slow._claim(10)
    assert dispatch(database, clock, FakeSender(), worker="other").claimed == 0
    clock.advance(timedelta(minutes=5))
    sender = FakeSender()
    done = dispatch(database, clock, sender, worker="other")
    assert (done.returned, done.accepted) == (1, 1)
    assert not slow._reserve(claims).begun
    assert len(sender.sent) == 1
    assert outbox.message(database, pk).claimed_by == "other"


def test_another_number_at_whatsapp_is_remembered_as_an_alias(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 2)
    answers = iter(["5511987654321", outbox.phone_of(1).removeprefix("+")])
    numbers = iter(range(10))
    sender = FakeSender(lambda _: Accepted(f"wamid.{next(numbers)}", None, next(answers)))
    dispatch(database, clock, sender, dispatch_concurrency=1)
    with database.snapshot() as session:
        assert [(a.kind, a.value) for a in session.exec(select(UserAlias))] == [("wa_id", "5511987654321")]


def test_an_id_that_whatsapp_gives_twice_does_not_lose_the_batch(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 3)
    sender = FakeSender(lambda _: Accepted("wamid.same", None, None))
    assert dispatch(database, clock, sender, dispatch_batch=2).accepted == 3
    wamids = [message.wamid for message in outbox.messages(database).values()]
    assert sorted(wamids, key=str) == [None, None, "wamid.same"]


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
            dispatch(database, clock, senders[index], worker=f"w{index}", cap_week=2, dispatch_batch=7)
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
    assert states(database) == {"accepted": 120, "planned": 60}


def test_a_batch_is_no_larger_than_what_goes_out_in_a_quarter_of_a_second(
    database: Database, clock: SteppedClock
) -> None:
    campaign(database, clock, 8)
    dispatcher = Dispatcher(database, clock, outbox.settings(messages_per_second=10), FakeSender(), "w")
    assert asyncio.run(dispatcher.run_once(100)).claimed == 3


def test_little_is_committed_to_go_out_before_it_does(database: Database, clock: SteppedClock) -> None:
    # Whatever is reserved and not POSTed when a process is killed must end as unknown: one batch, of ten here, and the
    # next one only when four of it are left.
    campaign(database, clock, 60)
    in_doubt: list[int] = []
    sender = FakeSender()

    def answer(message: TemplateMessage) -> SendOutcome:
        found = states(database)
        in_doubt.append(found["inflight"] + found["accepted"] - len(sender.sent) + 1)
        return Accepted(next(sender.wamids), "accepted", None)

    sender.answer = answer
    assert dispatch(database, clock, sender, messages_per_second=40).accepted == 60
    assert 10 <= max(in_doubt) <= 14


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
        assert dispatcher.run_blocking(limit=10).accepted == 1
    dispatcher.close()
    assert sender.closed


def test_no_statement_of_dispatch_reads_a_whole_table(sqlite_url: str, clock: SteppedClock) -> None:
    """A whole audience may be due at once; a batch of two hundred must not look at a million."""
    database = Database(sqlite_url)
    campaign(database, clock, 2)
    plans: dict[str, list[str]] = {}

    @event.listens_for(database.engine, "before_cursor_execute")
    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            some = parameters[0] if executemany else parameters
            plan = cursor.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", some)
            plans[statement] = [row[3] for row in plan]

    dispatch(database, clock, FakeSender())
    database.dispose()
    (claiming,) = (
        plan
        for statement, plan in plans.items()
        if statement.startswith("SELECT messages.id, messages.user_pk")
    )
    assert "USING INDEX ix_messages_due" in claiming[0]
    large = tuple(
        f"SCAN {table}" for table in ("messages", "users", "consents", "assignments", "links", "events")
    )
    assert len(plans) > 15
    assert [
        (statement, step)
        for statement, plan in plans.items()
        for step in plan
        if step.startswith(large) and "ix_messages_due" not in step
    ] == []
