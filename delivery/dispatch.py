"""A message is claimed, reserved, POSTed and recorded here; its receipt comes later, by webhook (`receipts.py`).

0. `_recover`: claims of workers that died are planned again; what waited too long for a status ends as `unknown`.
1. `_claim`: due messages of running experiments become `claimed`. Nothing is promised yet: a worker that dies here
   costs a lease, then the message is planned again.
2. `_reserve`: in one transaction consent, caps and everything else are looked at once more, the slot is taken, the
   message becomes `inflight`. From this commit on it may have gone out, whatever happens to us.
3. `_post`: only now the POST. There is no idempotency key, so what was begun is never begun again by itself.
4. `_record`: the answer moves the message to `accepted`, plans it again, or ends it. No answer: it stays `inflight`,
   keeps its slot and waits for a status that names our id (`story.callback_data`); if none comes, it ends as `unknown`.
5. `receipts.project_tick` merges sent, delivered, read and failed as they arrive, sometimes before step 4.

The only service that opens its own transactions: that the commit of step 2 comes before the POST, and the POST before the
transaction of step 4, is the whole point, and no caller could see to it.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Protocol, TypeVar

import numpy as np
from sqlmodel import Session

from delivery import breakers
from delivery import dispatch_repository as repository
from delivery.outcomes import Answered, Outcome, Withheld, stops_number
from delivery.recording import count_streaks, record
from delivery.reserving import Begun, Reserved, reserve
from delivery.retry import Rules
from delivery.story import Story
from delivery.throughput import Throughput
from delivery.whatsapp.client import Accepted, SendOutcome, Unknown
from delivery.whatsapp.payloads import OutgoingMessage
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.service import design_of
from experiments.settings import Settings
from experiments.vocabulary import MessageState
from targeting.user_repository import RACED

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

EVERYTHING: Final = ("all", "*")
"""Kind and key of the fuse that stops everything."""

TRANSACTION_TRIES: Final = 3
"""A deadlock, a race or a lost connection rolls a transaction back; its work is then done again."""


class Sender(Protocol):
    """What dispatch needs of the client; never raises for trouble of the network or the server."""

    async def send(self, message: OutgoingMessage) -> SendOutcome: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What was done, in messages. `returned`: claims of lost workers planned again; `replanned`: planned again after a
    POST or because the number was stopped; `deferred`: planned for later by a rule, or paused; `unanswered`: in flight.
    """

    returned: int = 0
    ended_unknown: int = 0
    claimed: int = 0
    deferred: int = 0
    suppressed: int = 0
    expired: int = 0
    cancelled: int = 0
    posted: int = 0
    accepted: int = 0
    replanned: int = 0
    failed: int = 0
    unanswered: int = 0

    def __add__(self, other: "Dispatched") -> "Dispatched":
        names = [part.name for part in fields(self)]
        return Dispatched(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Dispatcher:
    """Sends what is due, as `worker` (a name that no other process has). Not for use by two threads at once.

    `monotonic` gives the machine's time in seconds; `rng` draws the jitter of pauses.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        client: Sender,
        worker: str,
        *,
        rng: np.random.Generator | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._client = client
        self._worker = worker
        self._rng = rng or np.random.default_rng()
        self._number = settings.whatsapp_phone_number_id
        self._rules = Rules.of(settings)
        self._throughput = Throughput(settings.messages_per_second, monotonic)
        self._designs: dict[int, ExperimentDesign] = {}
        self._streaks: dict[tuple[int, str], breakers.Streak] = {}
        self._runner: asyncio.Runner | None = None

    async def run(self, limit: int) -> Dispatched:
        """Recover what other workers left behind, then send until nothing is due or `limit` messages were looked at."""
        total = await asyncio.to_thread(self._recover)
        while total.claimed < limit:
            done = await self._send_batch(limit - total.claimed)
            total += done
            if not done.claimed:
                break
        return total

    async def run_once(self, limit: int) -> Dispatched:
        """Recover, then send one batch of at most `limit` messages."""
        return await asyncio.to_thread(self._recover) + await self._send_batch(limit)

    async def _send_batch(self, limit: int) -> Dispatched:
        # No more than go out in a second: a larger batch would put time between the look at consent and the POST.
        size = min(limit, self._settings.dispatch_batch, self._settings.messages_per_second)
        claims = await asyncio.to_thread(self._claim, size)
        done = Dispatched(claimed=len(claims))
        if not claims:
            return done
        reserved = await asyncio.to_thread(self._reserve, claims)
        done += _held(reserved.held)
        if not reserved.begun:
            return done
        answers = await self._post(reserved.begun)
        settled = await asyncio.to_thread(self._record, answers)
        return done + _answered(answers, settled)

    def run_blocking(self, limit: int) -> Dispatched:
        """`run` for callers without an event loop. One loop lives as long as the dispatcher: connections belong to it."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self.run(limit))

    def close(self) -> None:
        """End the loop of `run_blocking`, and the client's connections with it."""
        if self._runner is not None:
            self._runner.run(self._client.close())
            self._runner.close()
            self._runner = None

    def _recover(self) -> Dispatched:
        now = self._clock.now()

        def work(session: Session) -> Dispatched:
            returned = repository.return_expired_claims(session, now=now)
            return Dispatched(returned=returned, ended_unknown=repository.give_up_waiting(session, now=now))

        return self._commit(work)

    def _claim(self, size: int) -> Sequence[tuple[int, int]]:
        """Message id and user of each message claimed."""
        now = self._clock.now()

        def work(session: Session) -> Sequence[tuple[int, int]]:
            fuses = breakers.open_keys(session, now)
            if not fuses.isdisjoint({EVERYTHING, (breakers.Kind.NUMBER, self._number)}):
                return ()
            running = repository.running(session)
            designs = self._load_designs(session, [experiment.id for experiment in running])
            return repository.claim(
                session,
                experiments=running,
                blocked=breakers.blocked_variants(designs, fuses) if fuses else (),
                now=now,
                worker=self._worker,
                lease_until=now + self._settings.lease,
                limit=size,
            )

        return self._commit(work)

    def _reserve(self, claims: Sequence[tuple[int, int]]) -> Reserved:
        return self._commit(
            lambda session: reserve(
                session,
                self._clock,
                claims=claims,
                worker=self._worker,
                settings=self._settings,
                designs=self._designs,
            )
        )

    async def _post(self, begun: Sequence[Begun]) -> list[Answered]:
        """POST each message once. After an answer that stops the number, those not yet begun are withheld."""
        gate = asyncio.Semaphore(self._settings.dispatch_concurrency)
        stopped = False

        async def post(item: Begun) -> Outcome:
            nonlocal stopped
            async with gate:
                if not stopped:
                    await self._throughput.wait()
                if stopped:
                    return Withheld()
                outcome = await self._client.send(item.message)
                stopped = stopped or stops_number(outcome)
                return outcome

        results = await asyncio.gather(*map(post, begun), return_exceptions=True)
        return [
            Answered(item.story, item.message.to, _outcome(result))
            for item, result in zip(begun, results, strict=True)
        ]

    def _record(self, answers: Sequence[Answered]) -> list[Story]:
        now = self._clock.now()
        streaks, alarms = count_streaks(self._streaks, answers)
        settled = self._commit(
            lambda session: record(
                session,
                self._clock,
                answers=answers,
                alarms=alarms,
                rules=self._rules,
                number=self._number,
                designs=self._designs,
                rng=self._rng,
                at=now,
            )
        )
        self._streaks = streaks
        return settled

    def _commit(self, work: Callable[[Session], _T]) -> _T:
        """Do `work` in a transaction of its own; again when the database rolled it back. Each step may be done twice."""
        for left in reversed(range(TRANSACTION_TRIES)):
            try:
                with self._database.transaction() as session:
                    return work(session)
            except RACED as error:
                if not left:
                    raise
                _log.warning("a transaction of dispatch is done again: %s", type(error).__name__)
        raise AssertionError  # the last try returns or raises

    def _load_designs(self, session: Session, ids: Sequence[int]) -> dict[int, ExperimentDesign]:
        """Designs of running experiments by id; they do not change while they run, so each is read once."""
        missing = [pk for pk in ids if pk not in self._designs]
        if missing:
            for pk, experiment in repository.definitions(session, missing).items():
                self._designs[pk] = design_of(experiment)
        return {pk: self._designs[pk] for pk in ids}


def dispatch_tick(dispatcher: Dispatcher, *, limit: int) -> Dispatched:
    """Send until nothing is due or `limit` messages were looked at; for callers without an event loop."""
    return dispatcher.run_blocking(limit)


def _outcome(result: Outcome | BaseException) -> Outcome:
    """An error nobody foresaw tells nothing about whether the message went out."""
    if not isinstance(result, BaseException):
        return result
    if not isinstance(result, Exception):
        raise result
    _log.error("sending ended in an unforeseen error", exc_info=result)
    return Unknown(type(result).__name__)


def _held(stories: Sequence[Story]) -> Dispatched:
    states = Counter(story.state for story in stories)
    return Dispatched(
        deferred=states[MessageState.PLANNED],
        suppressed=states[MessageState.SUPPRESSED],
        expired=states[MessageState.EXPIRED],
        cancelled=states[MessageState.CANCELLED],
    )


def _answered(answers: Sequence[Answered], settled: Sequence[Story]) -> Dispatched:
    states = Counter(story.state for story in settled)
    return Dispatched(
        posted=sum(not isinstance(answered.outcome, Withheld) for answered in answers),
        accepted=sum(isinstance(answered.outcome, Accepted) for answered in answers),
        unanswered=sum(isinstance(answered.outcome, Unknown) for answered in answers),
        replanned=states[MessageState.PLANNED],
        suppressed=states[MessageState.SUPPRESSED],
        expired=states[MessageState.EXPIRED],
        failed=states[MessageState.FAILED],
    )
