"""The Graph API's endpoints: messages, templates, the number."""

import asyncio
import hmac
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from delivery.simulator.engine import Engine
from delivery.simulator.graph import Answer, GraphError, refusal
from experiments.clock import to_micros

CUT: Final = "touchstone.cut"
"""The ASGI extension by which a server lets an application cut its connection; `CUT(hard)`: with a reset."""


class _Token:
    """Checks the bearer token."""

    def __init__(self, engine: Engine) -> None:
        self._expected = f"Bearer {engine.config.token}".encode()

    def wrong(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode()
        return not hmac.compare_digest(given, self._expected)


class _Messages:
    """`POST /{version}/{phone_number_id}/messages`, as a bare ASGI application: it may cut the line instead of answering."""

    def __init__(self, engine: Engine, token: _Token) -> None:
        self._engine = engine
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._engine.door.closed and CUT not in scope.get("extensions", {}):
            raise ConnectionRefusedError("refused by the simulator")
        request = Request(scope, receive)
        raw = await request.body()
        if self._token.wrong(request):
            answer = refusal(190, "Invalid OAuth access token")
        elif request.path_params["node"] != self._engine.config.phone_number_id:
            answer = refusal(100, "Unsupported post request. Object with this ID does not exist")
        else:
            answer = self._engine.receive(raw)
        if answer.cut:
            await _cut(scope, receive, send, answer)
            return
        if answer.wait:
            await asyncio.sleep(answer.wait)
        await _response(answer)(scope, receive, send)


def _response(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, media_type=answer.media_type)


async def _cut(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    half = answer.cut == "half"
    if half:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": body, "more_body": True})
    cut = scope.get("extensions", {}).get(CUT)
    if cut is None:
        # In-process: what the caller of the application sees.
        raise ConnectionResetError("cut by the simulator")
    cut(half)
    while (await receive())["type"] != "http.disconnect":
        continue


def graph_routes(engine: Engine) -> list[BaseRoute]:
    """The routes, answering for one engine."""
    token = _Token(engine)

    async def templates(request: Request) -> Response:
        def page() -> dict[str, Any]:
            url = str(request.url.replace(query=""))
            query = dict(request.query_params)
            return engine.registry.page(query, url=url, now=to_micros(engine.clock.now()))

        if request.path_params["node"] != engine.config.waba_id:
            return _response(refusal(100, "Unsupported get request. Object with this ID does not exist"))
        return answered(request, page)

    async def node(request: Request) -> Response:
        if request.path_params["version"] == "simulator":
            raise HTTPException(404)  # not Graph's, and nothing of ours either
        if request.path_params["node"] != engine.config.phone_number_id:
            return _response(refusal(100, "Unsupported get request. Object with this ID does not exist"))
        return answered(request, lambda: engine.number.node(request.query_params.get("fields")))

    def answered(request: Request, work: Any) -> Response:
        if token.wrong(request):
            return _response(refusal(190, "Invalid OAuth access token"))
        try:
            return JSONResponse(work())
        except GraphError as error:
            return _response(refusal(error.code, error.details))

    return [
        Route("/{version}/{node}/messages", _Messages(engine, token), methods=["POST"]),
        Route("/{version}/{node}/message_templates", templates),
        Route("/{version}/{node}", node),
    ]
