"""The running simulator: what is still to happen, and the pump that lets it happen as the clock goes on.

Everything here runs in one event loop and never blocks it: fates were computed when the world was loaded; the pump takes
what is due, groups statuses into webhooks, and hands them to the courier. When the clock runs ahead of what the machine
can carry, things are told late, but always with the simulated time at which they happened.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from delivery.simulator.agenda import Agenda
from delivery.simulator.behaviour import Behaviour
from delivery.simulator.config import SimulatorConfig
from delivery.simulator.courier import Courier, Tally
from delivery.simulator.desk import Desk
from delivery.simulator.door import Door
from delivery.simulator.emission import INBOUND, News, Step, webhook
from delivery.simulator.graph import Answer
from delivery.simulator.journey import Journey, Visit
from delivery.simulator.notices import Notice
from delivery.simulator.number import Number
from delivery.simulator.registry import Change, Registry
from delivery.simulator.speech import speak
from delivery.simulator.visits import Visits
from delivery.simulator.world import World
from experiments.clock import Clock, ScaledClock, format_moment, from_micros, to_micros
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
        self.door = Door(config.fault_plan, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._changed = asyncio.Event()
        self._released = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._courier: Courier | None = None
        self._clear()

    def _clear(self) -> None:
        config = self.config
        zero = config.clock_start or self.clock.now()
        self._zero = to_micros(zero)
        self.registry = Registry()
        self._set_world(
            World((), {"": Behaviour()}, seed=config.seed, faults=config.faults, delays=config.delays)
        )
        self.number = Number(
            config.phone_number_id, config.display_phone_number, config.throughput, config.limits.tier
        )
        self.desk = Desk(config, self.clock, depart=self._depart, announce=self._announce, zero=self._zero)
        self._tally = Tally()
        self._agenda: Agenda[Journey | Visit | Change | News | Notice] = Agenda()
        self.door.begin(self._zero)
        self._begun: datetime | None = None
        self._said = 0

    def _set_world(self, world: World) -> None:
        self.world = world
        self._visits = Visits(world, self.config)

    async def start(self) -> None:
        if self.config.hold:
            self.hold()
        else:
            self.release()
        self._courier = Courier(self.config, self._tally)
        self._loops = [asyncio.create_task(work) for work in (self._run(), self.door.keep())]
        for task in self._loops:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End what is under way; what is still on the agenda never happens."""
        under_way = [*self._tasks, *self._loops]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._loops = []
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

    async def load(self, build: Callable[[], tuple[World, Registry]]) -> World:
        """Replace the world by `build()`, computed beside the event loop; Conflict once people are in motion."""
        if self.desk.ledger.accepted or self._begun is not None:
            raise Conflict("the world is already in motion; reset the simulator first")
        world, self.registry = await asyncio.to_thread(build)
        self._set_world(world)
        return world

    def begin(self, at: datetime, window: timedelta) -> int:
        """Let people visit by themselves, from `at` on, over `window`; returns how many will."""
        if self._begun is not None:
            raise Conflict("the people are already on their way; reset the simulator first")
        if window < timedelta(0):
            raise Invalid("must not be negative", field="window")
        self._begun = at
        coming = self._visits.begin(at, window)
        self._agenda.extend(coming)
        self._changed.set()
        return len(coming)

    def slow_down(self, at: datetime) -> None:
        """The clock runs at the machine's own speed from `at` on; Conflict when it is none that hurries."""
        if not isinstance(self.clock, ScaledClock):
            raise Conflict("the simulator's clock is the machine's own; there is nothing to slow down")
        self.clock.slow_down(at)
        # Who waits for the next thing to happen must work out anew how long that takes.
        self._changed.set()

    def receive(self, raw: bytes) -> Answer:
        """Answer one POST of a message."""
        answer = self.desk.receive(raw, self.world, self.registry, asyncio.get_running_loop().time())
        self.door.answered(self.desk.ledger.posts)
        return answer

    def say(self, document: Mapping[str, Any]) -> str:
        """Let a person speak now (see speech.speak); returns the id of what they say."""
        now = to_micros(self.clock.now())
        self._said += 1
        desk = self.desk
        news = speak(
            document,
            world=self.world,
            ledger=desk.ledger,
            correspondence=desk.correspondence,
            now=now,
            number=self._said,
        )
        self._agenda.push(now, news)
        self._changed.set()
        return news.message_id or ""

    def tell(self, notices: Sequence[Notice]) -> None:
        """Tell of these changes now."""
        for notice in notices:
            self._agenda.push(to_micros(self.clock.now()), notice)
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Counts so far; `idle`: nothing is on the agenda and nothing is under way; `next_at`: when the next thing happens."""
        ledger, tally, due = self.desk.ledger, self._tally, self._agenda.next_due
        return {
            "now": format_moment(self.clock.now()),
            "people": len(self.world.people),
            "begun": None if self._begun is None else format_moment(self._begun),
            "posts": ledger.posts,
            "posts_per_message_max": ledger.most_posts,
            "accepted": ledger.accepted,
            "accepted_per_message_max": ledger.most_accepted,
            "refused": {str(code): count for code, count in sorted(self.desk.refused.items())},
            "queued": len(self._agenda),
            "next_at": None if due is None else format_moment(from_micros(due)),
            "under_way": len(self._tasks),
            "webhooks": tally.webhooks,
            "webhooks_repeated": tally.repeated,
            "statuses": tally.statuses,
            "inbound": tally.inbound,
            "notices": tally.notices,
            "clicks": tally.clicks,
            "tracked": tally.tracked,
            "retries": tally.retries,
            "webhooks_lost": tally.webhooks_lost,
            "failed_calls": tally.failed_calls,
            "held": not self._released.is_set(),
            "idle": not self._agenda and not self._tasks,
        }

    def _depart(self, journey: Journey) -> None:
        self._visits.depart(journey)
        self._agenda.push(journey.plan[0].told, journey)
        self._changed.set()

    def _announce(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._agenda.push(change.at, change)

    async def _run(self) -> None:
        while True:
            await self._released.wait()
            due = self._agenda.pop_due(to_micros(self.clock.now()), self.config.batch)
            news = [item for moment, thing in due for item in self._happen(moment, thing)]
            if news and self.config.webhook_url is not None:
                self._spawn(partial(self._deliver, news))
            await self._breathe(full=len(due) == self.config.batch)

    async def _deliver(self, news: Sequence[News | Notice]) -> None:
        config = self.config
        body = webhook(
            news,
            phone_number_id=config.phone_number_id,
            display_phone_number=config.display_phone_number,
            waba_id=config.waba_id,
            telling=config.telling,
        )
        notices = sum(isinstance(item, Notice) for item in news)
        inbound = sum(isinstance(item, News) and item.step in INBOUND for item in news)
        statuses = len(news) - inbound - notices
        await self._need().deliver(body, statuses=statuses, inbound=inbound, notices=notices)

    def _happen(
        self, moment: int, thing: Journey | Visit | Change | News | Notice
    ) -> Sequence[News | Notice]:
        """Let one thing happen; returns what a webhook must tell of it."""
        if isinstance(thing, News | Notice):
            return [thing]
        if isinstance(thing, Change):
            return () if thing.void else thing.notices
        if isinstance(thing, Visit):
            self._visit(moment, thing)
            return ()
        happening = thing.plan[thing.position]
        thing.position += 1
        if thing.position < len(thing.plan):
            self._agenda.push(thing.plan[thing.position].told, thing)
        if happening.step is Step.CLICK:
            if thing.token is not None and self.config.public_url is not None:
                self._spawn(partial(self._click, thing, thing.token, happening.at))
            return ()
        if happening.step not in INBOUND:
            thing.record.reach(happening.step, happening.code)
        return [thing.news(happening)]

    async def _click(self, journey: Journey, token: str, at: int) -> None:
        """Click; a visit that the message causes follows only if the link led somewhere."""
        if await self._need().click(token):
            for moment, visit in self._visits.clicked(journey, at):
                self._agenda.push(moment, visit)
            self._changed.set()

    def _visit(self, moment: int, visit: Visit) -> None:
        comes, more = self._visits.arrive(moment, visit)
        for later, another in more:
            self._agenda.push(later, another)
        if comes and self.config.tracking_url is not None:
            self._spawn(partial(self._need().track, self._visits.event(moment, visit)))

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
            # Not asyncio.wait_for: until Python 3.12 it forgets that it was cancelled when what it waits for comes in the
            # same turn of the loop, and then nobody ever ends this loop.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
