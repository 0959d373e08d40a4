"""The simulator over real sockets: our client sends, a small application receives, and the world's truth comes out."""

import base64
import time
from collections import Counter, defaultdict
from datetime import timedelta
from math import sqrt

import pytest

from delivery.simulator.loading import read_world
from delivery.simulator.server import running
from delivery.whatsapp.client import Accepted
from delivery.whatsapp.webhooks import (
    InboundMessage,
    StatusUpdate,
    UserPreference,
    verify_signature,
)
from experiments.clock import SteppedClock, parse_moment
from experiments.vocabulary import MessageState
from tests.integration.simulation import (
    SECRET,
    START,
    WRITE_KEY,
    campaign,
    configuration,
    drain,
    message,
    people,
    post,
    receiver,
    send,
    status,
)


def test_a_campaign_is_told_whole_and_true():
    received, final, truth, outcomes = campaign(600)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert all(verify_signature(SECRET, body, signature) for signature, body in received.webhooks)
    assert not any(verify_signature("other", body, signature) for signature, body in received.webhooks)

    states = received.final_states()
    assert set(states) == {f"m-{n}" for n in range(400)}
    assert set(states.values()) <= {MessageState.READ, MessageState.DELIVERED, MessageState.FAILED}
    assert (final["accepted"], final["accepted_per_message_max"], final["posts_per_message_max"]) == (
        400,
        1,
        1,
    )
    assert (final["failed_calls"], final["webhooks_lost"], final["retries"]) == (0, 0, 0)
    assert len(received.webhooks) < final["statuses"] / 2  # batched

    visitors = received.visitors()
    assert received.credentials == {"Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()}
    assert max(Counter(event["messageId"] for event in received.events).values()) == 1
    for arm, (low, high) in {"reminder": (0, 200), "coupon": (200, 400), "silence": (400, 600)}.items():
        expected = (truth["silence"] if arm == "silence" else truth["treatments"][arm])["visit"]
        observed = sum(f"u{n}" in visitors for n in range(low, high)) / 200
        assert abs(observed - expected) < 4 * sqrt(expected * (1 - expected) / 200), arm
    assert truth["silence"]["visit"] == pytest.approx(0.2)
    assert truth["treatments"]["reminder"]["visit"] == pytest.approx(0.4)
    assert truth["treatments"]["coupon"]["difference"]["visit"] == pytest.approx(0.4)

    clicked = {int(token.removeprefix("tok-")) for token in received.clicks}
    assert all(states[f"m-{n}"] is MessageState.READ for n in clicked)
    orders = [event for event in received.events if event["event"] == "Order Completed"]
    assert orders
    assert {event["userId"] for event in orders} <= visitors
    assert all(event["properties"]["revenue"] > 0 for event in orders)
    stopped = [item for item in received.items() if isinstance(item, InboundMessage | UserPreference)]
    assert {type(item) for item in stopped} == {InboundMessage, UserPreference}


def test_times_are_those_of_the_simulated_clock_however_late_they_are_told():
    received, _, _, _ = campaign(90, clock_factor=10_000_000.0)
    moments = [item.at for item in received.items() if isinstance(item, StatusUpdate)]
    moments += [parse_moment(event["timestamp"]) for event in received.events]
    assert all(moment >= START for moment in moments)
    by_message = defaultdict(dict)
    for item in received.items():
        if isinstance(item, StatusUpdate):
            by_message[item.wamid][item.status] = item.at
    read = [times for times in by_message.values() if MessageState.READ in times]
    assert read
    for times in read:
        assert times[MessageState.SENT] <= times[MessageState.DELIVERED] <= times[MessageState.READ]
        # Six scales are the longest delay: an hour for reading, seconds for the rest.
        assert (times[MessageState.READ] - times[MessageState.SENT]).total_seconds() < 6 * (3600 + 10 + 2)


def test_the_same_seed_gives_the_same_fates_and_another_seed_others():
    def outcome(**changes) -> tuple:
        received, _, _, _ = campaign(300, **changes)
        orders = sorted((e["userId"], e["properties"].get("revenue", 0)) for e in received.events)
        return received.final_states(), sorted(received.clicks), orders

    first = outcome()
    assert outcome(concurrency=3, batch=7) == first
    assert outcome(seed=8) != first


def test_exactly_those_come_whom_the_world_lets_come_and_each_but_once():
    """A harmful template keeps people home, and two helpful ones bring nobody twice."""
    behaviour = {
        "silence": {"visit": 0.5},
        "templates": {"nuisance": {"visit": 0.1}, "reminder": {"visit": 0.6}, "coupon": {"visit": 0.7}},
    }
    document = {"people": people(300), "behaviour": behaviour}
    with receiver() as (url, received):
        config = configuration(url)
        with running(config) as simulator:
            post(simulator, "/simulator/world", **document)
            messages = [message(n, "nuisance") for n in range(100)]
            messages += [message(n, template) for n in range(100, 200) for template in ("reminder", "coupon")]
            send(simulator, messages)
            # Opened a simulated minute after the last message, so that none comes too late to keep somebody home.
            moment = parse_moment(status(simulator)["now"]) + timedelta(minutes=1)
            post(simulator, "/simulator/begin", at=moment.isoformat(), window="7d")
            drain(simulator)
    world = read_world(document, config)
    nuisance, reminder, coupon = (world.fates[name] for name in ("nuisance", "reminder", "coupon"))
    expected = {f"u{n}" for n in range(100) if world.own.visits[n] and not nuisance.prevented[n]}
    expected |= {
        f"u{n}" for n in range(100, 200) if world.own.visits[n] or reminder.caused[n] or coupon.caused[n]
    }
    expected |= {f"u{n}" for n in range(200, 300) if world.own.visits[n]}
    assert received.visitors() == expected
    assert any(nuisance.prevented[:100])
    assert any(reminder.caused[100:200] & coupon.caused[100:200])
    assert len(received.events) == len(expected)


def test_nothing_happens_before_its_time():
    clock = SteppedClock(START)
    with receiver() as (url, received), running(configuration(url), clock) as simulator:
        send(simulator, [message(n, "anything") for n in range(5)])
        time.sleep(0.2)
        assert received.webhooks == []
        for step, expected in (
            (2, MessageState.SENT),
            (10, MessageState.DELIVERED),
            (3600, MessageState.READ),
        ):
            clock.advance(timedelta(seconds=step))
            deadline = time.monotonic() + 60
            while status(simulator)["statuses"] % 5 or set(received.final_states().values()) != {expected}:
                assert time.monotonic() < deadline, expected
                time.sleep(0.01)
        assert drain(simulator)["statuses"] == 15
