"""The HTTP client of the Cloud API: one POST per message, and the truth about what became of it.

There is no idempotency key, so the one thing that matters is whether a request may have been written:

    SendOutcome
    |- Accepted   200 and an id: WhatsApp took it (it is not delivered yet)
    |- Rejected   a definite error answer: it was not sent; `error_class` says what to do
    |- NotSent    no connection was made, so not a byte was written: it may be tried again
    |- Unknown    anything else: it may have been sent, and must not be sent again by itself
"""

import asyncio
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from delivery.whatsapp.error_table import ErrorClass, classify
from delivery.whatsapp.payloads import OutgoingMessage

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept. Shorter than common servers (5 s and more): a POST on a connection that the other
side is just closing ends as Unknown."""

CONNECT_SECONDS = 5.0
"""Longest time that making a connection may take."""

_NEVER_CONNECTED = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL),
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol),
)
_NUMBER_LIKE = re.compile(r"\+?\d{8,}")
_DETAILS_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Accepted:
    """`message_status` is accepted, held_for_quality_assessment or paused; None when it was not said."""

    wamid: str
    message_status: str | None
    wa_id: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """`code` is None when the answer carried no JSON error; `details` has long numbers masked.

    `error_class` is never unknown: an error that leaves open whether the message was sent is an Unknown.
    """

    code: int | None
    error_class: ErrorClass
    details: str
    http_status: int


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection: nothing was written. `reason` is the name of the network error."""

    reason: str
    error_class: ErrorClass = ErrorClass.RETRY


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may have reached WhatsApp. `reason` names the network error or the odd answer."""

    reason: str
    error_class: ErrorClass = ErrorClass.UNKNOWN


SendOutcome = Accepted | Rejected | NotSent | Unknown


class WhatsAppClient:
    """Sends messages over a pool of at most `concurrency` connections; use it as an async context manager.

    `timeout` is in seconds and bounds the whole exchange, a connection attempt included. `transport` is for tests;
    the default is httpx over aiohttp, several times faster under concurrency than httpx's own.
    """

    def __init__(
        self,
        *,
        base_url: str,
        version: str,
        phone_number_id: str,
        token: str,
        timeout: float = 30.0,
        concurrency: int = 32,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/{version}/{phone_number_id}/messages"
        self._timeout = timeout
        self._slots = asyncio.Semaphore(concurrency)
        # Shorter than the whole, so that a host that does not answer at all ends as NotSent, not as Unknown.
        connecting = min(CONNECT_SECONDS, timeout / 2)
        limits = httpx.Limits(max_connections=concurrency, keepalive_expiry=KEEPALIVE_SECONDS)
        self._http = httpx.AsyncClient(
            transport=transport or AiohttpTransport(limits=limits),
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout, connect=connecting, pool=connecting),
            trust_env=False,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"WhatsAppClient({self._url})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        """POST one message. Never raises for trouble of the network or the server: that is an outcome."""
        payload = message.to_payload()
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._http.post(self._url, json=payload)
            except (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError) as error:
                return _failure(error)
        return _outcome(response)


def _failure(error: Exception) -> NotSent | Unknown:
    """Whether a byte may have been written before `error`.

    The transport translates every aiohttp ClientConnectionError, a dropped connection too, into httpx.ConnectTimeout; only
    the cause tells a connection that was never made from one that was lost.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    reason = type(cause).__name__
    return NotSent(reason) if isinstance(cause, _NEVER_CONNECTED) else Unknown(reason)


def _outcome(response: httpx.Response) -> SendOutcome:
    body = _json_object(response)
    status = response.status_code
    if response.is_success:
        wamid = _first(body, "messages").get("id")
        if not isinstance(wamid, str) or not wamid:
            return Unknown(f"HTTP {status} without a message id")
        message_status = _first(body, "messages").get("message_status")
        wa_id = _first(body, "contacts").get("wa_id")
        return Accepted(wamid, _text(message_status), _text(wa_id))
    error = body.get("error")
    if not isinstance(error, dict):
        kind = classify(None, http_status=status)
        if kind is ErrorClass.UNKNOWN:
            return Unknown(f"HTTP {status} without a JSON error")
        return Rejected(None, kind, f"HTTP {status} without a JSON error", status)
    code = error.get("code")
    code = code if isinstance(code, int) and not isinstance(code, bool) else None
    kind = classify(code, http_status=status)
    if kind is ErrorClass.UNKNOWN:
        return Unknown(f"HTTP {status}, code {code}")
    return Rejected(code, kind, _details(error), status)


def _details(error: dict[str, Any]) -> str:
    data = error.get("error_data")
    parts = [error.get("message"), data.get("details") if isinstance(data, dict) else None]
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return _NUMBER_LIKE.sub("[number]", text)[:_DETAILS_LIMIT]


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _first(body: dict[str, Any], key: str) -> dict[str, Any]:
    items = body.get(key)
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
