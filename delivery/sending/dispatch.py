"""A message is claimed, reserved, POSTed and recorded here; its receipt comes later, by webhook (`receipts.py`).

0. `_recover`: claims of workers that died are planned again; what waited too long for a status ends as `unknown`.
1. `_claim`: due messages of running experiments become `claimed`. Nothing is promised yet: a worker that dies here
   costs a lease, then the message is planned again.
2. `_reserve`: in one transaction consent, caps and everything else are looked at once more, the slot is taken, the
   message becomes `inflight`. From this commit on it may have gone out, whatever happens to us.
3. `posting.Posting`: only now the POST, behind a gate (`gate.py`) that no withdrawal of consent passes. There is no
   idempotency key, so what was begun is never begun again by itself.
4. `_record`: the answer moves the message to `accepted`, plans it again, or ends it. No answer: it stays `inflight`,
   keeps its slot and waits for a status that names our id (`story.callback_data`); if none comes, it ends as `unknown`.
5. `receipts.project_tick` merges sent, delivered, read and failed as they arrive, sometimes before step 4.

While one batch is being POSTed, the next is claimed, and reserved when few of the first are left; the one before is recorded.
A batch is what goes out in a quarter of a second. So little is in doubt after a crash: whatever is reserved may have gone out.

The only service that opens its own transactions: that the commit of step 2 comes before the POST, and the POST before the
transaction of step 4, is the whole point, and no caller could see to it.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from math import ceil
from typing import Final, TypeVar

import numpy as np
from sqlmodel import Session

from delivery.content.content_sources import ContentSources, Wanted
from delivery.content.ingredients import Fetched
from delivery.content.rendering import sources_needed
from delivery.fuses import breakers
from delivery.fuses.outcomes import Answered, Withheld
from delivery.outbox import dispatch_repository as repository
from delivery.outbox.retry import Rules
from delivery.outbox.story import Story
from delivery.sending import claim_repository, workers
from delivery.sending.gate import Look, gate
from delivery.sending.posting import Pending, Posting, Sender
from delivery.sending.recording import record
from delivery.sending.reserving import Begun, Reserved, reserve
from delivery.sending.throughput import Throughput
from delivery.whatsapp.client import Accepted, Unknown
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.service import design_of
from experiments.settings import Settings
from experiments.vocabulary import MessageState
from targeting.user_repository import RACED

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TRANSACTION_TRIES: Final = 3
"""A deadlock, a race or a lost connection rolls a transaction back; its work is then done again."""


BATCH_SECONDS: Final = 0.25
"""A batch is no larger than what goes out in this time, because its slots are taken when it is reserved."""
LEAD_SECONDS: Final = 0.1
"""The next batch is reserved when what is left of the one before goes out in this time: enough that POSTs need not wait for it."""
NEWCOMER_SECONDS: Final = workers.BEAT_SECONDS + 2 * BATCH_SECONDS
NEWCOMER_SHARE: Final = 0.1
"""A worker that joins others goes at this part of its share for so long: until all of them know that it is there."""


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


@dataclass(frozen=True, slots=True)
class _Prepared:
    claimed: int
    reserved: Reserved


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
        contents: ContentSources | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._client = client
        self._worker = worker
        self._rng = rng or np.random.default_rng()
        self._number = settings.whatsapp_phone_number_id
        self._rules = Rules.of(settings)
        self._monotonic = monotonic
        self._throughput = Throughput(settings.messages_per_second, monotonic)
        self._posting = Posting(
            client, self._gate, self._throughput, concurrency=settings.dispatch_concurrency
        )
        self._beaten_at: float | None = None
        self._careful_until = 0.0
        self._designs: dict[int, ExperimentDesign] = {}
        self._read_at: dict[int, datetime] = {}
        self._needs: dict[tuple[int, str], frozenset[str]] = {}
        self._contents = contents or ContentSources(settings, monotonic=monotonic)
        self._runner: asyncio.Runner | None = None

    async def run(self, limit: int) -> Dispatched:
        """Recover what other workers left behind, then send until nothing is due or `limit` messages were looked at."""
        return await self._run(limit)

    async def run_once(self, limit: int) -> Dispatched:
        """Recover, then send one batch of at most `limit` messages."""
        return await self._run(limit, batches=1)

    async def _run(self, limit: int, *, batches: int | None = None) -> Dispatched:
        self._posting.stopped = False
        total = await asyncio.to_thread(self._recover)
        ahead: asyncio.Task[_Prepared] | None = asyncio.create_task(self._prepare(limit))
        recording: asyncio.Task[Dispatched] | None = None
        done = 0
        try:
            while ahead is not None:
                prepared, ahead = await ahead, None
                done += 1
                total += Dispatched(claimed=prepared.claimed) + _held(prepared.reserved.held)
                more = total.claimed < limit and done != batches and not self._posting.stopped
                if prepared.claimed:
                    if more:
                        ahead = asyncio.create_task(self._prepare(limit - total.claimed))
                    pending = await self._posting.begin(prepared.reserved.begun)
                    if recording is not None:
                        total += await recording
                    recording = asyncio.create_task(self._settle(pending))
                elif recording is not None:
                    last, recording = await recording, None
                    total += last
                    if more and last.replanned:
                        ahead = asyncio.create_task(self._prepare(limit - total.claimed))
            return total if recording is None else total + await recording
        except Exception:
            if ahead is not None:
                await self._give_back(ahead)
            raise

    async def _prepare(self, limit: int) -> "_Prepared":
        """Claim and reserve the next batch, at most `limit` messages."""
        claims = await asyncio.to_thread(self._claim, limit)
        if not claims:
            return _Prepared(0, Reserved((), ()))
        contents = await self._fetch(claims)
        await self._posting.nearly_begun(left=ceil(LEAD_SECONDS * self._throughput.rate))
        return _Prepared(len(claims), await asyncio.to_thread(self._reserve, claims, contents))

    async def _fetch(self, claims: Sequence[tuple[int, int]]) -> Mapping[int, Fetched]:
        """What content sources say for these messages, by message id: outside of any transaction, since they may be slow."""
        if not any(self._needs.values()):
            return {}
        ids = [message_id for message_id, _ in claims]
        wanted = await asyncio.to_thread(self._wanted, ids)
        return await self._contents.fetch(wanted) if wanted else {}

    def _wanted(self, ids: Sequence[int]) -> list[Wanted]:
        with self._database.snapshot() as session:
            rows = claim_repository.addressed(session, ids)
        return [
            Wanted(row.id, row.user_id, sources)
            for row in rows
            if (sources := self._needs.get((row.experiment_id, row.variant)))
        ]

    async def _settle(self, pending: Sequence[Pending]) -> Dispatched:
        """Record the answers to a batch when all of them are there."""
        answers = await asyncio.gather(*pending)
        settled = await asyncio.to_thread(self._record, answers) if answers else ()
        return _answered(answers, settled)

    async def _give_back(self, ahead: "asyncio.Task[_Prepared]") -> None:
        """A batch that is reserved but will not be POSTed, because the run ends in an error: it is planned again."""
        try:
            begun = (await ahead).reserved.begun
            answers = [Answered(item.story, item.message.to, Withheld("slow_down")) for item in begun]
            await asyncio.to_thread(self._record, answers)
        except RACED as error:
            _log.error("a batch that was not sent could not be planned again: %s", type(error).__name__)

    def run_blocking(self, limit: int) -> Dispatched:
        """`run` for callers without an event loop. One loop lives as long as the dispatcher: connections belong to it."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self.run(limit))

    def close(self) -> None:
        """End the loop of `run_blocking`, and the client's connections with it; the worker's share is free at once."""
        if self._beaten_at is not None:
            try:
                self._commit(lambda session: workers.leave(session, name=self._worker))
            except RACED as error:
                _log.warning("the worker's share is free only in a while: %s", type(error).__name__)
            self._beaten_at = None
        if self._runner is not None:
            self._runner.run(self._client.close())
            self._runner.run(self._contents.close())
            self._runner.close()
            self._runner = None

    def _recover(self) -> Dispatched:
        now = self._clock.now()

        def work(session: Session) -> Dispatched:
            returned = claim_repository.return_expired_claims(session, now=now)
            return Dispatched(
                returned=returned, ended_unknown=claim_repository.give_up_waiting(session, now=now)
            )

        return self._commit(work)

    def _claim(self, limit: int) -> Sequence[tuple[int, int]]:
        """Message id and user of each message claimed."""
        self._beat()
        now = self._clock.now()

        def work(session: Session) -> Sequence[tuple[int, int]]:
            fuses = breakers.open_keys(session, now)
            if not fuses.isdisjoint({breakers.EVERYTHING, (breakers.Kind.NUMBER, self._number)}):
                return ()
            running = claim_repository.running(session)
            designs = self._load_designs(session, {each.id: each.changed_at for each in running})
            return claim_repository.claim(
                session,
                experiments=running,
                blocked=[
                    *(breakers.blocked_variants(designs, fuses) if fuses else ()),
                    *((each.id, variant) for each in running for variant in each.silenced or ()),
                ],
                now=now,
                worker=self._worker,
                lease_until=now + self._settings.lease,
                limit=min(limit, self._settings.dispatch_batch, self._batch()),
            )

        return self._commit(work)

    def _batch(self) -> int:
        return max(1, ceil(BATCH_SECONDS * self._throughput.rate))

    def _beat(self) -> None:
        """Now and then say that this worker is alive, and take its share of what the number carries."""
        now = self._monotonic()
        silent = None if self._beaten_at is None else now - self._beaten_at
        if silent is not None and silent < workers.BEAT_SECONDS:
            return
        alive = self._commit(
            lambda session: workers.beat(session, self._clock, name=self._worker, number=self._number)
        )
        if silent is None or silent >= workers.ALIVE_SECONDS:
            # Whoever finds nobody need not be careful: those who join later will be.
            self._careful_until = now + NEWCOMER_SECONDS if alive > 1 else now
        self._beaten_at = now
        share = self._settings.messages_per_second / alive
        self._throughput.rate = share * NEWCOMER_SHARE if now < self._careful_until else share

    def _reserve(
        self, claims: Sequence[tuple[int, int]], contents: Mapping[int, Fetched] | None = None
    ) -> Reserved:
        return self._commit(
            lambda session: reserve(
                session,
                self._clock,
                claims=claims,
                worker=self._worker,
                settings=self._settings,
                designs=self._designs,
                contents=contents or {},
            )
        )

    def _gate(self, group: Sequence[Begun]) -> AbstractContextManager[Look]:
        return gate(self._database, self._clock, group, number=self._number, designs=self._designs)

    def _record(self, answers: Sequence[Answered]) -> list[Story]:
        now = self._clock.now()
        return self._commit(
            lambda session: record(
                session,
                self._clock,
                answers=answers,
                rules=self._rules,
                number=self._number,
                designs=self._designs,
                rng=self._rng,
                at=now,
            )
        )

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

    def _load_designs(self, session: Session, changed: Mapping[int, datetime]) -> dict[int, ExperimentDesign]:
        """Designs of running experiments by id. Each is read once, and again when it has changed: a variant may be added."""
        missing = [pk for pk, at in changed.items() if self._read_at.get(pk) != at]
        if missing:
            for pk, experiment in repository.definitions(session, missing).items():
                design = self._designs[pk] = design_of(experiment)
                self._read_at[pk] = changed[pk]
                for variant in design.variants:
                    if variant.message is not None:
                        self._needs[pk, variant.key] = sources_needed(variant.message)
        return {pk: self._designs[pk] for pk in changed}


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
