"""The simulator as a server on loopback: `build_app` for in-process use, `run` for a process, `running` for a test."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.control_app import control_routes
from delivery.simulator.engine import Engine
from delivery.simulator.graph_app import CUT, graph_routes
from experiments.clock import Clock
from experiments.errors import Conflict, Invalid, NotFound, TouchstoneError, Unavailable

HOST = "127.0.0.1"
START_SECONDS = 10.0
REBIND_SECONDS = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Protocol(HttpToolsProtocol):
    """Lets an application cut its connection, as a failing network would."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[CUT] = self._cut

    def _cut(self, hard: bool) -> None:
        """`hard`: with a reset, not with the polite end that an empty line would get."""
        if hard:
            line = self.transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class _Server(uvicorn.Server):
    """A server whose port can be closed for a while, so that connections are refused."""

    def __init__(self, config: uvicorn.Config, port: int) -> None:
        super().__init__(config)
        self._port = port
        self._shut_until = 0.0
        self._reopening: asyncio.Task[None] | None = None

    def shut(self, seconds: float) -> None:
        """Close the port and every idle connection; those with a request under way end after its answer."""
        loop = asyncio.get_running_loop()
        self._shut_until = max(self._shut_until, loop.time() + seconds)
        if self._reopening is not None and not self._reopening.done():
            return
        for server in self.servers:
            server.close()
        self.servers.clear()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._reopening = loop.create_task(self._reopen())

    async def _reopen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = self._shut_until - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        protocol = partial(
            _Protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        while not self.should_exit:
            try:
                server = await loop.create_server(protocol, sock=_bind(self._port))
            except Unavailable:
                await asyncio.sleep(
                    REBIND_SECONDS
                )  # somebody's outgoing connection may have borrowed the port
                continue
            self.servers.append(server)
            return


def build_app(config: SimulatorConfig, clock: Clock | None = None) -> Starlette:
    """The simulator as an ASGI application; `app.state.engine` is its Engine. `clock` defaults to the configuration's."""
    engine = Engine(config, clock or config.clock())

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    messages, *others = graph_routes(engine)
    app = Starlette(
        # The hot one first; those of Graph that would match anything last.
        routes=[messages, *control_routes(engine), Route("/healthz", health), *others],
        exception_handlers={Conflict: _explain, Invalid: _explain, NotFound: _explain},
        lifespan=lifespan,
    )
    app.state.engine = engine
    return app


async def _explain(_: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, TouchstoneError) else ()
    detail = {"detail": str(error), "problems": [{"field": p.field, "message": p.message} for p in problems]}
    status = 409 if isinstance(error, Conflict) else 404 if isinstance(error, NotFound) else 422
    return JSONResponse(detail, status_code=status)


def _server(config: SimulatorConfig, clock: Clock | None, port: int) -> _Server:
    app = build_app(config, clock)
    server = _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        ),
        port,
    )
    app.state.engine.door.shut = server.shut
    return server


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise Unavailable(f"the simulator cannot listen on {HOST}:{port}: {error.strerror}") from error
    return listener


def run(config: SimulatorConfig, *, listening: Callable[[], None] | None = None) -> None:
    """Serve on loopback until the process is told to end, after calling `listening`; Unavailable when the port is taken."""
    with _bind(config.port) as listener:
        if listening is not None:
            listening()
        _server(config, None, listener.getsockname()[1]).run(sockets=[listener])


@contextmanager
def running(config: SimulatorConfig, clock: Clock | None = None) -> Iterator[str]:
    """Serve from a thread of this process; gives the base URL, such as `http://127.0.0.1:40123`."""
    with _bind(config.port) as listener:
        port = listener.getsockname()[1]
        address = f"http://{HOST}:{port}"
        server = _server(config, clock, port)
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
