"""The whole policy, counted from the ledger inside the claiming transaction, on both databases."""

from collections.abc import Sequence
from datetime import time, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlmodel import select

from benchmarks.cap_checker import Bounds, Promises, Sent, breaches
from delivery.fuses import breakers
from delivery.limits import policy
from delivery.limits.eligibility import Eligibility, next_eligible_at
from delivery.models import Message
from delivery.sending.dispatch import Dispatcher
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.treatments import Variant
from targeting.models import Event, User
from tests.integration import outbox
from tests.integration.outbox import FakeSender, dispatch, later

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
ZONES = ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"]
TEMPLATE = {"template": "promo_a", "language": "en_US"}


def put(database: Database, clock: SteppedClock, **document: Any) -> None:
    outbox.change(database, lambda s: policy.put(s, clock, actor="test", document=document))


def change_users(database: Database, users: Sequence[int], **values: Any) -> None:
    statement = update(User).where(User.id.in_(users)).values(values)  # type: ignore[union-attr]
    outbox.change(database, lambda s: s.connection().execute(statement))


def arms(message: dict[str, Any] = TEMPLATE, **variant: Any) -> list[dict[str, Any]]:
    return [{"key": "silence", "control": True}, {"key": "a", "message": message, **variant}]


def reserve(dispatcher: Dispatcher) -> tuple[list[int], list[Any]]:
    """Claim and reserve; ids of what begins, and what is held."""
    reserved = dispatcher._reserve(dispatcher._claim(100))
    return [begun.story.id for begun in reserved.begun], list(reserved.held)


def slots_of(database: Database) -> list[Sent]:
    with database.snapshot() as session:
        rows = session.exec(select(Message, User).join(User).where(Message.slot_at.is_not(None)))  # type: ignore[union-attr]
        return [
            Sent(
                message.user_pk,
                message.experiment_id,
                message.category,
                message.slot_at,
                user.time_zone or "UTC",
                "US",
                user.last_inbound_at,
            )
            for message, user in rows
            if message.slot_at is not None
        ]


