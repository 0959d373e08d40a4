"""What became of a POST: told apart on real loopback sockets, since the transport's own error names mislead."""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from delivery.whatsapp.client import Accepted, NotSent, Rejected, SendOutcome, Unknown, WhatsAppClient
from delivery.whatsapp.error_table import ErrorClass
from delivery.whatsapp.payloads import TemplateMessage

MESSAGE = TemplateMessage("+12025550123", "promo_a", "en_US", ("Ann",), "tok", "m-17")
TOKEN = "very-secret-token"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _client(base_url: str, *, timeout: float = 5.0, transport: httpx.AsyncBaseTransport | None = None):
    return WhatsAppClient(
        base_url=base_url,
        version="v26.0",
        phone_number_id="106540352242922",
        token=TOKEN,
        timeout=timeout,
        concurrency=4,
        transport=transport,
    )


def _answered(status: int, **content) -> SendOutcome:
    async def send() -> SendOutcome:
        transport = httpx.MockTransport(lambda request: httpx.Response(status, **content))
        async with _client("http://127.0.0.1:1", transport=transport) as client:
            return await client.send(MESSAGE)

    return asyncio.run(send())


@asynccontextmanager
async def _served(handler: Handler):
    """A server on a free port that answers by `handler`, and ends when every handler has ended."""
    ended: list[asyncio.Event] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        event = ended[-1]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        event.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for event in ended:
            await event.wait()


def _sent_to(handler: Handler, *, timeout: float = 5.0, times: int = 1) -> list[SendOutcome]:
    async def send() -> list[SendOutcome]:
        async with _served(handler) as url, _client(url, timeout=timeout) as client:
            return [await client.send(MESSAGE) for _ in range(times)]

    return asyncio.run(send())


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head, await reader.readexactly(length)


def test_a_refused_connection_wrote_nothing():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but nobody listens

        async def send() -> SendOutcome:
            async with _client(f"http://127.0.0.1:{bound.getsockname()[1]}") as client:
                return await client.send(MESSAGE)

        outcome = asyncio.run(send())
    assert isinstance(outcome, NotSent)
    assert outcome.error_class is ErrorClass.RETRY


@pytest.mark.slow
def test_a_connection_that_is_never_made_wrote_nothing():
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for other in (first, second):  # the backlog is full now: the next SYN is left unanswered
            other.setblocking(False)
            other.connect_ex(address)

        async def send() -> SendOutcome:
            async with _client(f"http://127.0.0.1:{address[1]}", timeout=1.0) as client:
                return await client.send(MESSAGE)

        assert isinstance(asyncio.run(send()), NotSent)


def test_a_server_that_reads_and_drops_leaves_it_unknown():
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.close()

    assert [type(outcome) for outcome in _sent_to(drop)] == [Unknown]


def test_a_reset_leaves_it_unknown():
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    assert [type(outcome) for outcome in _sent_to(reset)] == [Unknown]


def test_a_server_that_drops_at_once_leaves_it_unknown():
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert [type(outcome) for outcome in _sent_to(drop)] == [Unknown]


def test_a_server_that_hangs_leaves_it_unknown():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        await reader.read()  # until the client gives up
        writer.close()

    assert [type(outcome) for outcome in _sent_to(hang, timeout=0.2)] == [Unknown]


def test_a_server_that_trickles_is_cut_off_by_the_whole_timeout():
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()

    assert [type(outcome) for outcome in _sent_to(trickle, timeout=0.3)] == [Unknown]


def test_half_an_answer_is_unknown():
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"mess')
        writer.close()

    assert [type(outcome) for outcome in _sent_to(half)] == [Unknown]


def test_bytes_that_are_not_http_are_unknown():
    async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b"\x00\x01 not http at all\r\n\r\n")
        writer.close()

    assert [type(outcome) for outcome in _sent_to(noise)] == [Unknown]


def test_a_kept_connection_that_was_dropped_is_not_posted_on_twice():
    requests = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await _read_request(reader)
        requests += 1
        body = b'{"messages": [{"id": "wamid.1"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await _read_request(reader)
        requests += 1
        writer.close()

    outcomes = _sent_to(answer_once, times=2)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown]
    assert requests == 2


def test_the_request_is_the_documented_one():
    seen: list[tuple[bytes, bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _read_request(reader))
        body = b'{"contacts": [{"wa_id": "12025550123"}], "messages": [{"id": "wamid.1", "message_status": "accepted"}]}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    assert _sent_to(answer) == [Accepted("wamid.1", "accepted", "12025550123")]
    [(head, body)] = seen
    assert head.startswith(b"POST /v26.0/106540352242922/messages HTTP/1.1\r\n")
    assert f"authorization: bearer {TOKEN}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == MESSAGE.to_payload()


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"code": 130429, "message": "(#130429) Rate limit hit"}, ErrorClass.SLOW_DOWN),
        (401, {"code": 190, "message": "Bad token"}, ErrorClass.NUMBER_FUSE),
        (500, {"code": 131000, "message": "Something went wrong"}, ErrorClass.RETRY),
        (400, {"code": 424242}, ErrorClass.BAD_REQUEST),
        (400, {"code": "190"}, ErrorClass.BAD_REQUEST),
    ],
)
def test_an_error_answer_is_classified_by_its_code(status, error, expected):
    outcome = _answered(status, json={"error": error})
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.http_status) == (expected, status)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {"text": "fine"}),
        (200, {"json": []}),
        (200, {"json": {"messages": []}}),
        (200, {"json": {"messages": [{"id": 3}]}}),
        (500, {"json": {"error": {"code": 1, "message": "API Unknown"}}}),
        (500, {"json": {"error": {"code": 424242}}}),
        (502, {"text": "<html>"}),
        (503, {"json": {"error": "busy"}}),
    ],
)
def test_an_answer_that_settles_nothing_is_unknown(status, content):
    assert isinstance(_answered(status, **content), Unknown)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, ErrorClass.BAD_REQUEST), (403, ErrorClass.NUMBER_FUSE), (429, ErrorClass.SLOW_DOWN)],
)
def test_a_definite_answer_without_json_was_not_sent(status, expected):
    outcome = _answered(status, text="no")
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.error_class) == (None, expected)


def test_numbers_and_secrets_stay_out_of_logs_and_reprs(caplog):
    caplog.set_level(logging.DEBUG)
    error = {"code": 131030, "message": "not allowed", "error_data": {"details": "add +12025550123 first"}}
    outcome = _answered(400, json={"error": error})
    accepted = _answered(200, json={"contacts": [{"wa_id": "12025550123"}], "messages": [{"id": "wamid.1"}]})
    everything = repr(outcome) + repr(accepted) + repr(_client("http://127.0.0.1:1")) + caplog.text
    assert "2025550123" not in everything
    assert TOKEN not in everything
    assert "[number]" in repr(outcome)
