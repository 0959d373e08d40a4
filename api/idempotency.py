"""Writes that carry an `Idempotency-Key` happen once; a repeat gets the first answer again.

The key is remembered before the write, and the answer in the same transaction as the write itself. A repeat while the first is under way is a Conflict, a
repeat with another body is Invalid, and a write that failed (up to and including its commit) is forgotten so that it can be tried again. An answer that
may not be stored (`Cache-Control: no-store`, it holds a secret) is not: a repeat does nothing, and is told so.
"""

import hashlib
import re
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, nullcontext
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request, Response
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from api import repository
from api.dependencies import principal_of, wiring_of
from api.models import RememberedAnswer
from api.requests import StrictRoute, replayed, unpacked
from api.wiring import Wiring
from experiments.errors import Conflict, Invalid

REMEMBERED_FOR: Final = timedelta(hours=24)
ABANDONED_AFTER: Final = timedelta(minutes=2)
"""A write of which nothing was heard by then died with its process; its key may be used again."""
TOLD_EVERY: Final = ABANDONED_AFTER / 4
"""How often a write that takes long says that it is alive."""
HEADER: Final = "Idempotency-Key"
PARAMETER: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Chosen by the caller, new for each write; a repeat within a day gets the first answer again",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}
_KEY: Final = re.compile("[!-~]{1,200}")


class IdempotentRoute(StrictRoute):
    """A route that honours `Idempotency-Key` on everything but GET."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if set(options.get("methods") or {"GET"}) - {"GET", "HEAD"}:
            options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "parameters": [PARAMETER]}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = key_of(request)
            if key is None or request.method in {"GET", "HEAD"}:
                return await handler(request)
            request = await unpacked(request)
            body = await request.body()
            principal = await run_sync(principal_of, request)
            write = _Write(wiring_of(request), principal.key_id, key)
            first = await run_sync(write.begin, fingerprint_of(request, body))
            if first is not None:
                return first
            # FastAPI's own stack around this handler and the dependencies of the route. What is put on it now runs after the
            # route's transaction has been committed or has failed.
            ends: AsyncExitStack = request.scope["fastapi_function_astack"]
            ends.push_async_exit(partial(_forget_failed, write))
            response = await handler(replayed(request, body))
            # The transaction of the write is committed only after we have returned.
            await run_sync(write.finish, getattr(request.state, "write_session", None), response)
            return response

        return once


def key_of(request: Request) -> str | None:
    """The `Idempotency-Key` of a request; raises Invalid for what cannot be one."""
    key = request.headers.get(HEADER)
    if key is not None and _KEY.fullmatch(key) is None:
        raise Invalid("must be 1 to 200 letters, digits and signs of ASCII, without blanks", field=HEADER)
    return key


def fingerprint_of(request: Request, body: bytes) -> str:
    """Tells whether a repeat asks for the same."""
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(body)
    return digest.hexdigest()


def once(
    wiring: Wiring,
    *,
    api_key_id: int,
    key: str | None,
    fingerprint: str,
    work: Callable[[Callable[[], None]], Response],
) -> Response:
    """The same for a write that makes its own transactions: `work` is done, unless it was done under this key before.

    What it is called with it calls every now and then when it takes long, or it would count as dead.
    """
    if key is None:
        return work(lambda: None)
    write = _Write(wiring, api_key_id, key)
    first = write.begin(fingerprint)
    if first is not None:
        return first
    try:
        response = work(write.tell)
    except Exception:
        write.forget()
        raise
    write.finish(None, response)
    return response


async def _forget_failed(
    write: "_Write",
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _trace: TracebackType | None,
) -> None:
    if isinstance(error, Exception):
        await run_sync(write.forget)


class _Write:
    """One write under one key."""

    def __init__(self, wiring: Wiring, api_key_id: int, key: str) -> None:
        self._wiring = wiring
        self._name: dict[str, Any] = {"api_key_id": api_key_id, "idempotency_key": key}
        self._told_at = wiring.clock.now()

    def begin(self, fingerprint: str) -> Response | None:
        """The first answer, or None when the write is to be done now."""
        now = self._wiring.clock.now()
        try:
            with self._wiring.database.transaction() as session:
                repository.forget_answers_before(session, moment=now - REMEMBERED_FOR)
                known = repository.remembered(session, **self._name)
                if known is not None and known.status is None and known.started_at < now - ABANDONED_AFTER:
                    session.delete(known)
                    session.flush()
                    known = None
                if known is None:
                    session.add(RememberedAnswer(**self._name, fingerprint=fingerprint, started_at=now))
                    return None
        except IntegrityError as error:
            raise Conflict("the same write is under way; wait for its answer", field=HEADER) from error
        if known.fingerprint != fingerprint:
            raise Invalid("was used for another request; choose a new one", field=HEADER)
        if known.status is None:
            raise Conflict("the same write is under way; wait for its answer", field=HEADER)
        if known.body is None:
            raise Conflict(
                "was used; the answer held a secret, which is not kept and cannot be shown again",
                field=HEADER,
            )
        return Response(known.body, known.status, media_type=known.media_type)

    def tell(self) -> None:
        """The write is under way: whoever repeats it is to wait."""
        now = self._wiring.clock.now()
        if now - self._told_at < TOLD_EVERY:
            return
        self._told_at = now
        with self._wiring.database.transaction() as session:
            repository.note_alive(session, **self._name, at=now)

    def finish(self, session: Session | None, response: Response) -> None:
        """Remember the answer, in the transaction of the write when it has one."""
        secret = "no-store" in response.headers.get("cache-control", "")
        with nullcontext(session) if session else self._wiring.database.transaction() as writing:
            repository.finish_answer(
                writing,
                **self._name,
                status=response.status_code,
                media_type=response.media_type or response.headers.get("content-type"),
                body=None if secret else bytes(response.body),
            )

    def forget(self) -> None:
        """Nothing was written; the same key may be tried again, and gets the same refusal if nothing changes."""
        with self._wiring.database.transaction() as session:
            repository.forget_answer(session, **self._name)