@pytest.mark.parametrize("number", [1, 3])
def test_any_number_of_workers_over_experiments_that_overlap_keep_every_promise(
    database: Database, clock: SteppedClock, number: int
) -> None:
    users = outbox.add_users(database, clock, 24)
    for index, zone in enumerate(ZONES):
        change_users(database, users[index::4], time_zone=zone)
    change_users(database, users[::5], last_inbound_at=clock.now() - 20 * HOUR)
    put(
        database,
        clock,
        marketing={"day": 1, "week": 3, "min_interval": "5h"},
        quiet_hours={"start": "21:00", "end": "08:00"},
        countries={"US": {"start": "09:00", "end": "20:30", "days": ["mon", "tue", "wed", "thu", "sat"]}},
        unique_users=15,
    )
    frequency = {"steps": 3, "min_interval": "30h", "per_week": 2}
    experiments = [
        outbox.add_experiment(
            database,
            clock,
            key=key,
            priority=priority,
            variants=arms(frequency=frequency),
            expires={"after": "60d"},
        )
        for key, priority in (("one", 0), ("two", 0), ("three", 9))
    ]
    for experiment, priority in zip(experiments, (0, 0, 9), strict=True):
        for step in range(3):
            outbox.add_messages(
                database,
                clock,
                experiment,
                users,
                step=step,
                priority=priority,
                due_at=later(clock, hours=7 * step),
            )
    errors: list[BaseException] = []

    def work(index: int) -> None:
        try:
            dispatch(
                database,
                clock,
                FakeSender(wamids=outbox.wamids(f"{index}.{clock.now()}")),
                worker=f"w{index}",
            )
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            errors.append(error)

    for _ in range(60):
        threads = [Thread(target=work, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.advance(timedelta(hours=3, minutes=7, microseconds=1))
    assert errors == []
    sent = slots_of(database)
    promises = Promises(
        categories={"marketing": Bounds((1, 3, None), 5 * HOUR)},
        experiments=dict.fromkeys(experiments, Bounds((None, 2, None), 30 * HOUR)),
        quiet=(time(21), time(8)),
        allowed={
            "US": (
                time(9),
                time(20, 30),
                frozenset({0, 1, 2, 3, 5}),
            )
        },
        unique_users=15,
    )
    assert breaches(sent, promises) == []
    assert len(sent) > 60
    first = sorted(sent, key=lambda slot: slot.at)[:10]
    assert {slot.experiment for slot in first} == {experiments[2]}


def test_the_next_eligible_moment_is_exact(database: Database, clock: SteppedClock) -> None:
    """One tick earlier the message is put off to that very moment; at that moment it goes."""
    (user,) = outbox.add_users(database, clock, 1)
    change_users(database, [user], time_zone="America/New_York")
    put(
        database,
        clock,
        marketing={"day": 2, "week": 3, "min_interval": "3h"},
        adaptive={},
        quiet_hours={"start": "20:00", "end": "09:00"},
    )
    steps = {"steps": 10, "min_interval": "7h"}
    experiment = outbox.add_experiment(
        database, clock, variants=arms(frequency=steps), expires={"after": "90d"}
    )
    variant = Variant.model_validate(arms(frequency=steps)[1])

    def ask() -> Eligibility:
        with database.snapshot() as session:
            return next_eligible_at(
                session,
                clock,
                user_pk=user,
                category="marketing",
                settings=outbox.settings(),
                experiment_id=experiment,
                variant=variant,
            )

    reasons = []
    for step in range(8):
        found = ask()
        assert found.at is not None
        (pk,) = outbox.add_messages(
            database, clock, experiment, [user], step=step, expires_at=later(clock, days=60)
        )
        if found.at > clock.now():
            reasons.append(found.reason)
            clock.current = max(clock.now(), found.at - TICK)
            assert ask() == Eligibility(found.at, found.reason, ask().rules)
            dispatch(database, clock, FakeSender(wamids=outbox.wamids(f"e{step}")))
            held = outbox.message(database, pk)
            assert (held.state, held.due_at, held.reason) == ("planned", found.at, found.reason)
        clock.current = found.at
        assert dispatch(database, clock, FakeSender(wamids=outbox.wamids(f"s{step}"))).accepted == 1
        assert outbox.message(database, pk).slot_at == found.at
    assert {"cap", "interval", "quiet_hours"} <= set(reasons)


def test_somebody_who_may_never_be_written_to(database: Database, clock: SteppedClock) -> None:
    (asked,) = outbox.add_users(database, clock, 1)
    (never_asked,) = outbox.add_users(database, clock, 1, consented=False, first=1)

    def ask(user: int) -> Eligibility:
        with database.snapshot() as session:
            return next_eligible_at(
                session, clock, user_pk=user, category="marketing", settings=outbox.settings(cap_week=0)
            )

    assert ask(never_asked) == Eligibility(None, "consent", (("consent", None),))
    assert ask(asked) == Eligibility(None, "cap", (("cap", None),))
    change_users(database, [asked], phone=None)
    assert ask(asked) == Eligibility(None, "no_phone", (("no_phone", None),))


def test_the_last_room_goes_to_the_highest_priority_even_when_another_worker_holds_it(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 1)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    outbox.add_messages(database, clock, low, users)
    (first,) = outbox.add_messages(database, clock, high, users, priority=5)
    settings = outbox.settings(cap_week=1)
    one, two = (Dispatcher(database, clock, settings, FakeSender(), name) for name in ("one", "two"))
    claimed_high = one._claim(10)
    claimed_low = two._claim(10)
    (held,) = two._reserve(claimed_low).held
    assert (held.state, held.reason, held.due_at) == ("planned", "priority", later(clock, seconds=6))
    assert [begun.story.id for begun in one._reserve(claimed_high).begun] == [first]


def test_a_better_message_that_cannot_go_stands_in_nobodys_way(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 3)
    low = outbox.add_experiment(database, clock, key="low")
    high = outbox.add_experiment(database, clock, key="high", priority=5)
    lows = outbox.add_messages(database, clock, low, users)
    outbox.add_messages(database, clock, high, users, priority=5)
    outbox.change(
        database,
        lambda s: breakers.trip(
            s,
            kind=breakers.Kind.VARIANT,
            key="high/a",
            at=clock.now(),
            until=None,
            code=None,
            reason="test",
        ),
    )
    begun, held = reserve(Dispatcher(database, clock, outbox.settings(cap_week=1), FakeSender(), "w"))
    assert (begun, held) == (lows, [])


def test_a_pause_between_claim_and_reservation_puts_everything_back(
    database: Database, clock: SteppedClock
) -> None:
    outbox.campaign(database, clock, 3)
    dispatcher = Dispatcher(database, clock, outbox.settings(), FakeSender(), "w")
    claims = dispatcher._claim(10)
    outbox.change(database, lambda s: breakers.pause_all(s, clock, actor="ann", reason="stop"))
    reserved = dispatcher._reserve(claims)
    assert (list(reserved.begun), len(reserved.held)) == ([], 3)
    assert {(m.state, m.reason, m.slot_at) for m in outbox.messages(database).values()} == {
        ("planned", None, None)
    }
    outbox.change(database, lambda s: breakers.resume_all(s, clock, actor="ann"))
    assert dispatch(database, clock, FakeSender()).accepted == 3


def test_the_tier_counts_people_not_messages_and_says_when_room_comes(
    database: Database, clock: SteppedClock
) -> None:
    users = outbox.add_users(database, clock, 5)
    change_users(database, users[4:], last_inbound_at=clock.now() - HOUR)
    put(database, clock, unique_users=2, marketing={})
    experiment = outbox.add_experiment(database, clock)
    ids = outbox.add_messages(database, clock, experiment, users, expires_at=later(clock, days=9))
    start = clock.now()
    assert dispatch(database, clock, FakeSender()).accepted == 3
    told = outbox.messages(database)
    assert [told[pk].state for pk in ids] == ["accepted", "accepted", "planned", "planned", "accepted"]
    assert {(told[pk].reason, told[pk].due_at) for pk in ids[2:4]} == {("tier", start + 24 * HOUR)}
    decided = told[ids[4]].decision
    assert decided is not None
    assert decided["tier"] == {"limit": 2, "counted": 2, "exempt": True}
    clock.current = start + 24 * HOUR
    assert dispatch(database, clock, FakeSender(wamids=outbox.wamids("later"))).accepted == 2


def test_the_adaptive_cap_is_logged_with_its_reasons(database: Database, clock: SteppedClock) -> None:
    keen, tired = outbox.add_users(database, clock, 2)
    put(database, clock, marketing={"week": 2}, adaptive={"lowest": 0.5, "highest": 2})
    old = outbox.add_experiment(database, clock, key="old")
    for step, days in enumerate((3, 5)):
        at = clock.now() - timedelta(days=days)
        outbox.add_messages(
            database,
            clock,
            old,
            [keen, tired],
            step=step,
            state="delivered",
            slot_at=at,
            delivered_at=at,
        )
    outbox.change(
        database,
        lambda s: s.connection().execute(
            update(Message)
            .where(Message.user_pk == keen)
            .values(state="read", read_at=clock.now(), clicked_at=clock.now())  # type: ignore[arg-type]
        ),
    )
    opted_out = {
        "message_id": "m",
        "user_pk": tired,
        "name": "Opted Out",
        "at": clock.now(),
        "received_at": clock.now(),
        "properties": {},
    }
    outbox.change(database, lambda s: s.connection().execute(insert(Event), opted_out))
    new = outbox.add_experiment(database, clock, key="new")
    first, second = outbox.add_messages(database, clock, new, [keen, tired])
    assert dispatch(database, clock, FakeSender()).accepted == 1
    told = outbox.messages(database)
    assert (told[first].state, told[second].state, told[second].reason) == ("accepted", "planned", "cap")
    for pk, factor, evidence, cap in (
        (
            first,
            (3 + 2 + 4) / 7 / 0.6,
            {"reads": 2, "clicks": 2, "delivered": 2, "refused": 0, "opted_out": 0},
            4,
        ),
        (second, 0.5, {"reads": 0, "clicks": 0, "delivered": 2, "refused": 0, "opted_out": 1}, 1),
    ):
        decided = told[pk].decision
        assert decided is not None
        assert decided["factor"] == pytest.approx(min(2, factor))
        assert decided["evidence"] == evidence
        assert decided["caps"] == [{"window": "7d", "cap": cap, "taken": 2}]


@pytest.mark.parametrize(
    ("wrote", "template", "state", "reason"),
    [
        (True, False, "accepted", None),
        (False, False, "suppressed", "window_closed"),
        (True, True, "accepted", None),
        (False, True, "accepted", None),
    ],
)
def test_free_text_goes_out_inside_the_window_only(
    database: Database, clock: SteppedClock, wrote: bool, template: bool, state: str, reason: str | None
) -> None:
    users = outbox.add_users(database, clock, 1)
    if wrote:
        change_users(database, users, last_inbound_at=clock.now() - 24 * HOUR + TICK)
    message = {"text": "Hello {{ user.first_name }}"} | (TEMPLATE if template else {})
    experiment = outbox.add_experiment(database, clock, variants=arms(message))
    (pk,) = outbox.add_messages(database, clock, experiment, users)
    sender = FakeSender()
    dispatch(database, clock, sender)
    stored = outbox.message(database, pk)
    assert (stored.state, stored.reason) == (state, reason)
    kinds = [sent.to_payload()["type"] for sent in sender.sent]
    assert kinds == (["text"] if wrote else ["template"] if template else [])
