"""Servers in processes of their own, on loopback, and a client that costs as little as possible."""

import asyncio
import base64
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.demo.rehearsal import free_port, wait_until
from api.wiring import Wiring

HOST: Final = "127.0.0.1"
CONNECTIONS: Final = 32
LONGEST_SECONDS: Final = 60.0


@contextmanager
def in_other_process(
    target: Callable[..., None], *arguments: Any, port: int, ready: str, apart: bool = False
) -> Iterator[str]:
    """Run `target` in a new process until the block ends; gives its base URL once `ready` answers.

    `apart`: the new process and this one keep to a core each, where there are two. The threads of a client would otherwise
    wander to the core of the server and back, and the same run takes half as long again by chance.
    """
    cores = sorted(os.sched_getaffinity(0)) if apart and hasattr(os, "sched_getaffinity") else []
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    url = f"http://{HOST}:{port}"
    try:
        if len(cores) > 1:
            assert process.pid is not None
            # Threads that are made from now on inherit it.
            os.sched_setaffinity(process.pid, {cores[1]})
            os.sched_setaffinity(0, {cores[0]})
        wait_until(lambda: _answers(url + ready), what=f"the server on port {port}")
        yield url
    finally:
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores))
        process.terminate()
        process.join(timeout=10)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def api_server(**settings: Any) -> Iterator[str]:
    """Our API with these settings, and `POST /noop` in one server.

    The no-op is a FastAPI endpoint as one writes it, without a thread, that takes the same body as a JSON object and
    does nothing with it. It is the first of all routes, so that it does not pay for the length of our list of them.
    """
    port = free_port()
    with in_other_process(_serve, port, settings, port=port, ready="/readyz") as url:
        yield url


def _serve(port: int, settings: dict[str, Any]) -> None:
    app: FastAPI = create_app(Wiring.from_environment(**settings))

    @app.post("/noop")
    async def noop(body: dict[str, Any]) -> dict[str, bool]:
        del body
        return {"success": True}

    app.router.routes.insert(0, app.router.routes.pop())
    uvicorn.run(app, host=HOST, port=port, log_level="error", access_log=False)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def basic(key: str) -> str:
    """The value of an Authorization header that carries a write key as user name."""
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A POST as it goes over the line."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send_all(url: str, requests: Sequence[bytes], *, connections: int = CONNECTIONS) -> float:
    """Send ready-made requests over so many connections, each waiting for its answer; returns requests per second.

    Raises AssertionError for an answer other than 200. A full client library would cost more than the server does.
    """
    return asyncio.run(asyncio.wait_for(_send_all(url, requests, connections), LONGEST_SECONDS))


async def _send_all(url: str, requests: Sequence[bytes], connections: int) -> float:
    port = httpx.URL(url).port
    waiting = iter(requests)

    async def work() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            for request in waiting:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().find(b"content-length:")
                body = b""
                if length >= 0:
                    body = await reader.readexactly(int(head[length + 15 : head.index(b"\r", length)]))
                if not head.startswith(b"HTTP/1.1 200"):
                    raise AssertionError(f"{head[:80]!r} {body[:200]!r}")
        finally:
            writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return len(requests) / (time.perf_counter() - start)
