"""What became of every message, and the proof that none was lost: the books of delivery.

Conservation: an assignment owes one message for each step of its variant and each occasion that it was planned for. What is
owed is counted from the assignments and the design, what is there from the outbox; neither is derived from the other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from delivery.watch import book_repository
from delivery.watch import summary_repository as repository
from delivery.watch.summary_repository import MessageRow, Tally
from experiments import repository as experiment_repository
from experiments import service
from experiments.design import ExperimentDesign
from experiments.vocabulary import REACHED_WHATSAPP, RECEIVED_STATES, WAITING_STATES, MessageState

NO_REASON: Final = "unspecified"
SETTLED: Final = timedelta(days=7)
"""So long after an experiment was stopped WhatsApp may still tell what became of its messages: it repeats what we did not take."""
OLDEST: Final = timedelta(days=2)
"""The books of what was stopped are checked once a day; where nobody checks them, everything is counted anew."""


@dataclass(frozen=True, slots=True)
class VariantCounts:
    """Messages of one variant by state; `suppressed` says why. `slots` is how many there should be."""

    variant: str
    slots: int
    states: Mapping[str, int]
    suppressed: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether there is one message for each slot, in a state that exists."""
        known = sum(self.states.get(state, 0) for state in MessageState)
        return known == self.slots == sum(self.states.values())


@dataclass(frozen=True, slots=True)
class ExperimentSummary:
    """Delivery of one experiment. `slots` are owed by its planned assignments; every slot is one message, somewhere.

    `sent` are those that WhatsApp took, whatever it made of them later short of failing; `waiting` are planned or claimed.
    """

    experiment: str
    slots: int
    sent: int
    inflight: int
    waiting: int
    suppressed: int
    failed: int
    unknown: int
    cancelled: int
    expired: int
    holds: bool
    reasons: Mapping[str, int]
    variants: tuple[VariantCounts, ...]

    @property
    def accounted(self) -> int:
        """Messages that are in one of the states above."""
        return (
            self.sent
            + self.inflight
            + self.waiting
            + self.suppressed
            + self.failed
            + self.unknown
            + self.cancelled
            + self.expired
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Delivery of all experiments that were ever started, or of one.

    `states` and `reasons` (state -> reason -> number) count messages by where they are now. `funnel` counts how far they
    came: whoever read a message also had it delivered. `webhooks_waiting` is of the whole installation.
    """

    states: Mapping[str, int]
    reasons: Mapping[str, Mapping[str, int]]
    funnel: Mapping[str, int]
    waiting: int
    webhooks_waiting: int
    experiments: tuple[ExperimentSummary, ...]
    holds: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON, field by field."""
        return asdict(self)


def summary(session: Session, *, key: str | None = None) -> Summary:
    """Count messages by state and reason, and check conservation for each experiment; NotFound for an unknown `key`.

    Call it in a snapshot.
    """
    return summary_of(session, key=key)[1]


def summary_of(
    session: Session, *, key: str | None = None, now: datetime | None = None
) -> tuple[list[Tally], Summary]:
    """The lines of the books, and `summary` of them.

    now: if given, and no `key`, experiments that are at rest (`SETTLED`, `OLDEST`) are told as their books last said, so that messages
    of campaigns that are long over are not counted for ever.
    """
    experiments = (
        repository.started_experiments(session)
        if key is None
        else [experiment_repository.get_experiment(session, key)]
    )
    resting: Mapping[int, list[Tally]] = {}
    if key is None and now is not None:
        resting = book_repository.lines_at_rest(session, now=now, settled=SETTLED, oldest=OLDEST)
    moving = [pk for experiment in experiments if (pk := experiment.id) is not None and pk not in resting]
    counted = repository.tallies(session, of=moving if key is not None or resting else None)
    lines = [*counted, *(line for own in resting.values() for line in own)]
    own: dict[int | None, list[Tally]] = {}
    for line in lines:
        own.setdefault(line.experiment_id, []).append(line)
    parts = tuple(
        balance(service.design_of(experiment), own.get(experiment.id, [])) for experiment in experiments
    )
    messages = [line for line in lines if line.state is not None]
    states = _by_state(messages)
    return lines, Summary(
        states=states,
        reasons=_by_reason(messages),
        funnel={
            "planned": sum(states.values()),
            "accepted": sum(states.get(state, 0) for state in REACHED_WHATSAPP),
            "delivered": sum(states.get(state, 0) for state in RECEIVED_STATES),
            "read": states.get(MessageState.READ, 0),
            "clicked": repository.clicked(session, experiment_id=None if key is None else experiments[0].id),
        },
        waiting=sum(states.get(state, 0) for state in WAITING_STATES),
        webhooks_waiting=repository.webhooks_waiting(session),
        experiments=parts,
        holds=all(part.holds for part in parts),
    )


def messages_of(
    session: Session, *, key: str, after_id: int, limit: int, state: MessageState | None = None
) -> list[MessageRow]:
    """The outbox of one experiment, a page at a time, oldest first; NotFound for an unknown `key`."""
    experiment = experiment_repository.get_experiment(session, key)
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return repository.messages_page(
        session, experiment_id=experiment.id, after_id=after_id, limit=limit, state=state
    )


def balance(design: ExperimentDesign, lines: Iterable[Tally]) -> ExperimentSummary:
    """Draw up the books of one experiment from its lines; `holds` is false when any variant's slots and messages differ."""
    by_variant: dict[str, list[Tally]] = {variant.key: [] for variant in design.variants}
    for line in lines:
        by_variant.setdefault(line.variant, []).append(line)
    steps = {variant.key: variant.steps for variant in design.variants}
    variants = tuple(_count(key, steps.get(key, 0), own) for key, own in by_variant.items())
    states: Counter[str] = Counter()
    suppressed: Counter[str] = Counter()
    for variant in variants:
        states.update(variant.states)
        suppressed.update(variant.suppressed)
    return ExperimentSummary(
        experiment=design.key,
        slots=sum(variant.slots for variant in variants),
        sent=sum(states[state] for state in REACHED_WHATSAPP),
        inflight=states[MessageState.INFLIGHT],
        waiting=sum(states[state] for state in WAITING_STATES),
        suppressed=states[MessageState.SUPPRESSED],
        failed=states[MessageState.FAILED],
        unknown=states[MessageState.UNKNOWN],
        cancelled=states[MessageState.CANCELLED],
        expired=states[MessageState.EXPIRED],
        holds=all(variant.holds for variant in variants),
        reasons=dict(suppressed),
        variants=variants,
    )


def _count(key: str, steps: int, lines: list[Tally]) -> VariantCounts:
    messages = [line for line in lines if line.state is not None]
    suppressed: Counter[str] = Counter()
    for line in messages:
        if line.state == MessageState.SUPPRESSED:
            suppressed[line.reason or NO_REASON] += line.number
    return VariantCounts(
        variant=key,
        slots=steps * sum(line.number for line in lines if line.state is None),
        states=_by_state(messages),
        suppressed=dict(suppressed),
    )


def _by_state(messages: Iterable[Tally]) -> dict[str, int]:
    states: Counter[str] = Counter()
    for line in messages:
        states[str(line.state)] += line.number
    return dict(states)


def _by_reason(messages: Iterable[Tally]) -> dict[str, dict[str, int]]:
    reasons: dict[str, Counter[str]] = {}
    for line in messages:
        if line.reason is not None:
            reasons.setdefault(str(line.state), Counter())[line.reason] += line.number
    return {state: dict(counts) for state, counts in reasons.items()}
