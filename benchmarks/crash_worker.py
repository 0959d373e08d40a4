"""A worker to be killed: plans, sends and projects in a loop, in a process forked for each line on stdin.

Line: a JSON object with `database`, `whatsapp`, `name`, `content` (an address), `clock` (start, factor, origin), `lease` and
`unknown_after` (seconds on that clock), `batch` and `die`: [step, n] or null. Answers with the process id, and when it has ended with
its exit status. `die` makes the worker kill itself, with SIGKILL, when it comes to that step for the n-th time.
Only the moment of death is added; everything else is what `touchstone worker` runs.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import SecretStr
from sqlmodel import Session

from delivery.content.ingredients import Fetched
from delivery.fuses.outcomes import Answered
from delivery.outbox.story import Story
from delivery.planning import planner
from delivery.receipts import inbox as receipts
from delivery.sending.dispatch import Dispatched, Dispatcher
from delivery.sending.reserving import Reserved
from delivery.whatsapp.client import SendOutcome, WhatsAppClient
from delivery.whatsapp.payloads import OutgoingMessage
from experiments.clock import ScaledClock, parse_moment
from experiments.database import Database
from experiments.settings import Settings

NUMBER: Final = "106540352242922"
JOBS: Final = ("plan", "claim", "fetch", "reserve", "post", "record", "recover", "project")
STEPS: Final = tuple(f"{job}:{side}" for job in JOBS for side in ("before", "after"))
"""Before and after each commit; of `fetch` and `post`, which commit nothing, before and after the request."""
PLAN_BATCH: Final = 500
PAUSE_SECONDS: Final = 0.02

_T = TypeVar("_T")
_job: ContextVar[str] = ContextVar("job", default="other")


class Death:
    """Comes when a step is reached for the n-th time; `None`: from outside only."""

    def __init__(self, order: Sequence[Any] | None) -> None:
        self._step: str = order[0] if order else ""
        self._left: int = order[1] if order else 0

    def may_come(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalDatabase(Database):
    """Dies just before or after a commit."""

    def __init__(self, url: str, death: Death) -> None:
        super().__init__(url)
        self._death = death

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
            session.flush()
            self._death.may_come(f"{_job.get()}:before")
        self._death.may_come(f"{_job.get()}:after")


class MortalClient(WhatsAppClient):
    """Dies when a POST has just begun behind the gate, or when its answer is there."""

    death: Death

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        self.death.may_come("post:before")
        outcome = await super().send(message)
        self.death.may_come("post:after")
        return outcome


class MortalDispatcher(Dispatcher):
    """Says which step its transactions belong to."""

    death: Death

    def _recover(self) -> Dispatched:
        return _as("recover", super()._recover)

    def _claim(self, limit: int) -> Sequence[tuple[int, int]]:
        return _as("claim", lambda: super(MortalDispatcher, self)._claim(limit))

    async def _fetch(self, claims: Sequence[tuple[int, int]]) -> Mapping[int, Fetched]:
        self.death.may_come("fetch:before")
        fetched = await super()._fetch(claims)
        self.death.may_come("fetch:after")
        return fetched

    def _reserve(
        self, claims: Sequence[tuple[int, int]], contents: Mapping[int, Fetched] | None = None
    ) -> Reserved:
        return _as("reserve", lambda: super(MortalDispatcher, self)._reserve(claims, contents))

    def _record(self, answers: Sequence[Answered]) -> list[Story]:
        return _as("record", lambda: super(MortalDispatcher, self)._record(answers))


def _as(job: str, work: Callable[[], _T]) -> _T:
    token = _job.set(job)
    try:
        return work()
    finally:
        _job.reset(token)


def settings_of(order: Mapping[str, Any]) -> Settings:
    source = {
        "url": order["content"] + "/{user_id}",
        "timeout": "200ms",
        "fallback": [{"name": "Classic"}],
    }
    return Settings(
        whatsapp_url=order["whatsapp"],
        whatsapp_loopback_only=True,
        whatsapp_token=SecretStr("simulated"),
        whatsapp_phone_number_id=NUMBER,
        messages_per_second=1000,
        dispatch_concurrency=16,
        dispatch_batch=order["batch"],
        lease=timedelta(seconds=order["lease"]),
        unknown_after=timedelta(seconds=order["unknown_after"]),
        content=json.dumps({"picks": source}),
    )


def clock_of(order: Mapping[str, Any]) -> ScaledClock:
    start, factor, origin = order["clock"]
    return ScaledClock(parse_moment(start), factor, origin)


async def _run(order: Mapping[str, Any]) -> None:
    death, clock, settings = Death(order["die"]), clock_of(order), settings_of(order)
    database = MortalDatabase(order["database"], death)
    client = MortalClient(
        base_url=order["whatsapp"],
        version=settings.whatsapp_version,
        phone_number_id=NUMBER,
        token="simulated",  # the simulator's
        timeout=2.0,
        concurrency=settings.dispatch_concurrency,
    )
    client.death = death
    dispatcher = MortalDispatcher(database, clock, settings, client, order["name"])
    dispatcher.death = death
    while True:
        _as("plan", lambda: planner.plan_tick(database, clock, settings=settings, batch=PLAN_BATCH))
        await dispatcher.run(200)
        _as("project", lambda: receipts.project_tick(database, clock, settings=settings, batch=100))
        await asyncio.sleep(PAUSE_SECONDS)


def main() -> None:
    """Fork a worker for each line; this process has no threads, so that forking is safe."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(_run(json.loads(line)))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
