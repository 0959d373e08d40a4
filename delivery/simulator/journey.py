"""What becomes of one accepted message, and when: a person's fate laid out on the simulated clock. Pure."""

from dataclasses import dataclass
from typing import Final

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.draws import uniform
from delivery.simulator.emission import News, Step
from delivery.simulator.fault_plan import Fault
from delivery.simulator.ledger import Accepted
from delivery.simulator.world import World
from delivery.whatsapp.error_table import UNDELIVERABLE

SECOND: Final = 1_000_000
"""In microseconds, the unit of all moments here."""


@dataclass(frozen=True, slots=True)
class Happening:
    """`at` is when it happens, `told` when its webhook leaves (later, for a late one); microseconds since 1970."""

    step: Step
    at: int
    told: int
    code: int | None = None


@dataclass(slots=True)
class Journey:
    """One message under way. `person` is a position in the world, None for people whom the world does not know.

    `template` is None for free text; `reply`, `button` and `payload` are what the person answers, if they do; `record` is
    the message's line in the ledger.
    """

    person: int | None
    template: str | None
    wa_id: str
    wamid: str
    callback_data: str | None
    token: str | None
    category: str
    plan: tuple[Happening, ...]
    record: Accepted
    reply: str = ""
    button: str = ""
    payload: str | None = None
    position: int = 0

    def news(self, happening: Happening) -> News:
        words = {Step.REPLY: self.reply, Step.PRESS: self.button}.get(happening.step, "STOP")
        return News(
            step=happening.step,
            at=happening.at // SECOND,
            wa_id=self.wa_id,
            wamid=self.wamid,
            callback_data=self.callback_data,
            category=self.category,
            code=happening.code,
            text=words,
            payload=self.payload,
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit to come, or (`amount` given) a purchase; `own`: without a message's doing."""

    person: int
    own: bool
    amount: float | None = None


def plan(
    world: World,
    person: int | None,
    template: str | None,
    *,
    wamid: str,
    accepted: int,
    config: SimulatorConfig,
    fails: int | None = None,
    zero: int = 0,
) -> tuple[Happening, ...]:
    """Everything that will be heard or seen of a message, by the time it is told.

    `accepted` is when it sets out. `fails`: it never does, and is reported with this code at that moment. `zero` is the
    moment from which the fault plan counts.
    """
    if fails is not None:
        steps = [Happening(Step.FAILED, accepted, accepted, fails)]
    elif person is None or template is None or template not in world.fates:
        steps = _plain(accepted, config)
    else:
        steps = _fated(world, person, template, accepted)
    told: list[Happening] = []
    for step in steps:
        told.extend(_tell(step, wamid, config, zero))
    return tuple(sorted(told, key=lambda happening: happening.told))


def _plain(accepted: int, config: SimulatorConfig) -> list[Happening]:
    """Somebody of whom nothing is known: receives and reads, no more."""
    at, steps = accepted, []
    for step, scale in (
        (Step.SENT, config.delays.sent),
        (Step.DELIVERED, config.delays.delivered),
        (Step.READ, config.delays.read),
    ):
        at += round(scale * SECOND)
        steps.append(Happening(step, at, at))
    return steps


def _fated(world: World, person: int, template: str, accepted: int) -> list[Happening]:
    fates = world.fates[template]
    steps: list[Happening] = []

    def add(step: Step, after: int, delay: float, code: int | None = None) -> int:
        at = after + round(float(delay) * SECOND)
        steps.append(Happening(step, at, at, code))
        return at

    sent = add(Step.SENT, accepted, fates.sent_delay[person])
    if not fates.delivered[person]:
        add(Step.FAILED, sent, fates.delivered_delay[person], int(world.fault_codes[person]) or UNDELIVERABLE)
        return steps
    delivered = add(Step.DELIVERED, sent, fates.delivered_delay[person])
    if not fates.read[person]:
        return steps
    read = add(Step.READ, delivered, fates.read_delay[person])
    if fates.clicked[person]:
        add(Step.CLICK, read, fates.click_delay[person])
    if fates.pressed[person]:
        add(Step.PRESS, read, fates.press_delay[person])
    if fates.replied[person]:
        add(Step.REPLY, read, fates.reply_delay[person])
    if fates.opted_out[person]:
        stop = Step.STOP_MENU if fates.by_preference[person] else Step.STOP_TEXT
        add(stop, read, fates.opt_out_delay[person])
    return steps


def _tell(step: Happening, wamid: str, config: SimulatorConfig, zero: int) -> list[Happening]:
    """The step, late or twice when chance has it; what people do themselves (clicks) is neither."""
    faults, reorder, script = config.faults, config.telling.reorder_seconds, config.fault_plan.steps
    if step.step is Step.CLICK or not (faults.late or faults.duplicate or reorder or script):
        return [step]
    key, told, again = f"{wamid}\0{step.step}", step.told, []
    late = round(faults.late_seconds * SECOND)
    if uniform(config.seed, "late", key) < faults.late:
        told += late
    if uniform(config.seed, "duplicate", key) < faults.duplicate:
        again.append(late // 2)
    if reorder:
        told += round(uniform(config.seed, "reorder", key) * reorder * SECOND)
    for one in config.fault_plan.of_status(config.seed, key, elapsed=(step.at - zero) / SECOND):
        if one.fault is Fault.LATE:
            told += round(one.seconds * SECOND)
        else:
            again.append(round(one.seconds * SECOND))
    return [Happening(step.step, step.at, told + after, step.code) for after in (0, *again)]
