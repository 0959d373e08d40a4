"""How an SDK gets its features: whose key may stand in an address, and when there is nothing new to send."""

from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlmodel import Session

from api import key_repository
from api.dependencies import wiring_of
from api.security import UNKNOWN_KEY, Principal, authenticate
from api.wiring import Wiring
from experiments.clock import Clock
from experiments.errors import Refused, Unauthenticated
from experiments.vocabulary import Scope


class FeaturesRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response, and is called with nothing in between."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


async def features(request: Request) -> Response:
    """The payload, or 304 when the caller has it already."""
    wiring, client_key = wiring_of(request), request.path_params["client_key"]
    proof = f"client {client_key}"
    known = wiring.keyring.find(proof)
    client, body, tag = await run_sync(partial(_read, wiring, known, client_key))
    if known is None:
        wiring.keyring.put(proof, client)
    return unless_known(request, body, tag)


def _read(wiring: Wiring, known: Principal | None, client_key: str) -> tuple[Principal, bytes, str]:
    with wiring.database.snapshot() as session:
        client = known or client_of(session, wiring.clock, client_key)
        if known is not None and key_repository.revoked_keys(session, {known.key_id}):
            raise Unauthenticated(UNKNOWN_KEY)
        payload = wiring.evaluator.payload(session, wiring.clock)
    return client, *wiring.payloads.bytes_of(payload)


def client_of(session: Session, clock: Clock, client_key: str) -> Principal:
    """Whose client key this is. It stands in an address, where browsers and proxies see it, so it must be good for nothing else.

    Raises Unauthenticated, and Refused for a key that may do more than evaluate.
    """
    principal = authenticate(session, clock, client_key)
    if principal.scopes != {Scope.EVALUATE}:
        raise Refused(
            "a client key is seen by everybody: make one that may only evaluate with `touchstone keys create --scope "
            f"evaluate`, and revoke the key {principal.prefix}, which has been sent in an address"
        )
    return principal


def unless_known(request: Request, body: bytes, tag: str) -> Response:
    """A body with its ETag, or 304 without one when the caller has it already."""
    # To be kept, but never used without asking: an experiment that was stopped is stopped at once.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if tag.removeprefix("W/") in known or known == ["*"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
