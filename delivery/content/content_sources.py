"""Content for users from elsewhere: an HTTP service or a table, as settings name them, within bounds of time and size.

Nothing that goes wrong out there reaches a batch of messages: a request that fails, or takes too long, or brings something
odd, ends in the fallback, and whoever asked is told so. A source that keeps failing is left alone for a while. Addresses
come from settings only; a user id is percent-encoded; redirects are not followed.
"""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from delivery.content.content_repository import rows_of_users
from delivery.content.ingredients import Fetched
from experiments.content import used_sources
from experiments.content_settings import USER_ID, ContentSource
from experiments.design import ExperimentDesign
from experiments.errors import TouchstoneError
from experiments.settings import Settings

_log = logging.getLogger(__name__)

MAX_BYTES: Final = 64_000
MAX_DEPTH: Final = 8
CONCURRENCY: Final = 16
"""Requests to one source under way at once."""

BATCH_SECONDS: Final = 5.0
"""However many users and sources: a batch of messages waits no longer."""

FAILURES: Final = 5
"""So many failures in a row, and a source is left alone: 1, 2, 4 .. seconds, at most a minute."""

LONGEST_REST: Final = 60.0
REMEMBERED: Final = 10_000
"""Answers kept for as long as `ttl` says, in all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One message, its user (the outside world's id), and the sources that its texts read."""

    message_id: int
    user_id: str
    sources: frozenset[str]


class _OddAnswerError(Exception):
    """What came is not content: too large, too deep, no JSON, no success."""


_EXPECTED: Final = (
    *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError),
    *(OSError, TimeoutError, TouchstoneError, _OddAnswerError),
)


@dataclass(slots=True)
class _Health:
    """How a source has been doing."""

    failures: int = 0
    rest: float = 0.0
    until: float = 0.0
    told: bool = False

    def succeeded(self) -> None:
        self.failures, self.rest, self.until, self.told = 0, 0.0, 0.0, False

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.rest = min(LONGEST_REST, max(1.0, 2 * self.rest))
            self.until = now + self.rest


@dataclass(slots=True)
class _Answers:
    """What one source said in one batch: by user id; whoever is in neither has no answer."""

    known: dict[str, Any] = field(default_factory=dict)
    nothing: set[str] = field(default_factory=set)


def needed(design: ExperimentDesign) -> frozenset[str]:
    """Names of the content sources that the messages of a design read."""
    return frozenset(
        name
        for variant in design.variants
        if variant.message is not None
        for source in variant.message.sources().values()
        for name in used_sources(source)
    )


