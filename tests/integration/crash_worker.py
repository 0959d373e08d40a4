"""Forks a dispatcher for each line on stdin, so that a test can kill it; a process of its own, without threads.

Line: {"database": URL, "whatsapp": URL, "die": [step, n] | null}. Answers with the pid, and when it has ended with its
exit status. `die` kills the dispatcher by its own hand, with SIGKILL, at the n-th time it comes to that step.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta

from delivery.dispatch import Dispatcher
from delivery.story import Story
from delivery.whatsapp.client import WhatsAppClient
from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration import outbox

STEPS = ("claimed", "reserved", "half_posted", "posted", "half_recorded", "recorded")


class Mortal(Dispatcher):
    """A dispatcher that dies at a chosen step; what it does is its own, only the moment of death is added."""

    death: tuple[str, int] | None = None
    seen = 0

    def _come_to(self, step: str) -> None:
        if self.death is not None and self.death[0] == step:
            self.seen += 1
            if self.seen == self.death[1]:
                os.kill(os.getpid(), signal.SIGKILL)

    def _claim(self, size):
        claimed = super()._claim(size)
        self._come_to("claimed")
        return claimed

    def _reserve(self, claims, contents=None):
        reserved = super()._reserve(claims, contents)
        self._come_to("reserved")
        return reserved

    def _record(self, answers):
        self._come_to("posted")
        settled = super()._record(answers)
        self._come_to("recorded")
        return settled

    def _commit(self, work):
        def dying(session):
            result = work(session)
            if isinstance(result, list) and result and isinstance(result[0], Story):  # what `record` returns
                self._come_to("half_recorded")
            return result

        return super()._commit(dying)


class MortalClient(WhatsAppClient):
    """Dies after the answer to a POST, while others are under way."""

    dispatcher: Mortal

    async def send(self, message):
        outcome = await super().send(message)
        self.dispatcher._come_to("half_posted")
        return outcome


def settings(**changes):
    return outbox.settings(
        **{"dispatch_batch": 10, "dispatch_concurrency": 4, "lease": timedelta(milliseconds=50)} | changes
    )


async def _run(order: dict) -> None:
    client = MortalClient(
        base_url=order["whatsapp"], version="v26.0", phone_number_id=outbox.NUMBER, token="t", concurrency=4
    )
    async with client:
        dispatcher = Mortal(Database(order["database"]), SystemClock(), settings(), client, f"w{os.getpid()}")
        dispatcher.death = order["die"] and tuple(order["die"])
        client.dispatcher = dispatcher
        await dispatcher.run(10_000)


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(_run(json.loads(line)))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201
        print(os.waitpid(pid, 0)[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
