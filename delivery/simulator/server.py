"""The simulator as a server: the Graph API's endpoint, and `/simulator/..` to set the world up and look at it."""

import asyncio
import hmac
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.engine import Engine
from delivery.simulator.graph import refusal
from delivery.simulator.loading import read_world
from experiments.clock import Clock, parse_duration, parse_moment
from experiments.errors import Conflict, Invalid, TouchstoneError, Unavailable

HOST = "127.0.0.1"
START_SECONDS = 10.0
_CUT = "touchstone.cut"


class _Messages:
    """`POST /{version}/{phone_number_id}/messages`, as a bare ASGI application: it may cut the line instead of answering."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._token = f"Bearer {engine.config.token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        given = request.headers.get("authorization", "").encode()
        raw = await request.body()
        if not hmac.compare_digest(given, self._token):
            answer = refusal(190, "Invalid OAuth access token")
        elif request.path_params["phone_number_id"] != self._engine.config.phone_number_id:
            answer = refusal(100, "Unsupported post request. Object with this ID does not exist")
        else:
            answer = self._engine.receive(raw)
        if answer.drop:
            await _cut(scope, receive)
            return
        if answer.wait:
            await asyncio.sleep(answer.wait)
        response = Response(answer.body, status_code=answer.status, media_type=answer.media_type)
        await response(scope, receive, send)


async def _cut(scope: Scope, receive: Receive) -> None:
    cut = scope.get("extensions", {}).get(_CUT)
    if cut is None:
        raise ConnectionResetError(
            "cut by the simulator"
        )  # in-process: what the caller of the application sees
    cut()
    while (await receive())["type"] != "http.disconnect":
        continue


class _Protocol(HttpToolsProtocol):
    """Lets an application cut its connection, as a failing network would."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[_CUT] = self.transport.abort


def build_app(config: SimulatorConfig, clock: Clock | None = None) -> Starlette:
    """The simulator as an ASGI application; `app.state.engine` is its Engine. `clock` defaults to the configuration's."""
    engine = Engine(config, clock or config.clock())

    async def world(request: Request) -> Response:
        document = await _json(request)
        loaded = await engine.load(partial(read_world, document, config))
        return JSONResponse({"people": len(loaded.people), "templates": sorted(loaded.templates)})

    async def begin(request: Request) -> Response:
        document = await _json(request)
        at = document.get("at")
        try:
            moment = engine.clock.now() if at is None else parse_moment(str(at))
        except ValueError as error:
            raise Invalid(str(error), field="at") from error
        return JSONResponse({"visitors": engine.begin(moment, _window(document))})

    async def truth(_: Request) -> Response:
        return JSONResponse(engine.world.truth())

    async def status(_: Request) -> Response:
        return JSONResponse(engine.status())

    async def reset(_: Request) -> Response:
        await engine.reset()
        return JSONResponse(engine.status())

    async def hold(_: Request) -> Response:
        engine.hold()
        return JSONResponse(engine.status())

    async def release(_: Request) -> Response:
        engine.release()
        return JSONResponse(engine.status())

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    app = Starlette(
        routes=[
            Route("/{version}/{phone_number_id}/messages", _Messages(engine), methods=["POST"]),
            Route("/simulator/world", world, methods=["POST"]),
            Route("/simulator/begin", begin, methods=["POST"]),
            Route("/simulator/truth", truth),
            Route("/simulator/status", status),
            Route("/simulator/reset", reset, methods=["POST"]),
            Route("/simulator/hold", hold, methods=["POST"]),
            Route("/simulator/release", release, methods=["POST"]),
            Route("/healthz", health),
        ],
        exception_handlers={Conflict: _explain, Invalid: _explain},
        lifespan=lifespan,
    )
    app.state.engine = engine
    return app


def _window(document: dict[str, Any]) -> timedelta:
    window = document.get("window", "7d")
    try:
        return parse_duration(window) if isinstance(window, str) else timedelta(seconds=window)
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid("must be a duration such as 7d, or seconds", field="window") from error


async def _json(request: Request) -> dict[str, Any]:
    raw = await request.body()
    try:
        document = await asyncio.to_thread(json.loads, raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise Invalid("the request body is not JSON") from error
    if not isinstance(document, dict):
        raise Invalid("the request body is not a JSON object")
    return document


async def _explain(_: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, TouchstoneError) else ()
    detail = {"detail": str(error), "problems": [{"field": p.field, "message": p.message} for p in problems]}
    return JSONResponse(detail, status_code=409 if isinstance(error, Conflict) else 422)


def _server(config: SimulatorConfig, clock: Clock | None) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            build_app(config, clock),
            http=_Protocol,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
    )


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise Unavailable(f"the simulator cannot listen on {HOST}:{port}: {error.strerror}") from error
    return listener


def run(config: SimulatorConfig) -> None:
    """Serve on loopback until the process is told to end; Unavailable when the port is taken."""
    with _bind(config.port) as listener:
        _server(config, None).run(sockets=[listener])


@contextmanager
def running(config: SimulatorConfig, clock: Clock | None = None) -> Iterator[str]:
    """Serve from a thread of this process; gives the base URL, such as `http://127.0.0.1:40123`."""
    with _bind(config.port) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        server = _server(config, clock)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True
        )
        thread.start()
        pause = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            if server.started or not thread.is_alive():
                break
            pause.wait(0.01)
        try:
            if not server.started:
                raise Unavailable(f"the simulator did not start on {address}")
            yield address
        finally:
            server.should_exit = True
            thread.join()
