"""What becomes of one accepted message, and when: a person's fate laid out on the simulated clock. Pure."""

from dataclasses import dataclass

from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.draws import uniform
from delivery.simulator.emission import News, Step
from delivery.simulator.world import World
from delivery.whatsapp.error_table import UNDELIVERABLE

SECOND = 1_000_000
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
    """One message under way. `person` is a position in the world, None for people whom the world does not know."""

    person: int | None
    template: str
    wa_id: str
    wamid: str
    callback_data: str | None
    token: str | None
    category: str
    plan: tuple[Happening, ...]
    position: int = 0

    def news(self, happening: Happening) -> News:
        return News(
            step=happening.step,
            at=happening.at // SECOND,
            wa_id=self.wa_id,
            wamid=self.wamid,
            callback_data=self.callback_data,
            category=self.category,
            code=happening.code,
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit to come, or (`amount` given) a purchase; `own`: without a message's doing."""

    person: int
    own: bool
    amount: float | None = None


def plan(
    world: World, person: int | None, template: str, *, wamid: str, accepted: int, config: SimulatorConfig
) -> tuple[Happening, ...]:
    """Everything that will be heard or seen of a message, by the time it is told."""
    if person is None or template not in world.fates:
        steps = _plain(accepted, config)
    else:
        steps = _fated(world, person, template, accepted)
    told: list[Happening] = []
    for step in steps:
        told.extend(_tell(step, wamid, config.faults, config.seed))
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
    if fates.opted_out[person]:
        stop = Step.STOP_MENU if fates.by_preference[person] else Step.STOP_TEXT
        add(stop, read, fates.opt_out_delay[person])
    return steps


def _tell(step: Happening, wamid: str, faults: Faults, seed: int) -> list[Happening]:
    """The step, late or twice when chance has it; what people do themselves (clicks) is neither."""
    if step.step is Step.CLICK or not (faults.late or faults.duplicate):
        return [step]
    key = f"{wamid}\0{step.step}"
    late = round(faults.late_seconds * SECOND)
    told = step.told + (late if uniform(seed, "late", key) < faults.late else 0)
    first = Happening(step.step, step.at, told, step.code)
    if uniform(seed, "duplicate", key) < faults.duplicate:
        return [first, Happening(step.step, step.at, told + late // 2, step.code)]
    return [first]
