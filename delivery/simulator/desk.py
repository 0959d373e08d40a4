"""The desk that takes orders: one POST in, one answer out, and a journey for every message that is accepted."""

import hashlib
from collections import Counter
from collections.abc import Callable

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.draws import uniform
from delivery.simulator.graph import Answer, GraphError, Order, acceptance, read_order, refusal
from delivery.simulator.journey import Journey, plan
from delivery.simulator.throttle import Throttle
from delivery.simulator.world import World
from delivery.whatsapp.error_table import MARKETING_CAP, META_HOLDOUT, RATE_LIMIT_HIT, UNDELIVERABLE
from experiments.clock import Clock, to_micros

_FAULT_DETAILS = {
    MARKETING_CAP: "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    META_HOLDOUT: "Failed to send message because this user's phone number is part of an experiment",
    UNDELIVERABLE: "Unable to deliver the message: the recipient cannot be reached on WhatsApp",
}


class Desk:
    """Answers as the Graph API and counts what it was asked.

    `posts` and `taken` count, per `biz_opaque_callback_data`, every valid POST and every accepted one: a sender that
    doubles a message shows here. Each accepted message's journey is handed to `depart`.
    """

    def __init__(self, config: SimulatorConfig, clock: Clock, depart: Callable[[Journey], None]) -> None:
        self._config = config
        self._clock = clock
        self._depart = depart
        self._throttle = Throttle(config.throughput)
        self.posts: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.accepted = 0

    def receive(self, raw: bytes, world: World, now: float) -> Answer:
        """Answer one POST; `now` in seconds of the event loop's clock, for the throughput limit."""
        try:
            order = read_order(raw, world.templates, sender=self._config.display_phone_number)
            return self._decide(order, world, now)
        except GraphError as error:
            self.refused[error.code] += 1
            return refusal(error.code, error.details)

    def _decide(self, order: Order, world: World, now: float) -> Answer:
        # Without an id of the sender's every POST is a message of its own.
        key = order.callback_data if order.callback_data is not None else f"\0{len(self.posts)}"
        self.posts[key] += 1
        if not self._throttle.admit(now):
            raise GraphError(
                RATE_LIMIT_HIT, "Message failed to send because there were too many messages sent"
            )
        faults = self._config.faults
        chance = uniform(self._config.seed, "post", f"{key}\0{self.posts[key]}")
        if chance < faults.server_error:
            return Answer(502, b"<html>Bad Gateway</html>", media_type="text/html")
        person = world.index.get(order.to)
        if person is None and world.people:
            raise GraphError(UNDELIVERABLE, _FAULT_DETAILS[UNDELIVERABLE])
        code = int(world.fault_codes[person]) if person is not None else 0
        if code and not faults.as_status:
            raise GraphError(code, _FAULT_DETAILS[code])
        body = acceptance(order, self._accept(order, person, key, world))
        if chance < faults.server_error + faults.drop:
            return Answer(200, body, drop=True)
        slow = chance < faults.server_error + faults.drop + faults.slow
        return Answer(200, body, wait=faults.slow_seconds if slow else 0.0)

    def _accept(self, order: Order, person: int | None, key: str, world: World) -> str:
        self.accepted += 1
        self.taken[key] += 1
        name = f"{self._config.seed}\0{key}\0{self.taken[key]}".encode()
        wamid = "wamid." + hashlib.blake2b(name, digest_size=16).hexdigest().upper()
        accepted = to_micros(self._clock.now())
        treatment = world.templates.get(order.template)
        journey = Journey(
            person=person,
            template=order.template,
            wa_id=order.to,
            wamid=wamid,
            callback_data=order.callback_data,
            token=order.token,
            category=treatment.category if treatment is not None else "marketing",
            plan=plan(world, person, order.template, wamid=wamid, accepted=accepted, config=self._config),
        )
        self._depart(journey)
        return wamid
