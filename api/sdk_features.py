"""How an SDK gets its features: whose key may stand in an address, and when there is nothing new to send."""

from http import HTTPStatus

from fastapi import Request, Response
from sqlmodel import Session

from api.security import Principal, authenticate
from api.wiring import Wiring
from experiments.errors import Refused
from experiments.vocabulary import Scope


def client_of(session: Session, client_key: str) -> Principal:
    """Whose client key this is. It stands in an address, where browsers and proxies see it, so it must be good for nothing else.

    Raises Unauthenticated, and Refused for a key that may do more than evaluate.
    """
    principal = authenticate(session, client_key)
    if principal.scopes != {Scope.EVALUATE}:
        raise Refused(
            "a client key is seen by everybody: make one that may only evaluate with `touchstone keys create --scope "
            f"evaluate`, and revoke the key {principal.prefix}, which has been sent in an address"
        )
    return principal


def features(request: Request, wiring: Wiring, session: Session) -> Response:
    """The payload, or 304 when the caller has it already."""
    body, tag = wiring.payloads.bytes_of(wiring.evaluator.payload(session, wiring.clock))
    return unless_known(request, body, tag)


def unless_known(request: Request, body: bytes, tag: str) -> Response:
    """A body with its ETag, or 304 without one when the caller has it already."""
    # To be kept, but never used without asking: an experiment that was stopped is stopped at once.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if tag.removeprefix("W/") in known or known == ["*"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