class ContentSources:
    """Fetches for batches of messages. Its connections belong to the event loop that uses it first.

    `monotonic` gives the machine's time in seconds. `transport` is for tests of odd networks.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._sources: Mapping[str, ContentSource] = settings.content
        self._databases = settings.sources
        self._monotonic = monotonic
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._health: dict[str, _Health] = {}
        self._memory: OrderedDict[tuple[str, str], tuple[float, Any]] = OrderedDict()

    async def close(self) -> None:
        """End every connection; a later fetch opens new ones."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def fetch(self, wanted: Sequence[Wanted]) -> dict[int, Fetched]:
        """What each message's sources say, by message id. Never raises for trouble of a source."""
        users: dict[str, set[str]] = {}
        for each in wanted:
            for name in each.sources:
                users.setdefault(name, set()).add(each.user_id)
        names = sorted(users)
        answers: dict[str, _Answers] = {name: _Answers() for name in names}
        asking = [asyncio.create_task(self._ask(name, users[name], answers[name])) for name in names]
        if asking:
            _, late = await asyncio.wait(asking, timeout=BATCH_SECONDS)
            for task in late:
                task.cancel()
            for ended in await asyncio.gather(*asking, return_exceptions=True):
                if isinstance(ended, Exception):
                    _log.error("asking a content source ended in an unforeseen error", exc_info=ended)
        return {each.message_id: self._fetched(each, answers) for each in wanted}

    def _fetched(self, wanted: Wanted, answers: Mapping[str, _Answers]) -> Fetched:
        values: dict[str, Any] = {}
        fallbacks, unavailable = [], []
        for name in sorted(wanted.sources):
            source = self._sources.get(name)
            if wanted.user_id in answers[name].known:
                values[name] = answers[name].known[wanted.user_id]
            elif source is not None and source.has_fallback:
                values[name] = source.fallback
                fallbacks.append(name)
            elif wanted.user_id in answers[name].nothing:
                values[name] = None
            else:
                unavailable.append(name)
        return Fetched(values, tuple(fallbacks), tuple(unavailable))

    async def _ask(self, name: str, user_ids: Collection[str], answers: _Answers) -> None:
        source = self._sources.get(name)
        if source is None:
            return
        asked = user_ids if source.is_personal else {""}
        found = _Answers()
        now = self._monotonic()
        for user_id in sorted(asked):
            kept = self._memory.get((name, user_id))
            if kept is not None and kept[0] > now:
                found.known[user_id] = kept[1]
        # Filled as answers come, so that those in time count when the batch's time is over.
        into = answers if source.is_personal else found
        into.known.update(found.known)
        try:
            await self._ask_anew(name, source, sorted(set(asked) - set(found.known)), into)
        finally:
            if not source.is_personal:
                answers.known.update(dict.fromkeys(user_ids, found.known[""]) if "" in found.known else {})
                answers.nothing.update(user_ids if "" in found.nothing else ())

    async def _ask_anew(
        self, name: str, source: ContentSource, user_ids: Sequence[str], answers: _Answers
    ) -> None:
        health = self._health.setdefault(name, _Health())
        if not user_ids or self._monotonic() < health.until:
            return
        if source.url is None:
            await self._guarded(name, health, self._query(name, source, user_ids, answers))
            return
        first, others = user_ids[:1], user_ids
        if health.rest:
            # One request tells whether it is back.
            await self._guarded(name, health, self._request(name, source, first[0], answers))
            others = user_ids[1:]
        gate = asyncio.Semaphore(CONCURRENCY)

        async def one(user_id: str) -> None:
            async with gate:
                if self._monotonic() >= health.until:
                    await self._guarded(name, health, self._request(name, source, user_id, answers))

        await asyncio.gather(*map(one, others))

    async def _guarded(self, name: str, health: _Health, work: Any) -> None:
        """Do `work`, and remember how it went."""
        try:
            await work
        except asyncio.CancelledError:
            health.failed(self._monotonic())
            raise
        except _EXPECTED as error:
            health.failed(self._monotonic())
            if health.until > self._monotonic() and not health.told:
                health.told = True
                # The name of the error only: its words may hold the address, and that a user id or a key.
                _log.warning("content source %s fails again and again: %s", name, type(error).__name__)
        else:
            health.succeeded()

    async def _request(self, name: str, source: ContentSource, user_id: str, answers: _Answers) -> None:
        if user_id in (".", ".."):
            # In a path these would lead elsewhere, encoded or not.
            answers.nothing.add(user_id)
            return
        if self._http is None:
            self._http = httpx.AsyncClient(
                transport=self._transport,
                # Not compressed: a small answer could unfold to a large one.
                headers={"accept": "application/json", "accept-encoding": "identity"},
                timeout=BATCH_SECONDS,
                trust_env=False,
                follow_redirects=False,
            )
        assert source.url is not None  # noqa: S101  # a table is not requested
        address = source.url.get_secret_value().replace(USER_ID, quote(user_id, safe=""))
        headers = {key: value.get_secret_value() for key, value in source.headers.items()}
        async with asyncio.timeout(source.timeout.total_seconds()):
            async with self._http.stream("GET", address, headers=headers) as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    answers.nothing.add(user_id)
                    return
                if not response.is_success or "content-encoding" in response.headers:
                    raise _OddAnswerError
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise _OddAnswerError
        if response.status_code == httpx.codes.NO_CONTENT:
            answers.nothing.add(user_id)
            return
        self._keep(name, source, user_id, read_content(bytes(body)), answers)

    async def _query(
        self, name: str, source: ContentSource, user_ids: Sequence[str], answers: _Answers
    ) -> None:
        assert source.source is not None  # noqa: S101  # a source is one or the other
        assert source.query is not None  # noqa: S101
        found = await asyncio.to_thread(
            rows_of_users,
            source.source,
            self._databases[source.source],
            query=source.query,
            user_ids=user_ids,
            timeout=source.timeout,
            most_bytes=MAX_BYTES,
        )
        for user_id in user_ids:
            if user_id in found:
                self._keep(name, source, user_id, found[user_id], answers)
            else:
                answers.nothing.add(user_id)

    def _keep(self, name: str, source: ContentSource, user_id: str, value: Any, answers: _Answers) -> None:
        if value is None:
            answers.nothing.add(user_id)
            return
        answers.known[user_id] = value
        seconds = source.ttl.total_seconds()
        if seconds:
            self._memory[name, user_id] = (self._monotonic() + seconds, value)
            self._memory.move_to_end((name, user_id))
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)


def read_content(body: bytes) -> Any:
    """The JSON in an answer, not deeper than 8; raises when it is none."""
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _OddAnswerError from error
    if _is_deeper(value, MAX_DEPTH):
        raise _OddAnswerError
    return value


def _refuse(_constant: str) -> Any:
    raise _OddAnswerError


def _is_deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(child, levels - 1) for child in children)
