"""A simulator over real sockets, a small application that receives what it tells, and our client to send with."""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.server import running
from delivery.whatsapp.client import SendOutcome, WhatsAppClient
from delivery.whatsapp.payloads import TemplateMessage
from delivery.whatsapp.webhooks import (
    StatusUpdate,
    merge_status,
    parse,
)
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
            timeout=60,
            concurrency=16,
        ) as client:
            return [
                outcome
                for _ in range(times)
                for outcome in await asyncio.gather(*(client.send(one) for one in messages))
            ]

    return asyncio.run(go())


def post(url: str, path: str, **document) -> dict:
    response = httpx.post(url + path, json=document, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def status(url: str) -> dict:
    return httpx.get(f"{url}/simulator/status", timeout=60).json()


def drain(url: str, *, seconds: float = 60) -> dict:
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
