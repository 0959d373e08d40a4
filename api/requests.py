"""Bodies as routes see them: unpacked, and JSON that every database takes."""

import zlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.dependencies import wiring_of
from api.strict_json import read_json
from experiments.errors import Invalid, TooLarge

_GZIP: Final = zlib.MAX_WBITS | 16


class StrictRequest(Request):
    """Refuses NaN, infinity, lone surrogates, NUL and bottomless nesting."""

    async def json(self) -> Any:
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose JSON is read by `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(await unpacked(request))

        return strict


async def unpacked(request: Request) -> StrictRequest:
    """The request with its body as it was before it was packed with gzip.

    Raises Invalid for another encoding or a body that is none, and TooLarge when it unpacks to more than any other body may have.
    """
    if not is_packed(request):
        return StrictRequest(request.scope, request.receive)
    request.scope.setdefault("state", {})  # what a route leaves there is for us to see
    body = gunzip(await request.body(), limit=wiring_of(request).settings.max_body_bytes)
    headers = [
        pair for pair in request.scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}
    ]
    return replayed(Request({**request.scope, "headers": headers}), body)


def replayed(request: Request, body: bytes) -> StrictRequest:
    """The request with this body, which may be read (again)."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return StrictRequest(request.scope, receive)


def is_packed(request: Request) -> bool:
    """Whether the body is packed with gzip; raises Invalid for any other encoding."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        return False
    if encoding != "gzip":
        raise Invalid(f"must be gzip or absent, not {encoding[:40]!r}", field="Content-Encoding")
    return True


def gunzip(packed: bytes, *, limit: int) -> bytes:
    """A body as it was before it was packed; raises Invalid, and TooLarge for more than `limit` bytes."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Invalid("is not gzip, which Content-Encoding says it is", field="body") from error
    if len(body) > limit:
        raise TooLarge(f"unpacks to more than {limit} bytes; send several", field="body")
    if not unpacker.eof or unpacker.unused_data:
        raise Invalid("is not one whole gzip stream", field="body")
    return body
