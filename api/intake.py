"""How a tracking request is taken in: body, key, calls, commit, answer.

Tracking is the one way in that is measured in thousands a second, so its routes leave FastAPI's machinery for
dependencies, validation and answers aside; they are described in the OpenAPI document all the same. The calls of
requests that come at the same moment share a transaction (`group_commit`), and each is answered after its commit.
"""

import uuid
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import anyio.from_thread
from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api import idempotency, segment
from api.dependencies import key_in, wiring_of
from api.errors import BEARER, answer_to
from api.grouped_writes import Submission
from api.requests import gunzip, is_packed
from api.security import Principal, authenticate
from api.segment import Message
from api.wiring import Wiring
from experiments.errors import TooLarge, Unauthenticated
from experiments.vocabulary import Scope as KeyScope
from targeting.calls import CheckedCall, check_calls

LARGE_BODY: Final = 64 * 1024
"""A body of more bytes is read in a thread, so that it does not keep everybody else waiting."""
_NAMESPACE: Final = uuid.UUID("4f0f1d5e-6f0c-5d0e-9d37-5f2b0a5c9a11")


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response, and is called with nothing in between."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


class TrackingRoute(DirectRoute):
    """A direct route that takes an Idempotency-Key."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        more = options.get("openapi_extra") or {}
        options["openapi_extra"] = {**more, "parameters": [idempotency.PARAMETER]}
        super().__init__(path, endpoint, **options)


class Shortcut:
    """Around the whole application: calls the endpoints of direct routes at once, and passes everything else on.

    Finding a route among all, and the layers around it, cost more than storing an event does. The routes remain what
    they are: this only leaves out the way to them.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._endpoints = {route.path: route.endpoint for route in routes if isinstance(route, DirectRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:  # noqa: BLE001  # every error has an answer; one that nobody planned for is logged
            response = await answer_to(request, error)
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = f'{BEARER}, Basic realm="touchstone"'
        await response(scope, receive, send)


def described(model: str) -> dict[str, Any]:
    """What the OpenAPI document says of a body."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def take(request: Request, kind: Any) -> Response:
    """Store the calls in the body of a request, all or none; answers after the commit."""
    wiring = wiring_of(request)
    authorization = request.headers.get("authorization")
    principal = None
    if authorization is not None:
        principal = await _principal(wiring, authorization)
    reader = _Reader(wiring, kind, is_packed(request))
    body = await read_body(request, wiring.settings.max_body_bytes)
    large = len(body) > LARGE_BODY
    unpacked, message = await run_sync(reader.read, body) if large else reader.read(body)
    if principal is None:
        principal = await _principal(wiring, f"Bearer {_key_in(message)}")
    key = idempotency.key_of(request)
    check = partial(reader.check, message, _message_ids(principal, key))
    calls = await run_sync(check) if large or reader.is_packed else check()
    submission = Submission(principal.key_id, calls)
    if key is None:
        return await _commit(wiring, submission)
    return await run_sync(
        partial(
            idempotency.once,
            wiring,
            api_key_id=principal.key_id,
            key=key,
            fingerprint=idempotency.fingerprint_of(request, unpacked),
            work=lambda _alive: anyio.from_thread.run(_commit, wiring, submission),
        )
    )


async def read_body(request: Request, limit: int) -> bytes:
    """The body as it came; raises TooLarge as soon as there is too much of it."""
    body: bytes = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"is larger than {limit} bytes", field="body")
        if not message.get("more_body", False):
            return body


async def _commit(wiring: Wiring, submission: Submission) -> Response:
    done = await wiring.tracking.commit(submission, size=len(submission.calls))
    answer = b'{"success":true,"accepted":%d,"duplicates":%d}' % (done.accepted, done.duplicates)
    return Response(answer, media_type="application/json")


async def _principal(wiring: Wiring, authorization: str) -> Principal:
    """Whose key this is, with the scope ingest. From memory: the commit makes sure that it has not been revoked."""
    principal = wiring.keyring.find(authorization)
    if principal is None:
        principal = await run_sync(_look_up, wiring, authorization)
        wiring.keyring.put(authorization, principal)
    principal.require(KeyScope.INGEST)
    return principal


def _look_up(wiring: Wiring, authorization: str) -> Principal:
    with wiring.database.snapshot() as session:
        return authenticate(session, wiring.clock, key_in(authorization))


def _key_in(message: Message) -> str:
    if message.write_key is None:
        raise Unauthenticated("send a write key: as user name of Basic authentication, or as writeKey")
    return message.write_key


def _message_ids(principal: Principal, key: str | None) -> Callable[[int], str] | None:
    # A write that is done again under its key, because a process died before the answer was kept, must not count twice.
    if key is None:
        return None
    return lambda index: str(uuid.uuid5(_NAMESPACE, f"{principal.key_id} {key} {index}"))


@dataclass(frozen=True, slots=True)
class _Reader:
    """The part that needs no waiting: bytes become checked calls."""

    wiring: Wiring
    kind: Any
    is_packed: bool

    def read(self, body: bytes) -> tuple[bytes, Message]:
        if self.is_packed:
            body = gunzip(body, limit=self.wiring.settings.max_body_bytes)
        return body, segment.read(body, self.kind)

    def check(self, message: Message, new_id: Callable[[int], str] | None) -> list[CheckedCall]:
        now = self.wiring.clock.now()
        calls = segment.calls_of(message, now=now, new_id=new_id)
        region = self.wiring.settings.default_region
        return check_calls(calls, now=now, default_region=region, in_batch=message.in_batch)
