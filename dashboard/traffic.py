"""The traffic of one experiment: weights over time, what a bandit did and why, what the guards see."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard import values
from dashboard.reading import Unreadable


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of time with fixed weights, as shares that sum to 1."""

    number: int
    weights: Mapping[str, float]
    opened_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class ArmThen:
    """What a slot of a bandit knew of one arm. None: not known then."""

    users: int
    conversions: int
    mean: float | None
    sd: float | None
    best: float | None
    weight: float | None
    new_weight: float | None


@dataclass(frozen=True, slots=True)
class Slot:
    """What became of one slot: moved, skipped, shipped or ended, and why."""

    number: int
    at: datetime | None
    outcome: str
    reason: str
    arms: Mapping[str, ArmThen]


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard of one variant when it last looked; at 1 of `share_of_evidence` the variant is stopped."""

    variant: str
    guard: str
    margin: float
    users: int
    harmed: int
    control_users: int
    control_harmed: int
    share_of_evidence: float


@dataclass(frozen=True, slots=True)
class Stopped:
    variant: str
    guard: str
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """`at`: when this was so. Epochs and slots are the newest, newest first. `silenced`: retired variants whose users are sent nothing more."""

    at: datetime | None
    policy: str
    metric: str
    weights: Mapping[str, float]
    active: tuple[str, ...]
    silenced: tuple[str, ...]
    stopped: tuple[Stopped, ...]
    guards: tuple[Guard, ...]
    held_at: datetime | None
    released: float | None
    next_due_at: datetime | None
    epochs: tuple[Epoch, ...]
    slots: tuple[Slot, ...]

    @property
    def is_bandit(self) -> bool:
        return self.policy != "fixed"


def read_traffic(document: Any) -> Traffic:
    """Raises Unreadable when `document` is not about traffic."""
    if not isinstance(document, Mapping) or not isinstance(document.get("weights"), Mapping):
        raise Unreadable("it is not about traffic")
    policy = values.mapping(document.get("policy"))
    return Traffic(
        at=values.moment(document.get("at")),
        policy=values.text(policy.get("policy")) or "fixed",
        metric=values.text(policy.get("metric")),
        weights=values.numbers(document["weights"]),
        active=values.texts(document.get("active")),
        silenced=values.texts(document.get("silenced")),
        stopped=tuple(
            _stopped(str(variant), values.mapping(told))
            for variant, told in values.mapping(document.get("stopped")).items()
        ),
        guards=tuple(_guard(guard) for guard in values.mappings(document.get("guards"))),
        held_at=values.moment(document.get("held_at")),
        released=values.number(document.get("released")),
        next_due_at=values.moment(document.get("next_due_at")),
        epochs=tuple(_epoch(epoch) for epoch in values.mappings(document.get("epochs"))),
        slots=tuple(_slot(slot) for slot in values.mappings(document.get("reallocations"))),
    )


def _epoch(document: Mapping[str, Any]) -> Epoch:
    return Epoch(
        number=values.counts(document).get("number", 0),
        weights=values.numbers(document.get("weights")),
        opened_at=values.moment(document.get("opened_at")),
        reason=values.text(document.get("reason")),
    )


def _slot(document: Mapping[str, Any]) -> Slot:
    arms = values.mapping(values.mapping(document.get("numbers")).get("arms"))
    return Slot(
        number=values.counts(document).get("slot", 0),
        at=values.moment(document.get("at")),
        outcome=values.text(document.get("outcome")),
        reason=values.text(document.get("reason")),
        arms={str(variant): _arm_then(values.mapping(told)) for variant, told in arms.items()},
    )


def _arm_then(document: Mapping[str, Any]) -> ArmThen:
    known = values.counts(document)
    return ArmThen(
        users=known.get("users", 0),
        conversions=known.get("conversions", 0),
        mean=values.number(document.get("mean")),
        sd=values.number(document.get("sd")),
        best=values.number(document.get("p_best")),
        weight=values.number(document.get("weight")),
        new_weight=values.number(document.get("new_weight")),
    )


def _guard(document: Mapping[str, Any]) -> Guard:
    known = values.counts(document)
    evidence, needed = values.number(document.get("log_e")) or 0.0, values.number(document.get("needed"))
    return Guard(
        variant=values.text(document.get("variant")),
        guard=values.text(document.get("guard")),
        margin=values.number(document.get("margin")) or 0.0,
        users=known.get("users", 0),
        harmed=known.get("harmed", 0),
        control_users=known.get("control_users", 0),
        control_harmed=known.get("control_harmed", 0),
        share_of_evidence=min(1.0, max(0.0, evidence / needed)) if needed else 0.0,
    )


def _stopped(variant: str, document: Mapping[str, Any]) -> Stopped:
    return Stopped(
        variant=variant,
        guard=values.text(document.get("guard")),
        reason=values.text(document.get("reason")),
        at=values.moment(document.get("at")),
    )
