"""The running simulator: what is still to happen, and the pump that lets it happen as the clock goes on.

Everything here runs in one event loop and never blocks it: fates were computed when the world was loaded; the pump takes
what is due, groups statuses into webhooks, and hands them to the courier. When the clock runs ahead of what the machine
can carry, things are told late, but always with the simulated time at which they happened.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from delivery.simulator.agenda import Agenda
from delivery.simulator.behaviour import Behaviour
from delivery.simulator.config import SimulatorConfig
from delivery.simulator.courier import Courier, Tally
from delivery.simulator.desk import Desk
from delivery.simulator.emission import News, Step, webhook
from delivery.simulator.graph import Answer
from delivery.simulator.journey import SECOND, Journey, Visit
from delivery.simulator.world import World
from experiments.clock import Clock, format_moment, from_micros, to_micros
from experiments.errors import Conflict, Invalid

LINGER_SECONDS = 0.02
"""How long the pump waits (real time) for more news, so that webhooks are batched."""
LONGEST_WAIT = 1.0
"""Seconds of real time after which the pump looks at the clock again, whatever it expects."""

_log = logging.getLogger(__name__)


class Engine:
    """One simulator's state; `start` and `stop` frame its life in an event loop."""

    def __init__(self, config: SimulatorConfig, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._changed = asyncio.Event()
        self._released = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._courier: Courier | None = None
        self._clear()

    def _clear(self) -> None:
        config = self.config
        self.world = World(
            (), {"": Behaviour()}, seed=config.seed, faults=config.faults, delays=config.delays
        )
        self._desk = Desk(config, self.clock, self._depart)
        self._tally = Tally()
        self._agenda: Agenda[Journey | Visit] = Agenda()
        self._visited: set[int] = set()
        self._kept_home: set[int] = set()
        self._begun: datetime | None = None

    async def start(self) -> None:
        if self.config.hold:
            self.hold()
        else:
            self.release()
        self._courier = Courier(self.config, self._tally)
        self._pump = asyncio.create_task(self._run())
        self._pump.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End what is under way; what is still on the agenda never happens."""
        under_way = [*self._tasks, *([self._pump] if self._pump is not None else [])]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._pump = None
        if self._courier is not None:
            await self._courier.close()
            self._courier = None

    async def reset(self) -> None:
        """As new: no world, no agenda, all counts at zero."""
        await self.stop()
        self._clear()
        await self.start()

    def hold(self) -> None:
        """Keep webhooks and calls back; orders are still answered."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def load(self, build: Callable[[], World]) -> World:
        """Replace the world by `build()`, computed beside the event loop; Conflict once people are in motion."""
        if self._desk.accepted or self._begun is not None:
            raise Conflict("the world is already in motion; reset the simulator first")
        self.world = await asyncio.to_thread(build)
        return self.world

    def begin(self, at: datetime, window: timedelta) -> int:
        """Let people visit by themselves, from `at` on, over `window`; returns how many will.

        Whom a message keeps from visiting does not come, unless the visit was before the message.
        """
        if self._begun is not None:
            raise Conflict("the people are already on their way; reset the simulator first")
        if window < timedelta(0):
            raise Invalid("must not be negative", field="window")
        self._begun = at
        own = self.world.own
        visitors = np.flatnonzero(own.visits)
        moments = to_micros(at) + np.round(own.moment[visitors] * (window / timedelta(microseconds=1)))
        self._agenda.extend(
            (int(moment), Visit(int(person), own=True))
            for moment, person in zip(moments, visitors, strict=True)
        )
        self._changed.set()
        return len(visitors)

    def receive(self, raw: bytes) -> Answer:
        """Answer one POST of a message."""
        return self._desk.receive(raw, self.world, asyncio.get_running_loop().time())

    def status(self) -> dict[str, Any]:
        """Counts so far; `idle`: nothing is on the agenda and nothing is under way."""
        desk, tally = self._desk, self._tally
        return {
            "now": format_moment(self.clock.now()),
            "people": len(self.world.people),
            "begun": None if self._begun is None else format_moment(self._begun),
            "posts": desk.posts.total(),
            "posts_per_message_max": max(desk.posts.values(), default=0),
            "accepted": desk.accepted,
            "accepted_per_message_max": max(desk.taken.values(), default=0),
            "refused": {str(code): count for code, count in sorted(desk.refused.items())},
            "queued": len(self._agenda),
            "under_way": len(self._tasks),
            "webhooks": tally.webhooks,
            "statuses": tally.statuses,
            "inbound": tally.inbound,
            "clicks": tally.clicks,
            "tracked": tally.tracked,
            "retries": tally.retries,
            "webhooks_lost": tally.webhooks_lost,
            "failed_calls": tally.failed_calls,
            "held": not self._released.is_set(),
            "idle": not self._agenda and not self._tasks,
        }

    def _depart(self, journey: Journey) -> None:
        fates = self.world.fates.get(journey.template)
        if journey.person is not None and fates is not None and fates.prevented[journey.person]:
            self._kept_home.add(journey.person)
        self._agenda.push(journey.plan[0].told, journey)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._released.wait()
            due = self._agenda.pop_due(to_micros(self.clock.now()), self.config.batch)
            news = [item for moment, thing in due for item in self._happen(moment, thing)]
            if news and self.config.webhook_url is not None:
                body = webhook(
                    news,
                    phone_number_id=self.config.phone_number_id,
                    display_phone_number=self.config.display_phone_number,
                )
                inbound = sum(item.step in (Step.STOP_TEXT, Step.STOP_MENU) for item in news)
                statuses = len(news) - inbound
                self._spawn(partial(self._need().deliver, body, statuses=statuses, inbound=inbound))
            await self._breathe(full=len(due) == self.config.batch)

    def _happen(self, moment: int, thing: Journey | Visit) -> list[News]:
        """Let one thing happen; returns what a webhook must tell of it."""
        if isinstance(thing, Visit):
            self._visit(moment, thing)
            return []
        happening = thing.plan[thing.position]
        thing.position += 1
        if thing.position < len(thing.plan):
            self._agenda.push(thing.plan[thing.position].told, thing)
        if happening.step is not Step.CLICK:
            return [thing.news(happening)]
        if thing.token is not None and self.config.public_url is not None:
            self._spawn(partial(self._click, thing, thing.token, happening.at))
        return []

    async def _click(self, journey: Journey, token: str, at: int) -> None:
        """Click; a visit that the message causes follows only if the link led somewhere."""
        arrived = await self._need().click(token)
        person, fates = journey.person, self.world.fates.get(journey.template)
        if not arrived or person is None or fates is None:
            return
        if not fates.caused[person] or person in self._visited:
            return
        self._visited.add(person)
        arrival = at + round(float(fates.visit_delay[person]) * SECOND)
        self._agenda.push(arrival, Visit(person, own=False))
        if fates.buys[person]:
            purchase = arrival + round(float(fates.buy_delay[person]) * SECOND)
            self._agenda.push(purchase, Visit(person, own=False, amount=float(fates.amount[person])))
        self._changed.set()

    def _visit(self, moment: int, visit: Visit) -> None:
        person, own = visit.person, self.world.own
        if visit.own and visit.amount is None:
            if person in self._visited or person in self._kept_home:
                return
            self._visited.add(person)
            if own.buys[person]:
                purchase = moment + round(float(own.buy_delay[person]) * SECOND)
                self._agenda.push(purchase, Visit(person, own=True, amount=float(own.amount[person])))
        if self.config.tracking_url is None:
            return
        bought = visit.amount is not None
        user_id = self.world.people[person].user_id
        event = {
            "userId": user_id,
            "event": self.config.purchase_event if bought else self.config.visit_event,
            "messageId": f"simulated-{self.config.seed}-{'buy' if bought else 'visit'}-{user_id}",
            "timestamp": format_moment(from_micros(moment)),
            "properties": {"revenue": round(visit.amount, 2)} if visit.amount is not None else {},
        }
        self._spawn(partial(self._need().track, event))

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def bounded() -> None:
            async with self._slots:
                await work()

        task = asyncio.create_task(bounded())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tally.failed_calls += 1
            _log.error("A task of the simulator broke", exc_info=error)

    def _need(self) -> Courier:
        if self._courier is None:
            raise Conflict("the simulator is not started")
        return self._courier

    async def _breathe(self, *, full: bool) -> None:
        """Wait until there is something to do again, and while the courier has its hands full."""
        while len(self._tasks) >= 4 * self.config.concurrency:
            await asyncio.wait(tuple(self._tasks), return_when=asyncio.FIRST_COMPLETED)
        if full:
            await asyncio.sleep(0)
            return
        self._changed.clear()
        await asyncio.sleep(LINGER_SECONDS)
        next_due, wait = self._agenda.next_due, LONGEST_WAIT
        if next_due is not None:
            wait = min(wait, self.clock.real_seconds(from_micros(next_due) - self.clock.now()))
        if wait > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)
