"""Who visits, and what for: by themselves, or because a message brought them. Whom a message keeps home does not come."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.journey import SECOND, Journey, Visit
from delivery.simulator.world import World
from experiments.clock import format_moment, from_micros, to_micros

Coming = list[tuple[int, Visit]]
"""Visits by moment, in microseconds since 1970."""


class Visits:
    """The visits of one world. Nobody visits twice."""

    def __init__(self, world: World, config: SimulatorConfig) -> None:
        self._world = world
        self._config = config
        self._visited: set[int] = set()
        self._kept_home: set[int] = set()

    def begin(self, at: datetime, window: timedelta) -> Coming:
        """All who come by themselves, from `at` on, over `window`."""
        own = self._world.own
        visitors = np.flatnonzero(own.visits)
        moments = to_micros(at) + np.round(own.moment[visitors] * (window / timedelta(microseconds=1)))
        return [
            (int(moment), Visit(int(person), own=True))
            for moment, person in zip(moments, visitors, strict=True)
        ]

    def depart(self, journey: Journey) -> None:
        """A message is on its way: whom it keeps from visiting does not come, unless the visit was before it."""
        fates = self._world.fates.get(journey.template or "")
        if journey.person is not None and fates is not None and fates.prevented[journey.person]:
            self._kept_home.add(journey.person)

    def clicked(self, journey: Journey, at: int) -> Coming:
        """What follows a click, at `at`, on a link that led somewhere."""
        person, fates = journey.person, self._world.fates.get(journey.template or "")
        if person is None or fates is None or not fates.caused[person] or person in self._visited:
            return []
        self._visited.add(person)
        arrival = at + round(float(fates.visit_delay[person]) * SECOND)
        coming = [(arrival, Visit(person, own=False))]
        if fates.buys[person]:
            purchase = arrival + round(float(fates.buy_delay[person]) * SECOND)
            coming.append((purchase, Visit(person, own=False, amount=float(fates.amount[person]))))
        return coming

    def arrive(self, moment: int, visit: Visit) -> tuple[bool, Coming]:
        """Whether the person comes, and what follows."""
        person, own = visit.person, self._world.own
        if not visit.own or visit.amount is not None:
            return True, []
        if person in self._visited or person in self._kept_home:
            return False, []
        self._visited.add(person)
        if not own.buys[person]:
            return True, []
        purchase = moment + round(float(own.buy_delay[person]) * SECOND)
        return True, [(purchase, Visit(person, own=True, amount=float(own.amount[person])))]

    def event(self, moment: int, visit: Visit) -> dict[str, Any]:
        """What is tracked of a visit or a purchase."""
        bought = visit.amount is not None
        user_id = self._world.people[visit.person].user_id
        return {
            "userId": user_id,
            "event": self._config.purchase_event if bought else self._config.visit_event,
            "messageId": f"simulated-{self._config.seed}-{'buy' if bought else 'visit'}-{user_id}",
            "timestamp": format_moment(from_micros(moment)),
            "properties": {"revenue": round(visit.amount, 2)} if visit.amount is not None else {},
        }
