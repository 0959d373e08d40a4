"""How an evaluation by OFREP is asked, answered and recorded.

A variant is told only after its exposure has been stored: when that fails the caller gets an error, and its user the default in
the application's code. Somebody who saw a variant and left no trace would be missing from every count. The exposures of requests
that come at the same moment share a commit with each other and with tracking.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.dependencies import key_in, wiring_of
from api.errors import UNREACHABLE, problem_response, status_of
from api.evaluation_memory import json_bytes, tag_of
from api.evaluation_schemas import flag_json
from api.grouped_reads import ContextError, Inquiry
from api.grouped_writes import Submission
from api.requests import unpacked
from api.sdk_features import unless_known
from experiments.errors import Invalid, NotFound, TooLarge, TouchstoneError, Unavailable
from targeting.calls import check_calls
from targeting.evaluation import Answer, Broken

API_KEY_HEADER: Final = "X-API-Key"
_log = logging.getLogger(__name__)


class EvaluationRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response, and whose errors have the shapes of OFREP."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself, and around it what OFREP says of errors."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint

        async def answered(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Exception as error:  # noqa: BLE001  # whatever it is, the caller understands one shape only
                return failure(error, key=request.path_params.get("key"))

        return answered


def failure(error: Exception, *, key: str | None) -> Response:
    """An error as OFREP writes it; `key` is that of the flag, None for all flags together."""
    about = {} if key is None else {"key": key}
    if isinstance(error, ContextError):
        return JSONResponse(
            about | {"errorCode": error.code, "errorDetails": str(error)}, HTTPStatus.BAD_REQUEST
        )
    if isinstance(error, NotFound):
        return JSONResponse(
            about | {"errorCode": "FLAG_NOT_FOUND", "errorDetails": str(error)}, HTTPStatus.NOT_FOUND
        )
    if isinstance(error, Invalid) and not isinstance(error, TooLarge):
        return failure(ContextError("PARSE_ERROR", str(error)), key=key)
    if isinstance(error, UNREACHABLE):
        _log.error("the database does not answer: %s", error)
        error = Unavailable("the database is busy or cannot be reached; try again")
    if isinstance(error, TouchstoneError):
        status, details = status_of(error), str(error)
    elif isinstance(error, HTTPException):
        status, details = HTTPStatus(error.status_code), error.detail
    else:
        _log.exception("an error nobody planned for", exc_info=error)
        status, details = (
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "something went wrong on our side; it has been logged",
        )
    headers = problem_response(status, details).headers
    kept = {name: headers[name] for name in ("www-authenticate", "retry-after") if name in headers}
    return JSONResponse({"errorDetails": details}, status, kept)


async def one_flag(request: Request) -> Response:
    """Evaluate the experiment that the path names."""
    (answer,) = await _evaluate(request, request.path_params["key"])
    status = HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(answer, Broken) else HTTPStatus.OK
    return JSONResponse(flag_json(answer), status)


async def all_flags(request: Request) -> Response:
    """Evaluate every experiment that is running or paused; 304 when the caller has the same answers already."""
    answers = await _evaluate(request, None)
    body = json_bytes({"flags": [flag_json(answer) for answer in answers]})
    return unless_known(request, body, tag_of(body))


async def _evaluate(request: Request, experiment: str | None) -> Sequence[Answer | Broken]:
    wiring = wiring_of(request)
    key = request.headers.get(API_KEY_HEADER) or key_in(request.headers.get("authorization"))
    known = wiring.keyring.find(f"Bearer {key}")
    body = await (await unpacked(request)).body()
    found = await wiring.evaluations.commit(Inquiry(known, key, body, experiment))
    if known is None:
        wiring.keyring.put(f"Bearer {key}", found.principal)
    if found.unrecorded:
        calls = check_calls(found.unrecorded, now=wiring.clock.now(), default_region="")
        await wiring.tracking.commit(Submission(found.principal.key_id, calls), size=len(calls))
        wiring.exposed.add(call.message_id for call in found.unrecorded)
    return found.answers
