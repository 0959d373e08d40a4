"""Bad networks over real sockets: half answers, refused connections, 5xx after acceptance, scripts, webhooks in any shape."""

import asyncio
import json
import socket
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.engine import LINGER_SECONDS, Engine
from delivery.simulator.fault_plan import read_fault_plan
from delivery.simulator.profile import Telling
from delivery.simulator.server import running
from delivery.whatsapp.client import Accepted, NotSent, SendOutcome, Unknown
from delivery.whatsapp.webhooks import StatusUpdate, verify_signature
from experiments.clock import SteppedClock, parse_moment
from experiments.vocabulary import MessageState
from tests.integration.simulation import (
    SECRET,
    START,
    TOKEN,
    configuration,
    drain,
    message,
    post,
    receiver,
    send,
    status,
)


def _ledger(simulator: str, limit: int = 1000) -> tuple[dict[str, dict], dict]:
    entries, totals, after = {}, {}, 0
    while after is not None:
        page = httpx.get(f"{simulator}/simulator/ledger", params={"after": after, "limit": limit}).json()
        totals = page.get("totals", totals)
        entries |= {entry["callback_data"]: entry for entry in page["data"]}
        after = page["next"]
    return entries, totals


@pytest.mark.parametrize("fault", ["reset", "server_error_after", "drop"])
def test_an_accepted_message_without_an_answer_ends_unknown_and_is_told_of(fault):
    faults = Faults(**{fault: 0.5})
    with receiver() as (url, received), running(configuration(url, faults=faults)) as simulator:
        outcomes = send(simulator, [message(n, "anything") for n in range(60)])
        drain(simulator)
        entries, totals = _ledger(simulator, limit=7)
    assert {type(outcome) for outcome in outcomes} == {Accepted, Unknown}
    unanswered = {key for key, entry in entries.items() if entry["messages"][0]["unanswered"]}
    assert unanswered == {f"m-{n}" for n, outcome in enumerate(outcomes) if isinstance(outcome, Unknown)}
    assert len(received.final_states()) == 60
    assert totals == {
        "entries": 60,
        "posts": 60,
        "accepted": 60,
        "doubled": 0,
        "unanswered": len(unanswered),
        "states": {"read": 60},
    }


def test_a_reset_comes_in_the_middle_of_the_answer():
    config = SimulatorConfig(token=TOKEN, throughput=None, faults=Faults(reset=1.0))
    with running(config) as simulator:
        body = json.dumps(message(0, "anything").to_payload()).encode()
        head = (
            f"POST /v26.0/{config.phone_number_id}/messages HTTP/1.1\r\nHost: simulator\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", int(simulator.rsplit(":", 1)[1])), timeout=10) as line:
            line.sendall(head.encode() + body)
            with pytest.raises(ConnectionResetError):
                while line.recv(65536):
                    continue


def test_a_sender_that_resends_what_is_unknown_is_found_out():
    with running(SimulatorConfig(token=TOKEN, throughput=None, faults=Faults(drop=0.5), seed=4)) as simulator:
        messages = [message(n, "anything") for n in range(40)]
        first = send(simulator, messages)
        again = [one for one, outcome in zip(messages, first, strict=True) if isinstance(outcome, Unknown)]
        send(simulator, again)
        entries, totals = _ledger(simulator)
    assert again
    assert {key for key, entry in entries.items() if entry["accepted"] > 1} == {
        one.callback_data for one in again
    }
    assert totals["doubled"] == len(again)


def _settled(simulator: str, count: int) -> list[type[SendOutcome]]:
    return [type(outcome) for outcome in send(simulator, [message(n, "anything") for n in range(count)])]


def _until(simulator: str, *, listening: bool) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{simulator}/healthz")
            heard = True
        except httpx.TransportError:
            heard = False
        if heard == listening:
            return
        assert time.monotonic() < end, f"the port is still {'closed' if listening else 'open'}"
        time.sleep(0.02)


def test_connections_are_refused_for_a_while():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        assert _settled(simulator, 3) == [Accepted] * 3
        post(simulator, "/simulator/refuse", seconds=2.0)
        _until(simulator, listening=False)
        assert _settled(simulator, 3) == [NotSent] * 3
        _until(simulator, listening=True)
        assert _settled(simulator, 3) == [Accepted] * 3
        assert status(simulator)["posts"] == 6
        assert httpx.post(f"{simulator}/simulator/refuse", json={"seconds": -1}).status_code == 422


def test_the_script_closes_the_port_by_posts_and_by_the_clock():
    by_posts = read_fault_plan([{"fault": "refuse", "from": 3, "by": "posts", "seconds": 2.0}])
    with running(SimulatorConfig(token=TOKEN, throughput=None, fault_plan=by_posts)) as simulator:
        assert _settled(simulator, 3) == [Accepted] * 3
        _until(simulator, listening=False)
        assert _settled(simulator, 2) == [NotSent] * 2
        _until(simulator, listening=True)
    by_clock = read_fault_plan([{"fault": "refuse", "from": 60, "to": 120}])
    clock = SteppedClock(START)
    config = SimulatorConfig(token=TOKEN, throughput=None, fault_plan=by_clock, clock_start=START)
    with running(config, clock) as simulator:
        assert _settled(simulator, 2) == [Accepted] * 2
        clock.advance(timedelta(seconds=60))
        _until(simulator, listening=False)
        assert _settled(simulator, 2) == [NotSent] * 2
        clock.advance(timedelta(seconds=60))
        _until(simulator, listening=True)
        assert _settled(simulator, 2) == [Accepted] * 2


