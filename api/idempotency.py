"""Writes that carry an `Idempotency-Key` happen once; a repeat gets the first answer again.

The key is remembered before the write, and the answer in the same transaction as the write itself. A repeat while the first is under way is a Conflict, a
repeat with another body is Invalid, and a write that failed on our side is forgotten so that it can be tried again.
"""

import hashlib
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request, Response
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from api import repository
from api.dependencies import principal_of, wiring_of
from api.models import RememberedAnswer
from api.requests import StrictRequest, StrictRoute
from api.wiring import Wiring
from experiments.errors import Conflict, Invalid

REMEMBERED_FOR: Final = timedelta(hours=24)
ABANDONED_AFTER: Final = timedelta(minutes=2)
"""A write that has not finished by then died with its process; its key may be used again."""


class IdempotentRoute(StrictRoute):
    """A route that honours `Idempotency-Key` on everything but GET."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if key is None or request.method in {"GET", "HEAD"}:
                return await handler(request)
            if not 0 < len(key) <= 200:
                raise Invalid("must have 1 to 200 characters", field="Idempotency-Key")
            request = StrictRequest(request.scope, request.receive)
            wiring = wiring_of(request)
            principal = await run_sync(principal_of, request)
            fingerprint = _fingerprint(request, await request.body())
            first = await run_sync(_begin, wiring, principal.key_id, key, fingerprint)
            if first is not None:
                return Response(first.body or b"", first.status or 200, media_type=first.media_type)
            try:
                response = await handler(_replayed(request))
            except Exception:
                # Nothing is written; the same key may be tried again, and gets the same refusal if nothing changes.
                await run_sync(_forget, wiring, _open_session(request), principal.key_id, key)
                raise
            await run_sync(_finish, wiring, _open_session(request), principal.key_id, key, response)
            return response

        return once


def _replayed(request: StrictRequest) -> Request:
    """A request whose body, which has been read, can be read again."""
    body = request._body  # noqa: SLF001  # Starlette's own cache of the body that was just read

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


def _fingerprint(request: Request, body: bytes) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(body)
    return digest.hexdigest()


def _begin(wiring: Wiring, api_key_id: int, key: str, fingerprint: str) -> RememberedAnswer | None:
    now = wiring.clock.now()
    try:
        with wiring.database.transaction() as session:
            repository.forget_answers_before(session, moment=now - REMEMBERED_FOR)
            known = repository.remembered(session, api_key_id=api_key_id, idempotency_key=key)
            if known is not None and known.status is None and known.started_at < now - ABANDONED_AFTER:
                session.delete(known)
                session.flush()
                known = None
            if known is None:
                session.add(
                    RememberedAnswer(
                        api_key_id=api_key_id, idempotency_key=key, fingerprint=fingerprint, started_at=now
                    )
                )
                return None
    except IntegrityError as error:
        raise Conflict("the same write is under way; wait for its answer", field="Idempotency-Key") from error
    if known.fingerprint != fingerprint:
        raise Invalid("was used for another request; choose a new one", field="Idempotency-Key")
    if known.status is None:
        raise Conflict("the same write is under way; wait for its answer", field="Idempotency-Key")
    return known


def _open_session(request: Request) -> Session | None:
    """The session of the write, which is committed only after the route's handler, that is after us, has returned."""
    session: Session | None = getattr(request.state, "write_session", None)
    return session


def _finish(wiring: Wiring, session: Session | None, api_key_id: int, key: str, response: Response) -> None:
    with nullcontext(session) if session else wiring.database.transaction() as writing:
        repository.finish_answer(
            writing,
            api_key_id=api_key_id,
            idempotency_key=key,
            status=response.status_code,
            media_type=response.media_type or response.headers.get("content-type"),
            body=bytes(response.body),
        )


def _forget(wiring: Wiring, session: Session | None, api_key_id: int, key: str) -> None:
    if session:
        session.rollback()
    with wiring.database.transaction() as writing:
        repository.forget_answer(writing, api_key_id=api_key_id, idempotency_key=key)
