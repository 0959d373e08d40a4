"""HTTP is said once: how every error becomes an RFC 9457 problem document."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.strict_json import TooDeepError, UnfitError
from experiments.errors import (
    Conflict,
    InsufficientData,
    Invalid,
    NotFound,
    Problem,
    Refused,
    TooLarge,
    TouchstoneError,
    Unauthenticated,
    Unavailable,
)
from experiments.mistakes import place_of
from experiments.quantities import INSIDE

MEDIA_TYPE: Final = "application/problem+json"
BEARER: Final = 'Bearer realm="touchstone"'
"""Only where Basic is taken is it offered: a browser asks its user for a name and a password then."""
_TOO_LARGE: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_ABOUT_THE_BODY: Final = frozenset({HTTPStatus.BAD_REQUEST, _TOO_LARGE})
UNREACHABLE: Final = (OperationalError, InterfaceError, NoConnectionError)
"""The database is busy, went away, or all connections to it are in use."""
_LENGTHS: Final = {"too_long": "most", "too_short": "least"}
_log = logging.getLogger(__name__)

# The first class that fits decides, so a subclass stands before its base.
_STATUS: Final[tuple[tuple[type[TouchstoneError], HTTPStatus], ...]] = (
    (TooLarge, _TOO_LARGE),
    (Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Refused, HTTPStatus.FORBIDDEN),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (InsufficientData, HTTPStatus.CONFLICT),
)


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def answer_to(request: Request, error: Exception) -> JSONResponse:
    """The problem document for an error, for who answers outside of the framework."""
    handler = next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)
    return await handler(request, error)


class ProblemWhenTooLarge:
    """Around everything: the framework refuses a body over its bound in plain text, outside of every handler of errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the application says, except that refusal."""
        replaced = False

        async def told(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == _TOO_LARGE:
                replaced = Headers(raw=message["headers"]).get("content-type") != MEDIA_TYPE
                if replaced:
                    words = "is larger than is taken here"
                    answer = problem_response(_TOO_LARGE, f"body: {words}", (Problem("body", words),))
                    await answer(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, told)


def problem_document(status: HTTPStatus, detail: str, problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """The body of a problem document; `errors` names each wrong field."""
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "errors": [{"field": problem.field, "message": problem.message} for problem in problems],
    }


def problem_response(status: HTTPStatus, detail: str, problems: tuple[Problem, ...] = ()) -> JSONResponse:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = BEARER
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return JSONResponse(problem_document(status, detail, problems), status, headers, media_type=MEDIA_TYPE)


def status_of(error: TouchstoneError) -> HTTPStatus:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


async def _ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TouchstoneError)  # noqa: S101  # registered for this class
    return problem_response(status_of(error), str(error), error.problems)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class
    cause = error.__cause__
    if isinstance(cause, TooDeepError | UnfitError):
        problems: tuple[Problem, ...] = (Problem(cause.path or "body", cause.msg),)
    else:
        problems = tuple(_problem_of(item) for item in error.errors())
    return problem_response(
        HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(str(problem) for problem in problems), problems
    )


def _problem_of(item: dict[str, Any]) -> Problem:
    place = item["loc"]
    if item["type"] == "json_invalid":
        return Problem("body", f"is not valid JSON: {item.get('ctx', {}).get('error', item['msg'])}")
    if place == ("body",) and isinstance(item.get("input"), bytes):
        return Problem("body", "is not sent as JSON; say so with Content-Type: application/json")
    # "body", "query" and "path" say where a value was, which the name of the field says already.
    inner = len(place) > 1 or item["type"] == INSIDE
    path = place_of({**item, "loc": tuple(place[1:] if inner else place)})
    return Problem(path, _words_of(item))


def _words_of(item: dict[str, Any]) -> str:
    words = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in _LENGTHS and isinstance(item.get("input"), str):
        # Of a text whose letters are looked at as well pydantic speaks as of a list, and counts aloud.
        bound = item["ctx"].get("max_length", item["ctx"].get("min_length"))
        return f"String should have at {_LENGTHS[item['type']]} {bound} character{'' if bound == 1 else 's'}"
    return words


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    status = HTTPStatus(error.status_code)
    problems = (Problem("body", str(error.detail)),) if status in _ABOUT_THE_BODY else ()
    response = problem_response(status, str(error.detail), problems)
    response.headers.update(error.headers or {})
    return response


async def _disconnected(_request: Request, _error: Exception) -> JSONResponse:
    # Nobody reads this answer, but the log tells 400 from 500, and the body that ended early was the caller's doing.
    return problem_response(HTTPStatus.BAD_REQUEST, "the connection ended before the body did")


async def _integrity(_request: Request, error: Exception) -> JSONResponse:
    _log.info("a concurrent change won: %s", type(error).__name__)
    return problem_response(
        HTTPStatus.CONFLICT, "somebody else changed the same thing at the same moment; try again"
    )


async def _data(_request: Request, _error: Exception) -> JSONResponse:
    return problem_response(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "a value cannot be stored: it is too long, out of range or holds a NUL character",
    )


async def _operational(_request: Request, error: Exception) -> JSONResponse:
    _log.error("the database does not answer: %s", error)
    return problem_response(
        HTTPStatus.SERVICE_UNAVAILABLE, "the database is busy or cannot be reached; try again"
    )


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    _log.exception("an error nobody planned for", exc_info=error)
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; it has been logged"
    )


_HANDLERS: Final[dict[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]]] = {
    TouchstoneError: _ours,
    RequestValidationError: _validation,
    HTTPException: _http,
    ClientDisconnect: _disconnected,
    IntegrityError: _integrity,
    DataError: _data,
    **dict.fromkeys(UNREACHABLE, _operational),
    Exception: _unexpected,
}
