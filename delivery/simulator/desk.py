"""The desk that takes orders: one POST in, one answer out, and a journey for every message that is accepted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.correspondence import Correspondence
from delivery.simulator.draws import uniform
from delivery.simulator.emission import INBOUND, PREFERENCES, SERVICE, WRITTEN, Step
from delivery.simulator.fault_plan import Fault, FaultStep
from delivery.simulator.graph import Answer, GraphError, acceptance, bad_gateway, refusal
from delivery.simulator.journey import SECOND, Journey, plan
from delivery.simulator.ledger import Accepted, Entry, Ledger
from delivery.simulator.limits import PairRest, UniquePeople
from delivery.simulator.orders import Order, read_body, read_order
from delivery.simulator.pacing import Admission, admit, count
from delivery.simulator.registry import Change, Registry
from delivery.simulator.throttle import Throttle
from delivery.simulator.world import World
from delivery.whatsapp.error_table import (
    MARKETING_CAP,
    META_HOLDOUT,
    OPTED_OUT,
    PAIR_RATE_LIMIT_HIT,
    RATE_LIMIT_HIT,
    UNDELIVERABLE,
)
from experiments.clock import Clock, to_micros

WINDOW_CLOSED: Final = 131047
_DAY = 86_400 * SECOND
_DETAILS: Final = {
    MARKETING_CAP: "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    META_HOLDOUT: "Failed to send message because this user's phone number is part of an experiment",
    UNDELIVERABLE: "Unable to deliver the message: the recipient cannot be reached on WhatsApp",
}
_NOTHING: Final = Admission()


class Desk:
    """Answers as the Graph API, and keeps the ledger: a sender that doubles a message shows there.

    Each accepted message's journey is handed to `depart`, what becomes of a paced template to `announce`. `zero` is the
    moment (microseconds) from which the fault plan counts. Refused messages count towards no limit.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        clock: Clock,
        *,
        depart: Callable[[Journey], None],
        announce: Callable[[Sequence[Change]], None],
        zero: int,
    ) -> None:
        self._config = config
        self._clock = clock
        self._depart = depart
        self._announce = announce
        self._zero = zero
        self._throttle = Throttle(config.throughput, room=config.limits.throughput_room)
        self._pairs = PairRest(config.limits)
        self.people = UniquePeople(config.limits)
        self.correspondence = Correspondence()
        self.ledger = Ledger()
        self.refused: Counter[int] = Counter()

    def receive(self, raw: bytes, world: World, registry: Registry, real: float) -> Answer:
        """Answer one POST; `real` in seconds of the event loop's clock, in which throughput is measured."""
        try:
            body, callback_data = read_body(raw)
        except GraphError as error:
            self.refused[error.code] += 1
            return refusal(error.code, error.details)
        key, entry = self.ledger.post(callback_data)
        try:
            order = read_order(body, registry, sender=self._config.display_phone_number)
            return self._decide(order, key, entry, world, real)
        except GraphError as error:
            self.refused[error.code] += 1
            entry.refuse(str(error.code))
            return refusal(error.code, error.details)

    def _decide(self, order: Order, key: str, entry: Entry, world: World, real: float) -> Answer:
        now = to_micros(self._clock.now())
        if self._throttle.refuses(real):
            raise GraphError(
                RATE_LIMIT_HIT, "Message failed to send because there were too many messages sent"
            )
        step = self._fault(f"{key}\0{entry.posts}", now)
        if step is not None and step.fault is Fault.SERVER_ERROR:
            entry.refuse("502")
            return bad_gateway()
        if step is not None and step.fault is Fault.ERROR:
            raise GraphError(step.code or 1, "The fault plan says so")
        pair_now = real if self._config.limits.pair_clock == "real" else now / SECOND
        if self._pairs.refuses(order.to, pair_now):
            raise GraphError(PAIR_RATE_LIMIT_HIT, "Too many messages sent from the sender to this recipient")
        admission, outside = self._admit(order, now)
        person = world.index.get(order.to)
        if person is None and world.people:
            raise GraphError(UNDELIVERABLE, _DETAILS[UNDELIVERABLE])
        code = int(world.fault_codes[person]) if person is not None else 0
        tired = not code and self._tired(order, now)
        if (code or tired) and not self._config.faults.as_status:
            raise GraphError(code or MARKETING_CAP, _DETAILS[code or MARKETING_CAP])
        if tired and admission.until is None:
            admission = Admission(until=now, fails=MARKETING_CAP)
        self._throttle.take()
        self._pairs.take(order.to, pair_now)
        if outside and admission.message_status != "paused":
            self.people.take(order.to, now / SECOND)
        message = self._accept(order, person, key, entry, world, now, admission)
        return self._answer(order, message, admission, step)

    def _fault(self, key: str, now: int) -> FaultStep | None:
        """What the network or the server does to this POST: the plan's step, or one of the plain shares."""
        config = self._config
        if config.fault_plan.steps:
            elapsed = (now - self._zero) / SECOND
            step = config.fault_plan.of_post(config.seed, key, elapsed=elapsed, number=self.ledger.posts)
            if step is not None:
                return step
        faults = config.faults
        if not faults.posts:
            return None
        chance = uniform(config.seed, "post", key)
        for fault, share in (
            (Fault.SERVER_ERROR, faults.server_error),
            (Fault.DROP, faults.drop),
            (Fault.SLOW, faults.slow),
            (Fault.RESET, faults.reset),
            (Fault.SERVER_ERROR_AFTER, faults.server_error_after),
        ):
            if chance < share:
                return FaultStep(fault, seconds=faults.slow_seconds)
            chance -= share
        return None

    def _admit(self, order: Order, now: int) -> tuple[Admission, bool]:
        """Whether WhatsApp's rules let this message go, and whether it counts as outside the person's window."""
        limits = self._config.limits
        if order.template is None:
            if not self.correspondence.window_open(order.to, now):
                raise GraphError(
                    WINDOW_CLOSED, "More than 24 hours have passed since the recipient last replied to you"
                )
            return _NOTHING, False
        admission = _NOTHING if order.known is None else admit(order.known, now)
        marketing = order.known is None or order.known.marketing
        if limits.stopped and marketing and self.correspondence.stopped(order.to, now):
            raise GraphError(OPTED_OUT, "Unable to deliver: the recipient has stopped marketing messages")
        if self.people.most is None:
            return admission, False
        outside = not self.correspondence.window_open(order.to, now)
        if outside and self.people.refuses(order.to, now / SECOND):
            raise GraphError(
                limits.tier_code, f"The limit of {self.people.most} unique people in 24 hours is reached"
            )
        return admission, outside

    def _tired(self, order: Order, now: int) -> bool:
        """Whether Meta holds one more marketing message back from this person today."""
        engagement, wa_id = self._config.engagement, order.to
        if engagement is None or order.template is None or not (order.known is None or order.known.marketing):
            return False
        ignored = self.correspondence.ignored(wa_id, now, round(engagement.window_seconds * SECOND))
        chance = engagement.chance(ignored)
        return chance > 0 and uniform(self._config.seed, "tired", f"{wa_id}\0{now // _DAY}") < chance

    def _accept(
        self,
        order: Order,
        person: int | None,
        key: str,
        entry: Entry,
        world: World,
        now: int,
        admission: Admission,
    ) -> Accepted:
        name = f"{self._config.seed}\0{key}\0{len(entry.messages) + 1}".encode()
        wamid = "wamid." + hashlib.blake2b(name, digest_size=16).hexdigest().upper()
        held = admission.message_status == "held_for_quality_assessment"
        message = Accepted(wamid, "held" if held else "accepted")
        self.ledger.accept(entry, message)
        if order.known is not None and admission == _NOTHING:
            self._announce(count(order.known, now, self._config.seed))
        treatment = world.templates.get(order.template) if order.template is not None else None
        category = SERVICE if order.template is None else treatment.category if treatment else "marketing"
        quick = order.known.shape.quick_replies if order.known is not None else ()
        journey = Journey(
            person=person,
            template=order.template,
            wa_id=order.to,
            wamid=wamid,
            callback_data=entry.callback_data,
            token=order.token,
            category=order.known.category.lower() if order.known is not None else category,
            plan=plan(
                world,
                person,
                order.template,
                wamid=wamid,
                accepted=now if admission.until is None else admission.until,
                config=self._config,
                fails=admission.fails,
                zero=self._zero,
            ),
            record=message,
            reply=treatment.reply if treatment else "",
            button=quick[0][1] if quick else treatment.button if treatment else "",
            payload=order.payloads.get(quick[0][0]) if quick else None,
        )
        self._note(journey)
        self._depart(journey)
        return message

    def _note(self, journey: Journey) -> None:
        """Keep what the rules will ask for: when this person writes, stops, gets and notices marketing."""
        moments = {happening.step: happening.at for happening in journey.plan}
        if not INBOUND.isdisjoint(moments):
            for step in WRITTEN:
                if step in moments:
                    self.correspondence.wrote(journey.wa_id, moments[step])
            for step in PREFERENCES:
                if step in moments:
                    self.correspondence.chose(journey.wa_id, moments[step], stop=step is Step.STOP_MENU)
        if self._config.engagement is not None and journey.category == "marketing":
            delivered = moments.get(Step.DELIVERED)
            if delivered is not None:
                self.correspondence.marketed(journey.wa_id, delivered, moments.get(Step.READ))

    def _answer(
        self, order: Order, message: Accepted, admission: Admission, step: FaultStep | None
    ) -> Answer:
        status = None if order.template is None else admission.message_status
        body = acceptance(order.to, message.wamid, status)
        fault = step.fault if step is not None else None
        message.unanswered = fault in (Fault.DROP, Fault.RESET, Fault.SERVER_ERROR_AFTER)
        if fault is Fault.DROP:
            return Answer(200, body, cut="whole")
        if fault is Fault.RESET:
            return Answer(200, body, cut="half")
        if fault is Fault.SERVER_ERROR_AFTER:
            return bad_gateway()
        return Answer(200, body, wait=step.seconds if step is not None and fault is Fault.SLOW else 0.0)
