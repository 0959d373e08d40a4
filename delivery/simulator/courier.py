"""Carries what the world does to the outside: signed webhooks, clicks on links, tracking calls. Retries what may pass."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.draws import uniform
from delivery.whatsapp.webhooks import sign

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds of real time between attempts; doubled from the first to the longest."""
TIMEOUT_SECONDS = 10.0
KEEPALIVE_SECONDS = 4.0


@dataclass(slots=True)
class Tally:
    """What was carried.

    `retries` counts attempts that failed, `webhooks_lost` and `failed_calls` what was given up, `repeated` the bodies that
    came twice.
    """

    webhooks: int = 0
    statuses: int = 0
    inbound: int = 0
    clicks: int = 0
    tracked: int = 0
    retries: int = 0
    webhooks_lost: int = 0
    failed_calls: int = 0
    repeated: int = 0
    notices: int = 0


class Courier:
    """Speaks HTTP with the addresses of a configuration, at most `config.concurrency` requests at once."""

    def __init__(self, config: SimulatorConfig, tally: Tally) -> None:
        self._config = config
        self.tally = tally
        limits = httpx.Limits(max_connections=config.concurrency, keepalive_expiry=KEEPALIVE_SECONDS)
        self._http = httpx.AsyncClient(
            transport=AiohttpTransport(limits=limits),
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            follow_redirects=False,
        )
        self._auth = httpx.BasicAuth(config.write_key, "")

    async def close(self) -> None:
        await self._http.aclose()

    async def deliver(self, body: bytes, *, statuses: int, inbound: int, notices: int) -> None:
        """POST one signed webhook until it is answered with 200; a share of them once more after that."""
        if not await self._post(body):
            self.tally.webhooks_lost += 1
            return
        self.tally.webhooks += 1
        self.tally.statuses += statuses
        self.tally.inbound += inbound
        self.tally.notices += notices
        repeat = self._config.telling.repeat
        if repeat and uniform(self._config.seed, "repeat", hashlib.blake2b(body).hexdigest()) < repeat:
            await self._post(body)
            self.tally.repeated += 1

    async def _post(self, body: bytes) -> bool:
        """Whether the webhook was answered with 200, sooner or later."""
        url = self._config.webhook_url
        if url is None:
            return False
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": sign(self._config.app_secret, body),
        }
        for attempt in range(self._config.attempts):
            response = await self._request("POST", url, content=body, headers=headers)
            if response is not None and response.status_code == 200:
                return True
            await self._pause(attempt)
        return False

    async def click(self, token: str) -> bool:
        """Follow a link as far as its redirect; whether there was one."""
        url = f"{(self._config.public_url or '').rstrip('/')}/r/{token}"
        response = await self._insist("GET", url)
        if response is None or not response.is_redirect:
            self.tally.failed_calls += 1
            return False
        self.tally.clicks += 1
        return True

    async def track(self, event: dict[str, Any]) -> None:
        """POST one event to the tracking API."""
        url = f"{(self._config.tracking_url or '').rstrip('/')}/v1/track"
        response = await self._insist("POST", url, json=event, auth=self._auth)
        if response is None or not response.is_success:
            self.tally.failed_calls += 1
        else:
            self.tally.tracked += 1

    async def _insist(self, method: str, url: str, **content: Any) -> httpx.Response | None:
        """The first definite answer; None when every attempt met a dead line, 429 or 5xx."""
        for attempt in range(self._config.attempts):
            response = await self._request(method, url, **content)
            if response is not None and response.status_code != 429 and response.status_code < 500:
                return response
            await self._pause(attempt)
        return None

    async def _request(self, method: str, url: str, **content: Any) -> httpx.Response | None:
        try:
            return await self._http.request(method, url, **content)
        except (httpx.HTTPError, aiohttp.ClientError, OSError):
            return None  # counted as a retry by the caller's pause

    async def _pause(self, attempt: int) -> None:
        self.tally.retries += 1
        if attempt + 1 < self._config.attempts:
            await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))
