"""The simulator over real sockets: our client sends, a small application receives, and the world's truth comes out."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import sqrt

import httpx
import pytest
import uvicorn
from pywa import WhatsApp
from pywa.types import MessageStatus
from pywa.types.message_status import MessageStatusType
from pywa.types.templates import TemplateLanguage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.loading import read_world
from delivery.simulator.server import build_app, running
from delivery.whatsapp.client import Accepted, Rejected, SendOutcome, Unknown, WhatsAppClient
from delivery.whatsapp.error_table import ErrorClass
from delivery.whatsapp.payloads import TemplateMessage
from delivery.whatsapp.webhooks import (
    InboundMessage,
    StatusUpdate,
    UserPreference,
    merge_status,
    parse,
    verify_signature,
)
from experiments.clock import SteppedClock, parse_moment
from experiments.errors import Unavailable
from experiments.vocabulary import MessageState

START = datetime(2026, 12, 1, 10, tzinfo=UTC)
SECRET, TOKEN, WRITE_KEY = "app-secret", "bearer-token", "write-key"
PHONE_NUMBER_ID = "106540352242922"
BEHAVIOUR = {
    "silence": {"visit": 0.2, "buy": 0.5, "revenue": 30},
    "templates": {
        "reminder": {
            "delivered": 0.9,
            "read": 0.8,
            "clicked": 0.7,
            "visit": 0.4,
            "opted_out": 0.1,
            "parameters": 1,
            "language": "en_US",
        },
        "coupon": {"delivered": 0.9, "read": 0.9, "clicked": 0.8, "visit": 0.6, "parameters": 1},
    },
}


def people(count: int) -> list[dict[str, str]]:
    return [{"user_id": f"u{n}", "phone": f"+1{202 + n // 100}5550{100 + n % 100}"} for n in range(count)]


@dataclass
class Received:
    """What the receiving application was told."""

    webhooks: list[tuple[str, bytes]] = field(default_factory=list)
    clicks: list[str] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    refuse_webhooks: int = 0

    def items(self) -> list:
        return [item for _, body in self.webhooks for item in parse(body)]

    def final_states(self) -> dict[str, MessageState]:
        states: dict[str, MessageState] = defaultdict(lambda: MessageState.ACCEPTED)
        for item in self.items():
            if isinstance(item, StatusUpdate):
                assert item.callback_data is not None
                states[item.callback_data] = merge_status(states[item.callback_data], item.status)
        return dict(states)

    def visitors(self) -> set[str]:
        return {event["userId"] for event in self.events if event["event"] == "Visited"}


@contextmanager
def receiver() -> Iterator[tuple[str, Received]]:
    received = Received()

    async def webhook(request: Request) -> Response:
        body = await request.body()
        if received.refuse_webhooks:
            received.refuse_webhooks -= 1
            return Response(status_code=503)
        received.webhooks.append((request.headers["x-hub-signature-256"], body))
        return Response()

    async def follow(request: Request) -> Response:
        received.clicks.append(request.path_params["token"])
        return RedirectResponse("http://127.0.0.1:9/never-followed", status_code=302)

    async def track(request: Request) -> Response:
        received.credentials.add(request.headers["authorization"])
        received.events.append(await request.json())
        return JSONResponse({"success": True})

    routes = [
        Route("/webhooks", webhook, methods=["POST"]),
        Route("/r/{token}", follow),
        Route("/v1/track", track, methods=["POST"]),
    ]
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_level="warning", access_log=False
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", received
    finally:
        server.should_exit = True
        thread.join()


def configuration(url: str, **changes) -> SimulatorConfig:
    config = SimulatorConfig(
        token=TOKEN,
        phone_number_id=PHONE_NUMBER_ID,
        app_secret=SECRET,
        webhook_url=f"{url}/webhooks",
        public_url=url,
        tracking_url=url,
        write_key=WRITE_KEY,
        seed=7,
        throughput=None,
        clock_start=START,
        clock_factor=1_000_000.0,
    )
    return replace(config, **changes)


def message(position: int, template: str) -> TemplateMessage:
    return TemplateMessage(
        people(position + 1)[-1]["phone"], template, "en_US", ("Ann",), f"tok-{position}", f"m-{position}"
    )


def send(
    base_url: str, messages: list[TemplateMessage], *, token: str = TOKEN, times: int = 1
) -> list[SendOutcome]:
    async def go() -> list[SendOutcome]:
        async with WhatsAppClient(
            base_url=base_url,
            version="v26.0",
            phone_number_id=PHONE_NUMBER_ID,
            token=token,
            timeout=10,
            concurrency=16,
        ) as client:
            return [
                outcome
                for _ in range(times)
                for outcome in await asyncio.gather(*(client.send(one) for one in messages))
            ]

    return asyncio.run(go())


def post(url: str, path: str, **document) -> dict:
    response = httpx.post(url + path, json=document, timeout=10)
    assert response.status_code == 200, response.text
    return response.json()


def status(url: str) -> dict:
    return httpx.get(f"{url}/simulator/status").json()


def drain(url: str, *, seconds: float = 20) -> dict:
    """Wait until nothing is left to happen."""
    end = time.monotonic() + seconds
    while not (now := status(url))["idle"]:
        assert time.monotonic() < end, now
        time.sleep(0.02)
    return now


def campaign(count: int, **changes) -> tuple[Received, dict, dict, list[SendOutcome]]:
    """Send `reminder` to the first and `coupon` to the second third; the last third hears nothing."""
    with receiver() as (url, received), running(configuration(url, **changes)) as simulator:
        post(simulator, "/simulator/world", people=people(count), behaviour=BEHAVIOUR)
        third = count // 3
        messages = [message(n, "reminder" if n < third else "coupon") for n in range(2 * third)]
        post(simulator, "/simulator/begin", window="7d")
        outcomes = send(simulator, messages)
        final = drain(simulator)
        truth = httpx.get(f"{simulator}/simulator/truth").json()
    return received, final, truth, outcomes


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
            deadline = time.monotonic() + 5
            while status(simulator)["statuses"] % 5 or set(received.final_states().values()) != {expected}:
                assert time.monotonic() < deadline, expected
                time.sleep(0.01)
        assert drain(simulator)["statuses"] == 15


def test_a_link_that_leads_nowhere_brings_nobody():
    with receiver() as (url, received):
        config = replace(configuration(url), public_url=f"{url}/webhooks")  # answers links with 404
        with running(config) as simulator:
            post(
                simulator,
                "/simulator/world",
                people=people(50),
                behaviour={"templates": {"t": {"visit": 0.2}}},
            )
            send(simulator, [message(n, "t") for n in range(50)])
            final = drain(simulator)
    assert final["failed_calls"] > 0
    assert (received.clicks, received.events) == ([], [])


def test_the_simulator_can_be_called_inside_the_process():
    config = SimulatorConfig(token=TOKEN, throughput=None, faults=Faults(drop=0.5))

    async def go() -> list[SendOutcome]:
        app = build_app(config)
        await app.state.engine.start()
        try:
            async with WhatsAppClient(
                base_url="http://127.0.0.1",
                version="v26.0",
                phone_number_id=PHONE_NUMBER_ID,
                token=TOKEN,
                transport=httpx.ASGITransport(app),
            ) as client:
                return [await client.send(message(n, "anything")) for n in range(30)]
        finally:
            await app.state.engine.stop()

    assert {type(outcome) for outcome in asyncio.run(go())} == {Accepted, Unknown}


def test_duplicates_and_late_webhooks_end_in_the_same_states():
    calm, _, _, _ = campaign(150)
    wild, final, _, _ = campaign(150, faults=Faults(duplicate=0.5, late=0.5))
    assert wild.final_states() == calm.final_states()
    assert final["statuses"] > len([item for item in calm.items() if isinstance(item, StatusUpdate)])
    order = defaultdict(list)
    for item in wild.items():
        if isinstance(item, StatusUpdate):
            order[item.wamid].append(item.status)
    assert any(states[0] is MessageState.READ for states in order.values())


def test_a_webhook_that_is_refused_comes_again():
    with receiver() as (url, received), running(configuration(url)) as simulator:
        received.refuse_webhooks = 3
        outcomes = send(simulator, [message(n, "anything") for n in range(20)])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        final = drain(simulator)
    assert final["retries"] == 3
    assert final["webhooks_lost"] == 0
    assert set(received.final_states().values()) == {MessageState.READ}
    assert len(received.final_states()) == 20


def test_lines_that_are_cut_end_unknown_and_the_message_went_out_all_the_same():
    faults = Faults(drop=0.3, server_error=0.2)
    with receiver() as (url, received), running(configuration(url, faults=faults)) as simulator:
        outcomes = send(simulator, [message(n, "anything") for n in range(100)])
        final = drain(simulator)
    unknown = [outcome for outcome in outcomes if isinstance(outcome, Unknown)]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(unknown) + len(accepted) == 100
    assert 30 <= len(unknown) <= 70
    cut = final["accepted"] - len(accepted)
    assert cut > 0
    assert len(received.final_states()) == final["accepted"]


def test_people_whom_nothing_reaches_are_refused_or_fail_later():
    faults = Faults(marketing_cap=0.2, meta_holdout=0.2, undeliverable=0.2)
    with receiver() as (url, received):
        with running(configuration(url, faults=faults)) as simulator:
            post(simulator, "/simulator/world", people=people(100), behaviour={"templates": {"t": {}}})
            outcomes = send(simulator, [message(n, "t") for n in range(100)])
            drain(simulator)
        with running(configuration(url, faults=replace(faults, as_status=True))) as simulator:
            post(simulator, "/simulator/world", people=people(100), behaviour={"templates": {"t": {}}})
            received.webhooks.clear()
            later = send(simulator, [message(n, "t") for n in range(100)])
            drain(simulator)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    kinds = Counter(outcome.error_class for outcome in refused)
    assert set(kinds) == {ErrorClass.RECIPIENT_LATER, ErrorClass.NEVER_FOR_PERSON}
    assert {outcome.code for outcome in refused} == {131049, 130472, 131026}
    assert all(isinstance(outcome, Accepted) for outcome in later)
    failed = {
        item.callback_data: item.error_code
        for item in received.items()
        if isinstance(item, StatusUpdate) and item.error_code
    }
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, Rejected):
            assert failed[f"m-{position}"] == outcome.code


def test_a_number_has_its_throughput():
    with running(SimulatorConfig(token=TOKEN, throughput=20)) as simulator:
        outcomes = send(simulator, [message(n, "anything") for n in range(60)])
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {outcome.code for outcome in refused} == {130429}
    assert {outcome.error_class for outcome in refused} == {ErrorClass.SLOW_DOWN}
    assert 20 <= len(outcomes) - len(refused) < 50


def test_a_doubled_message_shows():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        send(simulator, [message(0, "anything")], times=2)
        assert status(simulator)["accepted_per_message_max"] == 2
        assert status(simulator)["posts_per_message_max"] == 2


def test_what_the_graph_api_refuses_is_refused():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        post(simulator, "/simulator/world", people=people(1), behaviour=BEHAVIOUR)
        good = message(0, "reminder")
        wrong = {
            132000: replace(good, body_parameters=("a", "b")),
            132001: replace(good, template="unheard_of"),
            131026: replace(good, to="+12125550199"),
            131021: replace(good, to=f"+{SimulatorConfig().display_phone_number}"),
        }
        assert [type(outcome) for outcome in send(simulator, [good])] == [Accepted]
        codes = [
            outcome.code for outcome in send(simulator, list(wrong.values())) if isinstance(outcome, Rejected)
        ]
        assert codes == list(wrong)
        [stranger] = send(simulator, [good], token="wrong")
        assert isinstance(stranger, Rejected)
        assert (stranger.code, stranger.http_status) == (190, 401)
        assert [type(outcome) for outcome in send(simulator, [replace(good, language="nl")])] == [Rejected]


def test_held_webhooks_wait_for_their_release():
    with receiver() as (url, received), running(configuration(url, hold=True)) as simulator:
        send(simulator, [message(n, "anything") for n in range(10)])
        time.sleep(0.3)
        assert received.webhooks == []
        assert status(simulator)["queued"] == 10
        post(simulator, "/simulator/release")
        drain(simulator)
        assert len(received.final_states()) == 10


def test_a_world_in_motion_is_not_replaced_until_it_is_reset(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(json.dumps(person) for person in people(50)))
    with receiver() as (url, received), running(configuration(url)) as simulator:
        world = {"people_path": str(path), "behaviour": {"silence": {"visit": 1}}}
        assert post(simulator, "/simulator/world", **world)["people"] == 50
        assert post(simulator, "/simulator/begin", at="2026-12-01T10:00:00Z", window="1d") == {"visitors": 50}
        for path_, document in (("/simulator/world", world), ("/simulator/begin", {})):
            assert httpx.post(simulator + path_, json=document).status_code == 409
        drain(simulator)
        assert len(received.visitors()) == 50
        assert received.clicks == []
        assert post(simulator, "/simulator/reset")["people"] == 0
        assert post(simulator, "/simulator/world", **world)["people"] == 50


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("/simulator/world", {"people": 3}, "people"),
        ("/simulator/world", {"people": [{"user_id": "u"}]}, "people[0].phone"),
        ("/simulator/world", {"people_path": "/nowhere.jsonl"}, "people_path"),
        (
            "/simulator/world",
            {"people": [], "behaviour": {"silence": {"visit": 2}}},
            "behaviour.silence.visit",
        ),
        ("/simulator/begin", {"window": "soon"}, "window"),
        ("/simulator/begin", {"at": "2026-12-01"}, "at"),
    ],
)
def test_wrong_worlds_are_refused_by_field(path, document, field):
    with running(SimulatorConfig()) as simulator:
        response = httpx.post(simulator + path, json=document)
        assert response.status_code == 422
        assert [problem["field"] for problem in response.json()["problems"]] == [field]
        assert httpx.post(simulator + path, content=b"{").status_code == 422


def test_a_busy_port_is_said_plainly():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = SimulatorConfig(port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="cannot listen"), running(config):
            pass


def test_a_public_client_speaks_with_the_simulator_and_reads_its_webhooks():
    """pywa is somebody else's client: what it sends is understood, and what we emit it understands."""
    with receiver() as (url, received), running(configuration(url)) as simulator:
        post(simulator, "/simulator/world", people=people(1), behaviour=BEHAVIOUR)

        def redirect(request: httpx.Request) -> httpx.Response:
            assert request.url.host == "graph.facebook.com"
            with httpx.Client() as plain:
                answer = plain.post(
                    simulator + request.url.path, content=request.read(), headers=dict(request.headers)
                )
            return httpx.Response(answer.status_code, content=answer.content)

        with httpx.Client(transport=httpx.MockTransport(redirect)) as session:
            client = WhatsApp(phone_id=PHONE_NUMBER_ID, token=TOKEN, session=session, server=None)
            components = message(0, "reminder").to_payload()["template"]["components"]
            sent = client.send_template(
                to="12025550100",
                name="reminder",
                language=TemplateLanguage.ENGLISH_US,
                params=components,
                tracker="m-0",
            )
            drain(simulator)
            statuses = [
                MessageStatus.from_update(client, json.loads(body), status_idx=index, contact_idx=index)
                for _, body in received.webhooks
                for index in range(
                    len(json.loads(body)["entry"][0]["changes"][0]["value"].get("statuses", []))
                )
            ]
    assert {one.id for one in statuses} == {sent.id}
    assert {one.tracker for one in statuses} == {"m-0"}
    assert statuses[0].status is MessageStatusType.SENT
    assert {one.from_user.wa_id for one in statuses} == {"12025550100"}
