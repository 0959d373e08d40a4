"""How an evaluation by OFREP is asked, answered and recorded.

A variant is told only after its exposure has been stored: when that fails the caller gets an error, and its user the default in
the application's code. Somebody who saw a variant and left no trace would be missing from every count. The exposures of requests
that come at the same moment share a commit with each other and with tracking.
"""

import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from api import key_repository
from api.dependencies import key_in, wiring_of
from api.errors import problem_response, status_of
from api.evaluation_memory import json_bytes, tag_of
from api.evaluation_schemas import flag_json
from api.grouped_writes import Submission
from api.requests import unpacked
from api.sdk_features import unless_known
from api.security import UNKNOWN_KEY, Principal, authenticate
from api.strict_json import read_json
from api.wiring import Wiring
from experiments.errors import Invalid, NotFound, TooLarge, TouchstoneError, Unauthenticated, Unavailable
from experiments.vocabulary import Scope
from targeting import evaluation_repository
from targeting.calls import TrackCall, check_calls
from targeting.evaluation import Answer, Broken, exposures
from targeting.profile import check_user_id

API_KEY_HEADER: Final = "X-API-Key"
_log = logging.getLogger(__name__)

Answers = Sequence[Answer | Broken]
Ask = Callable[[Session, str, Mapping[str, Any]], Answers]


class ContextError(TouchstoneError):
    """A request that cannot be evaluated; `code` is OpenFeature's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code: Final = code


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
    if isinstance(error, OperationalError):
        _log.error("the database does not answer: %s", error)
        error = Unavailable("the database is busy or cannot be reached; try again")
    if isinstance(error, TouchstoneError):
        status, details = status_of(error), str(error)
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
    key, evaluator, clock = request.path_params["key"], wiring_of(request).evaluator, wiring_of(request).clock

    def ask(session: Session, user_id: str, attributes: Mapping[str, Any]) -> Answers:
        return [evaluator.answer(session, clock, key=key, user_id=user_id, attributes=attributes)]

    (answer,) = await _evaluate(request, ask)
    status = HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(answer, Broken) else HTTPStatus.OK
    return JSONResponse(flag_json(answer), status)


async def all_flags(request: Request) -> Response:
    """Evaluate every experiment that is running or paused; 304 when the caller has the same answers already."""
    evaluator, clock = wiring_of(request).evaluator, wiring_of(request).clock

    def ask(session: Session, user_id: str, attributes: Mapping[str, Any]) -> Answers:
        return evaluator.answers(session, clock, user_id=user_id, attributes=attributes)

    answers = await _evaluate(request, ask)
    body = json_bytes({"flags": [flag_json(answer) for answer in answers]})
    return unless_known(request, body, tag_of(body))


async def _evaluate(request: Request, ask: Ask) -> Answers:
    wiring = wiring_of(request)
    key = request.headers.get(API_KEY_HEADER)
    proof = f"Bearer {key}" if key else request.headers.get("authorization", "")
    known = wiring.keyring.find(proof)
    body = await (await unpacked(request)).body()
    told = await run_sync(partial(_read, wiring, known, proof, body, ask))
    if known is None:
        wiring.keyring.put(proof, told.principal)
    if told.unrecorded:
        calls = check_calls(told.unrecorded, now=wiring.clock.now(), default_region="")
        await wiring.tracking.commit(Submission(told.principal.key_id, calls), size=len(calls))
        wiring.exposed.add(call.message_id for call in told.unrecorded)
    return told.answers


@dataclass(frozen=True, slots=True)
class _Told:
    """Answers, and the exposures among them that are not stored yet."""

    principal: Principal
    answers: Answers
    unrecorded: Sequence[TrackCall]


def _read(wiring: Wiring, known: Principal | None, proof: str, body: bytes, ask: Ask) -> _Told:
    with wiring.database.snapshot() as session:
        principal = _principal(session, known, proof)
        user_id, attributes = read_context(body)
        answers = ask(session, user_id, attributes)
        seen = wiring.exposed.new(exposures(answers, user_id=user_id, at=wiring.clock.now()))
        stored = evaluation_repository.stored(session, [call.message_id for call in seen])
    wiring.exposed.add(stored)
    return _Told(principal, answers, [call for call in seen if call.message_id not in stored])


def _principal(session: Session, known: Principal | None, proof: str) -> Principal:
    """Whose key this is, with the scope evaluate; one that was seen before may have been revoked since."""
    principal = known or authenticate(session, key_in(proof))
    if known is not None and key_repository.revoked_keys(session, {known.key_id}):
        raise Unauthenticated(UNKNOWN_KEY)
    principal.require(Scope.EVALUATE)
    return principal


def read_context(body: bytes) -> tuple[str, dict[str, Any]]:
    """User id and attributes in the body of a request; raises ContextError."""
    try:
        document = read_json(body)
    except json.JSONDecodeError as error:
        raise ContextError("PARSE_ERROR", f"the body is not valid JSON: {error.msg}") from error
    context = document.get("context") if isinstance(document, dict) else None
    if not isinstance(context, dict):
        raise ContextError("INVALID_CONTEXT", "the body is an object with a `context`, which is an object")
    user_id = context.get("targetingKey")
    if user_id is None or user_id == "":
        raise ContextError("TARGETING_KEY_MISSING", "the context has no `targetingKey`")
    if not isinstance(user_id, str):
        raise ContextError("INVALID_CONTEXT", "`targetingKey` is text")
    try:
        check_user_id(user_id, field="targetingKey")
    except Invalid as error:
        raise ContextError("INVALID_CONTEXT", str(error)) from error
    return user_id, {name: value for name, value in context.items() if name != "targetingKey"}