def test_the_same_script_and_seed_do_the_same_in_any_order():
    plan = read_fault_plan(
        [
            {"fault": "error", "code": 131016, "share": 0.2},
            {"fault": "drop", "share": 0.2},
            {"fault": "late", "share": 0.3},
            {"fault": "duplicate", "share": 0.3},
        ]
    )

    def run(order: int) -> tuple[dict, Counter]:
        with receiver() as (url, received), running(configuration(url, fault_plan=plan)) as simulator:
            messages = [message(n, "anything") for n in range(60)][::order]
            outcomes = send(simulator, messages)
            drain(simulator)
        kinds = {one.callback_data: type(outcome) for one, outcome in zip(messages, outcomes, strict=True)}
        told = Counter(
            (item.callback_data, item.status) for item in received.items() if isinstance(item, StatusUpdate)
        )
        return kinds, told

    kinds, told = run(1)
    assert (kinds, told) == run(-1)
    assert len(set(kinds.values())) == 3
    assert max(told.values()) == 2


def test_webhooks_come_broken_up_repeated_and_out_of_order_and_end_the_same():
    telling = Telling(statuses_per_change=3, changes_per_entry=2, repeat=0.5, reorder_seconds=20_000)
    with receiver() as (url, received), running(configuration(url, telling=telling, batch=20)) as simulator:
        send(simulator, [message(n, "anything") for n in range(80)])
        final = drain(simulator)
    assert all(verify_signature(SECRET, body, signature) for signature, body in received.webhooks)
    assert set(received.final_states().values()) == {MessageState.READ}
    bodies = Counter(body for _, body in received.webhooks)
    assert max(bodies.values()) == 2
    assert sum(count == 2 for count in bodies.values()) == final["webhooks_repeated"] > 0
    documents = [json.loads(body) for body in bodies]
    assert max(len(document["entry"]) for document in documents) > 1
    assert max(len(e["changes"]) for d in documents for e in d["entry"]) == 2
    assert max(len(c["value"]["statuses"]) for d in documents for e in d["entry"] for c in e["changes"]) == 3
    order: dict[str, list[MessageState]] = {}
    for item in received.items():
        assert isinstance(item, StatusUpdate)
        order.setdefault(item.callback_data, []).append(item.status)
    assert any(
        states.index(MessageState.READ) < states.index(MessageState.DELIVERED) for states in order.values()
    )


def test_a_reset_begins_the_script_anew():
    plan = read_fault_plan([{"fault": "error", "code": 131016, "to": 3, "by": "posts"}])
    with running(SimulatorConfig(token=TOKEN, throughput=None, fault_plan=plan)) as simulator:
        for _ in range(2):
            codes = [
                getattr(one, "code", None) for n in range(3) for one in send(simulator, [message(n, "x")])
            ]
            assert codes == [131016, 131016, None]
            post(simulator, "/simulator/reset")


def test_an_engine_ends_in_the_very_turn_in_which_something_happens():
    async def play() -> None:
        engine = Engine(SimulatorConfig(token=TOKEN), SteppedClock(START))
        await engine.start()
        await asyncio.sleep(10 * LINGER_SECONDS)  # by now the pump waits for something to happen
        engine.tell(())
        async with asyncio.timeout(5):
            await engine.stop()

    asyncio.run(play())


def test_ledger_pages_are_bounded():
    with running(SimulatorConfig(token=TOKEN)) as simulator:
        for query in ("limit=10001", "limit=x", "after=-1"):
            answer = httpx.get(f"{simulator}/simulator/ledger?{query}")
            assert answer.status_code == 422
            assert answer.json()["problems"][0]["field"] == query.split("=")[0]
        empty = httpx.get(f"{simulator}/simulator/ledger").json()
    assert (empty["data"], empty["next"], empty["totals"]["posts"]) == ([], None, 0)


def test_realistic_is_a_configuration_like_any_other():
    with receiver() as (url, _):
        known = SimulatorConfig.realistic(seed=9, webhook_url=f"{url}/webhooks")
        assert (known.seed, known.faults.meta_holdout, known.limits.pair_rest) == (9, 0.01, 6.0)
        with running(replace(known, token=TOKEN)) as simulator:
            assert _settled(simulator, 3) == [Accepted] * 3


def test_the_clock_slows_down_when_told_and_only_one_that_hurries():
    at = "2026-12-03T10:00:00Z"
    with running(configuration("http://127.0.0.1:9", clock_factor=1e6)) as simulator:
        assert post(simulator, "/simulator/slow", at=at) == {"at": at}
        time.sleep(0.3)  # two days take 0.2 seconds
        passed = parse_moment(status(simulator)["now"]) - parse_moment(at)
        assert timedelta(0) <= passed < timedelta(hours=1)
        wrong = httpx.post(f"{simulator}/simulator/slow", json={"at": "soon"})
        assert (wrong.status_code, wrong.json()["problems"][0]["field"]) == (422, "at")
    with running(configuration("http://127.0.0.1:9"), SteppedClock(START)) as simulator:
        refused = httpx.post(f"{simulator}/simulator/slow", json={})
        assert (refused.status_code, "nothing to slow down" in refused.text) == (409, True)
